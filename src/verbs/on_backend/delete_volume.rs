//! Delete volume, alone or with snapshots of it, on the backend. It only goes forward: a delete that failed half-way is done
//! again.
//!
//! | step | what is true after it |
//! |---|---|
//! | `notify_delete_start` | `volume.delete.start` was emitted |
//! | `remove_export` | nobody can reach it |
//! | `delete_snapshots` | the snapshots that go with it are gone |
//! | `delete_volume` | its storage is gone (what was not there counts as gone), and it is not in the inventory |
//! | `notify_delete_end` | `volume.delete.end` was emitted |

use crate::backend::command::command_fields;
use crate::backend::notify::Notify;
use crate::backend::{BackendCommand, LockSet, SpaceEffect, Task, WhenDown};
use crate::drivers::{DriverError, DriverResult};
use crate::flow::{Flow, step};
use crate::messages::api::Outcome;
use crate::messages::volume::{DeleteVolume, DeleteVolumeCascade};
use crate::model::SnapshotId;

impl BackendCommand for DeleteVolume {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        flow()
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::Deleted
    }
}

impl BackendCommand for DeleteVolumeCascade {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        flow()
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::Deleted
    }
}

/// A command that deletes a volume.
trait Delete: BackendCommand {
    /// The snapshots that are deleted before it.
    fn snapshots(&self) -> &[SnapshotId];
}

impl Delete for DeleteVolume {
    fn snapshots(&self) -> &[SnapshotId] {
        &[]
    }
}

impl Delete for DeleteVolumeCascade {
    fn snapshots(&self) -> &[SnapshotId] {
        &self.snapshots
    }
}

fn flow<C: Delete>() -> Flow<Task<C>, DriverError> {
    Flow::new("delete_volume")
        .then(Notify("notify_delete_start", &["volume.delete.start"]))
        .then(step("remove_export", remove_export::<C>))
        .then(step("delete_snapshots", delete_snapshots::<C>))
        .then(step("delete_volume", delete_volume::<C>))
        .then(Notify("notify_delete_end", &["volume.delete.end"]))
}

async fn remove_export<C: Delete>(task: &mut Task<C>) -> DriverResult<()> {
    // Also if the inventory has no export: one may be left of a connection that was never acknowledged.
    task.drive_target(|call, target| call.backend.remove_export(target, call.work, call.volume))
        .await
}

async fn delete_snapshots<C: Delete>(task: &mut Task<C>) -> DriverResult<()> {
    let command = task.command.clone();
    for snapshot in command.snapshots().iter().copied() {
        task.drive(LockSet::snapshot(snapshot), move |call| {
            call.backend.inventory().insert_tombstone(snapshot.0);
            call.driver.delete_snapshot(call.work, call.volume, snapshot)
        })
        .await?;
    }
    Ok(())
}

async fn delete_volume<C: Delete>(task: &mut Task<C>) -> DriverResult<()> {
    let id = task.volume.id;
    let locks = LockSet::volume(id)
        .and(LockSet::content_of(id))
        .moving_data(task.moves_data())
        .of_command(task.command.id());
    let deleted = task.drive(locks, move |call| {
        call.backend.inventory().insert_tombstone(id.0);
        // Whoever was just being connected when the delete began is connected by now.
        let is_exported = call.backend.inventory().is_exported(id);
        if let Some(target) = call.backend.target.as_ref().filter(|_| is_exported) {
            call.backend
                .remove_export(target.as_ref(), call.work, call.volume)?;
        }
        call.driver.delete_volume(call.work, call.volume)?;
        let mut inventory = call.backend.inventory();
        // Again: the task may have given up waiting for this thread, and recorded a failed delete.
        inventory.insert_tombstone(id.0);
        inventory.remove(id);
        Ok(())
    });
    let deleted = deleted.await;
    if deleted.is_err() {
        task.backend.inventory().delete_failed(id.0);
    }
    deleted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_volume_is_deleted_with_its_snapshots_and_a_failed_delete_can_be_repeated() {
        Recipe {
            command: |fixture| DeleteVolumeCascade {
                command: first(),
                volume: fixture.volume.clone(),
                snapshots: vec![fixture.snapshot],
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, _| {
                fixture.driver.volumes().is_empty() && fixture.driver.snapshots().is_empty()
            },
            after_failure: |_, _| true,
            is_repeatable: true,
        }
        .check()
        .await;
    }
}
