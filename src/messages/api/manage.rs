//! Managing and unmanaging, listing a storage, and comparing it with the catalog.

use serde::{Deserialize, Serialize};

use super::ApiTopic;
use crate::messages::call;
use crate::model::{BackendName, Reference, SnapshotId, StorageName, VolumeId};

/// Lists the volumes of a backend, with whether they can be adopted and why not (`GET /manageable_volumes`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListManageableVolumes {
    /// `host@backend` or `host@backend#pool`, as the client wrote it.
    pub host: String,
}

/// A volume on a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageableVolume {
    /// Its reference.
    pub reference: Reference,
    /// In GiB, rounded up.
    pub size: u32,
    /// Whether it may be adopted.
    pub safe_to_manage: bool,
    /// Why it may not be adopted.
    pub reason_not_safe: Option<String>,
    /// The id of the volume, if it is already managed.
    pub cinder_id: Option<VolumeId>,
}
call!(ListManageableVolumes => ApiTopic, "list_manageable_volumes", since 2, reply Vec<ManageableVolume>);

/// The same for snapshots (`GET /manageable_snapshots`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListManageableSnapshots {
    /// `host@backend` or `host@backend#pool`, as the client wrote it.
    pub host: String,
}

/// A snapshot on a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageableSnapshot {
    /// Its reference.
    pub reference: Reference,
    /// In GiB, rounded up.
    pub size: u32,
    /// Whether it may be adopted.
    pub safe_to_manage: bool,
    /// Why it may not be adopted.
    pub reason_not_safe: Option<String>,
    /// The id of the snapshot, if it is already managed.
    pub cinder_id: Option<SnapshotId>,
    /// Its origin.
    pub source_reference: Reference,
}
call!(ListManageableSnapshots => ApiTopic, "list_manageable_snapshots", since 2, reply Vec<ManageableSnapshot>);

/// Sent by a starting VolumeManager before it executes any command: the names in Pumice's format on its storage, in pages.
/// Each page covers all names after `after`, up to its last one, or to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompareStorage {
    /// The backend.
    pub backend: BackendName,
    /// The last name of the previous page.
    pub after: Option<StorageName>,
    /// The names, sorted.
    pub found: Vec<StorageName>,
    /// Whether this is the last page.
    pub complete: bool,
}

/// The differences of a storage from the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageDifference {
    /// Names on the storage without a record, or with a record for another place.
    pub orphans: Vec<StorageName>,
    /// Names with a record that are missing on the storage. Their records were set to an error.
    pub missing: Vec<StorageName>,
}
call!(CompareStorage => ApiTopic, "compare_storage", since 2, reply StorageDifference);

/// Which of these names, which were reported as orphans, still have no record. Sent by a VolumeManager right before it deletes
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmOrphans {
    /// The backend.
    pub backend: BackendName,
    /// The names.
    pub names: Vec<StorageName>,
}
call!(ConfirmOrphans => ApiTopic, "confirm_orphans", since 4, reply Vec<StorageName>);
