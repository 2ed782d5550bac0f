//! What is taken in and let go, what lies on a storage, and whether it is what the catalog says.

use serde::{Deserialize, Serialize};

use super::ApiTopic;
use crate::messages::call;
use crate::model::{BackendName, Reference, SnapshotId, StorageName, VolumeId};

/// What a backend has that could be adopted, and what not, and why (`GET /manageable_volumes`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListManageableVolumes {
    /// `host@backend` or `host@backend#pool`, as the client wrote it.
    pub host: String,
}

/// Something on a backend, seen as a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageableVolume {
    /// How to name it.
    pub reference: Reference,
    /// In GiB, rounded up.
    pub size: u32,
    /// Whether it may be adopted.
    pub safe_to_manage: bool,
    /// Why not.
    pub reason_not_safe: Option<String>,
    /// The volume that it is already.
    pub cinder_id: Option<VolumeId>,
}
call!(ListManageableVolumes => ApiTopic, "list_manageable_volumes", since 2, reply Vec<ManageableVolume>);

/// The same for snapshots (`GET /manageable_snapshots`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListManageableSnapshots {
    /// `host@backend` or `host@backend#pool`, as the client wrote it.
    pub host: String,
}

/// Something on a backend, seen as a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageableSnapshot {
    /// How to name it.
    pub reference: Reference,
    /// In GiB, rounded up.
    pub size: u32,
    /// Whether it may be adopted.
    pub safe_to_manage: bool,
    /// Why not.
    pub reason_not_safe: Option<String>,
    /// The snapshot that it is already.
    pub cinder_id: Option<SnapshotId>,
    /// What it is a snapshot of.
    pub source_reference: Reference,
}
call!(ListManageableSnapshots => ApiTopic, "list_manageable_snapshots", since 2, reply Vec<ManageableSnapshot>);

/// A VolumeManager that starts tells what its storage has under names of ours, before it obeys any command. In pages: each
/// covers all names behind `after`, up to its last one, or to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompareStorage {
    /// Who tells.
    pub backend: BackendName,
    /// The last name of the page before.
    pub after: Option<StorageName>,
    /// What is there, sorted.
    pub found: Vec<StorageName>,
    /// Whether there is nothing behind it.
    pub complete: bool,
}

/// How a storage differs from what it should have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageDifference {
    /// What is there without a record, or with one that says it is elsewhere.
    pub orphans: Vec<StorageName>,
    /// What has a record and should be there, and is not. It was marked.
    pub missing: Vec<StorageName>,
}
call!(CompareStorage => ApiTopic, "compare_storage", since 2, reply StorageDifference);

/// Which of these names, found on a storage and said to be without a record, are so still. A VolumeManager asks right before it
/// deletes any of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmOrphans {
    /// On whose storage.
    pub backend: BackendName,
    /// The names.
    pub names: Vec<StorageName>,
}
call!(ConfirmOrphans => ApiTopic, "confirm_orphans", since 4, reply Vec<StorageName>);
