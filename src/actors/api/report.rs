//! What a backend (or the scheduler) says came of a command.
//!
//! A report is dropped unless its operation is open, in that attempt, with that backend. Everything it changes is one
//! commit: the volume, its attachment, the usage, the user message, and the end of the operation. Reading, deciding and
//! committing are repeated if somebody else was faster.

use std::rc::Rc;

use tracing::{debug, info, warn};

use super::ApiActor;
use super::bounds::{bounded, last_steps, unknown_end};
use super::lookup::{Unchanged, store_failed, until_not_overtaken};
use super::record_changes::{add_changes, add_snapshot_changes, new_message};
use super::verdict::{self, Answer, Case, Complaint, Fate, Verdict};
use crate::messages::api::{Failure, FailureKind, Outcome, Report};
use crate::messages::quota::Reserve;
use crate::model::quota::extend_deltas;
use crate::model::{
    AttachStatus, Attachment, Context, Error, ErrorKind, Operation, OperationKind, Result, Snapshot,
    StepRecord, Timestamp, UserMessage, Volume,
};
use crate::store::catalog::Stored;
use crate::transport::CallError;

impl ApiActor {
    /// Serves [`Report`].
    pub(super) async fn report(self: Rc<Self>, _context: Context, report: Report) -> Result<()> {
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
        until_not_overtaken!(self.try_report(&report).await)
    }

    async fn try_report(&self, report: &Report) -> Result<(), Unchanged> {
        let id = report.command.operation;
        let Some(operation) = self.deps.catalog.operation(id).await? else {
            debug!(operation = %id, "a report of an operation that has ended");
            self.is_not_in_the_journal(id);
            return Ok(());
        };
        if operation.attempt != report.command.attempt || !may_report(&operation, report) {
            debug!(operation = %id, from = ?report.from, attempt = report.command.attempt, "a report is dropped");
            return Ok(());
        }
        if let (OperationKind::ManageVolume { .. }, Outcome::Managed { size, .. }) =
            (&operation.kind, &report.outcome)
        {
            return self.conclude_managed(&operation, report, *size).await;
        }
        let decide = |case: &Case<'_>| verdict::settle(case, &report.outcome);
        match self.conclude(&operation, &report.steps, decide).await {
            Err(Unchanged::Refused(error)) if error.kind == ErrorKind::TooLarge => {
                self.conclude_without_room(&operation, &error).await
            }
            concluded => concluded,
        }
    }

    /// What came of an operation cannot be written down, though the bounds of the records' parts are meant to keep that from
    /// happening: it ends all the same, as one of which nobody knows what it left.
    async fn conclude_without_room(
        &self,
        operation: &Stored<Operation>,
        error: &Error,
    ) -> Result<(), Unchanged> {
        tracing::error!(
            operation = %operation.id,
            verb = operation.kind.name(),
            volume = %operation.volume_id,
            error = error.for_operator(),
            "what came of an operation does not fit its records; it ends as a failure"
        );
        let outcome = Outcome::Failed(unknown_end(error.for_operator().to_owned()));
        let decide = |case: &Case<'_>| verdict::settle(case, &outcome);
        self.conclude(operation, &[], decide).await
    }

    /// What was found counts from now on, if there is quota for so much; else it is an error, and untouched but for its name.
    async fn conclude_managed(
        &self,
        operation: &Stored<Operation>,
        report: &Report,
        size: u32,
    ) -> Result<(), Unchanged> {
        let Some(volume) = self.deps.catalog.volume(operation.volume_id).await? else {
            let decide = |case: &Case<'_>| verdict::settle(case, &report.outcome);
            return self.conclude(operation, &report.steps, decide).await;
        };
        let hold = Reserve {
            project_id: volume.project_id.clone(),
            deltas: extend_deltas(size, volume.volume_type_id),
            volume_size: Some(size),
        };
        let context = super::commands::context_of(operation);
        let held = self
            .deps
            .quota
            .call(&context, hold, self.options.call_timeout)
            .await;
        let (outcome, reserved) = match held {
            Ok(reserved) => (report.outcome.clone(), Some(reserved)),
            Err(CallError::Refused(refusal)) if refusal.kind == ErrorKind::OverQuota => {
                let failure = Failure {
                    kind: FailureKind::Request,
                    client: refusal.client.clone(),
                    operator: refusal.client,
                };
                (Outcome::Failed(failure), None)
            }
            // The report is repeated.
            Err(error) => return Err(Error::from(error).into()),
        };
        let decide = |case: &Case<'_>| verdict::settle(case, &outcome);
        let concluded = self.conclude(operation, &report.steps, decide).await;
        if let Some(reserved) = reserved {
            match &concluded {
                Ok(()) => self.commit_hold(&context, &reserved).await,
                Err(_) => self.roll_back(&context, reserved).await,
            }
        }
        concluded
    }

    /// The operation's deadline has passed.
    pub(super) async fn time_out(&self, operation: &Stored<Operation>) -> Result<()> {
        self.end_without_report(operation, verdict::give_up).await
    }

    /// The operation was cancelled before any backend heard of it.
    pub(super) async fn end_unbegun(&self, operation: &Stored<Operation>) -> Result<()> {
        self.end_without_report(operation, verdict::cancel_unbegun).await
    }

    async fn end_without_report(
        &self,
        operation: &Stored<Operation>,
        decide: fn(&Case<'_>) -> Verdict,
    ) -> Result<()> {
        let decide = |case: &Case<'_>| Some(decide(case));
        match self.conclude(operation, &[], decide).await {
            // Whoever was faster has ended it, or moved it on: the next look will see.
            Ok(()) => Ok(()),
            Err(Unchanged::Overtaken) => {
                self.look_soon(operation);
                Ok(())
            }
            Err(Unchanged::Refused(error)) => Err(error),
        }
    }

    /// Decides about an open operation, commits that, and tells everybody.
    async fn conclude(
        &self,
        operation: &Stored<Operation>,
        steps: &[StepRecord],
        decide: impl Fn(&Case<'_>) -> Option<Verdict>,
    ) -> Result<(), Unchanged> {
        let mut changes = self.deps.catalog.change();
        let Some(volume) = self.deps.catalog.volume(operation.volume_id).await? else {
            changes.end_operation(operation);
            changes.commit().await?;
            self.has_ended(operation, &Err(Error::volume_not_found(operation.volume_id)));
            return Ok(());
        };
        let mut attachments = self.attachments_for(operation, &volume).await?;
        let plain: Vec<Attachment> = attachments.iter().map(|stored| stored.record.clone()).collect();
        let snapshots = self.snapshots_for(operation).await?;
        let plain_snapshots: Vec<Snapshot> = snapshots.iter().map(|stored| stored.record.clone()).collect();
        let case = Case {
            operation,
            volume: &volume,
            attachments: &plain,
            snapshots: &plain_snapshots,
            max_attempts: self.options.max_attempts,
            now: Timestamp::now(),
        };
        let Some(mut verdict) = decide(&case) else {
            warn!(operation = %operation.id, verb = operation.kind.name(), "a report does not fit its operation");
            return Ok(());
        };
        self.name_the_zone(&mut verdict).await?;
        self.change_followers(operation, &mut verdict, &mut attachments, &snapshots)
            .await?;
        add_changes(&mut changes, &verdict, operation, &volume, &attachments);
        add_snapshot_changes(&mut changes, &verdict.snapshots, &snapshots);
        if let Some(again) = &mut verdict.again {
            again.steps.extend(self.deps.finished.live_steps(operation.id));
            again.steps.extend_from_slice(steps);
            again.steps = last_steps(std::mem::take(&mut again.steps));
            changes.update_operation(operation, again);
        } else {
            changes.end_operation(operation);
        }
        changes.commit().await?;
        self.tell(operation, steps, verdict).await;
        Ok(())
    }

    async fn attachments_for(
        &self,
        operation: &Operation,
        volume: &Volume,
    ) -> Result<Vec<Stored<Attachment>>> {
        let status_alone = verdict::owns_the_status(&operation.kind)
            && volume.attach_status == AttachStatus::Detached
            && !matches!(
                operation.kind,
                OperationKind::DeleteVolume { .. } | OperationKind::UnmanageVolume
            );
        let of_a_snapshot =
            operation.kind.snapshot_id().is_some() && !verdict::owns_the_status(&operation.kind);
        if status_alone || of_a_snapshot {
            Ok(Vec::new())
        } else {
            self.attachments_of(volume.id).await
        }
    }

    /// The snapshots that an operation is about.
    pub(super) async fn snapshots_for(&self, operation: &Operation) -> Result<Vec<Stored<Snapshot>>> {
        let catalog = &self.deps.catalog;
        let found = match (&operation.kind, operation.kind.snapshot_id()) {
            (_, Some(id)) => catalog
                .snapshot(id)
                .await
                .map(|found| found.into_iter().collect()),
            (OperationKind::DeleteVolume { cascade: true, .. }, None) => {
                catalog.volume_snapshots(operation.volume_id).await
            }
            _ => return Ok(Vec::new()),
        };
        found.map_err(|error| store_failed(&error))
    }

    /// A type that is offered in several zones leaves the zone open until a host is found: it is the host's.
    async fn name_the_zone(&self, verdict: &mut Verdict) -> Result<()> {
        let Fate::Becomes(volume) = &mut verdict.volume else {
            return Ok(());
        };
        let (true, Some(pool)) = (volume.availability_zone.is_empty(), &volume.host) else {
            return Ok(());
        };
        let host = pool.backend.to_string();
        let services = self
            .deps
            .catalog
            .services()
            .await
            .map_err(|error| store_failed(&error))?;
        volume.availability_zone = services.iter().find(|service| service.host == host).map_or_else(
            || self.options.default_zone().to_owned(),
            |service| service.availability_zone.clone(),
        );
        Ok(())
    }

    /// Those who look in, those who wait, and the next backend.
    async fn tell(&self, operation: &Operation, steps: &[StepRecord], verdict: Verdict) {
        if let Some(again) = verdict.again {
            let _ = self.deps.finished.take_steps(operation.id);
            info!(operation = %again.id, attempt = again.attempt, volume = %again.volume_id, "trying another pool");
            if let Fate::Becomes(volume) = verdict.volume {
                self.begin(&again, &volume).await;
            }
            return;
        }
        let mut ended = operation.clone();
        ended.steps.extend(self.deps.finished.take_steps(operation.id));
        ended.steps.extend_from_slice(steps);
        let answer = verdict.answer.unwrap_or(Ok(Answer::Done));
        self.has_ended(&ended, &answer);
    }

    /// Writes a user message about a request that came to nothing before there was an operation.
    pub(super) fn complaint_about(context: &Context, volume: &Volume, complaint: &Complaint) -> UserMessage {
        let about = ("VOLUME", volume.id.0);
        new_message(&volume.project_id, &context.request_id, about, complaint)
    }
}

/// A host reports for itself only, and the scheduler only that there is no host.
fn may_report(operation: &Operation, report: &Report) -> bool {
    match &report.from {
        Some(backend) => operation
            .pool
            .as_ref()
            .is_some_and(|pool| pool.backend == *backend),
        None => matches!(
            &report.outcome,
            Outcome::Failed(Failure {
                kind: FailureKind::NoValidBackend | FailureKind::Request,
                ..
            })
        ),
    }
}
