//! The scheduler's part of creating a volume, as a flow.
//!
//! | step | after it | its revert |
//! |---|---|---|
//! | `extract_spec` | the operation is open, in this attempt | - |
//! | `pick_pool` | a pool is chosen and its capacity reserved | releases the capacity |
//! | `record_placement` | the choice is in the catalog: volume and operation, in one commit | removes it again |
//! | `cast_create_volume` | the command is sent, or the backend is overloaded and it will be | - |
//!
//! The commit of the placement compares the record of the backend's service, which another control node may have disabled or removed.
//!
//! The placement is recorded before the command is sent, so that the catalog knows the place of every volume that is
//! created. A command may be received twice: if this attempt has a placement already, the command is sent to the same
//! backend again, whatever the pools' state is now; the backend recognises it.
//!
//! If the command cannot be sent:
//! - *unreachable*, and this run made the placement: the backend certainly never received the command, so the placement
//!   is reverted and another pool is chosen;
//! - *unreachable*, and the placement is older: the backend may have received the command, so the placement is kept and
//!   the command sent again until the operation's deadline. Another backend would leave an orphan on the first;
//! - *timed out* or *lost*: the backend may have received the command now, so the same applies, whichever run made the
//!   placement;
//! - *overloaded*: the backend is alive. The placement is kept, and the command sent again.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::pools::Reservation;
use super::state::SchedulerState;
use crate::actors::registry::VOLUME_BINARY;
use crate::flow::{Flow, Step};
use crate::messages::volume::{CommandId, VolumeTopic};
use crate::model::{Context, Operation, PoolName, Service, StepOutcome, StepRecord, Timestamp, Volume};
use crate::store::CommitError;
use crate::store::catalog::{Changes, Stored};
use crate::transport::CallError;
use crate::verbs::notifications::notify_placed;
use crate::verbs::volume::{CreateVolumeCommand, ScheduleVolume};

/// How often a commit is retried if the records were changed meanwhile (for example renamed by their owner).
const COMMIT_TRIES: u32 = 8;

/// Why a volume was not scheduled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SchedulingError {
    /// There is nothing left to do: the operation ended, or continues in another attempt or place.
    #[error("superseded: {0}")]
    Superseded(&'static str),
    /// No pool passes the filters.
    #[error("no valid backend: {0}")]
    NoValidBackend(String),
    /// The command could not be sent, and certainly was not received.
    #[error("the command could not be sent to {pool}: {error}")]
    Undeliverable {
        /// The pool that was chosen.
        pool: PoolName,
        /// The cause.
        error: CallError,
    },
    /// The backend's service was disabled, frozen or removed since it was chosen.
    #[error("{pool} gets no more volumes: {why}")]
    Excluded {
        /// The pool that was chosen.
        pool: PoolName,
        /// Why.
        why: String,
    },
    /// The store failed.
    #[error("{0}")]
    Store(String),
    /// The placement is too large for the records.
    #[error("{0}")]
    TooLarge(String),
}

/// One run of the flow.
pub struct Scheduling {
    scheduler: Arc<SchedulerState>,
    context: Context,
    command: ScheduleVolume,
    /// Pools that are unreachable in this run, and why.
    excluded: BTreeMap<PoolName, String>,
    /// The records in the catalog.
    found: Option<Found>,
    chosen: Option<PoolName>,
    /// The records before the placement was recorded.
    before: Option<(Operation, Volume)>,
    began_at: Timestamp,
}

struct Found {
    operation: Stored<Operation>,
    volume: Stored<Volume>,
}

impl Scheduling {
    /// A run that has not begun.
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

    /// Excludes a pool from the rest of this run.
    pub fn exclude(&mut self, pool: PoolName, why: String) {
        self.excluded.insert(pool, why);
    }

    /// The command that the flow was begun with.
    pub fn into_command(self) -> (Context, ScheduleVolume) {
        (self.context, self.command)
    }

    /// Whether this attempt had a placement before this run.
    pub fn was_placed(&self) -> bool {
        self.earlier_place().is_some() && self.before.is_none()
    }

    fn earlier_place(&self) -> Option<&PoolName> {
        self.found.as_ref()?.operation.pool.as_ref()
    }

    fn reservation(&self) -> Reservation {
        Reservation::Create(self.command.operation)
    }

    /// Reads the records again; fails if there is nothing left to do.
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
        let volume = volume.ok_or(SchedulingError::Superseded("the volume is deleted"))?;
        Ok(Found { operation, volume })
    }

    /// The service of a pool's backend, whose record the commit compares: so no volume is placed after a request that disables or removes
    /// the service was answered, by whichever control node. `None` for a backend whose first report came before its first heartbeat.
    async fn usable_service(&self, pool: &PoolName) -> Result<Option<Stored<Service>>, SchedulingError> {
        let (liveness, host) = (self.scheduler.liveness(), pool.backend.to_string());
        let found = self.scheduler.catalog.service(VOLUME_BINARY, &host).await;
        let found = found.map_err(|error| SchedulingError::Store(error.to_string()))?;
        let why = match &found {
            Some(service) => {
                liveness.put(service.record.clone());
                liveness.forbids(&pool.backend)
            }
            None => liveness
                .service_id(&pool.backend)
                .map(|_| "its service was removed".to_owned()),
        };
        match why {
            None => Ok(found),
            Some(why) => Err(SchedulingError::Excluded {
                pool: pool.clone(),
                why,
            }),
        }
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
        let lost = || SchedulingError::Store("a previous step left no result".to_owned());
        let chosen = state.chosen.clone().ok_or_else(lost)?;
        for _ in 0..COMMIT_TRIES {
            let found = state.found.as_ref().ok_or_else(lost)?;
            match &found.operation.pool {
                Some(pool) if *pool == chosen => return Ok(()),
                Some(_) => return Err(SchedulingError::Superseded("it was placed meanwhile")),
                None => {}
            }
            let (operation, volume) = state.placed(found, &chosen);
            let mut changes = state.changes(found, &operation, &volume);
            if let Some(service) = state.usable_service(&chosen).await? {
                changes.require_service(&service);
            }
            notify_placed(&mut changes, &operation, &volume);
            match changes.commit().await {
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
            tracing::error!(%volume, %error, %cause, "a placement could not be reverted; it is kept and retried");
        }
    }
}

/// Reverts the changes of the placement, unless they were changed again meanwhile.
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
                "a previous step left no result".to_owned(),
            ));
        };
        // Whether its deadline has passed is decided by the journal's runner, which has just sent this: the system
        // clock may have been set.
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
                tracing::warn!(pool = %chosen, %error, "the backend may not have received the command; it is sent again later");
                Ok(())
            }
            Err(error) => Err(SchedulingError::Undeliverable {
                pool: chosen.clone(),
                error,
            }),
        }
    }
}

/// Whether the backend may have received the command or will receive it: then no other backend may get the volume.
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
    fn a_volume_that_a_backend_may_be_creating_is_not_placed_elsewhere() {
        let to = || Address {
            topic: "volume".to_owned(),
            server: Some("h1@fake".to_owned()),
        };
        for error in [CallError::Timeout(to()), CallError::Lost(to())] {
            assert!(place_stays(&error), "{error}");
        }
        // An overloaded backend is alive.
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
