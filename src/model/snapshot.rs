//! Snapshots of volumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::storage_name::StorageName;
use super::volume::status_enum;
use super::{OperationId, ProjectId, SnapshotId, Timestamp, UserId, Volume, VolumeId, VolumeTypeId};

status_enum!(
    /// The status of a snapshot (cinder: `objects/fields.py`, `SnapshotStatus`). Only appended to, since it is stored.
    #[expect(missing_docs, reason = "the names are Cinder's")]
    SnapshotStatus {
        Error = "error",
        Available = "available",
        Creating = "creating",
        Deleting = "deleting",
        Deleted = "deleted",
        Updating = "updating",
        ErrorDeleting = "error_deleting",
        Unmanaging = "unmanaging",
        BackingUp = "backing-up",
        Restoring = "restoring",
        // Cinder uses it, too, although it is not in its list (`manage_existing_snapshot`).
        ErrorManaging = "error_managing",
    }
);

impl SnapshotStatus {
    /// The statuses that `os-reset_status` accepts: those of Cinder's list, in its order.
    pub fn settable() -> impl Iterator<Item = Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(|status| *status != Self::ErrorManaging)
    }

    /// True for a status that an operation must end.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Creating
                | Self::Deleting
                | Self::Updating
                | Self::Unmanaging
                | Self::BackingUp
                | Self::Restoring
        )
    }
}

/// A snapshot, as stored in the catalog (version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Its volume.
    pub volume_id: VolumeId,
    /// The project that it counts for: its volume's, unless the volume was transferred to another without it.
    pub project_id: ProjectId,
    /// The user that created it.
    pub user_id: UserId,
    /// The name its owner gave it.
    pub name: Option<String>,
    /// The owner's description.
    pub description: Option<String>,
    /// The volume's size when it was created, in GiB.
    pub volume_size: u32,
    /// The volume's type when it was created, which its quota usage is counted for.
    pub volume_type_id: Option<VolumeTypeId>,
    /// Its status.
    pub status: SnapshotStatus,
    /// The progress, as shown to clients: `0%`, `100%`.
    pub progress: String,
    /// The owner's metadata.
    pub metadata: BTreeMap<String, String>,
    /// The driver's id for it, if it has one.
    pub provider_id: Option<String>,
    /// The key of an encrypted volume.
    pub encryption_key_id: Option<Uuid>,
    /// Its group snapshot.
    pub group_snapshot_id: Option<Uuid>,
    /// False for hidden snapshots.
    pub consumes_quota: bool,
    /// The operation that will end the current transient status.
    pub operation: Option<OperationId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
}

impl Snapshot {
    /// A snapshot of a volume as that is now; every other field has its initial value.
    pub fn of(volume: &Volume, status: SnapshotStatus, created_at: Timestamp) -> Self {
        Self {
            id: SnapshotId::new(),
            volume_id: volume.id,
            project_id: volume.project_id.clone(),
            user_id: volume.user_id.clone(),
            name: None,
            description: None,
            volume_size: volume.size,
            volume_type_id: volume.volume_type_id,
            status,
            progress: "0%".to_owned(),
            metadata: BTreeMap::new(),
            provider_id: None,
            encryption_key_id: volume.encryption_key_id,
            group_snapshot_id: None,
            consumes_quota: true,
            operation: None,
            created_at,
            updated_at: None,
        }
    }

    /// Whether its storage must exist: it was created, and no operation is in progress.
    pub fn claims_storage(&self) -> bool {
        self.status == SnapshotStatus::Available && self.operation.is_none()
    }

    /// Its storage name: `_snapshot-<id>`.
    pub fn storage_name(&self) -> String {
        StorageName::Snapshot(self.id).to_string()
    }
}
