//! Extend a volume (cinder: `volume/api.py` `_extend`, `scheduler/manager.py` `extend_volume`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the volume is `extending`; the growth counts as `reserved` | nothing has changed |
//! | extend (backend) | the volume has the new size, the growth is in use | as before if the size certainly is unchanged; else `error_extending` |
//!
//! Checks in Cinder's order: a larger size, the type's bounds, the status, quota. Then the scheduler checks the
//! capacity of the pool: if it is insufficient the client still gets its 202, the volume is not changed, and a user
//! message says why, as in Cinder.
//!
//! The steps on the backend. They have no reverts: extended storage is not shrunk again.
//!
//! | step | what is true after it |
//! |---|---|
//! | `extend_volume` | the storage and the inventory have the new size |
//! | `announce_size` | connected initiators can see the new size |

use crate::backend::DriverCall;
use crate::control::lookup::{check_type_size, growth_failed, must_be_settled};
use crate::control::specs_of;
use crate::drivers::targets::retry_across_daemon_restart;
use crate::messages::scheduler::{RequestSpec, ValidateExtend};
use crate::model::quota::extend_deltas;
use crate::model::transitions::{check_growth, must_have_storage};
use crate::model::{AttachStatus, ErrorKind, PoolName, VolumeType};
use crate::transport::CallError;
use crate::verbs::prelude::*;
use crate::verbs::record_changes::new_message;
use crate::verbs::{PromisedSpace, UserMessageDraft};

/// Extend a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendVolume {
    /// Its id, as the client wrote it.
    pub volume_id: String,
    /// The new size, in GiB.
    pub new_size: u32,
    /// Whether attached volumes may be extended (microversion 3.42 and policy).
    pub attached_too: bool,
}
call!(ExtendVolume => ApiTopic, "extend_volume", since 1, reply ());

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendVolumeEntry {
    /// The new size, in GiB.
    pub new_size: u32,
}

impl Request for ExtendVolume {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let volume = at.control.find_volume(at.context, &self.volume_id).await?;
        let volume_type = at.control.type_of(&volume).await?;
        check_growth(&volume, self.new_size)?;
        if let Some(volume_type) = volume_type.as_deref() {
            check_type_size(volume_type, self.new_size)?;
        }
        let asked = Asked::Extend {
            attached_too: self.attached_too,
        };
        let status = decide(&volume, &[], asked)?;
        let growth = self.new_size - volume.size;
        let deltas = extend_deltas(growth, volume.volume_type_id);
        let ceilings = at
            .control
            .check_quota(at.context, &volume.project_id, &deltas, Some(self.new_size))
            .await?;
        must_have_storage(&volume)?;
        let Some(pool) = volume.host.clone() else {
            return Err(Error::internal("a volume that can grow has a host").into());
        };
        let question = room_for_growth(&volume, volume_type.as_deref(), pool, growth);
        let scheduler = &at.control.scheduler;
        match scheduler
            .call(at.context, question, at.control.options.call_timeout)
            .await
        {
            Ok(()) => {}
            // An unknown pool is different from a full one.
            Err(CallError::Refused(refusal)) if !matches!(refusal.kind, ErrorKind::Unavailable { .. }) => {
                report_no_room(at, &volume, &refusal).await?;
                return Ok(Began::Done(()));
            }
            Err(error) => return Err(error.into()),
        }
        must_be_settled(&volume)?;
        let entry = ExtendVolumeEntry {
            new_size: self.new_size,
        };
        let mut operation = at.operation(&entry, Subject::Volume(volume.id), &volume)?;
        if volume.consumes_quota {
            operation.reserved = deltas;
        }
        let extending = operation.claim(&volume, status);
        let mut changes = at.control.catalog.change();
        changes.update(&volume, &extending).insert(&operation);
        at.notify_start(&mut changes, &operation, &extending, None)
            .await?;
        ceilings.apply(&mut changes, &volume.project_id, &operation.reserved);
        changes
            .commit()
            .await
            .map_err(|error| growth_failed(error, &operation.reserved, volume_type.as_deref()))?;
        Ok(Began::started(operation, extending, ()))
    }
}

async fn report_no_room(at: &BeginContext<'_>, volume: &Volume, refusal: &Error) -> Result<()> {
    tracing::info!(volume = %volume.id, why = refusal.for_operator(), "no capacity to extend a volume");
    let draft = UserMessageDraft {
        action: Action::ExtendVolume,
        detail: Detail::NoBackendAvailable,
        cause: None,
    };
    let about = ("VOLUME", volume.id.0);
    let message = new_message(&volume.project_id, &at.context.request_id, about, &draft);
    let mut changes = at.control.catalog.change();
    changes.insert(&message);
    changes.commit().await.map_err(Error::internal)?;
    Ok(())
}

fn room_for_growth(
    volume: &Volume,
    volume_type: Option<&VolumeType>,
    pool: PoolName,
    growth: u32,
) -> ValidateExtend {
    ValidateExtend {
        request: RequestSpec {
            volume_id: volume.id,
            size: growth,
            availability_zone: None,
            extra_specs: specs_of(volume_type),
            resource_backend: Some(pool.clone()),
            hints: None,
            tried: Vec::new(),
        },
        pool,
        attached: volume.attach_status == AttachStatus::Attached,
    }
}

impl Entry for ExtendVolumeEntry {
    const NAME: &'static str = "extend_volume";
}

#[async_trait(?Send)]
impl Verb for ExtendVolumeEntry {
    fn deadline(&self, deadlines: &Deadlines, _size: u32) -> Duration {
        deadlines.extend
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads::attachments(ReadAttachments::IfAttached)
    }

    /// A copy, or a snapshot, has the size of its source at the time of its request.
    async fn must_wait(&self, control: &Control, operation: &Operation) -> Result<bool> {
        let Some(volume) = operation.volume_id else {
            return Ok(false);
        };
        if control.is_any_copied([volume.0]).await? {
            return Ok(true);
        }
        let snapshots = control.catalog.volume_snapshots(volume).await?;
        Ok(snapshots
            .iter()
            .any(|snapshot| snapshot.status == SnapshotStatus::Creating && snapshot.operation.is_some()))
    }

    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["volume.resize"])
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        records.to_backend(|volume| ExtendVolumeCommand {
            command: header.id,
            volume,
            new_size: self.new_size,
            remaining_ms: header.remaining_ms,
        })
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Extended => Some(Transition::resized(at.resting_as_before(), self.new_size)),
            Outcome::Failed(failure) => Some(failed(at, failure)),
            _ => None,
        }
    }

    fn promised_space(&self, volume: &Volume) -> Option<PromisedSpace> {
        Some(PromisedSpace::Growth(self.new_size.saturating_sub(volume.size)))
    }
}

/// If the volume certainly has its old size, its former status is restored; if it may be partially extended, it is
/// `error_extending`.
fn failed(at: &OperationContext<'_>, failure: &Failure) -> Transition {
    let volume = match failure.kind {
        FailureKind::NoValidBackend | FailureKind::NoSpace | FailureKind::Request | FailureKind::Busy => {
            at.resting_as_before()
        }
        FailureKind::TimedOut | FailureKind::Backend | FailureKind::Cancelled => {
            at.with_status(VolumeStatus::ErrorExtending)
        }
    };
    let detail = match failure.kind {
        FailureKind::NoValidBackend => Detail::NoBackendAvailable,
        _ => Detail::DriverFailedExtend,
    };
    let text = "Unable to extend the volume.";
    Transition::volume_failed(volume, failure, (Action::ExtendVolume, detail), text)
}

/// Extend the volume's storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendVolumeCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume, with its former size.
    pub volume: VolumeSpec,
    /// The new size, in GiB.
    pub new_size: u32,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(ExtendVolumeCommand => VolumeTopic, "extend_volume", since 1);

impl BackendCommand for ExtendVolumeCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::TakesPromised;
    type Output = ();
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("extend_volume")
            .then(step("extend_volume", extend_volume))
            .then(step("announce_size", announce_size))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::Extended
    }
}

async fn extend_volume(task: &mut Task<ExtendVolumeCommand>) -> DriverResult<()> {
    let id = task.volume.id;
    task.drive(LockSet::volume(id).and(LockSet::content_of(id)), |call| {
        let new_size = call.command.new_size;
        call.driver
            .extend_volume(call.work, call.volume, new_size)
            .or_else(|error| check_size(call, error))?;
        let pool = &call.volume.pool.pool;
        call.backend.inventory().insert(call.volume.id, pool, new_size);
        Ok(())
    })
    .await?;
    task.volume.size = task.command.new_size;
    Ok(())
}

/// Checks the size after a failed extend: a driver may fail after it has done its work. If the volume has its old size,
/// the extend certainly failed; else the outcome is unknown.
fn check_size(call: &DriverCall<'_, ExtendVolumeCommand>, error: DriverError) -> DriverResult<()> {
    let is_certain = matches!(
        error,
        DriverError::NoSpace { .. } | DriverError::Busy { .. } | DriverError::Refused { .. }
    );
    let name = call.volume.storage_name();
    let existing = call.driver.list_existing(call.work).ok();
    let found = existing.and_then(|all| all.into_iter().find(|found| found.name == name));
    match found.map(|found| found.gib()) {
        Some(size) if size == call.command.new_size => Ok(()),
        Some(size) if size == call.volume.size => Err(error),
        _ if is_certain => Err(DriverError::backend_failed(format!(
            "{error}; its size is not known now"
        ))),
        _ => Err(error),
    }
}

async fn announce_size(task: &mut Task<ExtendVolumeCommand>) -> DriverResult<()> {
    let announced = task.drive_target(|call, target| {
        if !call.backend.inventory().is_exported(call.volume.id) {
            return Ok(());
        }
        retry_across_daemon_restart(target, call.work, || target.resized(call.work, call.volume))
    });
    match announced.await {
        // The storage is extended: it is not a failure if the initiator sees the new size only at its next login.
        Err(error) if !task.is_stopping() => {
            tracing::warn!(volume = %task.volume.id, %error, "the new size was not announced to an initiator");
            Ok(())
        }
        announced => announced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_volume_grows_and_a_failed_extend_can_be_repeated() {
        Recipe {
            command: |fixture| ExtendVolumeCommand {
                command: first(),
                volume: fixture.volume.clone(),
                new_size: 6,
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| {
                fixture.driver.size(command.volume.id) == Some(6) && fixture.has_allocated(6)
            },
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id),
        }
        .check()
        .await;
    }
}
