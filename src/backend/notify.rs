//! Notifications of events of volumes and snapshots, for billing and monitoring (Cinder's event types).
//!
//! They are written to the log with the target `pumice::notification`, by which a subscriber can select them.

use async_trait::async_trait;

use super::command::{BackendCommand, Task};
use crate::drivers::DriverError;
use crate::flow::Step;
use crate::model::{SnapshotId, VolumeSpec};

/// A step that only notifies: its name, and the events that it emits.
pub struct Notify(pub &'static str, pub &'static [&'static str]);

#[async_trait(?Send)]
impl<C: BackendCommand> Step<Task<C>, DriverError> for Notify {
    fn name(&self) -> &'static str {
        self.0
    }

    async fn execute(&self, task: &mut Task<C>) -> Result<(), DriverError> {
        for event_type in self.1 {
            notify(event_type, task);
        }
        Ok(())
    }
}

/// Emits an event about the task's snapshot, if its type says `snapshot`, else about its volume.
pub fn notify<C: BackendCommand>(event_type: &'static str, task: &Task<C>) {
    match task.command.snapshot() {
        Some(snapshot) if event_type.starts_with("snapshot.") => {
            notify_snapshot(event_type, &task.volume, snapshot);
        }
        _ => notify_volume(event_type, &task.volume),
    }
}

fn notify_volume(event_type: &'static str, volume: &VolumeSpec) {
    tracing::info!(
        target: "pumice::notification",
        event_type,
        volume_id = %volume.id,
        tenant_id = %volume.project_id,
        host = %volume.pool,
        size = volume.size,
        "notification"
    );
}

fn notify_snapshot(event_type: &'static str, volume: &VolumeSpec, snapshot: SnapshotId) {
    tracing::info!(
        target: "pumice::notification",
        event_type,
        snapshot_id = %snapshot,
        volume_id = %volume.id,
        tenant_id = %volume.project_id,
        host = %volume.pool,
        volume_size = volume.size,
        "notification"
    );
}
