//! Unmanage volume, on the backend: its storage is not touched, but it is not ours any more.
//!
//! | step | what is true after it |
//! |---|---|
//! | `remove_export` | nobody reaches it through this backend |
//! | `forget_volume` | it is not in the inventory, `volume.unmanage` was emitted |

use crate::backend::command::command_fields;
use crate::backend::notify::notify;
use crate::backend::{BackendCommand, SpaceEffect, Task, WhenDown};
use crate::drivers::{DriverError, DriverResult};
use crate::flow::{Flow, step};
use crate::messages::api::Outcome;
use crate::messages::volume::UnmanageVolume;

impl BackendCommand for UnmanageVolume {
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

async fn remove_export(task: &mut Task<UnmanageVolume>) -> DriverResult<()> {
    task.drive_target(|call, target| {
        let (volume, backend) = (call.volume, call.backend);
        // Checked while the volume is locked: whoever was just being connected is connected by now.
        let is_exported = backend.inventory().is_exported(volume.id) || volume.provider_location.is_some();
        if !is_exported {
            return Ok(());
        }
        backend.remove_export(target, call.work, volume)
    })
    .await
}

async fn forget_volume(task: &mut Task<UnmanageVolume>) -> DriverResult<()> {
    task.backend.inventory().remove(task.volume.id);
    notify("volume.unmanage", task);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_volume_is_forgotten_and_its_storage_stays() {
        Recipe {
            command: |fixture| UnmanageVolume {
                command: first(),
                volume: fixture.volume.clone(),
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| fixture.has_allocated(0) && fixture.driver.exists(command.volume.id),
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id),
            is_repeatable: true,
        }
        .check()
        .await;
    }
}
