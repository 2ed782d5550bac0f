//! Processes an open operation that is due (`runner` decides when).
//!
//! ```text
//!   start ── load all ──> process each ──┬── its deadline passed ──>
//!                             ↑          ├── send its command ──┬── accepted: wait for `patience`, doubling
//!                             │          │                      ├── refused, the mailbox is full: retry in 1 s
//!                             │          │                      └── refused, it is unreachable: retry in 1 s, 2 s, … 30 s
//!                             └──────────┴── (its report was received: done)
//! ```
//!
//! An operation whose backend is unreachable from here for a second is handed over to a control node that reaches it, if there is one
//! (`hand_over`).
//!
//! The journal in the store is authoritative: each processing reads the operation again, since the scheduler writes its
//! choice there. Memory has only a time per operation. A backend that reports a start receives its commands again at once.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::ApiActor;
use super::report::gone;
use super::timers::{self, Entry};
use crate::control::{Finished, retry_on_conflict, specs_of};
use crate::messages::volume::CommandId;
use crate::model::{Error, Operation, OperationId, Result, Timestamp, Volume, VolumeId};
use crate::rng;
use crate::store::CommitError;
use crate::store::catalog::Stored;
use crate::transport::CallError;
use crate::verbs::command::context_of;
use crate::verbs::followers::Taken;
use crate::verbs::{Answer, Command, CommandHeader, Known, Records, Superseded, Verb, verb_of};

impl ApiActor {
    /// Processes an operation that is due.
    pub(super) async fn look_at(&self, id: OperationId) {
        if let Err(error) = self.try_to_look_at(id).await {
            warn!(operation = %id, error = error.for_operator(), "cannot process an operation, trying again");
            if let Some(entry) = self.timers.get(id) {
                let (due, tries) = (Instant::now() + self.pause(entry.tries), entry.tries + 1);
                self.timers.set(id, Entry { due, tries, ..entry });
            }
        }
    }

    async fn try_to_look_at(&self, id: OperationId) -> Result<()> {
        let Some(operation) = self.catalog.operation(id).await? else {
            self.is_not_in_the_journal(id);
            return Ok(());
        };
        if !self.nodes.run_here(&operation) {
            // Another node has committed its last stage, or taken it over.
            self.timers.cancel(id);
            return Ok(());
        }
        if self.left(&operation).is_zero() {
            warn!(operation = %id, volume = ?operation.volume_id, verb = operation.verb, "operation timed out");
            return self.time_out(&operation).await;
        }
        let volume = match operation.volume_id {
            Some(id) => self.read_volume(id).await?,
            None => None,
        };
        let Some(volume) = volume else {
            return self.end_without_volume(&operation).await;
        };
        let verb = verb_of(&operation)?;
        if operation.is_cancelled() && (operation.pool.is_none() || verb.must_wait(self, &operation).await?) {
            return self.end_unsent(&operation).await;
        }
        let tries = self.timers.get(id).map_or(0, |entry| entry.tries);
        if tries > 0 {
            debug!(operation = %id, tries, "sending a command again");
        }
        self.send_command(&operation, &volume, Known::default(), tries)
            .await
    }

    pub(super) async fn read_volume(&self, id: VolumeId) -> Result<Option<Stored<Volume>>> {
        Ok(self.catalog.volume(id).await?)
    }

    /// The operation is in the journal now, so it is processed until it ends.
    fn drive(&self, operation: &Operation) {
        self.set_timer(operation, Instant::now() + self.options.retry_initial, 0);
    }

    /// Sends an operation's command for the first time. An error here is not final: the command is sent again
    /// from the journal.
    pub(super) async fn begin(&self, operation: &Operation, volume: &Volume, known: Known) {
        self.drive(operation);
        if let Err(error) = self.send_command(operation, volume, known, 0).await {
            warn!(operation = %operation.id, error = error.for_operator(), "cannot send a command yet");
        }
    }

    /// Sends an operation's current command, and sets when it is processed next.
    async fn send_command(
        &self,
        operation: &Operation,
        volume: &Volume,
        known: Known,
        tries: u32,
    ) -> Result<()> {
        let verb = verb_of(operation)?;
        if !self.take_followers(verb.as_ref(), operation).await? || verb.must_wait(self, operation).await? {
            debug!(operation = %operation.id, verb = operation.verb, "waits for a copy or a snapshot to be made");
            self.set_timer(operation, Instant::now() + self.options.retry_initial, tries);
            return Ok(());
        }
        let extra_specs = match known.extra_specs {
            Some(extra_specs) => extra_specs,
            None => specs_of(self.type_by_id(verb.volume_type(volume)).await?.as_deref()),
        };
        let reads = verb.reads(volume);
        let attachments = self.read_attachments(&reads, volume).await?;
        let attachments: Vec<_> = attachments.into_iter().map(|stored| stored.record).collect();
        let snapshots = self.read_snapshots(&reads, operation, volume).await?;
        let snapshots: Vec<_> = snapshots.into_iter().map(|stored| stored.record).collect();
        let other = match (known.other, reads.other) {
            (None, Some(id)) => self.read_volume(id).await?.map(|found| found.record),
            (known, _) => known,
        };
        let records = Records {
            operation,
            volume,
            attachments: &attachments,
            snapshots: &snapshots,
            extra_specs: &extra_specs,
            other: other.as_ref(),
        };
        self.dispatch(verb.as_ref(), &records, tries).await;
        Ok(())
    }

    /// Begins the deletion of resources that are deleted with a volume; false while one cannot be deleted yet.
    async fn take_followers(&self, verb: &dyn Verb, operation: &Operation) -> Result<bool> {
        let Some(followers) = verb.takes_along() else {
            return Ok(true);
        };
        let superseded = Superseded::default();
        loop {
            let taken = retry_on_conflict!(self.take_along(operation, followers, &superseded).await);
            self.were_superseded(&superseded);
            match taken? {
                Taken::Some => {}
                Taken::All => break Ok(true),
                Taken::Held => break Ok(false),
            }
        }
    }

    /// Sends the command for these records, and sets when the operation is processed next.
    async fn dispatch(&self, verb: &dyn Verb, records: &Records<'_>, tries: u32) {
        let operation = records.operation;
        if !self.nodes.may_send_commands() {
            debug!(operation = %operation.id, "not sent: others may have taken this node's operations over");
            self.set_timer(operation, Instant::now() + self.pause(tries), tries);
            return;
        }
        if self.hand_over(operation, tries).await {
            return;
        }
        let header = CommandHeader {
            id: CommandId {
                operation: operation.id,
                attempt: operation.attempt,
            },
            remaining_ms: u64::try_from(self.left(operation).as_millis()).unwrap_or(u64::MAX),
        };
        let Some(command) = verb.command(records, header) else {
            error!(operation = %operation.id, "an operation has no backend");
            self.set_timer(operation, Instant::now() + self.options.retry_max, tries + 1);
            return;
        };
        // Set before sending: the report may be received before the send returns.
        self.set_timer(operation, Instant::now() + self.patience(tries), tries + 1);
        let sent = command.send(&self.router, &context_of(operation)).await;
        let Err(refused) = sent else {
            self.cancel_command(operation).await;
            return;
        };
        let (pause, tries) = match refused {
            CallError::Unreachable(_) | CallError::Overloaded(_) => {
                debug!(operation = %operation.id, %refused, "a command was refused by the endpoint");
                match refused {
                    // The endpoint works, and has room again soon: longer pauses would leave it idle while thousands wait.
                    CallError::Overloaded(_) => (self.pause(0), tries),
                    _ => (self.pause(tries), tries + 1),
                }
            }
            _ => {
                error!(operation = %operation.id, %refused, "a command cannot be sent");
                (self.options.retry_max, tries + 1)
            }
        };
        if self.timers.get(operation.id).is_some() {
            self.set_timer(operation, Instant::now() + pause, tries);
        }
    }

    /// Cancels the command that was sent, if requested. The command is sent first: a restarted backend must know it to revert
    /// what its previous process did.
    async fn cancel_command(&self, operation: &Operation) {
        let Some(cancel) = Command::cancellation(operation) else {
            return;
        };
        if let Err(refused) = cancel.send(&self.router, &context_of(operation)).await {
            debug!(operation = %operation.id, %refused, "a cancellation was refused by the endpoint");
        }
        // The cancellation may have been received before the command was begun.
        if let Some(entry) = self.timers.get(operation.id) {
            let due = Instant::now() + self.pause(entry.tries);
            self.set_timer(operation, due, entry.tries);
        }
    }

    pub(super) fn set_timer(&self, operation: &Operation, due: Instant, tries: u32) {
        let until = self.until(operation);
        let entry = Entry {
            due: due.min(until),
            deadline: operation.deadline,
            until,
            tries,
        };
        self.timers.set(operation.id, entry);
    }

    fn until(&self, operation: &Operation) -> Instant {
        let known = self.timers.get(operation.id);
        let grace = self.options.cancel_grace;
        timers::until(operation, known, Timestamp::now(), Instant::now(), grace)
    }

    /// The time left until its deadline.
    fn left(&self, operation: &Operation) -> Duration {
        self.until(operation).saturating_duration_since(Instant::now())
    }

    /// How long to wait after an accepted command.
    fn patience(&self, tries: u32) -> Duration {
        let patience = self.options.patience.saturating_mul(1 << tries.min(4));
        jittered(patience.min(self.options.patience.max(self.options.retry_max)))
    }

    /// How long to wait after a refusal.
    fn pause(&self, tries: u32) -> Duration {
        let pause = self.options.retry_initial.saturating_mul(1 << tries.min(10));
        jittered(pause.min(self.options.retry_max))
    }

    /// Ends an operation whose volume is deleted.
    async fn end_without_volume(&self, operation: &Stored<Operation>) -> Result<()> {
        let mut changes = self.catalog.change();
        changes.delete(operation);
        match changes.commit().await {
            Ok(_) => {
                self.has_ended(&operation.record, &Err(gone(operation)));
                Ok(())
            }
            // Another change was committed first: the next processing reads it.
            Err(CommitError::Conflict(_)) => {
                self.look_soon(operation);
                Ok(())
            }
            Err(error) => Err(error.for_client("ending an operation whose volume is deleted")),
        }
    }

    /// The operation is no longer in the journal: updates timers, waiters and inspection.
    pub(super) fn has_ended(&self, operation: &Operation, answer: &Result<Answer>) {
        self.timers.cancel(operation.id);
        self.waiters.wake(operation.id, answer);
        self.publish_end(operation, answer);
        let mut operation = operation.clone();
        let steps = self.finished.take_steps(operation.id);
        operation.steps.splice(0..0, steps);
        self.finished.push(Finished {
            operation,
            finished_at: Timestamp::now(),
            failure: answer.as_ref().err().map(|error| error.for_operator().to_owned()),
        });
    }

    /// Another request superseded this operation, and has ended it in its own commit.
    pub(super) fn was_superseded(&self, operation: &Operation) {
        let superseded = Err(Error::conflict(
            "Resource conflict: the operation was overtaken by another request",
        ));
        self.has_ended(operation, &superseded);
    }

    /// Makes it due now.
    pub(super) fn look_soon(&self, operation: &Operation) {
        self.set_timer(operation, Instant::now(), 0);
    }
}

/// Adds up to a quarter, so that commands that were refused together are not retried together.
fn jittered(span: Duration) -> Duration {
    span + rng::up_to(span / 4)
}
