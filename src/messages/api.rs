//! To the **Api** actor: what clients want changed, and what backends report.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

use super::volume::CommandId;
use super::{call, cast, topic};
use crate::model::volume::Secret;
use crate::model::{
    AttachMode, AttachStatus, Attachment, AttachmentId, BackendName, ConnectionInfo, Connector,
    MigrationStatus, Timestamp, Volume, VolumeId, VolumeSpec, VolumeStatus, VolumeType, VolumeTypeId,
};

topic!(
    /// The Api actor.
    ApiTopic = "api", versions 1..=1
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
}

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
