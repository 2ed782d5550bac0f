//! Delete a volume's record and keep its storage (cinder: `volume/api.py`, `delete` with `unmanage_only`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the volume is `unmanaging` | nothing has changed |
//! | unmanage (backend) | the volume is not in the backend's inventory; its record is deleted | `error_unmanaging` |
//!
//! The command to the backend removes the volume from its inventory, so that it is not exported again.
//!
//! The steps on the backend:
//!
//! | step | what is true after it |
//! |---|---|
//! | `remove_export` | no initiator can reach it through this backend |
//! | `forget_volume` | it is not in the inventory |

use crate::model::transitions::not_deletable;
use crate::verbs::followers::Followers;
use crate::verbs::prelude::*;
use crate::verbs::record_changes::remove_volume;

/// Unmanage a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageVolume {
    /// Its id, as the client wrote it.
    pub volume_id: String,
}
call!(UnmanageVolume => ApiTopic, "unmanage_volume", since 2, reply ());

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageVolumeEntry {}

impl Request for UnmanageVolume {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let control = at.control;
        let volume = control.settled_volume(at.context, &self.volume_id).await?;
        if volume.encryption_key_id.is_some() {
            return Err(Error::bad_request("Unmanaging encrypted volumes is not supported.").into());
        }
        let status = decide(&volume, &[], Asked::Unmanage)?;
        if !control.catalog.volume_snapshots(volume.id).await?.is_empty() {
            return Err(not_deletable(false).into());
        }
        let mut changes = control.catalog.change();
        control.end_transfer(&mut changes, volume.id).await?;
        if volume.host.is_none() {
            // No backend has its storage.
            let attachments = control.catalog.volume_attachments(volume.id).await?;
            let attachments = control.shed_attachments(attachments, &at.superseded).await?;
            remove_volume(&mut changes, &volume, &attachments);
            at.notify_removed(&mut changes, "volume.delete", &volume);
            changes.commit().await?;
            return Ok(Began::Done(()));
        }
        let operation = at.operation(&UnmanageVolumeEntry {}, Subject::Volume(volume.id), &volume)?;
        let unmanaging = Volume {
            previous_status: None,
            ..operation.claim(&volume, status)
        };
        changes.update(&volume, &unmanaging).insert(&operation);
        at.notify_start(&mut changes, &operation, &unmanaging, None)
            .await?;
        changes.commit().await?;
        Ok(Began::started(operation, unmanaging, ()))
    }
}

impl Entry for UnmanageVolumeEntry {
    const NAME: &'static str = "unmanage_volume";
}

#[async_trait(?Send)]
impl Verb for UnmanageVolumeEntry {
    fn deadline(&self, deadlines: &Deadlines, _size: u32) -> Duration {
        deadlines.manage
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads::attachments(ReadAttachments::All)
    }

    fn takes_along(&self) -> Option<Followers> {
        Some(Followers::Attachments)
    }

    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["volume.unmanage"])
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        records.to_backend(|volume| UnmanageVolumeCommand {
            command: header.id,
            volume,
            remaining_ms: header.remaining_ms,
        })
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Unmanaged => Some(at.volume_gone()),
            Outcome::Failed(failure) => Some(Transition::volume_failed(
                at.with_status(VolumeStatus::ErrorUnmanaging),
                failure,
                (Action::UnmanageVolume, Detail::UnknownError),
                "Unable to manage the volume.",
            )),
            _ => None,
        }
    }
}

/// Remove the volume from the backend's inventory, and keep its storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageVolumeCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume.
    pub volume: VolumeSpec,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(UnmanageVolumeCommand => VolumeTopic, "unmanage_volume", since 2);

impl BackendCommand for UnmanageVolumeCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("unmanage_volume")
            .then(step("remove_export", remove_export))
            .then(step("forget_volume", forget_volume))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::Unmanaged
    }
}

async fn remove_export(task: &mut Task<UnmanageVolumeCommand>) -> DriverResult<()> {
    task.drive_target(|call, target| {
        let (volume, backend) = (call.volume, call.backend);
        // Checked while the volume is locked: a connection that was being made is complete by now.
        let is_exported = backend.inventory().is_exported(volume.id) || volume.provider_location.is_some();
        if !is_exported {
            return Ok(());
        }
        backend.remove_export(target, call.work, volume)
    })
    .await
}

async fn forget_volume(task: &mut Task<UnmanageVolumeCommand>) -> DriverResult<()> {
    task.backend.inventory().remove(task.volume.id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_volume_is_forgotten_and_its_storage_stays() {
        Recipe {
            command: |fixture| UnmanageVolumeCommand {
                command: first(),
                volume: fixture.volume.clone(),
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| fixture.has_allocated(0) && fixture.driver.exists(command.volume.id),
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id),
        }
        .check()
        .await;
    }
}
