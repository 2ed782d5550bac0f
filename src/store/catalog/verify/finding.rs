//! The possible findings of the check, with texts for the operator.

use crate::model::quota::Resource;
use crate::model::{
    BackendName, OperationId, ProjectId, SnapshotId, SnapshotStatus, StorageName, VolumeId, VolumeStatus,
    VolumeTypeId,
};
use crate::store::Key;

/// An inconsistency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Finding {
    /// A record that cannot be read.
    #[error("the record at {key:?} cannot be read: {why}")]
    Unreadable {
        /// The key.
        key: Key,
        /// The reason.
        why: String,
    },
    /// An index row is missing, or has the wrong value: the record is missing from a list.
    #[error("{record:?} has no index row {row:?}")]
    MissingRow {
        /// The record of the row.
        record: Key,
        /// The row.
        row: Key,
    },
    /// An index row that belongs to no record.
    #[error("the index row {row:?} belongs to no record")]
    StrayRow {
        /// The row.
        row: Key,
    },
    /// A key of an unknown table.
    #[error("{key:?} is of no known table")]
    UnknownKey {
        /// The key.
        key: Key,
    },
    /// A counter of volumes, GiB, or volumes of a type is not the sum over the volumes.
    #[error("the counter {counter:?} says {stored}, but the volumes sum up to {expected}")]
    WrongTotal {
        /// The counter.
        counter: Key,
        /// The stored value.
        stored: i64,
        /// The expected value.
        expected: i64,
    },
    /// `in_use` is not the sum over the volumes and snapshots that consume quota.
    #[error("project {project} has {stored} {} in use, but its volumes and snapshots sum up to {expected}", .resource.0)]
    WrongInUse {
        /// The project.
        project: ProjectId,
        /// The resource.
        resource: Resource,
        /// The stored value.
        stored: i64,
        /// The expected value.
        expected: i64,
    },
    /// `reserved` is not the sum over the open operations.
    #[error("project {project} has {stored} {} reserved, but its operations hold {expected}", .resource.0)]
    WrongReserved {
        /// The project.
        project: ProjectId,
        /// The resource.
        resource: Resource,
        /// The stored value.
        stored: i64,
        /// The expected value.
        expected: i64,
    },
    /// A volume has a transient status, but no operation that ends it.
    #[error("volume {volume} is {status}, and no operation will end that")]
    Stuck {
        /// The volume.
        volume: VolumeId,
        /// Its status.
        status: VolumeStatus,
    },
    /// A volume or an attachment refers to an operation that is not open.
    #[error("volume {volume} waits for operation {operation}, which is not open")]
    DanglingOperation {
        /// The volume.
        volume: VolumeId,
        /// The operation.
        operation: OperationId,
    },
    /// An operation has a volume that does not exist.
    #[error("operation {operation} is about volume {volume}, which is not there")]
    OperationWithoutVolume {
        /// The operation.
        operation: OperationId,
        /// The volume.
        volume: VolumeId,
    },
    /// An attachment has a volume that does not exist.
    #[error("an attachment is of volume {volume}, which is not there")]
    AttachmentWithoutVolume {
        /// The attachment's volume.
        volume: VolumeId,
    },
    /// A record of another kind has a volume that does not exist.
    #[error("a {what} is of volume {volume}, which is not there")]
    RecordWithoutVolume {
        /// The kind of record.
        what: &'static str,
        /// Its volume.
        volume: VolumeId,
    },
    /// A volume has a type that does not exist.
    #[error("volume {volume} is of type {volume_type}, which is not there")]
    VolumeWithoutType {
        /// The volume.
        volume: VolumeId,
        /// Its type.
        volume_type: VolumeTypeId,
    },
    /// A snapshot has a transient status, but no operation that ends it.
    #[error("snapshot {snapshot} is {status}, and no operation will end that")]
    StuckSnapshot {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Its status.
        status: SnapshotStatus,
    },
    /// A snapshot refers to an operation that is not open.
    #[error("snapshot {snapshot} waits for operation {operation}, which is not open")]
    DanglingSnapshot {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The operation.
        operation: OperationId,
    },
    /// A snapshot has a volume that does not exist.
    #[error("snapshot {snapshot} is of volume {volume}, which is not there")]
    SnapshotWithoutVolume {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The volume.
        volume: VolumeId,
    },
    /// An operation has a snapshot that does not exist.
    #[error("operation {operation} is about snapshot {snapshot}, which is not there")]
    OperationWithoutSnapshot {
        /// The operation.
        operation: OperationId,
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// A volume or a snapshot is not on its storage, and its status does not show it.
    #[error("{name} is not on the storage of {backend}")]
    MissingStorage {
        /// The backend.
        backend: BackendName,
        /// Its name there.
        name: StorageName,
    },
    /// A volume or snapshot with a name of Pumice's is on the storage, and has no record.
    #[error("{name} is on the storage of {backend}, but has no record")]
    OrphanStorage {
        /// The backend.
        backend: BackendName,
        /// Its name there.
        name: StorageName,
    },
    /// A volume has another size on its storage than in its record.
    #[error("{name} has {seen} GiB on the storage of {backend}, but {recorded} in its record")]
    WrongSize {
        /// The backend.
        backend: BackendName,
        /// Its name there.
        name: StorageName,
        /// GiB in the record.
        recorded: u32,
        /// GiB on the storage.
        seen: u32,
    },
    /// A volume is exported without an attachment.
    #[error("{name} is exported by {backend}, but not attached")]
    StrayExport {
        /// The backend.
        backend: BackendName,
        /// The volume's name.
        name: StorageName,
    },
    /// A backend's storage could not be examined.
    #[error("the storage of {backend} cannot be examined: {why}")]
    UnknownStorage {
        /// The backend.
        backend: BackendName,
        /// The reason.
        why: String,
    },
}

impl Finding {
    /// Its kind, for programs.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Whether a record contributes an unknown amount to the counters, so that no sum is certain.
    pub(super) fn hides_a_sum(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::VolumeWithoutType { .. })
    }
}
