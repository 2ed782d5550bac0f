//! What can be found wrong with a catalog, in words for who runs it.

use std::fmt;

use crate::model::quota::Resource;
use crate::model::{
    BackendName, OperationId, ProjectId, SnapshotId, SnapshotStatus, StorageName, VolumeId, VolumeStatus,
    VolumeTypeId,
};
use crate::store::Key;

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A record that cannot be read.
    Unreadable {
        /// Where.
        key: Key,
        /// Why.
        why: String,
    },
    /// An index row that should be there is not, or says something else: the record is missing from a list.
    MissingRow {
        /// Whose row.
        record: Key,
        /// The row.
        row: Key,
    },
    /// An index row that no record asks for.
    StrayRow {
        /// The row.
        row: Key,
    },
    /// A key of no table that this program knows.
    UnknownKey {
        /// The key.
        key: Key,
    },
    /// A counter of volumes, GiB, or volumes of a type is not what the volumes sum up to.
    WrongTotal {
        /// The counter.
        counter: Key,
        /// What it says.
        stored: i64,
        /// What it should say.
        expected: i64,
    },
    /// `in_use` is not the sum over the volumes and snapshots that consume quota.
    WrongInUse {
        /// Whose.
        project: ProjectId,
        /// Of what.
        resource: Resource,
        /// What the counter says.
        stored: i64,
        /// What it should say.
        expected: i64,
    },
    /// `reserved` is not the sum over the open operations.
    WrongReserved {
        /// Whose.
        project: ProjectId,
        /// Of what.
        resource: Resource,
        /// What the counter says.
        stored: i64,
        /// What it should say.
        expected: i64,
    },
    /// A volume is in a state that an operation must end, but has none: it is stuck.
    Stuck {
        /// The volume.
        volume: VolumeId,
        /// Its status.
        status: VolumeStatus,
    },
    /// A volume or an attachment names an operation that is not open.
    DanglingOperation {
        /// The volume.
        volume: VolumeId,
        /// What it names.
        operation: OperationId,
    },
    /// An operation is about a volume that is not there.
    OperationWithoutVolume {
        /// The operation.
        operation: OperationId,
        /// What it is about.
        volume: VolumeId,
    },
    /// An attachment is of a volume that is not there.
    AttachmentWithoutVolume {
        /// The attachment's volume.
        volume: VolumeId,
    },
    /// A record of another kind is of a volume that is not there.
    RecordWithoutVolume {
        /// The kind of record.
        what: &'static str,
        /// Its volume.
        volume: VolumeId,
    },
    /// A volume is of a type that is not there.
    VolumeWithoutType {
        /// The volume.
        volume: VolumeId,
        /// Its type.
        volume_type: VolumeTypeId,
    },
    /// A snapshot is in a state that an operation must end, but has none: it is stuck.
    StuckSnapshot {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Its status.
        status: SnapshotStatus,
    },
    /// A snapshot names an operation that is not open.
    DanglingSnapshot {
        /// The snapshot.
        snapshot: SnapshotId,
        /// What it names.
        operation: OperationId,
    },
    /// A snapshot is of a volume that is not there.
    SnapshotWithoutVolume {
        /// The snapshot.
        snapshot: SnapshotId,
        /// What it is of.
        volume: VolumeId,
    },
    /// An operation is about a snapshot that is not there.
    OperationWithoutSnapshot {
        /// The operation.
        operation: OperationId,
        /// What it is about.
        snapshot: SnapshotId,
    },
    /// A volume or a snapshot is not on its storage, and its status does not say so.
    MissingStorage {
        /// Where it should be.
        backend: BackendName,
        /// Its name there.
        name: StorageName,
    },
    /// Something with a name of ours is on the storage, and nobody has a record of it.
    OrphanStorage {
        /// Where.
        backend: BackendName,
        /// Its name there.
        name: StorageName,
    },
    /// A volume has another size on its storage than its record says.
    WrongSize {
        /// Where.
        backend: BackendName,
        /// Its name there.
        name: StorageName,
        /// GiB in the record.
        recorded: u32,
        /// GiB on the storage.
        seen: u32,
    },
    /// A volume is exported that nobody has.
    StrayExport {
        /// By which backend.
        backend: BackendName,
        /// The volume's name.
        name: StorageName,
    },
    /// A backend's storage could not be looked at.
    UnknownStorage {
        /// Which backend's.
        backend: BackendName,
        /// Why.
        why: String,
    },
}

impl Finding {
    /// Its kind, for programs.
    #[must_use]
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
                write!(f, "{name} is on the storage of {backend}, but nobody's")
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
                write!(f, "{name} is exported by {backend}, but nobody has it")
            }
            Self::UnknownStorage { backend, why } => {
                write!(f, "the storage of {backend} cannot be looked at: {why}")
            }
        }
    }
}
