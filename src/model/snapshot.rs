//! Snapshots: a volume as it was, kept.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::storage_name::StorageName;
use super::volume::{UnknownWord, status_enum};
use super::{OperationId, ProjectId, SnapshotId, Timestamp, UserId, VolumeId, VolumeTypeId};

status_enum!(
    /// What a snapshot is doing (cinder: `objects/fields.py`, `SnapshotStatus`). Only ever appended to: it is stored.
    #[expect(missing_docs, reason = "the words are Cinder's and say what they mean")]
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
        // Cinder sets it too, though its list of words lacks it (`manage_existing_snapshot`).
        ErrorManaging = "error_managing",
    }
);

impl SnapshotStatus {
    /// The words that `os-reset_status` takes, in Cinder's order.
    pub const SETTABLE: &[Self] = &[
        Self::Error,
        Self::Available,
        Self::Creating,
        Self::Deleting,
        Self::Deleted,
        Self::Updating,
        Self::ErrorDeleting,
        Self::Unmanaging,
        Self::BackingUp,
        Self::Restoring,
    ];

    /// True for a state that an operation of ours must end.
    #[must_use]
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

/// A snapshot as the catalog keeps it (stored form of version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The volume it is of.
    pub volume_id: VolumeId,
    /// The project that pays for it: its volume's, unless the volume was transferred to another without it.
    pub project_id: ProjectId,
    /// Who made it.
    pub user_id: UserId,
    /// The name its owner gave it.
    pub name: Option<String>,
    /// The owner's description.
    pub description: Option<String>,
    /// The volume's size when it was made, in GiB.
    pub volume_size: u32,
    /// The volume's type when it was made; what it counts for goes by its name.
    pub volume_type_id: Option<VolumeTypeId>,
    /// What it is doing.
    pub status: SnapshotStatus,
    /// How far it is, as clients see it: `0%`, `100%`.
    pub progress: String,
    /// The owner's metadata.
    pub metadata: BTreeMap<String, String>,
    /// The driver's own id for it, where it has one.
    pub provider_id: Option<String>,
    /// The key of an encrypted volume.
    pub encryption_key_id: Option<Uuid>,
    /// Its group snapshot.
    pub group_snapshot_id: Option<Uuid>,
    /// False for hidden helpers.
    pub consumes_quota: bool,
    /// The operation that will end the current transient status.
    pub operation: Option<OperationId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
}

impl Snapshot {
    /// Whether its storage must be there: it was made, and nothing is being done to it.
    #[must_use]
    pub fn claims_storage(&self) -> bool {
        self.status == SnapshotStatus::Available && self.operation.is_none()
    }

    /// The name its storage has: `_snapshot-<id>`.
    #[must_use]
    pub fn storage_name(&self) -> String {
        StorageName::Snapshot(self.id).to_string()
    }
}
