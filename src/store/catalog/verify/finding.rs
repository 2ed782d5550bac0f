//! The possible findings of the check, with texts for the operator.

use std::fmt;

use crate::model::quota::Resource;
use crate::model::{
    BackendName, OperationId, ProjectId, SnapshotId, SnapshotStatus, StorageName, VolumeId, VolumeStatus,
    VolumeTypeId,
};
use crate::store::Key;

/// An inconsistency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A record that cannot be read.
    Unreadable {
        /// The key.
        key: Key,
        /// The reason.
        why: String,
    },
    /// An index row is missing, or has the wrong value: the record is missing from a list.
    MissingRow {
        /// The record of the row.
        record: Key,
        /// The row.
        row: Key,
    },
    /// An index row that belongs to no record.
    StrayRow {
        /// The row.
        row: Key,
    },
    /// A key of an unknown table.
    UnknownKey {
        /// The key.
        key: Key,
    },
    /// A counter of volumes, GiB, or volumes of a type is not the sum over the volumes.
    WrongTotal {
        /// The counter.
        counter: Key,
        /// The stored value.
        stored: i64,
        /// The expected value.
        expected: i64,
    },
    /// `in_use` is not the sum over the volumes and snapshots that consume quota.
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
    Stuck {
        /// The volume.
        volume: VolumeId,
        /// Its status.
        status: VolumeStatus,
    },
    /// A volume or an attachment refers to an operation that is not open.
    DanglingOperation {
        /// The volume.
        volume: VolumeId,
        /// The operation.
        operation: OperationId,
    },
    /// An operation has a volume that does not exist.
    OperationWithoutVolume {
        /// The operation.
        operation: OperationId,
        /// The volume.
        volume: VolumeId,
    },
    /// An attachment has a volume that does not exist.
    AttachmentWithoutVolume {
        /// The attachment's volume.
        volume: VolumeId,
    },
    /// A record of another kind has a volume that does not exist.
    RecordWithoutVolume {
        /// The kind of record.
        what: &'static str,
        /// Its volume.
        volume: VolumeId,
    },
    /// A volume has a type that does not exist.
    VolumeWithoutType {
        /// The volume.
        volume: VolumeId,
        /// Its type.
        volume_type: VolumeTypeId,
    },
    /// A snapshot has a transient status, but no operation that ends it.
    StuckSnapshot {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Its status.
        status: SnapshotStatus,
    },
    /// A snapshot refers to an operation that is not open.
    DanglingSnapshot {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The operation.
        operation: OperationId,
    },
    /// A snapshot has a volume that does not exist.
    SnapshotWithoutVolume {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The volume.
        volume: VolumeId,
    },
    /// An operation has a snapshot that does not exist.
    OperationWithoutSnapshot {
        /// The operation.
        operation: OperationId,
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// A volume or a snapshot is not on its storage, and its status does not show it.
    MissingStorage {
        /// The backend.
        backend: BackendName,
        /// Its name there.
        name: StorageName,
    },
    /// A volume or snapshot with a name of Pumice's is on the storage, and has no record.
    OrphanStorage {
        /// The backend.
        backend: BackendName,
        /// Its name there.
        name: StorageName,
    },
    /// A volume has another size on its storage than in its record.
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
    StrayExport {
        /// The backend.
        backend: BackendName,
        /// The volume's name.
        name: StorageName,
    },
    /// A backend's storage could not be examined.
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
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::MissingRow { .. } => "missing_row",
            Self::StrayRow { .. } => "stray_row",
            Self::UnknownKey { .. } => "unknown_key",
            Self::WrongTotal { .. } => "wrong_total",
            Self::WrongInUse { .. } => "wrong_in_use",
            Self::WrongReserved { .. } => "wrong_reserved",
            Self::Stuck { .. } => "stuck",
            Self::DanglingOperation { .. } => "dangling_operation",
            Self::OperationWithoutVolume { .. } => "operation_without_volume",
            Self::AttachmentWithoutVolume { .. } => "attachment_without_volume",
            Self::RecordWithoutVolume { .. } => "record_without_volume",
            Self::VolumeWithoutType { .. } => "volume_without_type",
            Self::StuckSnapshot { .. } => "stuck_snapshot",
            Self::DanglingSnapshot { .. } => "dangling_snapshot",
            Self::MissingStorage { .. } => "missing_storage",
            Self::OrphanStorage { .. } => "orphan_storage",
            Self::WrongSize { .. } => "wrong_size",
            Self::StrayExport { .. } => "stray_export",
            Self::UnknownStorage { .. } => "unknown_storage",
            Self::SnapshotWithoutVolume { .. } => "snapshot_without_volume",
            Self::OperationWithoutSnapshot { .. } => "operation_without_snapshot",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { key, why } => write!(f, "the record at {key:?} cannot be read: {why}"),
            Self::MissingRow { record, row } => write!(f, "{record:?} has no index row {row:?}"),
            Self::StrayRow { row } => write!(f, "the index row {row:?} belongs to no record"),
            Self::UnknownKey { key } => write!(f, "{key:?} is of no known table"),
            Self::WrongTotal {
                counter,
                stored,
                expected,
            } => {
                write!(
                    f,
                    "the counter {counter:?} says {stored}, but the volumes sum up to {expected}"
                )
            }
            Self::WrongInUse {
                project,
                resource,
                stored,
                expected,
            } => {
                write!(
                    f,
                    "project {project} has {stored} {} in use, but its volumes and snapshots sum up to \
                     {expected}",
                    resource.0
                )
            }
            Self::WrongReserved {
                project,
                resource,
                stored,
                expected,
            } => write!(
                f,
                "project {project} has {stored} {} reserved, but its operations hold {expected}",
                resource.0
            ),
            Self::Stuck { volume, status } => {
                write!(f, "volume {volume} is {status}, and no operation will end that")
            }
            Self::DanglingOperation { volume, operation } => {
                write!(
                    f,
                    "volume {volume} waits for operation {operation}, which is not open"
                )
            }
            Self::OperationWithoutVolume { operation, volume } => {
                write!(
                    f,
                    "operation {operation} is about volume {volume}, which is not there"
                )
            }
            Self::AttachmentWithoutVolume { volume } => {
                write!(f, "an attachment is of volume {volume}, which is not there")
            }
            Self::RecordWithoutVolume { what, volume } => {
                write!(f, "a {what} is of volume {volume}, which is not there")
            }
            Self::VolumeWithoutType { volume, volume_type } => {
                write!(f, "volume {volume} is of type {volume_type}, which is not there")
            }
            Self::StuckSnapshot { snapshot, status } => {
                write!(
                    f,
                    "snapshot {snapshot} is {status}, and no operation will end that"
                )
            }
            Self::DanglingSnapshot { snapshot, operation } => {
                write!(
                    f,
                    "snapshot {snapshot} waits for operation {operation}, which is not open"
                )
            }
            Self::SnapshotWithoutVolume { snapshot, volume } => {
                write!(f, "snapshot {snapshot} is of volume {volume}, which is not there")
            }
            Self::OperationWithoutSnapshot { operation, snapshot } => {
                write!(
                    f,
                    "operation {operation} is about snapshot {snapshot}, which is not there"
                )
            }
            Self::MissingStorage { backend, name } => write!(f, "{name} is not on the storage of {backend}"),
            Self::OrphanStorage { backend, name } => {
                write!(f, "{name} is on the storage of {backend}, but has no record")
            }
            Self::WrongSize {
                backend,
                name,
                recorded,
                seen,
            } => write!(
                f,
                "{name} has {seen} GiB on the storage of {backend}, but {recorded} in its record"
            ),
            Self::StrayExport { backend, name } => {
                write!(f, "{name} is exported by {backend}, but not attached")
            }
            Self::UnknownStorage { backend, why } => {
                write!(f, "the storage of {backend} cannot be examined: {why}")
            }
        }
    }
}
