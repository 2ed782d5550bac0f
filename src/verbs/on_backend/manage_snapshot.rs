//! Manage snapshot, on the backend: what exists there becomes this snapshot.
//!
//! | step | what is true after it |
//! |---|---|
//! | `manage_snapshot` | it has the snapshot's name |
//! | `notify_manage_end` | `snapshot.manage_existing.end` was emitted |

use crate::backend::command::command_fields;
use crate::backend::notify::Notify;
use crate::backend::{BackendCommand, LockSet, SpaceEffect, Task, WhenDown};
use crate::drivers::{DriverError, DriverResult, Managed};
use crate::flow::{Flow, step};
use crate::messages::api::Outcome;
use crate::messages::volume::ManageSnapshot;
use crate::model::SnapshotId;

impl BackendCommand for ManageSnapshot {
    const WHEN_DOWN: WhenDown = WhenDown::Refuse;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = Managed;
    command_fields!();

    fn snapshot(&self) -> Option<SnapshotId> {
        Some(self.snapshot_id)
    }

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("manage_snapshot")
            .then(step("manage_snapshot", manage_snapshot))
            .then(Notify("notify_manage_end", &["snapshot.manage_existing.end"]))
    }

    fn outcome(&self, managed: Managed) -> Outcome {
        Outcome::SnapshotManaged {
            size: managed.size,
            provider_id: managed.provider_id,
        }
    }
}

async fn manage_snapshot(task: &mut Task<ManageSnapshot>) -> DriverResult<()> {
    let managed = task.drive(LockSet::snapshot(task.command.snapshot_id), |call| {
        let command = call.command;
        call.driver
            .manage_snapshot(call.work, call.volume, command.snapshot_id, &command.reference)
    });
    task.output = managed.await?;
    Ok(())
}
