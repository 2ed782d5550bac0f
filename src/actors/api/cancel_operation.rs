//! Cancel an operation on request of its owner or an administrator.
//!
//! The cancellation is written to the journal entry, with a near deadline, so it survives any crash. Then the backend is
//! notified: it stops the command, reverts what can be reverted, and reports. The volume is left as after a failure: in `error`
//! or a similar status, to be deleted or retried. If the backend does not answer, the operation ends at the deadline.

use std::rc::Rc;

use super::ApiActor;
use crate::actors::permission::demand;
use crate::control::lookup::may_see;
use crate::control::{Interrupt, retry_on_conflict};
use crate::messages::api::{CancelOperation, Progress};
use crate::model::node_identity::host_of;
use crate::model::role::Level;
use crate::model::{Context, Error, Operation, OperationId, Result, Timestamp};
use crate::verbs::verb_of;

impl ApiActor {
    /// Serves [`CancelOperation`]. Repetitions have no effect.
    pub(super) async fn cancel_operation(
        self: Rc<Self>,
        context: Context,
        request: CancelOperation,
    ) -> Result<()> {
        demand::<CancelOperation>(Level::Member, &context)?;
        let operation = retry_on_conflict!(self.try_to_cancel(&context, request.operation).await)?;
        self.look_soon(&operation);
        Ok(())
    }

    async fn try_to_cancel(&self, context: &Context, id: OperationId) -> Result<Operation, Interrupt> {
        let Some(open) = self.catalog.operation(id).await? else {
            return Err(self.is_not_open(context, id).into());
        };
        if !may_see(context, &open.project_id) {
            return Err(not_found(id).into());
        }
        if open.is_cancelled() {
            return Ok(open.record);
        }
        if !verb_of(&open)?.may_be_cancelled() {
            return Err(Error::conflict(format!(
                "Operation {id} cannot be cancelled: {} ends by itself, and soon.",
                open.verb
            ))
            .into());
        }
        let mut cancelled = open.cancelled(Timestamp::now(), self.options.cancel_grace);
        // It is cancelled from here.
        cancelled.owner = self.nodes.own().cloned();
        let mut changes = self.catalog.change();
        changes.update(&open, &cancelled);
        changes.commit().await?;
        tracing::info!(operation = %id, subject = ?open.subject, verb = open.verb, "an operation is cancelled");
        Ok(cancelled)
    }

    fn is_not_open(&self, context: &Context, id: OperationId) -> Error {
        let ended = self.finished.get(id);
        match ended.filter(|ended| may_see(context, &ended.operation.project_id)) {
            Some(_) => Error::conflict(format!("Operation {id} has ended.")),
            None => not_found(id),
        }
    }

    /// Serves [`Progress`]. Volume nodes report it of operations on their own host only: others are dropped, as their reports are.
    pub(super) async fn progress(self: Rc<Self>, context: Context, progress: Progress) -> Result<()> {
        let id = progress.command.operation;
        // An ended operation has no timer: late progress is dropped.
        if self.timers.get(id).is_none() {
            return Ok(());
        }
        let operation = self.catalog.operation(id).await?;
        if operation.is_some_and(|operation| may_tell_progress(&context, &operation)) {
            self.finished
                .note_progress(id, progress.done, progress.total, Timestamp::now());
        }
        Ok(())
    }
}

/// Whether the sender is a control node, or the volume node of the operation's host. The transport puts the name of a volume node, which
/// it has proven, in the place of the user.
fn may_tell_progress(context: &Context, operation: &Operation) -> bool {
    let host = host_of(context.user_id.as_str());
    context.is_admin
        || operation
            .pool
            .as_ref()
            .is_some_and(|pool| pool.backend.host == host)
}

fn not_found(id: OperationId) -> Error {
    Error::not_found(format!("Operation {id} could not be found."))
}
