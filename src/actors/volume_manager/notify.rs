//! Notifications: that something happened to a volume, for those who bill and watch (Cinder's event types).
//!
//! They go to the log under the target `pumice::notification`, where a subscriber can pick them out.

use crate::model::{SnapshotId, VolumeSpec};

/// Emits one.
pub fn notify(event_type: &'static str, volume: &VolumeSpec) {
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

/// Emits one about a snapshot.
pub fn notify_snapshot(event_type: &'static str, volume: &VolumeSpec, snapshot: SnapshotId) {
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
