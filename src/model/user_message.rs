//! User messages: why an accepted request failed later, for its user (`GET /messages`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MessageId, ProjectId, Timestamp};

/// How long a message is stored (cinder: `message_ttl`).
pub const MESSAGE_TTL: std::time::Duration = std::time::Duration::from_secs(2_592_000);

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of their numbers in the store.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Cinder's number for it, as part of an event id.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Cinder's text for it.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

coded!(
    /// The action that failed (cinder: `message/message_field.py`, `Action`). Only appended to, since it is stored.
    #[expect(missing_docs, reason = "see the text of each")]
    Action {
        ScheduleAllocateVolume = "001", "schedule allocate volume";
        AttachVolume = "002", "attach volume";
        UpdateAttachment = "004", "update attachment";
        ExtendVolume = "007", "extend volume";
        CreateVolumeFromBackend = "008", "create volume from backend storage";
        // Cinder has no action for it: a failed delete creates no message there.
        DeleteVolume = "101", "delete volume";
        DetachVolume = "102", "detach volume";
        SnapshotCreate = "009", "create snapshot";
        SnapshotDelete = "010", "delete snapshot";
        UnmanageVolume = "006", "unmanage volume";
        // Not in Cinder, which creates no messages for these.
        ManageVolume = "103", "manage volume";
        RevertToSnapshot = "104", "revert volume to snapshot";
        ManageSnapshot = "105", "manage snapshot";
        UnmanageSnapshot = "106", "unmanage snapshot";
        CheckStorage = "107", "check storage";
        MigrateVolume = "108", "migrate volume";
        RetypeVolume = "109", "retype volume";
    }
);

coded!(
    /// The failure (cinder: `message/message_field.py`, `Detail`). Only appended to, since it is stored.
    #[expect(missing_docs, reason = "see the text of each")]
    Detail {
        UnknownError = "001", "An unknown error occurred.";
        DriverNotInitialized = "002", "Driver is not initialized at present.";
        NoBackendAvailable = "003", "Could not find any available weighted backend.";
        DriverFailedExtend = "010", "Volume Driver failed to extend volume.";
        DriverFailedCreate = "012", "Driver failed to create the volume.";
        DriverFailedDelete = "101", "Driver failed to delete the volume.";
        DriverFailedExport = "102", "Driver failed to export the volume.";
        HostUnreachable = "103", "The host of the volume did not answer in time.";
        SnapshotCreateError = "013", "Snapshot failed to create.";
        SnapshotIsBusy = "015", "Snapshot is busy.";
        SnapshotDeleteError = "016", "Snapshot failed to delete.";
        DriverFailedRevert = "104", "Driver failed to revert the volume.";
        DriverFailedManage = "105", "Driver failed to manage the storage object.";
        StorageMissing = "106", "The storage of the volume is not on its backend.";
        DriverFailedMigrate = "107", "Failed to move the volume to another backend.";
        NeedsComputeService = "108", "An attached volume can only be moved by a compute service, and none is known.";
        TypeNeedsMigration = "109", "The volume would have to move to another backend to be of that type.";
    }
);

/// A user message, as stored in the catalog (version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserMessage {
    /// Its id.
    pub id: MessageId,
    /// The project.
    pub project_id: ProjectId,
    /// The request that failed.
    pub request_id: String,
    /// `VOLUME`, `VOLUME_SNAPSHOT`, …
    pub resource_type: String,
    /// The resource.
    pub resource_uuid: Option<Uuid>,
    /// The action that failed.
    pub action: Action,
    /// The failure.
    pub detail: Detail,
    /// The backend's text of the cause, suitable for the tenant; appended to the standard text.
    pub cause: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it is deleted.
    pub expires_at: Timestamp,
}

impl UserMessage {
    /// The level of all messages: Cinder has no other.
    pub const LEVEL: &str = "ERROR";

    /// `VOLUME_VOLUME_001_003`: the kind of resource, the action, and the failure.
    pub fn event_id(&self) -> String {
        format!(
            "VOLUME_{}_{}_{}",
            self.resource_type,
            self.action.code(),
            self.detail.code()
        )
    }
}
