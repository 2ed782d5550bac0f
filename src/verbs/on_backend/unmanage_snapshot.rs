//! Unmanage snapshot, on the backend: its storage is not touched, but it is not ours any more.
//!
//! | step | what is true after it |
//! |---|---|
//! | `forget_snapshot` | `snapshot.unmanage` was emitted; the inventory has no snapshots |

use crate::backend::command::command_fields;
use crate::backend::notify::Notify;
use crate::backend::{BackendCommand, SpaceEffect, Task, WhenDown};
use crate::drivers::DriverError;
use crate::flow::Flow;
use crate::messages::api::Outcome;
use crate::messages::volume::UnmanageSnapshot;
use crate::model::SnapshotId;

impl BackendCommand for UnmanageSnapshot {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn snapshot(&self) -> Option<SnapshotId> {
        Some(self.snapshot_id)
    }

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("unmanage_snapshot").then(Notify("forget_snapshot", &["snapshot.unmanage"]))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::SnapshotUnmanaged
    }
}
