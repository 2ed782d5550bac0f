//! To a **VolumeManager** (`volume@host/backend`): commands that change storage.
//!
//! A command carries all that it needs, for the manager has no catalog; and the id and attempt of its operation, so that
//! having done it already, the manager answers the same report again. The outcome of each comes as a
//! [`super::api::Report`]; no command is answered directly, so that a lost reply is a lost report and nothing else.

use serde::{Deserialize, Serialize};

use super::{cast, topic};
use crate::model::{AttachMode, AttachmentId, Connector, OperationId, VolumeSpec};

topic!(
    /// A VolumeManager.
    VolumeTopic = "volume", versions 1..=1
);

/// Which operation a command belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommandId {
    /// The operation.
    pub operation: OperationId,
    /// Its attempt. A manager never goes back to an earlier one.
    pub attempt: u32,
}

/// Make the volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolume {
    /// Whose command this is.
    pub command: CommandId,
    /// What to make.
    pub volume: VolumeSpec,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(CreateVolume => VolumeTopic, "create_volume", since 1);

/// Take away its export and its storage. What is not there counts as done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolume {
    /// Whose command this is.
    pub command: CommandId,
    /// What to delete.
    pub volume: VolumeSpec,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(DeleteVolume => VolumeTopic, "delete_volume", since 1);

/// Grow it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendVolume {
    /// Whose command this is.
    pub command: CommandId,
    /// The volume, with its size before.
    pub volume: VolumeSpec,
    /// The size it shall have, in GiB.
    pub new_size: u32,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(ExtendVolume => VolumeTopic, "extend_volume", since 1);

/// Export it (once for all attachments) and let this initiator in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitializeConnection {
    /// Whose command this is.
    pub command: CommandId,
    /// The volume.
    pub volume: VolumeSpec,
    /// The attachment, unless the old actions are used.
    pub attachment: Option<AttachmentId>,
    /// The initiator.
    pub connector: Connector,
    /// Read-write or read-only.
    pub mode: AttachMode,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(InitializeConnection => VolumeTopic, "initialize_connection", since 1);

/// Let this initiator in no longer, and take the export away unless others remain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminateConnection {
    /// Whose command this is.
    pub command: CommandId,
    /// The volume.
    pub volume: VolumeSpec,
    /// The initiator; `None` means all of them.
    pub connector: Option<Connector>,
    /// Whether another attachment of this initiator's host stays, so that it must keep its access.
    pub connector_stays: bool,
    /// Whether any attachment stays, so that the export must stay.
    pub export_stays: bool,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(TerminateConnection => VolumeTopic, "terminate_connection", since 1);
