//! Taking over the operations of control nodes that have ended, and news of operations that ended on other control nodes.
//!
//! An operation is taken over by a commit that writes its new owner, so a former owner that is only slow finds it changed: its own
//! commits are refused, and it stops sending its commands when it reads it again. Several nodes may try at once; one of the
//! commits succeeds.

use std::collections::HashMap;
use std::rc::Rc;

use tokio::time::Instant;
use tracing::info;

use super::ApiActor;
use crate::messages::api::{ApiTopic, OperationEnded};
use crate::model::{Context, NodeIncarnation, Operation, Result};
use crate::store::CommitError;
use crate::store::catalog::Stored;
use crate::verbs::Answer;
use crate::verbs::command::context_of;

impl ApiActor {
    /// Takes over an operation of another node, if its owner has ended. `known` has what was found of owners before.
    pub(super) async fn take_over_if_orphan(
        &self,
        operation: &Stored<Operation>,
        known: &mut HashMap<Option<NodeIncarnation>, bool>,
    ) -> Result<bool> {
        if self.nodes.run_here(operation) {
            return Ok(false);
        }
        let owner = &operation.owner;
        let has_ended = match known.get(owner) {
            Some(has_ended) => *has_ended,
            None => {
                let has_ended = self.has_ended_its_run(owner.as_ref()).await?;
                known.insert(owner.clone(), has_ended);
                has_ended
            }
        };
        Ok(has_ended && self.take_over(operation).await?)
    }

    /// Whether an owner certainly commits nothing any more.
    async fn has_ended_its_run(&self, owner: Option<&NodeIncarnation>) -> Result<bool> {
        let Some(owner) = owner else {
            // From before the store was shared.
            return Ok(true);
        };
        Ok(self.catalog.has_ended(owner).await?)
    }

    /// False if another node was faster, or the operation has ended.
    pub(super) async fn take_over(&self, operation: &Stored<Operation>) -> Result<bool> {
        let taken = Operation {
            owner: self.nodes.own().cloned(),
            ..operation.record.clone()
        };
        let mut changes = self.catalog.change();
        changes.update(operation, &taken);
        match changes.commit().await {
            Ok(_) => {
                info!(operation = %operation.id, from = ?operation.owner, "an operation was taken over");
                self.set_timer(&taken, Instant::now(), 0);
                Ok(true)
            }
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(error) => Err(error.for_client("taking an operation over")),
        }
    }

    /// Tells other control nodes of the end of an operation. If the message is lost, a request that waits there is answered with
    /// 503 when its time is over, and finds the operation ended when it is repeated.
    pub(super) fn publish_end(&self, operation: &Operation, answer: &Result<Answer>) {
        let Some(own) = self.nodes.own() else {
            return;
        };
        let ended = OperationEnded {
            operation: operation.id,
            answer: answer.clone().map(|answer| match answer {
                Answer::Done => None,
                Answer::Connected(info) => Some(info),
            }),
        };
        let (here, context) = (self.router.server::<ApiTopic>(&own.node), context_of(operation));
        tokio::task::spawn_local(async move { here.fanout_to_others(&context, ended).await });
    }

    /// Serves [`OperationEnded`]. The waiters read what the operation has changed, and the message may be faster than the view of the
    /// store, so they are woken when that shows the end.
    pub(super) async fn operation_ended(
        self: Rc<Self>,
        _context: Context,
        ended: OperationEnded,
    ) -> Result<()> {
        self.timers.cancel(ended.operation);
        let shown = match self.catalog.operation(ended.operation).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(_) => self.catalog.wait_current().await,
        };
        let answer = shown
            .map_err(|error| error.for_client())
            .and(ended.answer)
            .map(|info| info.map_or(Answer::Done, Answer::Connected));
        self.waiters.wake(ended.operation, &answer);
        Ok(())
    }
}
