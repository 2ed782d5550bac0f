//! Revert to snapshot, on the backend (cinder: `volume/manager.py`, `revert_to_snapshot`). It only goes forward: a volume whose
//! revert has begun is half of each, and whole only at the end.
//!
//! | step | what is true after it |
//! |---|---|
//! | `notify_revert_start` | `volume.revert.start` and `snapshot.revert.start` were emitted |
//! | `revert_to_snapshot` | the volume's content and size are the snapshot's, and the inventory has that size |
//! | `notify_revert_end` | `volume.revert.end` and `snapshot.revert.end` were emitted |

use crate::backend::command::command_fields;
use crate::backend::notify::Notify;
use crate::backend::{BackendCommand, LockSet, SpaceEffect, Task, WhenDown};
use crate::drivers::{DriverError, DriverResult};
use crate::flow::{Flow, step};
use crate::messages::api::Outcome;
use crate::messages::volume::RevertToSnapshot;
use crate::model::SnapshotId;

impl BackendCommand for RevertToSnapshot {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn snapshot(&self) -> Option<SnapshotId> {
        Some(self.snapshot_id)
    }

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("revert_to_snapshot")
            .then(Notify(
                "notify_revert_start",
                &["volume.revert.start", "snapshot.revert.start"],
            ))
            .then(step("revert_to_snapshot", revert_to_snapshot))
            .then(Notify(
                "notify_revert_end",
                &["volume.revert.end", "snapshot.revert.end"],
            ))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::Reverted
    }
}

async fn revert_to_snapshot(task: &mut Task<RevertToSnapshot>) -> DriverResult<()> {
    let locks = LockSet::volume(task.volume.id)
        .and(LockSet::content_of(task.volume.id))
        .and(LockSet::snapshot(task.command.snapshot_id))
        .moving_data(task.moves_data())
        .of_command(task.command.command);
    task.drive(locks, |call| {
        let (volume, command) = (call.volume, call.command);
        call.driver
            .revert_to_snapshot(call.work, volume, command.snapshot_id)?;
        let mut inventory = call.backend.inventory();
        inventory.insert(volume.id, &volume.pool.pool, command.size);
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_volume_is_reverted_and_a_failed_revert_can_be_repeated() {
        Recipe {
            command: |fixture| RevertToSnapshot {
                command: first(),
                volume: fixture.volume.clone(),
                snapshot_id: fixture.snapshot,
                size: 3,
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| fixture.driver.size(command.volume.id) == Some(3),
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id),
            is_repeatable: true,
        }
        .check()
        .await;
    }
}
