//! Change the type of a volume (cinder: `volume/api.py` `retype`, `scheduler/manager.py` `retype`, `volume/manager.py`
//! `retype`).
//!
//! | stage | command to | what is true after it | if it fails |
//! |---|---|---|---|
//! | begin | | the volume is `retyping`; its usage in the new type is `reserved` | nothing has changed |
//! | place | scheduler | a pool for the new type is chosen: the volume's own, if suitable | as before |
//! | change | its backend | the volume has the new type in place | as before; or another pool, if it may be migrated |
//! | create copy … | | it is migrated, as in [`migrate_volume`](super::migrate_volume), and then has the new type | as before |
//!
//! With the policy `never` only its own pool is a candidate. With `on-demand` it is migrated if needed and possible:
//! without connections and without snapshots.

use super::migrate_volume::{MigrateVolumeEntry, is_connected, needs_compute};
use super::new_type::NewType;
use crate::control::lookup::{check_type_size, growth_failed, must_be_settled};
use crate::messages::scheduler::{Among, PlaceVolume, RequestSpec};
use crate::model::quota::{Deltas, Resource};
use crate::model::transitions::not_retypable;
use crate::model::{PoolName, VolumeId, VolumeTypeId};
use crate::verbs::prelude::*;
use crate::verbs::{ReadSnapshots, next_stage};

/// Change the type of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetypeVolume {
    /// Its id, as the client wrote it.
    pub volume_id: String,
    /// The type, by name or id.
    pub new_type: String,
    /// Whether the volume may be migrated for it (`migration_policy` `on-demand`).
    pub may_move: bool,
}
call!(RetypeVolume => ApiTopic, "retype_volume", since 5, reply ());

/// The stage of a retype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The scheduler chooses a pool.
    Place,
    /// The backend changes the volume in place.
    Change,
}

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetypeVolumeEntry {
    /// The stage.
    pub stage: Stage,
    /// The new type.
    pub new_type: NewType,
    /// Whether the volume may be migrated for it.
    pub may_move: bool,
    /// The id of the hidden volume, if it is migrated.
    pub copy: VolumeId,
}

impl Request for RetypeVolume {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let control = at.control;
        let volume = control.find_volume(at.context, &self.volume_id).await?;
        let volume_type = control.find_volume_type(at.context, &self.new_type).await?;
        let new_type = NewType {
            id: volume_type.id,
            multiattach: volume_type.is_multiattach(),
        };
        if new_type.multiattach != volume.multiattach && volume.status != VolumeStatus::Available {
            return Err(Error::invalid_input(format!(
                "Invalid volume_type passed, retypes affecting multiattach are only allowed on available volumes, the \
                 specified volume however currently has a status of: {}.",
                volume.status
            ))
            .into());
        }
        if new_type.multiattach && control.is_encrypted(new_type.id).await? {
            return Err(Error::invalid_input(
                "Retype requested both encryption and multi-attach, which is not supported.",
            )
            .into());
        }
        control.check_key_manager(&volume_type).await?;
        check_type_size(&volume_type, volume.size)?;
        let more = more_of_type(&volume, new_type.id);
        let ceilings = control
            .check_quota(at.context, &volume.project_id, &more, None)
            .await?;
        let status = decide(&volume, &[], Asked::Retype(new_type.id))?;
        if volume.status != VolumeStatus::Available
            && control.front_end_qos_differs(&volume, &volume_type).await?
        {
            return Err(not_retypable().into());
        }
        must_be_settled(&volume)?;
        if volume.host.is_none() {
            return Err(Error::internal("a volume that is available has a host").into());
        }
        let entry = RetypeVolumeEntry {
            stage: Stage::Place,
            new_type,
            may_move: self.may_move,
            copy: VolumeId::new(),
        };
        let mut operation = at.operation(&entry, Subject::Volume(volume.id), &volume)?;
        operation.pool = None;
        operation.reserved = more;
        let retyping = operation.claim(&volume, status);
        let mut changes = control.catalog.change();
        changes
            .update(&volume, &retyping)
            .require(&volume_type)
            .insert(&operation);
        ceilings.apply(&mut changes, &volume.project_id, &operation.reserved);
        changes
            .commit()
            .await
            .map_err(|error| growth_failed(error, &operation.reserved, Some(&volume_type)))?;
        Ok(Began::started(operation, retyping, ()))
    }
}

/// The usage of the volume in the new type; the total usage does not change.
fn more_of_type(volume: &Volume, new_type: VolumeTypeId) -> Deltas {
    if !volume.consumes_quota {
        return Deltas::new();
    }
    Deltas::from([
        (Resource::volumes().of_type(new_type), 1),
        (Resource::gigabytes().of_type(new_type), i64::from(volume.size)),
    ])
}

impl Entry for RetypeVolumeEntry {
    const NAME: &'static str = "retype_volume";
}

#[async_trait(?Send)]
impl Verb for RetypeVolumeEntry {
    /// If it may be migrated, the deadline is that of a migration.
    fn deadline(&self, deadlines: &Deadlines, size: u32) -> Duration {
        match self.may_move {
            true => deadlines.create + deadlines.moving_data(size) * 2,
            false => deadlines.create,
        }
    }

    fn may_be_cancelled(&self) -> bool {
        true
    }

    fn volume_type(&self, _volume: &Volume) -> Option<VolumeTypeId> {
        Some(self.new_type.id)
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads {
            attachments: ReadAttachments::All,
            snapshots: ReadSnapshots::All,
            other: None,
        }
    }

    /// Its success is one event, `volume.retype`, with the change of the type.
    fn events(&self) -> OperationEvents {
        OperationEvents::of_failure(&["volume.retype"])
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        let Records {
            volume, operation, ..
        } = *records;
        match self.stage {
            Stage::Place => {
                let tried: Vec<PoolName> = operation.tried.iter().map(|(pool, _)| pool.clone()).collect();
                let prefer = volume.host.clone().filter(|pool| !tried.contains(pool));
                Some(Command::to_scheduler(PlaceVolume {
                    command: header.id,
                    among: match (&prefer, self.may_move) {
                        (Some(pool), false) => Among::Pool(pool.clone()),
                        _ => Among::All,
                    },
                    request: RequestSpec {
                        volume_id: volume.id,
                        size: volume.size,
                        availability_zone: Some(volume.availability_zone.clone()),
                        extra_specs: records.extra_specs.clone(),
                        resource_backend: None,
                        hints: None,
                        tried,
                    },
                    prefer,
                }))
            }
            Stage::Change => records.to_backend(|volume| RetypeVolumeCommand {
                command: header.id,
                volume,
                remaining_ms: header.remaining_ms,
            }),
        }
    }

    async fn examine(&self, control: &Control, _operation: &Operation, outcome: Outcome) -> Result<Outcome> {
        match outcome {
            Outcome::Failed(_) => Ok(outcome),
            _ => self.new_type.examine(control, outcome).await,
        }
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match (self.stage, outcome) {
            (Stage::Place, Outcome::Placed { pool }) if at.volume.host.as_ref() == Some(pool) => {
                let entry = Self {
                    stage: Stage::Change,
                    ..self.clone()
                };
                let mut operation = next_stage(at.operation, &entry)?;
                operation.pool = Some(pool.clone());
                Some(Transition::goes_on(operation, at.volume.clone()))
            }
            (Stage::Place, Outcome::Placed { .. }) if is_connected(at) => Some(failed(at, &needs_compute())),
            (Stage::Place, Outcome::Placed { .. }) if !at.snapshots.is_empty() => {
                Some(failed(at, &has_snapshots()))
            }
            (Stage::Place, Outcome::Placed { pool }) => {
                MigrateVolumeEntry::new(Among::Pool(pool.clone()), self.copy, Some(self.new_type))
                    .placed(at, pool)
            }
            (Stage::Change, Outcome::Retyped { in_place: true }) => {
                let mut volume = at.resting();
                self.new_type.apply(&mut volume);
                Some(Transition {
                    usage: self.new_type.usage(at.volume),
                    ..Transition::done_with(volume)
                })
            }
            (Stage::Change, Outcome::Retyped { in_place: false }) if self.may_move => {
                let entry = Self {
                    stage: Stage::Place,
                    ..self.clone()
                };
                let mut operation = next_stage(at.operation, &entry)?;
                let why = "its driver cannot change it in place".to_owned();
                operation
                    .tried
                    .extend(at.volume.host.clone().map(|pool| (pool, why)));
                operation.pool = None;
                Some(Transition::goes_on(operation, at.volume.clone()))
            }
            (Stage::Change, Outcome::Retyped { in_place: false }) => Some(failed(at, &must_move())),
            (_, Outcome::Failed(failure)) => Some(failed(at, failure)),
            _ => None,
        }
    }
}

/// Restores the volume.
fn failed(at: &OperationContext<'_>, failure: &Failure) -> Transition {
    let detail = match failure.kind {
        FailureKind::NoValidBackend => Detail::NoBackendAvailable,
        FailureKind::Request if is_connected(at) => Detail::NeedsComputeService,
        FailureKind::Request => Detail::TypeNeedsMigration,
        _ => Detail::UnknownError,
    };
    let text = "Unable to retype the volume.";
    Transition::volume_failed(at.resting(), failure, (Action::RetypeVolume, detail), text)
}

fn has_snapshots() -> Failure {
    Failure {
        kind: FailureKind::Request,
        client: "A volume that has snapshots cannot move to another backend.".to_owned(),
        operator: "the new type wants another backend, and the volume has snapshots".to_owned(),
    }
}

fn must_move() -> Failure {
    Failure {
        kind: FailureKind::Request,
        client: "The volume cannot be of that type where it is, and the migration policy is never."
            .to_owned(),
        operator: "the driver cannot change the volume in place".to_owned(),
    }
}

/// Change the type of the volume in place, if possible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetypeVolumeCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume, with the extra specs of its new type.
    pub volume: VolumeSpec,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(RetypeVolumeCommand => VolumeTopic, "retype_volume", since 5);

impl BackendCommand for RetypeVolumeCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = bool;
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("retype_volume").then(step("retype_volume", retype_volume))
    }

    fn outcome(&self, in_place: bool) -> Outcome {
        Outcome::Retyped { in_place }
    }
}

async fn retype_volume(task: &mut Task<RetypeVolumeCommand>) -> DriverResult<()> {
    let locks = LockSet::volume(task.volume.id).and(LockSet::content_of(task.volume.id));
    task.output = task
        .drive(locks, |call| call.driver.retype_volume(call.work, call.volume))
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_volume_is_retyped_where_it_is_however_often() {
        Recipe {
            command: |fixture| RetypeVolumeCommand {
                command: first(),
                volume: fixture.volume.clone(),
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, _| fixture.driver.exists(fixture.volume.id),
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id),
        }
        .check()
        .await;
    }
}
