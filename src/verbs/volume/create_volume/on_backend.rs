//! Create volume, on the backend.
//!
//! | step | what is true after it | reverted by |
//! |---|---|---|
//! | `extract_volume_ref` | the command is for a pool of this backend | – |
//! | `allocate` | the volume is in the inventory | removing it from the inventory |
//! | `create_volume` | the storage exists, of that size and content | deleting it |
//!
//! The export is created by the first connection, not here (cinder: `volume/flows/manager/create_volume.py`,
//! `cinder/lvm_iscsi.md` 4). The control node decides whether another backend is tried; therefore this flow guarantees
//! that a failure other than `TimedOut` leaves nothing on this backend.

use crate::drivers::VolumeUpdate;
use crate::model::StorageName;
use crate::model::spec::VolumeSource;
use crate::verbs::prelude::*;

/// Create the volume's storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolumeCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume.
    pub volume: VolumeSpec,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(CreateVolumeCommand => VolumeTopic, "create_volume", since 1);

/// The time limit of cleaning up after a failed create. After it the volume keeps this backend, to be deleted there.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(60);

impl BackendCommand for CreateVolumeCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Refuse;
    const SPACE: SpaceEffect = SpaceEffect::TakesPromised;
    type Output = VolumeUpdate;
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("create_volume")
            .then(step("extract_volume_ref", check_backend))
            .then(step("allocate", allocate).reverted_by(deallocate))
            .then(step("create_volume", create_volume).reverted_by(delete_created))
    }

    fn outcome(&self, update: VolumeUpdate) -> Outcome {
        Outcome::Created {
            provider_id: update.provider_id,
        }
    }
}

async fn check_backend(task: &mut Task<CreateVolumeCommand>) -> DriverResult<()> {
    if task.volume.pool.backend == task.backend.backend {
        return Ok(());
    }
    Err(DriverError::failed(
        "The volume was sent to the wrong backend.",
        format!(
            "a command for {} reached {}",
            task.volume.pool, task.backend.backend
        ),
    ))
}

async fn allocate(task: &mut Task<CreateVolumeCommand>) -> DriverResult<()> {
    let volume = &task.volume;
    let mut inventory = task.backend.inventory();
    inventory.insert(volume.id, &volume.pool.pool, volume.size);
    Ok(())
}

async fn deallocate(task: &mut Task<CreateVolumeCommand>) {
    task.backend.inventory().remove(task.volume.id);
}

async fn create_volume(task: &mut Task<CreateVolumeCommand>) -> DriverResult<()> {
    let source = &task.volume.source;
    let locks = LockSet::volume(task.volume.id)
        .and_source(source)
        .moving_data(*source != VolumeSource::Raw && task.moves_data())
        .of_command(task.command.command);
    let created = task.drive(locks, |call| {
        // Checked while the volume is locked: a later delete may have been executed first.
        if call.backend.inventory().has_tombstone(call.volume.id.0) {
            let client = "The volume was deleted meanwhile.".to_owned();
            return Err(DriverError::Refused { client });
        }
        match call.volume.source {
            VolumeSource::Raw => call.driver.create_volume(call.work, call.volume),
            VolumeSource::Snapshot { id, .. } => {
                call.driver
                    .create_volume_from_snapshot(call.work, call.volume, id)
            }
            VolumeSource::Volume { id, .. } => call.driver.create_cloned_volume(call.work, call.volume, id),
        }
    });
    let error = match created.await {
        Ok(update) => {
            task.output = update;
            return Ok(());
        }
        Err(error) if task.is_stopping() => return Err(error),
        Err(error) => error,
    };
    // A step fails only if it is certainly not done: so an incomplete volume is deleted first.
    match clean_up(task).await {
        Ok(()) => Err(error),
        Err(stopping) if task.is_stopping() => Err(stopping),
        Err(clean_up) => {
            tracing::error!(
                volume = %task.volume.id,
                %error,
                %clean_up,
                "an incomplete volume could not be deleted; it keeps this backend"
            );
            Err(DriverError::TimedOut)
        }
    }
}

async fn delete_created(task: &mut Task<CreateVolumeCommand>) {
    match clean_up(task).await {
        Err(error) if !task.is_stopping() => {
            tracing::error!(volume = %task.volume.id, %error, "the creation of a volume could not be reverted");
        }
        _ => {}
    }
}

async fn clean_up(task: &mut Task<CreateVolumeCommand>) -> DriverResult<()> {
    task.drive_within(CLEAN_UP_LIMIT, task.volume.id, |call| {
        let name = StorageName::Volume(call.volume.id);
        call.driver.delete_storage(call.work, call.volume, name)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first, spec};

    #[actix::test]
    async fn a_volume_is_created_whole_or_not_at_all() {
        Recipe {
            command: |_| CreateVolumeCommand {
                command: first(),
                volume: spec(3),
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| {
                fixture.driver.size(command.volume.id) == Some(3) && fixture.has_allocated(3)
            },
            after_failure: |fixture, _| {
                fixture.driver.volumes() == [fixture.volume.id] && fixture.has_allocated(0)
            },
        }
        .check()
        .await;
    }
}
