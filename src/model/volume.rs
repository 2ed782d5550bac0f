//! The volume record and its states.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    BackendName, OperationId, PoolName, ProjectId, ServiceId, SnapshotId, StorageName, Timestamp, UserId,
    VolumeId, VolumeTypeId,
};

macro_rules! status_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
            strum::Display, strum::EnumString, strum::IntoStaticStr,
        )]
        #[strum(parse_err_ty = $crate::model::volume::UnknownWord, parse_err_fn = $crate::model::volume::UnknownWord::of)]
        pub enum $name { $($(#[$vdoc])* #[strum(serialize = $text)] $variant,)+ }

        impl $name {
            /// Every value, in Cinder's order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its text in the API.
            pub fn as_str(self) -> &'static str {
                self.into()
            }
        }
    };
}
pub(crate) use status_enum;

/// An unknown status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a known status")]
pub struct UnknownWord(pub String);

impl UnknownWord {
    pub(super) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

status_enum!(
    /// The status of a volume (cinder: `objects/fields.py`, `VolumeStatus`). Only appended to, since it is stored.
    #[expect(missing_docs, reason = "the names are Cinder's")]
    VolumeStatus {
        Creating = "creating",
        Available = "available",
        Deleting = "deleting",
        Error = "error",
        ErrorDeleting = "error_deleting",
        ErrorManaging = "error_managing",
        Managing = "managing",
        Attaching = "attaching",
        InUse = "in-use",
        Detaching = "detaching",
        Maintenance = "maintenance",
        RestoringBackup = "restoring-backup",
        ErrorRestoring = "error_restoring",
        Reserved = "reserved",
        AwaitingTransfer = "awaiting-transfer",
        BackingUp = "backing-up",
        ErrorBackingUp = "error_backing-up",
        ErrorExtending = "error_extending",
        Downloading = "downloading",
        Uploading = "uploading",
        Retyping = "retyping",
        Extending = "extending",
        Reverting = "reverting",
        Unmanaging = "unmanaging",
        ErrorManagingDeleting = "error_managing_deleting",
        ErrorUnmanaging = "error_unmanaging",
    }
);

impl VolumeStatus {
    /// Its text for clients: three states of managing are shown as others (cinder: `objects/volume.py`).
    pub fn shown(self) -> &'static str {
        match self {
            Self::Managing => Self::Creating.as_str(),
            Self::ErrorManaging => Self::Error.as_str(),
            Self::ErrorManagingDeleting => Self::Deleting.as_str(),
            other => other.as_str(),
        }
    }

    /// True for a status that an operation must end; false if no operation is in progress, or the volume waits
    /// for its client (`reserved`, `attaching`, `detaching`, `awaiting-transfer`, `maintenance`).
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Creating
                | Self::Deleting
                | Self::Managing
                | Self::RestoringBackup
                | Self::BackingUp
                | Self::Downloading
                | Self::Uploading
                | Self::Retyping
                | Self::Extending
                | Self::Reverting
                | Self::Unmanaging
                | Self::ErrorManagingDeleting
        )
    }

    /// False for the states in which the storage of a volume may not exist yet, or not any more.
    pub fn claims_storage(self) -> bool {
        !self.is_transient() && !matches!(self, Self::Error | Self::ErrorDeleting | Self::ErrorManaging)
    }

    /// True for the error states.
    pub fn is_error(self) -> bool {
        self.as_str().starts_with("error")
    }
}

status_enum!(
    /// Whether anything is attached (cinder: `VolumeAttachStatus`).
    #[expect(missing_docs, reason = "the names are Cinder's")]
    AttachStatus {
        Attached = "attached",
        Attaching = "attaching",
        Detached = "detached",
        Reserved = "reserved",
        ErrorAttaching = "error_attaching",
        ErrorDetaching = "error_detaching",
        Deleted = "deleted",
    }
);

status_enum!(
    /// The status of a migration (cinder: `db` column `migration_status`).
    #[expect(missing_docs, reason = "the names are Cinder's")]
    MigrationStatus {
        Migrating = "migrating",
        Error = "error",
        Success = "success",
        Completing = "completing",
        None = "none",
        Starting = "starting",
    }
);

/// A volume, as stored in the catalog.
///
/// This struct is also the stored form of version 1 (`store::record`): a change to its fields is a new version there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// The project that it counts for.
    pub project_id: ProjectId,
    /// The user that created it.
    pub user_id: UserId,
    /// The name its owner gave it.
    pub name: Option<String>,
    /// The owner's description.
    pub description: Option<String>,
    /// The size in GiB.
    pub size: u32,
    /// Its status.
    pub status: VolumeStatus,
    /// The status to restore when the running operation ends (`extending`, `backing-up`, …).
    pub previous_status: Option<VolumeStatus>,
    /// Whether anything is attached.
    pub attach_status: AttachStatus,
    /// The status of its migration, if there was one.
    pub migration_status: Option<MigrationStatus>,
    /// Its type; `None` only for volumes adopted from a Cinder that had none.
    pub volume_type_id: Option<VolumeTypeId>,
    /// Its availability zone.
    pub availability_zone: String,
    /// Its pool, once the scheduler has chosen one.
    pub host: Option<PoolName>,
    /// Whether its storage may exist: true once a backend received the command to create it.
    pub placed: bool,
    /// The owner's metadata.
    pub metadata: BTreeMap<String, String>,
    /// `readonly` and `attached_mode`, written by the service only.
    pub admin_metadata: BTreeMap<String, String>,
    /// Properties of the image that it was created from.
    pub image_metadata: BTreeMap<String, String>,
    /// The snapshot that it was created from.
    pub snapshot_id: Option<SnapshotId>,
    /// The volume that it was cloned from.
    pub source_volid: Option<VolumeId>,
    /// Its group.
    pub group_id: Option<Uuid>,
    /// Whether it is bootable.
    pub bootable: bool,
    /// Whether several attachments may exist at once.
    pub multiattach: bool,
    /// The key of an encrypted volume.
    pub encryption_key_id: Option<Uuid>,
    /// The replication status, with Cinder's text.
    pub replication_status: Option<String>,
    /// False for hidden volumes (migration copies, image cache).
    pub consumes_quota: bool,
    /// The location of its export: `ip:port,tid iqn lun` (cinder: `provider_location`).
    pub provider_location: Option<String>,
    /// The credentials of initiators: `CHAP user password`. Secret: never logged, and only shown in `connection_info`.
    pub provider_auth: Option<Secret>,
    /// The driver's id for it, if it has one.
    pub provider_id: Option<String>,
    /// The service of its backend.
    pub service_uuid: Option<ServiceId>,
    /// Whether its target is shared with other volumes.
    pub shared_targets: Option<bool>,
    /// The operation that will end the current transient status.
    pub operation: Option<OperationId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
    /// When the scheduler last placed it.
    pub scheduled_at: Option<Timestamp>,
    /// When it became available for the first time.
    pub launched_at: Option<Timestamp>,
}

impl Volume {
    /// Whether it is on a pool of this backend.
    pub fn is_on(&self, backend: &BackendName) -> bool {
        self.host.as_ref().is_some_and(|pool| pool.backend == *backend)
    }

    /// A volume with this project, size, status and zone, and defaults for everything else.
    pub fn new(
        project_id: ProjectId,
        user_id: UserId,
        size: u32,
        status: VolumeStatus,
        availability_zone: String,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id: VolumeId::new(),
            project_id,
            user_id,
            name: None,
            description: None,
            size,
            status,
            previous_status: None,
            attach_status: AttachStatus::Detached,
            migration_status: None,
            volume_type_id: None,
            availability_zone,
            host: None,
            placed: false,
            metadata: BTreeMap::new(),
            admin_metadata: BTreeMap::new(),
            image_metadata: BTreeMap::new(),
            snapshot_id: None,
            source_volid: None,
            group_id: None,
            bootable: false,
            multiattach: false,
            encryption_key_id: None,
            replication_status: None,
            consumes_quota: true,
            provider_location: None,
            provider_auth: None,
            provider_id: None,
            service_uuid: None,
            // Cinder's default until a backend has created it (cinder: `db` default).
            shared_targets: Some(true),
            operation: None,
            created_at,
            updated_at: None,
            scheduled_at: None,
            launched_at: None,
        }
    }

    /// Its storage name: `volume-<id>`, with its own id or that of the copy that replaced its storage.
    pub fn storage_name(&self) -> String {
        StorageName::Volume(self.storage_id()).to_string()
    }
}

/// Secret text: it prints as stars.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the code that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
