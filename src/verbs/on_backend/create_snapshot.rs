//! Create snapshot, on the backend (cinder: `volume/manager.py`, `create_snapshot`).
//!
//! | step | what is true after it | taken back by |
//! |---|---|---|
//! | `notify_snapshot_create_start` | `snapshot.create.start` was emitted | – |
//! | `create_snapshot` | the snapshot exists, and is whole | deleting it |
//! | `notify_snapshot_create_end` | `snapshot.create.end` was emitted | – |

use crate::backend::command::command_fields;
use crate::backend::notify::Notify;
use crate::backend::{BackendCommand, LockSet, SpaceEffect, Task, WhenDown};
use crate::drivers::{DriverError, DriverResult};
use crate::flow::{Flow, step};
use crate::messages::api::Outcome;
use crate::messages::volume::CreateSnapshot;
use crate::model::SnapshotId;

impl BackendCommand for CreateSnapshot {
    const WHEN_DOWN: WhenDown = WhenDown::Refuse;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn snapshot(&self) -> Option<SnapshotId> {
        Some(self.snapshot_id)
    }

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("create_snapshot")
            .then(Notify("notify_snapshot_create_start", &["snapshot.create.start"]))
            .then(step("create_snapshot", create_snapshot).reverted_by(delete_created))
            .then(Notify("notify_snapshot_create_end", &["snapshot.create.end"]))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::SnapshotCreated { provider_id: None }
    }
}

async fn create_snapshot(task: &mut Task<CreateSnapshot>) -> DriverResult<()> {
    let locks = LockSet::snapshot(task.command.snapshot_id)
        .and(LockSet::content_of(task.volume.id))
        .moving_data(task.moves_data());
    task.drive(locks, |call| {
        let snapshot = call.command.snapshot_id;
        // Checked while the snapshot is locked: a delete that was sent later may have been done first.
        if call.backend.inventory().has_tombstone(snapshot.0) {
            let client = "The snapshot was deleted meanwhile.".to_owned();
            return Err(DriverError::Refused { client });
        }
        call.driver.create_snapshot(call.work, call.volume, snapshot)
    })
    .await
}

async fn delete_created(task: &mut Task<CreateSnapshot>) {
    let snapshot = task.command.snapshot_id;
    let deleted = task.drive(LockSet::snapshot(snapshot), move |call| {
        call.driver.delete_snapshot(call.work, call.volume, snapshot)
    });
    if let Err(error) = deleted.await {
        tracing::error!(%snapshot, %error, "a snapshot could not be taken back; it stays until it is deleted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_snapshot_is_created_whole_or_not_at_all() {
        Recipe {
            command: |fixture| CreateSnapshot {
                command: first(),
                volume: fixture.volume.clone(),
                snapshot_id: SnapshotId::new(),
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, _| fixture.driver.snapshots().len() == 2,
            after_failure: |fixture, _| {
                fixture.driver.snapshots() == [fixture.snapshot] && fixture.driver.exists(fixture.volume.id)
            },
            is_repeatable: true,
        }
        .check()
        .await;
    }
}
