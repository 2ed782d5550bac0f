//! What is done about an open operation whose time has come (`runner` says when).
//!
//! ```text
//!   start ── load all ──> look at each ──┬── its deadline passed ──> end it with an error
//!                             ↑          ├── send its command ──┬── accepted: leave it alone for `patience`, doubling
//!                             │          │                      └── refused at the door: again in 1 s, 2 s, … 30 s
//!                             └──────────┴── (its report came: nothing is looked at any more)
//! ```
//!
//! The journal in the store is the truth: a look reads the operation afresh, for the scheduler writes its choice there. What
//! is kept in memory is a time per operation. A backend that says it was started gets what it had again at once.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::commands::{self, Records};
use super::lookup::store_failed;
use super::timers::{self, Entry};
use super::verdict::Answer;
use super::{ApiActor, Finished, specs_of};
use crate::chance;
use crate::messages::scheduler::SchedulerTopic;
use crate::model::{
    Error, Operation, OperationId, OperationKind, Result, SnapshotId, SnapshotStatus, Timestamp, Volume,
    VolumeId,
};
use crate::store::CommitError;
use crate::store::catalog::Stored;
use crate::transport::CallError;

impl ApiActor {
    /// Sees to an operation whose time has come.
    pub(super) async fn look_at(&self, id: OperationId) {
        if let Err(error) = self.try_to_look_at(id).await {
            warn!(operation = %id, error = error.for_operator(), "cannot see to an operation, trying again");
            if let Some(entry) = self.timers.get(id) {
                let due = Instant::now() + self.pause(entry.tries);
                self.timers.set(
                    id,
                    Entry {
                        due,
                        tries: entry.tries + 1,
                        ..entry
                    },
                );
            }
        }
    }

    async fn try_to_look_at(&self, id: OperationId) -> Result<()> {
        let found = self
            .deps
            .catalog
            .operation(id)
            .await
            .map_err(|error| store_failed(&error))?;
        let Some(operation) = found else {
            self.is_not_in_the_journal(id);
            return Ok(());
        };
        if self.left(&operation).is_zero() {
            warn!(operation = %id, volume = %operation.volume_id, verb = operation.kind.name(), "operation timed out");
            return self.time_out(&operation).await;
        }
        let volume = self.deps.catalog.volume(operation.volume_id).await;
        let Some(volume) = volume.map_err(|error| store_failed(&error))? else {
            return self.end_moot(&operation).await;
        };
        if operation.is_cancelled() && (operation.pool.is_none() || self.is_held_off(&operation).await?) {
            return self.end_unbegun(&operation).await;
        }
        let tries = self.timers.get(id).map_or(0, |entry| entry.tries);
        if tries > 0 {
            debug!(operation = %id, tries, "sending a command again");
        }
        self.send_command(&operation, &volume, tries).await
    }

    /// It is in the journal from now on, so it is looked at until it has ended.
    pub(super) fn drive(&self, operation: &Operation) {
        self.set_timer(operation, Instant::now() + self.options.retry_initial, 0);
    }

    /// Sends an operation's command for the first time. Failing to is no failure: the journal sends it again.
    pub(super) async fn begin(&self, operation: &Operation, volume: &Volume) {
        self.drive(operation);
        if let Err(error) = self.send_command(operation, volume, 0).await {
            warn!(operation = %operation.id, error = error.for_operator(), "cannot send a command yet");
        }
    }

    /// Sends an operation's current command, and sets when it is looked at next.
    async fn send_command(&self, operation: &Operation, volume: &Volume, tries: u32) -> Result<()> {
        if !self.take_along(operation).await? || self.is_held_off(operation).await? {
            debug!(operation = %operation.id, verb = operation.kind.name(), "waits for a copy or a snapshot to be made");
            self.set_timer(operation, Instant::now() + self.options.retry_initial, tries);
            return Ok(());
        }
        let volume_type = self.type_of(volume).await?;
        let attachments: Vec<_> = match operation.kind {
            OperationKind::UpdateAttachment { .. }
            | OperationKind::DeleteAttachment { .. }
            | OperationKind::InitializeConnection { .. }
            | OperationKind::TerminateConnection { .. } => self
                .attachments_of(volume.id)
                .await?
                .into_iter()
                .map(|stored| stored.record)
                .collect(),
            _ => Vec::new(),
        };
        let snapshots: Vec<SnapshotId> = match operation.kind {
            OperationKind::DeleteVolume { .. } => {
                let snapshots = self.snapshots_for(operation).await?;
                snapshots.iter().map(|snapshot| snapshot.id).collect()
            }
            _ => Vec::new(),
        };
        let source = match operation.kind.source().volume_id().or(volume.source_volid) {
            Some(id) if operation.kind.creates_volume() => self
                .deps
                .catalog
                .volume(id)
                .await
                .map_err(|error| store_failed(&error))?,
            _ => None,
        };
        let extra_specs = specs_of(volume_type.as_deref());
        let records = Records {
            operation,
            volume,
            attachments: &attachments,
            snapshots: &snapshots,
            extra_specs: &extra_specs,
            source: source.as_deref(),
        };
        self.dispatch(&records, tries).await;
        Ok(())
    }

    /// Whether it would change or delete what a copy is being made of. Such copies began before it, since its status keeps new
    /// ones from beginning, and end by themselves.
    async fn is_held_off(&self, operation: &Operation) -> Result<bool> {
        for source in commands::waits_for_copies_of(operation) {
            let copied = self.deps.catalog.is_being_copied(source).await;
            if copied.map_err(|error| store_failed(&error))? {
                return Ok(true);
            }
        }
        match operation.kind {
            OperationKind::ExtendVolume { .. } => self.is_being_kept(operation.volume_id).await,
            // The snapshots go with it.
            OperationKind::DeleteVolume { .. } => {
                for snapshot in self.snapshots_for(operation).await? {
                    let copied = self.deps.catalog.is_being_copied(snapshot.id.0).await;
                    if copied.map_err(|error| store_failed(&error))? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Whether a snapshot is being made of it: that is as large as the volume was when it was asked for.
    async fn is_being_kept(&self, volume: VolumeId) -> Result<bool> {
        let snapshots = self.deps.catalog.volume_snapshots(volume).await;
        let snapshots = snapshots.map_err(|error| store_failed(&error))?;
        Ok(snapshots
            .iter()
            .any(|snapshot| snapshot.status == SnapshotStatus::Creating && snapshot.operation.is_some()))
    }

    /// Sends the command that these records make, and sets when the operation is looked at next.
    pub(super) async fn dispatch(&self, records: &Records<'_>, tries: u32) {
        let operation = records.operation;
        let Some(command) = commands::command(records, self.left(operation)) else {
            error!(operation = %operation.id, "an operation has no backend to go to");
            self.set_timer(operation, Instant::now() + self.options.retry_max, tries + 1);
            return;
        };
        // Set before it is sent: the report may be here before the sending returns.
        self.set_timer(operation, Instant::now() + self.patience(tries), tries + 1);
        let sent = commands::send(&self.deps.router, &commands::context_of(operation), command).await;
        let Err(refused) = sent else {
            self.cancel_command(operation).await;
            return;
        };
        let pause = match refused {
            CallError::Unreachable(_) | CallError::Overloaded(_) => {
                debug!(operation = %operation.id, %refused, "a command was refused at the door");
                self.pause(tries)
            }
            _ => {
                error!(operation = %operation.id, %refused, "a command cannot be sent");
                self.options.retry_max
            }
        };
        if self.timers.get(operation.id).is_some() {
            self.set_timer(operation, Instant::now() + pause, tries + 1);
        }
    }

    /// Ends the command that was sent, if somebody wants that. Not before it: a backend that was started anew must know it, to
    /// take back what its earlier life did.
    async fn cancel_command(&self, operation: &Operation) {
        let Some(cancel) = commands::cancellation(operation) else {
            return;
        };
        let context = commands::context_of(operation);
        if let Err(refused) = commands::send(&self.deps.router, &context, cancel).await {
            debug!(operation = %operation.id, %refused, "a cancellation was refused at the door");
        }
        // It may have come before the command was begun.
        if let Some(entry) = self.timers.get(operation.id) {
            let due = Instant::now() + self.pause(entry.tries);
            self.set_timer(operation, due, entry.tries);
        }
    }

    pub(super) fn set_timer(&self, operation: &Operation, due: Instant, tries: u32) {
        let until = self.until(operation);
        self.timers.set(
            operation.id,
            Entry {
                due: due.min(until),
                deadline: operation.deadline,
                until,
                tries,
            },
        );
    }

    fn until(&self, operation: &Operation) -> Instant {
        let known = self.timers.get(operation.id);
        let grace = self.options.cancel_grace;
        timers::until(operation, known, Timestamp::now(), Instant::now(), grace)
    }

    /// How much time is left for it.
    fn left(&self, operation: &Operation) -> Duration {
        self.until(operation).saturating_duration_since(Instant::now())
    }

    /// How long an accepted command is left alone.
    fn patience(&self, tries: u32) -> Duration {
        let patience = self.options.patience.saturating_mul(1 << tries.min(4));
        jittered(patience.min(self.options.patience.max(self.options.retry_max)))
    }

    /// How long to wait after a refusal.
    fn pause(&self, tries: u32) -> Duration {
        let pause = self.options.retry_initial.saturating_mul(1 << tries.min(10));
        jittered(pause.min(self.options.retry_max))
    }

    /// Ends an operation whose volume is gone.
    async fn end_moot(&self, operation: &Stored<Operation>) -> Result<()> {
        let mut changes = self.deps.catalog.change();
        changes.end_operation(operation);
        match changes.commit().await {
            Ok(_) => {
                let gone = Err(Error::volume_not_found(operation.volume_id));
                self.has_ended(&operation.record, &gone);
                Ok(())
            }
            // Somebody was faster, with what nobody knows here: the next look reads it.
            Err(CommitError::Conflict(_)) => {
                self.look_soon(operation);
                Ok(())
            }
            Err(error) => Err(error.for_client("ending an operation whose volume is gone")),
        }
    }

    /// The operation is in the journal no longer: timers, waiters and those who look in are told.
    pub(super) fn has_ended(&self, operation: &Operation, answer: &Result<Answer>) {
        self.timers.cancel(operation.id);
        self.waiters.wake(operation.id, answer);
        let mut operation = operation.clone();
        let steps = self.deps.finished.take_steps(operation.id);
        operation.steps.splice(0..0, steps);
        self.deps.finished.push(Finished {
            operation,
            finished_at: Timestamp::now(),
            failure: answer.as_ref().err().map(|error| error.for_operator().to_owned()),
        });
    }

    /// Another request overtook this operation, and has ended it in its own commit.
    pub(super) fn was_overtaken(&self, operation: &Operation) {
        let overtaken = Err(Error::conflict(
            "Resource conflict: the operation was overtaken by another request",
        ));
        self.has_ended(operation, &overtaken);
    }

    /// Sends it now, whatever its timer says.
    pub(super) fn look_soon(&self, operation: &Operation) {
        self.set_timer(operation, Instant::now(), 0);
    }

    /// The scheduler, for calls.
    pub(super) fn scheduler(&self) -> &crate::transport::Handle<SchedulerTopic> {
        &self.deps.scheduler
    }
}

/// Up to a quarter more, so that what was refused together does not come back together.
fn jittered(span: Duration) -> Duration {
    span + chance::up_to(span / 4)
}
