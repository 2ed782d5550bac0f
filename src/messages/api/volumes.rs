//! What clients want changed of volumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ApiTopic;
use crate::messages::call;
use crate::model::{AttachMode, AttachStatus, AttachmentId, MigrationStatus, Volume, VolumeStatus};

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
