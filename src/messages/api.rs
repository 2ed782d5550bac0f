//! To the **Api** actor: what clients want changed, and what backends report.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

use super::volume::CommandId;
use super::{call, cast, topic};
use crate::model::volume::Secret;
use crate::model::{
    AttachMode, AttachStatus, Attachment, AttachmentId, BackendName, ConnectionInfo, Connector,
    MigrationStatus, OperationId, Reference, Snapshot, SnapshotId, SnapshotStatus, StorageName, Timestamp,
    Volume, VolumeId, VolumeSpec, VolumeStatus, VolumeType, VolumeTypeId,
};

topic!(
    /// The Api actor.
    ApiTopic = "api", versions 1..=3
);

/// Make a volume. The request's shape is checked by `web`; look-ups, states and quota are checked here, in Cinder's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolume {
    /// GiB; `None` takes the source's size.
    pub size: Option<u32>,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Name or id of a type.
    pub volume_type: Option<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Zone.
    pub availability_zone: Option<String>,
    /// Snapshot to make it from.
    pub snapshot_id: Option<Uuid>,
    /// Volume to clone.
    pub source_volid: Option<Uuid>,
    /// Image to make it from.
    pub image: Option<String>,
    /// Backup to make it from.
    pub backup_id: Option<Uuid>,
    /// Group, new or old (`consistencygroup_id`).
    pub group_id: Option<Uuid>,
    /// Scheduler hints as JSON text.
    pub hints: Option<String>,
}
call!(CreateVolume => ApiTopic, "create_volume", since 1, reply Volume);

/// Change name, description or metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateVolume {
    /// Which, as the client wrote it.
    pub volume_id: String,
    /// `Some(None)` clears it.
    pub name: Option<Option<String>>,
    /// `Some(None)` clears it.
    pub description: Option<Option<String>>,
    /// Replaces all metadata.
    pub metadata: Option<BTreeMap<String, String>>,
}
call!(UpdateVolume => ApiTopic, "update_volume", since 1, reply Volume);

/// Delete a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolume {
    /// Which, as the client wrote it.
    pub volume_id: String,
    /// And all its snapshots.
    pub cascade: bool,
    /// From any state (policy `volume:force_delete` or `os-force_delete` was checked by `web`).
    pub force: bool,
}
call!(DeleteVolume => ApiTopic, "delete_volume", since 1, reply ());

/// Grow a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendVolume {
    /// Which, as the client wrote it.
    pub volume_id: String,
    /// GiB.
    pub new_size: u32,
    /// Whether an attached volume may be grown (microversion 3.42 and policy).
    pub attached_too: bool,
}
call!(ExtendVolume => ApiTopic, "extend_volume", since 1, reply ());

/// How metadata is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetadataChange {
    /// Add or overwrite these keys.
    Merge(BTreeMap<String, String>),
    /// These and no others.
    Replace(BTreeMap<String, String>),
    /// Without this key; 404 if it is not there.
    Remove(String),
}

/// Change a volume's metadata; the reply is what it is then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateVolumeMetadata {
    /// Which, as the client wrote it.
    pub volume_id: String,
    /// How.
    pub change: MetadataChange,
    /// The metadata the client has seen (`If-Match`), to be compared before the change.
    pub expected: Option<BTreeMap<String, String>>,
}
call!(UpdateVolumeMetadata => ApiTopic, "update_volume_metadata", since 1, reply BTreeMap<String, String>);

/// The small changes of one volume that touch no storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeChange {
    /// `os-reserve`
    Reserve,
    /// `os-unreserve`
    Unreserve,
    /// `os-begin_detaching`
    BeginDetaching,
    /// `os-roll_detaching`
    RollDetaching,
    /// `os-attach`
    Attach {
        /// The server.
        instance_uuid: Option<Uuid>,
        /// Or the host.
        host_name: Option<String>,
        /// Device name there.
        mountpoint: String,
        /// Mode.
        mode: AttachMode,
    },
    /// `os-detach`
    Detach {
        /// Which attachment; may be left out when there is one only.
        attachment_id: Option<AttachmentId>,
    },
    /// `os-update_readonly_flag`
    UpdateReadonlyFlag {
        /// The flag.
        readonly: bool,
    },
    /// `os-set_bootable`
    SetBootable {
        /// The flag.
        bootable: bool,
    },
    /// `os-reset_status`
    ResetStatus {
        /// New status.
        status: Option<VolumeStatus>,
        /// New attach status.
        attach_status: Option<AttachStatus>,
        /// New migration status.
        migration_status: Option<MigrationStatus>,
    },
    /// `os-set_image_metadata`; merged.
    SetImageMetadata(BTreeMap<String, String>),
    /// `os-unset_image_metadata`
    UnsetImageMetadata(String),
}

/// Change one volume in a way that touches no storage. The reply is the volume then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeVolume {
    /// Which, as the client wrote it.
    pub volume_id: String,
    /// How.
    pub change: VolumeChange,
}
call!(ChangeVolume => ApiTopic, "change_volume", since 1, reply Volume);

/// `os-initialize_connection`: export, and say how to connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitializeConnection {
    /// Which, as the client wrote it.
    pub volume_id: String,
    /// The initiator.
    pub connector: Connector,
}
call!(InitializeConnection => ApiTopic, "initialize_connection", since 1, reply ConnectionInfo);

/// `os-terminate_connection`, and the storage half of `os-force_detach`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminateConnection {
    /// Which, as the client wrote it.
    pub volume_id: String,
    /// The initiator; `None` means all.
    pub connector: Option<Connector>,
}
call!(TerminateConnection => ApiTopic, "terminate_connection", since 1, reply ());

/// Reserve a volume for a server, and connect at once if a connector is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAttachment {
    /// Which volume, as the client wrote it.
    pub volume_id: String,
    /// The server.
    pub instance_uuid: Option<Uuid>,
    /// The initiator.
    pub connector: Option<Connector>,
    /// The mode asked for (3.54).
    pub mode: Option<AttachMode>,
}
call!(CreateAttachment => ApiTopic, "create_attachment", since 1, reply Attachment);

/// Connect a reserved attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateAttachment {
    /// Which, as the client wrote it.
    pub attachment_id: String,
    /// The initiator.
    pub connector: Connector,
}
call!(UpdateAttachment => ApiTopic, "update_attachment", since 1, reply Attachment);

/// Say that the server has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteAttachment {
    /// Which, as the client wrote it.
    pub attachment_id: String,
}
call!(CompleteAttachment => ApiTopic, "complete_attachment", since 1, reply ());

/// Disconnect. The reply is the volume's other attachments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteAttachment {
    /// Which, as the client wrote it.
    pub attachment_id: String,
}
call!(DeleteAttachment => ApiTopic, "delete_attachment", since 1, reply Vec<Attachment>);

/// Make a volume type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolumeType {
    /// Name, unique.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// Open to all.
    pub is_public: bool,
    /// Extra specs.
    pub extra_specs: BTreeMap<String, String>,
}
call!(CreateVolumeType => ApiTopic, "create_volume_type", since 1, reply VolumeType);

/// Change a volume type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeTypeChange {
    /// Name, description, openness: whichever is given.
    Update {
        /// New name.
        name: Option<String>,
        /// New description; `Some(None)` clears it.
        description: Option<Option<String>>,
        /// New openness.
        is_public: Option<bool>,
    },
    /// Add or overwrite extra specs.
    SetExtraSpecs(BTreeMap<String, String>),
    /// Drop one extra spec; 404 if it is not there.
    UnsetExtraSpec(String),
    /// Open a private type to a project.
    AddProjectAccess(String),
    /// And close it.
    RemoveProjectAccess(String),
}

/// Change a volume type; the reply is the type then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateVolumeType {
    /// Which.
    pub id: VolumeTypeId,
    /// How.
    pub change: VolumeTypeChange,
}
call!(UpdateVolumeType => ApiTopic, "update_volume_type", since 1, reply VolumeType);

/// Delete a volume type that no volume uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolumeType {
    /// Which.
    pub id: VolumeTypeId,
}
call!(DeleteVolumeType => ApiTopic, "delete_volume_type", since 1, reply ());

/// Delete a user message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteMessage {
    /// Which, as the client wrote it.
    pub message_id: String,
}
call!(DeleteMessage => ApiTopic, "delete_message", since 1, reply ());

/// How a command ended, from the backend (or the scheduler) that ended it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whose command it was. A report of an earlier attempt is dropped.
    pub command: CommandId,
    /// The backend that reports; `None` is the scheduler.
    pub from: Option<BackendName>,
    /// What came of it.
    pub outcome: Outcome,
    /// The steps it took there, for those who ask where the time went.
    pub steps: Vec<crate::model::StepRecord>,
}
cast!(Report => ApiTopic, "report", since 1);

/// What came of a command. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The volume exists.
    Created {
        /// The driver's own id for it.
        provider_id: Option<String>,
    },
    /// It does not exist any more.
    Deleted,
    /// It has the new size.
    Extended,
    /// It is exported, and this is how to connect.
    Connected {
        /// What the client is told.
        connection_info: ConnectionInfo,
        /// Where it is exported.
        provider_location: String,
        /// With which secret.
        provider_auth: Option<Secret>,
    },
    /// The initiator is out.
    Disconnected {
        /// Whether the export is gone with it.
        export_removed: bool,
    },
    /// It could not be done, and whatever was begun has been taken back.
    Failed(Failure),
    /// The snapshot exists.
    SnapshotCreated {
        /// The driver's own id for it.
        provider_id: Option<String>,
    },
    /// The snapshot does not exist any more.
    SnapshotDeleted,
    /// The volume is what it was, and has the snapshot's size.
    Reverted,
    /// The volume is what was found.
    Managed {
        /// Its size in GiB.
        size: u32,
        /// The driver's own id for it.
        provider_id: Option<String>,
    },
    /// The volume is forgotten, and untouched.
    Unmanaged,
    /// The snapshot is what was found.
    SnapshotManaged {
        /// Its size in GiB.
        size: u32,
        /// The driver's own id for it.
        provider_id: Option<String>,
    },
    /// The snapshot is forgotten, and untouched.
    SnapshotUnmanaged,
}

/// Why a command could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure, for deciding what comes next.
    pub kind: FailureKind,
    /// For the volume's owner: no paths, no addresses.
    pub client: String,
    /// For the log.
    pub operator: String,
}

/// What kind of failure. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// No pool passes (from the scheduler).
    NoValidBackend,
    /// This backend cannot; another may.
    Backend,
    /// This backend has no room; another may.
    NoSpace,
    /// The request is at fault: no backend will do it.
    Request,
    /// Something uses it.
    Busy,
    /// It took longer than it may.
    TimedOut,
    /// Somebody wanted it ended; only who was sent a `CancelOperation` says so.
    Cancelled,
}

/// How far a command is that moves data: told again and again while it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which.
    pub command: CommandId,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}
cast!(Progress => ApiTopic, "progress", since 3);

/// End an operation that may take long, before it is done. What it was about is left as when it fails. Whose operation it is
/// is looked at here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOperation {
    /// Which.
    pub operation: OperationId,
}
call!(CancelOperation => ApiTopic, "cancel_operation", since 3, reply ());

/// A VolumeManager that starts asks what it has: exports to restore, space that is allocated. In pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListBackendVolumes {
    /// Who asks.
    pub backend: BackendName,
    /// The last volume of the page before.
    pub after: Option<VolumeId>,
    /// At most so many.
    pub limit: u32,
}

/// A volume in the list of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendVolume {
    /// What it is.
    pub volume: VolumeSpec,
    /// Its status.
    pub status: VolumeStatus,
    /// The initiators that have it now.
    pub connectors: Vec<Connector>,
}
call!(ListBackendVolumes => ApiTopic, "list_backend_volumes", since 1, reply Vec<BackendVolume>);

/// A backend tells that it is (re)started, and from when on: operations it had are sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStarted {
    /// Who.
    pub backend: BackendName,
    /// When.
    pub at: Timestamp,
}
cast!(BackendStarted => ApiTopic, "backend_started", since 1);

/// Keep a volume as it is now (`POST /snapshots`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSnapshot {
    /// Of which volume, as the client wrote it.
    pub volume_id: String,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Whether an attached volume will do (`force`, or microversion 3.66).
    pub in_use_too: bool,
}
call!(CreateSnapshot => ApiTopic, "create_snapshot", since 2, reply Snapshot);

/// Change a snapshot's name or description.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateSnapshot {
    /// Which, as the client wrote it.
    pub snapshot_id: String,
    /// `Some(None)` clears it.
    pub name: Option<Option<String>>,
    /// `Some(None)` clears it.
    pub description: Option<Option<String>>,
}
call!(UpdateSnapshot => ApiTopic, "update_snapshot", since 2, reply Snapshot);

/// Change a snapshot's metadata; the reply is what it is then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateSnapshotMetadata {
    /// Which, as the client wrote it.
    pub snapshot_id: String,
    /// How.
    pub change: MetadataChange,
}
call!(UpdateSnapshotMetadata => ApiTopic, "update_snapshot_metadata", since 2, reply BTreeMap<String, String>);

/// Delete a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSnapshot {
    /// Which, as the client wrote it.
    pub snapshot_id: String,
    /// From any state (`os-force_delete`; policy was checked by `web`).
    pub force: bool,
}
call!(DeleteSnapshot => ApiTopic, "delete_snapshot", since 2, reply ());

/// The small changes of one snapshot that touch no storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotChange {
    /// `os-reset_status`
    ResetStatus {
        /// New status.
        status: SnapshotStatus,
    },
    /// `os-update_snapshot_status`: what a compute service says of a snapshot that it makes or deletes.
    UpdateStatus {
        /// New status, as the client wrote it.
        status: String,
        /// How far it is: `42%`.
        progress: Option<String>,
    },
}

/// Change one snapshot in a way that touches no storage. The reply is the snapshot then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSnapshot {
    /// Which, as the client wrote it.
    pub snapshot_id: String,
    /// How.
    pub change: SnapshotChange,
}
call!(ChangeSnapshot => ApiTopic, "change_snapshot", since 2, reply Snapshot);

/// Make a volume what it was at its latest snapshot (`revert`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertToSnapshot {
    /// Which volume, as the client wrote it.
    pub volume_id: String,
    /// Which snapshot, as the client wrote it; `None` can only be refused.
    pub snapshot_id: Option<String>,
}
call!(RevertToSnapshot => ApiTopic, "revert_to_snapshot", since 2, reply ());

/// Adopt a volume that exists on a backend (`POST /manageable_volumes`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageVolume {
    /// `host@backend#pool`, as the client wrote it; without a pool, the backend's only one.
    pub host: String,
    /// What to adopt.
    pub reference: Reference,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Name or id of a type.
    pub volume_type: Option<String>,
    /// Zone.
    pub availability_zone: Option<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Whether one can boot from it.
    pub bootable: bool,
}
call!(ManageVolume => ApiTopic, "manage_volume", since 2, reply Volume);

/// Forget a volume without touching its storage (`os-unmanage`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageVolume {
    /// Which, as the client wrote it.
    pub volume_id: String,
}
call!(UnmanageVolume => ApiTopic, "unmanage_volume", since 2, reply ());

/// Adopt a snapshot that exists on a volume's backend (`POST /manageable_snapshots`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageSnapshot {
    /// Of which volume, as the client wrote it.
    pub volume_id: String,
    /// What to adopt.
    pub reference: Reference,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
}
call!(ManageSnapshot => ApiTopic, "manage_snapshot", since 2, reply Snapshot);

/// Forget a snapshot without touching its storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageSnapshot {
    /// Which, as the client wrote it.
    pub snapshot_id: String,
}
call!(UnmanageSnapshot => ApiTopic, "unmanage_snapshot", since 2, reply ());

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
