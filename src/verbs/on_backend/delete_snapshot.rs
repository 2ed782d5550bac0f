//! Delete snapshot, on the backend. It only goes forward: a delete that failed half-way is done again.
//!
//! | step | what is true after it |
//! |---|---|
//! | `notify_snapshot_delete_start` | `snapshot.delete.start` was emitted |
//! | `delete_snapshot` | its storage is gone (what was not there counts as gone) |
//! | `notify_snapshot_delete_end` | `snapshot.delete.end` was emitted |

use crate::backend::command::command_fields;
use crate::backend::notify::Notify;
use crate::backend::{BackendCommand, LockSet, SpaceEffect, Task, WhenDown};
use crate::drivers::{DriverError, DriverResult};
use crate::flow::{Flow, step};
use crate::messages::api::Outcome;
use crate::messages::volume::DeleteSnapshot;
use crate::model::SnapshotId;

impl BackendCommand for DeleteSnapshot {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn snapshot(&self) -> Option<SnapshotId> {
        Some(self.snapshot_id)
    }

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("delete_snapshot")
            .then(Notify("notify_snapshot_delete_start", &["snapshot.delete.start"]))
            .then(step("delete_snapshot", delete_snapshot))
            .then(Notify("notify_snapshot_delete_end", &["snapshot.delete.end"]))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::SnapshotDeleted
    }
}

async fn delete_snapshot(task: &mut Task<DeleteSnapshot>) -> DriverResult<()> {
    // What a thick snapshot kept of its volume is wiped.
    let locks = LockSet::snapshot(task.command.snapshot_id).moving_data(task.moves_data());
    task.drive(locks, |call| {
        let snapshot = call.command.snapshot_id;
        call.backend.inventory().insert_tombstone(snapshot.0);
        call.driver.delete_snapshot(call.work, call.volume, snapshot)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_snapshot_is_deleted_and_a_failed_delete_can_be_repeated() {
        Recipe {
            command: |fixture| DeleteSnapshot {
                command: first(),
                volume: fixture.volume.clone(),
                snapshot_id: fixture.snapshot,
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, _| fixture.driver.snapshots().is_empty(),
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id),
            is_repeatable: true,
        }
        .check()
        .await;
    }
}
