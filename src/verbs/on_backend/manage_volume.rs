//! Manage volume, on the backend: what exists there becomes this volume (cinder: `volume/flows/manager/manage_existing.py`).
//!
//! | step | what is true after it | taken back by |
//! |---|---|---|
//! | `notify_manage_start` | `volume.manage_existing.start` was emitted | – |
//! | `manage_volume` | it has the volume's name, and its size is known | – (nothing of it was changed but its name) |
//! | `notify_manage_end` | it is in the inventory, `volume.manage_existing.end` was emitted | removing it from the inventory |

use crate::backend::command::command_fields;
use crate::backend::notify::{Notify, notify};
use crate::backend::{BackendCommand, SpaceEffect, Task, WhenDown};
use crate::drivers::{DriverError, DriverResult, Managed};
use crate::flow::{Flow, step};
use crate::messages::api::Outcome;
use crate::messages::volume::ManageVolume;

impl BackendCommand for ManageVolume {
    const WHEN_DOWN: WhenDown = WhenDown::Refuse;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = Managed;
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("manage_volume")
            .then(Notify("notify_manage_start", &["volume.manage_existing.start"]))
            .then(step("manage_volume", manage_volume))
            .then(step("notify_manage_end", insert_and_notify).reverted_by(remove))
    }

    fn outcome(&self, managed: Managed) -> Outcome {
        Outcome::Managed {
            size: managed.size,
            provider_id: managed.provider_id,
        }
    }
}

async fn manage_volume(task: &mut Task<ManageVolume>) -> DriverResult<()> {
    let managed = task.drive(task.volume.id, |call| {
        call.driver
            .manage_volume(call.work, call.volume, &call.command.reference)
    });
    task.output = managed.await?;
    task.volume.size = task.output.size;
    Ok(())
}

async fn insert_and_notify(task: &mut Task<ManageVolume>) -> DriverResult<()> {
    let volume = &task.volume;
    let mut inventory = task.backend.inventory();
    inventory.insert(volume.id, &volume.pool.pool, volume.size);
    drop(inventory);
    notify("volume.manage_existing.end", task);
    Ok(())
}

async fn remove(task: &mut Task<ManageVolume>) {
    task.backend.inventory().remove(task.volume.id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first, spec};
    use crate::model::Reference;

    #[actix::test]
    async fn what_exists_becomes_a_volume_and_no_other_is_touched() {
        Recipe {
            command: |_| ManageVolume {
                command: first(),
                volume: spec(0),
                reference: Reference::named("lv1"),
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| {
                fixture.driver.size(command.volume.id) == Some(7) && fixture.has_allocated(7)
            },
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id) && fixture.has_allocated(0),
            is_repeatable: false,
        }
        .check()
        .await;
    }
}
