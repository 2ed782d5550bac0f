//! Handles the reports of a backend (or the scheduler) about a command.
//!
//! A report is dropped unless its operation is open, in that attempt, with that backend, and no later run of the backend is
//! recorded ([`super::backend_runs`]). All its changes are one commit: the volume, its attachment, the usage, the user message,
//! and the end of the operation. On a conflict, reading, deciding and committing are repeated.

use std::rc::Rc;

use tracing::{debug, info, warn};

use super::ApiActor;
use super::backend_runs::ServingRun;
use crate::actors::registry::VOLUME_BINARY;
use crate::control::bounds::{bounded, last_steps, unknown_end};
use crate::control::{Interrupt, retry_on_conflict};
use crate::messages::api::{Failure, FailureKind, Outcome, Report};
use crate::model::{
    AttachStatus, Attachment, Context, Error, ErrorKind, Operation, PoolName, Result, Service, Snapshot,
    StepRecord, Timestamp, Volume,
};
use crate::store::catalog::Stored;
use crate::verbs::notifications::notify_transition;
use crate::verbs::operation_context::{cancel_unsent, give_up, next};
use crate::verbs::record_changes::{add_changes, add_other_changes, add_snapshot_changes};
use crate::verbs::{
    Answer, Known, OperationContext, ReadAttachments, ReadSnapshots, Reads, RecordChange, Superseded,
    Transition, verb_of,
};

/// What must not have changed when a report is committed, beside the records that it changes.
#[derive(Clone, Copy, Default)]
struct Basis<'a> {
    service: Option<&'a Stored<Service>>,
    run: Option<&'a ServingRun>,
}

impl ApiActor {
    /// Serves [`Report`].
    pub(super) async fn report(self: Rc<Self>, context: Context, report: Report) -> Result<()> {
        let report = bounded(report);
        if let Outcome::Failed(failure) = &report.outcome {
            info!(
                operation = %report.command.operation,
                attempt = report.command.attempt,
                kind = ?failure.kind,
                why = failure.operator,
                "a command failed"
            );
        }
        retry_on_conflict!(self.try_report(&context, &report).await)
    }

    async fn try_report(&self, context: &Context, report: &Report) -> Result<(), Interrupt> {
        let id = report.command.operation;
        let mut found = self.catalog.operation(id).await?;
        if found
            .as_ref()
            .is_none_or(|operation| operation.attempt < report.command.attempt)
        {
            // Another control node has sent the command, and its commit may not be shown here yet.
            self.catalog.wait_current().await?;
            found = self.catalog.operation(id).await?;
        }
        let Some(operation) = found else {
            debug!(operation = %id, "a report of an operation that has ended");
            self.is_not_in_the_journal(id);
            return Ok(());
        };
        if operation.attempt != report.command.attempt || !may_report(&operation, report) {
            debug!(operation = %id, from = ?report.from, attempt = report.command.attempt, "a report was dropped: wrong sender or attempt");
            return Ok(());
        }
        let run = match &report.from {
            Some(backend) => match self.serving_run(context, backend).await? {
                Some(run) => Some(run),
                None => {
                    info!(operation = %id, %backend, "a report of an earlier run of the backend was dropped");
                    return Ok(());
                }
            },
            None => None,
        };
        let verb = verb_of(&operation)?;
        let outcome = verb.examine(self, &operation, report.outcome.clone()).await?;
        let service = match &outcome {
            Outcome::Placed { pool } => match self.usable_service(pool).await? {
                Ok(service) => service,
                Err(why) => {
                    // The command is sent again, and the scheduler chooses again.
                    info!(operation = %id, %pool, why, "a placement is not used");
                    return Ok(());
                }
            },
            _ => None,
        };
        let decide = |at: &OperationContext<'_>| next(at, &outcome);
        let basis = Basis {
            service: service.as_ref(),
            run: run.as_ref(),
        };
        match self.conclude(&operation, &report.steps, basis, decide).await {
            Err(Interrupt::Refused(error)) if error.kind == ErrorKind::TooLarge => {
                self.conclude_without_room(&operation, &error, basis).await
            }
            concluded => concluded,
        }
    }

    /// The service of a chosen pool's backend, whose record the commit compares: another node may disable or remove it. `None` if it has
    /// no record yet, and the reason if it gets no more volumes.
    async fn usable_service(&self, pool: &PoolName) -> Result<Result<Option<Stored<Service>>, &'static str>> {
        let found = self
            .catalog
            .service(VOLUME_BINARY, &pool.backend.to_string())
            .await?;
        Ok(match &found {
            Some(service) if service.disabled => Err("the service of its backend is disabled"),
            Some(service) if service.frozen => Err("the service of its backend is frozen"),
            _ => Ok(found),
        })
    }

    /// The outcome of an operation is too large for its records, which the bounds of the records' parts should prevent: the
    /// operation ends as a failure with an unknown result.
    async fn conclude_without_room(
        &self,
        operation: &Stored<Operation>,
        error: &Error,
        basis: Basis<'_>,
    ) -> Result<(), Interrupt> {
        tracing::error!(
            operation = %operation.id,
            verb = operation.verb,
            subject = ?operation.subject,
            error = error.for_operator(),
            "the outcome of an operation is too large for its records; it ends as a failure"
        );
        let outcome = Outcome::Failed(unknown_end(error.for_operator().to_owned()));
        let decide = |at: &OperationContext<'_>| next(at, &outcome);
        self.conclude(operation, &[], basis, decide).await
    }

    /// The operation's deadline has passed.
    pub(super) async fn time_out(&self, operation: &Stored<Operation>) -> Result<()> {
        self.end_without_report(operation, give_up).await
    }

    /// The operation was cancelled before its first command was sent.
    pub(super) async fn end_unsent(&self, operation: &Stored<Operation>) -> Result<()> {
        self.end_without_report(operation, cancel_unsent).await
    }

    async fn end_without_report(
        &self,
        operation: &Stored<Operation>,
        decide: fn(&OperationContext<'_>) -> Transition,
    ) -> Result<()> {
        let decide = |at: &OperationContext<'_>| Some(decide(at));
        match self.conclude(operation, &[], Basis::default(), decide).await {
            // Another change has ended it or begun its next stage: the next processing reads that.
            Ok(()) => Ok(()),
            Err(Interrupt::Conflict | Interrupt::WaitFor(..)) => {
                self.look_soon(operation);
                Ok(())
            }
            Err(Interrupt::Refused(error)) => Err(error),
        }
    }

    /// Decides about an open operation, commits the decision, and starts what follows. The commit requires that `basis` has not changed.
    async fn conclude(
        &self,
        operation: &Stored<Operation>,
        steps: &[StepRecord],
        basis: Basis<'_>,
        decide: impl Fn(&OperationContext<'_>) -> Option<Transition>,
    ) -> Result<(), Interrupt> {
        let mut changes = self.catalog.change();
        if let Some(service) = basis.service {
            changes.require_service(service);
        }
        if let Some(run) = basis.run {
            run.require(&mut changes);
        }
        let volume = match operation.volume_id {
            Some(id) => self.read_volume(id).await?,
            None => None,
        };
        let Some(volume) = volume else {
            changes.delete(operation);
            changes.commit().await?;
            self.has_ended(operation, &Err(gone(operation)));
            return Ok(());
        };
        let reads = verb_of(operation)?.reads(&volume);
        let mut attachments = self.read_attachments(&reads, &volume).await?;
        let plain: Vec<Attachment> = attachments.iter().map(|stored| stored.record.clone()).collect();
        let snapshots = self.read_snapshots(&reads, operation, &volume).await?;
        let plain_snapshots: Vec<Snapshot> = snapshots.iter().map(|stored| stored.record.clone()).collect();
        let other = match reads.other {
            Some(id) => self.read_volume(id).await?,
            None => None,
        };
        let at = OperationContext {
            operation,
            volume: &volume,
            other: other.as_deref(),
            attachments: &plain,
            snapshots: &plain_snapshots,
            max_attempts: self.options.max_attempts,
            deadlines: &self.options.deadlines,
            now: Timestamp::now(),
        };
        let Some(mut transition) = decide(&at) else {
            warn!(operation = %operation.id, verb = operation.verb, "a report does not fit its operation");
            return Ok(());
        };
        self.name_the_zone(&mut transition).await?;
        let superseded = Superseded::default();
        let changed = self
            .change_followers(
                operation,
                &volume,
                &mut transition,
                &mut attachments,
                &snapshots,
                &superseded,
            )
            .await;
        self.were_superseded(&superseded);
        changed?;
        add_changes(&mut changes, &transition, operation, &volume, &attachments);
        add_other_changes(&mut changes, &transition, other.as_ref());
        add_snapshot_changes(&mut changes, &transition.snapshots, &snapshots);
        let attachments_then = match plain.is_empty() {
            true => self.attachments_to_notify(&volume).await?,
            false => plain.clone(),
        };
        notify_transition(&mut changes, &at, &transition, &attachments_then);
        if let RecordChange::Update(now) = &transition.volume
            && now.volume_type_id != volume.volume_type_id
        {
            // Examined before: if it is deleted or encrypted by now, the outcome is examined again. The type is read first,
            // because it changes with its encryption.
            let found = self.type_by_id(now.volume_type_id).await?;
            let found = found.ok_or(Interrupt::Conflict)?;
            if self.is_encrypted(found.id).await? {
                return Err(Interrupt::Conflict);
            }
            changes.require(&found);
        }
        if let Some(next) = &mut transition.next {
            next.steps.extend(self.finished.live_steps(operation.id));
            next.steps.extend_from_slice(steps);
            next.steps = last_steps(std::mem::take(&mut next.steps));
            next.owner = self.nodes.own().cloned();
            changes.update(operation, next);
        } else {
            changes.delete(operation);
        }
        changes.commit().await?;
        self.go_on(operation, steps, transition).await;
        Ok(())
    }

    /// The attachments that a verb needs.
    pub(super) async fn read_attachments(
        &self,
        reads: &Reads,
        volume: &Volume,
    ) -> Result<Vec<Stored<Attachment>>> {
        match reads.attachments {
            ReadAttachments::All => Ok(self.catalog.volume_attachments(volume.id).await?),
            ReadAttachments::IfAttached if volume.attach_status != AttachStatus::Detached => {
                Ok(self.catalog.volume_attachments(volume.id).await?)
            }
            ReadAttachments::IfAttached | ReadAttachments::None => Ok(Vec::new()),
        }
    }

    /// The snapshots that a verb needs.
    pub(super) async fn read_snapshots(
        &self,
        reads: &Reads,
        operation: &Operation,
        volume: &Volume,
    ) -> Result<Vec<Stored<Snapshot>>> {
        match (reads.snapshots, operation.snapshot_id) {
            (ReadSnapshots::All, _) => Ok(self.catalog.volume_snapshots(volume.id).await?),
            (ReadSnapshots::Named, Some(id)) => {
                let found = self.catalog.snapshot(id).await?;
                Ok(found.into_iter().collect())
            }
            (ReadSnapshots::Named, None) => Ok(Vec::new()),
        }
    }

    /// A type that is offered in several zones leaves the zone undefined until a host is found: then it is the host's.
    async fn name_the_zone(&self, transition: &mut Transition) -> Result<()> {
        let RecordChange::Update(volume) = &mut transition.volume else {
            return Ok(());
        };
        let (true, Some(pool)) = (volume.availability_zone.is_empty(), &volume.host) else {
            return Ok(());
        };
        let host = pool.backend.to_string();
        let services = self.catalog.services().await?;
        volume.availability_zone = services.iter().find(|service| service.host == host).map_or_else(
            || self.options.default_zone().to_owned(),
            |service| service.availability_zone.clone(),
        );
        Ok(())
    }

    /// Sends the next stage's command, or the answer to the waiters.
    async fn go_on(&self, operation: &Operation, steps: &[StepRecord], transition: Transition) {
        if let Some(next) = transition.next {
            let _ = self.finished.take_steps(operation.id);
            info!(
                operation = %next.id,
                verb = next.verb,
                attempt = next.attempt,
                volume = ?next.volume_id,
                "an operation continues with its next command"
            );
            let volumes = [transition.volume, transition.other];
            let mut changed = volumes.into_iter().filter_map(|change| match change {
                RecordChange::Update(volume) => Some(volume),
                RecordChange::Keep | RecordChange::Delete => None,
            });
            match changed.find(|volume| Some(volume.id) == next.volume_id) {
                Some(volume) => self.begin(&next, &volume, Known::default()).await,
                None => self.look_soon(&next),
            }
            return;
        }
        let mut ended = operation.clone();
        ended.steps.extend(self.finished.take_steps(operation.id));
        ended.steps.extend_from_slice(steps);
        let answer = transition.answer.unwrap_or(Ok(Answer::Done));
        self.has_ended(&ended, &answer);
    }
}

/// The error for waiters of an operation whose volume is deleted.
pub(super) fn gone(operation: &Operation) -> Error {
    match operation.volume_id {
        Some(id) => Error::volume_not_found(id),
        None => Error::conflict("Resource conflict: what the operation was about is gone."),
    }
}

/// A host may report for itself only, and the scheduler only that there is no host.
fn may_report(operation: &Operation, report: &Report) -> bool {
    match &report.from {
        Some(backend) => operation.is_on(backend),
        None => matches!(
            &report.outcome,
            Outcome::Placed { .. }
                | Outcome::Failed(Failure {
                    kind: FailureKind::NoValidBackend | FailureKind::Request,
                    ..
                })
        ),
    }
}
