//! The scheduler's part of creating a volume, as a flow.
//!
//! | step | after it | its revert |
//! |---|---|---|
//! | `extract_spec` | the operation is open, and of this attempt | - |
//! | `pick_pool` | a pool is chosen and its room taken | gives the room back |
//! | `record_placement` | the choice is in the catalog: volume and operation, in one commit | takes it out again |
//! | `cast_create_volume` | the backend was told, or is too busy and will be | - |
//!
//! The placement is recorded before the backend is told, so that no volume is ever made that the catalog does not know the
//! place of. A command may come twice: if this attempt has a place already, the same backend is told again, whatever the
//! pools look like now; it knows what it has done.
//!
//! When the backend cannot be told:
//! - *unreachable*, and this run made the placement: it surely was never told, so the placement is taken back and another
//!   pool is sought;
//! - *unreachable*, and the placement is older: it may have been told, so it stays; the command comes again, until
//!   the operation's deadline. To give the volume to somebody else would leave an orphan behind;
//! - *timed out* or *lost*: it may have been told just now, so the same holds, whoever made the placement;
//! - *overloaded*: slow is not dead. The placement stays, and the command comes again.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::pools::Reservation;
use super::state::SchedulerState;
use crate::flow::{Flow, Step};
use crate::messages::volume::{CommandId, VolumeTopic};
use crate::model::{Context, Operation, PoolName, StepOutcome, StepRecord, Timestamp, Volume};
use crate::store::CommitError;
use crate::store::catalog::{Changes, Stored};
use crate::transport::CallError;
use crate::verbs::volume::{CreateVolumeCommand, ScheduleVolume};

/// How often a commit is tried again when somebody changed the records meanwhile (their owner renames the volume, say).
const COMMIT_TRIES: u32 = 8;

/// Why a volume was not scheduled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SchedulingError {
    /// There is nothing to do any more: the operation ended, or goes on in another attempt or place.
    #[error("superseded: {0}")]
    Superseded(&'static str),
    /// No pool passes.
    #[error("no valid backend: {0}")]
    NoValidBackend(String),
    /// The backend could not be told, and surely was not.
    #[error("{pool} could not be told: {error}")]
    Undeliverable {
        /// The pool that was chosen.
        pool: PoolName,
        /// Why not.
        error: CallError,
    },
    /// The store failed.
    #[error("{0}")]
    Store(String),
    /// The choice does not fit the records.
    #[error("{0}")]
    TooLarge(String),
}

/// One run of the flow.
pub struct Scheduling {
    scheduler: Arc<SchedulerState>,
    context: Context,
    command: ScheduleVolume,
    /// Pools that cannot be told in this run, and why.
    excluded: BTreeMap<PoolName, String>,
    /// What the catalog says.
    found: Option<Found>,
    chosen: Option<PoolName>,
    /// What the catalog said before the placement was recorded.
    before: Option<(Operation, Volume)>,
    began_at: Timestamp,
}

struct Found {
    operation: Stored<Operation>,
    volume: Stored<Volume>,
}

impl Scheduling {
    /// About to begin.
    #[must_use]
    pub fn new(scheduler: Arc<SchedulerState>, context: Context, command: ScheduleVolume) -> Self {
        Self {
            scheduler,
            context,
            command,
            excluded: BTreeMap::new(),
            found: None,
            chosen: None,
            before: None,
            began_at: Timestamp::now(),
        }
    }

    /// Leaves a pool out of the rest of this run.
    pub fn exclude(&mut self, pool: PoolName, why: String) {
        self.excluded.insert(pool, why);
    }

    /// What the flow was begun with.
    #[must_use]
    pub fn into_command(self) -> (Context, ScheduleVolume) {
        (self.context, self.command)
    }

    /// Whether this attempt had a place before this run.
    #[must_use]
    pub fn was_placed(&self) -> bool {
        self.earlier_place().is_some() && self.before.is_none()
    }

    fn earlier_place(&self) -> Option<&PoolName> {
        self.found.as_ref()?.operation.pool.as_ref()
    }

    fn reservation(&self) -> Reservation {
        Reservation::Create(self.command.operation)
    }

    /// Reads the records again; an error if there is nothing left to do.
    async fn read(&self) -> Result<Found, SchedulingError> {
        let unreadable = |error: crate::store::StoreError| SchedulingError::Store(error.to_string());
        let catalog = &self.scheduler.catalog;
        let operation = catalog
            .operation(self.command.operation)
            .await
            .map_err(unreadable)?;
        let operation = operation.ok_or(SchedulingError::Superseded("the operation has ended"))?;
        if operation.attempt != self.command.attempt {
            return Err(SchedulingError::Superseded("the operation is at another attempt"));
        }
        let volume = match operation.volume_id {
            Some(id) => catalog.volume(id).await.map_err(unreadable)?,
            None => None,
        };
        let volume = volume.ok_or(SchedulingError::Superseded("the volume is gone"))?;
        Ok(Found { operation, volume })
    }

    fn placed(&self, found: &Found, pool: &PoolName) -> (Operation, Volume) {
        let (mut operation, mut volume) = (found.operation.record.clone(), found.volume.record.clone());
        let now = Timestamp::now();
        operation.pool = Some(pool.clone());
        operation.steps.push(StepRecord {
            name: "schedule_create_volume".to_owned(),
            attempt: self.command.attempt,
            started_at: self.began_at,
            finished_at: Some(now),
            outcome: StepOutcome::Done,
        });
        volume.host = Some(pool.clone());
        volume.placed = true;
        volume.service_uuid = self.scheduler.liveness().service_id(&pool.backend);
        volume.scheduled_at = Some(now);
        volume.updated_at = Some(now);
        (operation, volume)
    }

    fn changes(&self, found: &Found, operation: &Operation, volume: &Volume) -> Changes {
        let mut changes = self.scheduler.catalog.change();
        changes
            .update(&found.operation, operation)
            .update(&found.volume, volume);
        changes
    }
}

/// The flow.
#[must_use]
pub fn flow() -> Flow<Scheduling, SchedulingError> {
    Flow::new("schedule_create_volume")
        .then(ExtractSpec)
        .then(PickPool)
        .then(RecordPlacement)
        .then(CastCreateVolume)
}

struct ExtractSpec;

#[async_trait(?Send)]
impl Step<Scheduling, SchedulingError> for ExtractSpec {
    fn name(&self) -> &'static str {
        "extract_spec"
    }

    async fn execute(&self, state: &mut Scheduling) -> Result<(), SchedulingError> {
        state.began_at = Timestamp::now();
        state.before = None;
        state.chosen = None;
        state.found = Some(state.read().await?);
        Ok(())
    }
}

struct PickPool;

#[async_trait(?Send)]
impl Step<Scheduling, SchedulingError> for PickPool {
    fn name(&self) -> &'static str {
        "pick_pool"
    }

    async fn execute(&self, state: &mut Scheduling) -> Result<(), SchedulingError> {
        let reservation = state.reservation();
        if let Some(pool) = state.earlier_place().cloned() {
            state
                .scheduler
                .pools()
                .take(reservation, &pool, state.command.request.size, Instant::now());
            state.chosen = Some(pool);
            return Ok(());
        }
        let chosen = state
            .scheduler
            .choose(reservation, &state.command.request, &state.excluded);
        state.chosen = Some(chosen.map_err(|none| SchedulingError::NoValidBackend(none.why))?);
        Ok(())
    }

    async fn revert(&self, state: &mut Scheduling, _cause: &SchedulingError) {
        if !state.was_placed() {
            state.scheduler.pools().give_back(&state.reservation());
            state.chosen = None;
        }
    }
}

struct RecordPlacement;

#[async_trait(?Send)]
impl Step<Scheduling, SchedulingError> for RecordPlacement {
    fn name(&self) -> &'static str {
        "record_placement"
    }

    async fn execute(&self, state: &mut Scheduling) -> Result<(), SchedulingError> {
        let lost = || SchedulingError::Store("a step before this one left nothing".to_owned());
        let chosen = state.chosen.clone().ok_or_else(lost)?;
        for _ in 0..COMMIT_TRIES {
            let found = state.found.as_ref().ok_or_else(lost)?;
            match &found.operation.pool {
                Some(pool) if *pool == chosen => return Ok(()),
                Some(_) => return Err(SchedulingError::Superseded("somebody else placed it")),
                None => {}
            }
            let (operation, volume) = state.placed(found, &chosen);
            match state.changes(found, &operation, &volume).commit().await {
                Ok(revision) => {
                    state.before = Some((found.operation.record.clone(), found.volume.record.clone()));
                    state.found = Some(Found {
                        operation: Stored {
                            record: operation,
                            revision,
                        },
                        volume: Stored {
                            record: volume,
                            revision,
                        },
                    });
                    return Ok(());
                }
                Err(CommitError::Conflict(_)) => state.found = Some(state.read().await?),
                Err(CommitError::Store(error)) if error.too_large => {
                    return Err(SchedulingError::TooLarge(format!(
                        "recording a placement: {error}"
                    )));
                }
                Err(error) => return Err(SchedulingError::Store(format!("recording a placement: {error}"))),
            }
        }
        Err(SchedulingError::Store(
            "the records change too often to record a placement".to_owned(),
        ))
    }

    async fn revert(&self, state: &mut Scheduling, cause: &SchedulingError) {
        if let Some((operation, volume)) = state.before.clone()
            && let Err(error) = take_back(state, &operation, &volume).await
        {
            let volume = state.command.request.volume_id;
            tracing::error!(%volume, %error, %cause, "a placement could not be taken back; it is tried again as it is");
        }
    }
}

/// Puts what the placement changed back to what it was, unless somebody went on from there.
async fn take_back(
    state: &mut Scheduling,
    operation_was: &Operation,
    volume_was: &Volume,
) -> Result<(), SchedulingError> {
    for _ in 0..COMMIT_TRIES {
        let found = match state.read().await {
            Ok(found) => found,
            Err(SchedulingError::Superseded(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if found.operation.pool != state.chosen {
            return Ok(());
        }
        let (mut operation, mut volume) = (found.operation.record.clone(), found.volume.record.clone());
        operation.pool = None;
        operation.steps.clone_from(&operation_was.steps);
        volume.host.clone_from(&volume_was.host);
        volume.placed = volume_was.placed;
        volume.service_uuid = volume_was.service_uuid;
        volume.scheduled_at = volume_was.scheduled_at;
        volume.updated_at = volume_was.updated_at;
        match state.changes(&found, &operation, &volume).commit().await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict(_)) => {}
            Err(error) => return Err(SchedulingError::Store(error.to_string())),
        }
    }
    Err(SchedulingError::Store("the records change too often".to_owned()))
}

struct CastCreateVolume;

#[async_trait(?Send)]
impl Step<Scheduling, SchedulingError> for CastCreateVolume {
    fn name(&self) -> &'static str {
        "cast_create_volume"
    }

    async fn execute(&self, state: &mut Scheduling) -> Result<(), SchedulingError> {
        let (Some(found), Some(chosen)) = (&state.found, &state.chosen) else {
            return Err(SchedulingError::Store(
                "a step before this one left nothing".to_owned(),
            ));
        };
        // Whether its time is over is for the journal's runner to say, which has just sent this: the clock may have been set.
        let given = found.operation.deadline.since(found.operation.created_at);
        let left = found.operation.deadline.since(Timestamp::now()).min(given);
        let remaining = if left.is_zero() { given } else { left };
        let command = CreateVolumeCommand {
            command: CommandId {
                operation: state.command.operation,
                attempt: state.command.attempt,
            },
            volume: state.command.volume.clone().on(chosen.clone()),
            remaining_ms: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
        };
        let backend = state
            .scheduler
            .router
            .server::<VolumeTopic>(&chosen.backend.to_string());
        match backend.cast(&state.context, command).await {
            Ok(()) => Ok(()),
            Err(error) if place_stays(&error) => {
                tracing::warn!(pool = %chosen, %error, "backend may not have been told; it is told again later");
                Ok(())
            }
            Err(error) => Err(SchedulingError::Undeliverable {
                pool: chosen.clone(),
                error,
            }),
        }
    }
}

/// Whether the backend has been told, for all that is known, or will be: then the volume is nobody else's.
fn place_stays(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Overloaded(_) | CallError::Timeout(_) | CallError::Lost(_)
    )
}

#[cfg(test)]
mod tests {
    use super::place_stays;
    use crate::model::Error;
    use crate::transport::{Address, CallError};

    #[test]
    fn a_volume_that_a_backend_may_be_making_is_given_to_nobody_else() {
        let to = || Address {
            topic: "volume".to_owned(),
            server: Some("h1@fake".to_owned()),
        };
        for error in [CallError::Timeout(to()), CallError::Lost(to())] {
            assert!(place_stays(&error), "{error}");
        }
        // Slow is not dead.
        assert!(place_stays(&CallError::Overloaded(to())));
        let surely_not = [
            CallError::Unreachable(to()),
            CallError::TooLarge {
                to: to(),
                bytes: 2,
                limit: 1,
            },
            CallError::Refused(Error::bad_request("no")),
        ];
        for error in surely_not {
            assert!(!place_stays(&error), "{error}");
        }
    }
}
