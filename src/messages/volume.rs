//! To a **VolumeManager** (`volume@host/backend`): commands that change storage.
//!
//! A command carries all that it needs, for the manager has no catalog; and the id and attempt of its operation, so that
//! having done it already, the manager answers the same report again. The outcome of each comes as a
//! [`super::api::Report`]; no command is answered directly, so that a lost reply is a lost report and nothing else.

use serde::{Deserialize, Serialize};

use super::{call, cast, topic};
use crate::model::{
    AttachMode, AttachmentId, Connector, Existing, OperationId, Reference, SnapshotId, VolumeSpec,
};

topic!(
    /// A VolumeManager.
    VolumeTopic = "volume", versions 1..=4
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

/// Take away a volume with these snapshots of it. What is not there counts as done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolumeCascade {
    /// Whose command this is.
    pub command: CommandId,
    /// What to delete.
    pub volume: VolumeSpec,
    /// Its snapshots, which go first.
    pub snapshots: Vec<SnapshotId>,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(DeleteVolumeCascade => VolumeTopic, "delete_volume_cascade", since 2);

/// Keep the volume as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSnapshot {
    /// Whose command this is.
    pub command: CommandId,
    /// The volume, whose pool the snapshot is on.
    pub volume: VolumeSpec,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(CreateSnapshot => VolumeTopic, "create_snapshot", since 2);

/// Take a snapshot away. What is not there counts as done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSnapshot {
    /// Whose command this is.
    pub command: CommandId,
    /// The volume, whose pool the snapshot is on.
    pub volume: VolumeSpec,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(DeleteSnapshot => VolumeTopic, "delete_snapshot", since 2);

/// Make the volume what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertToSnapshot {
    /// Whose command this is.
    pub command: CommandId,
    /// The volume, whose pool the snapshot is on.
    pub volume: VolumeSpec,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// The size that the volume shall have again, in GiB.
    pub size: u32,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(RevertToSnapshot => VolumeTopic, "revert_to_snapshot", since 2);

/// Forget a snapshot without touching it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageSnapshot {
    /// Whose command this is.
    pub command: CommandId,
    /// The volume, whose pool the snapshot is on.
    pub volume: VolumeSpec,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(UnmanageSnapshot => VolumeTopic, "unmanage_snapshot", since 2);

/// Take something that exists on the backend for this volume, whose size is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageVolume {
    /// Whose command this is.
    pub command: CommandId,
    /// The volume to be.
    pub volume: VolumeSpec,
    /// What to take.
    pub reference: Reference,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(ManageVolume => VolumeTopic, "manage_volume", since 2);

/// Forget a volume without touching it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageVolume {
    /// Whose command this is.
    pub command: CommandId,
    /// What to forget.
    pub volume: VolumeSpec,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(UnmanageVolume => VolumeTopic, "unmanage_volume", since 2);

/// Take something that exists on the backend for a snapshot of this volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageSnapshot {
    /// Whose command this is.
    pub command: CommandId,
    /// The volume that it is a snapshot of.
    pub volume: VolumeSpec,
    /// The snapshot to be.
    pub snapshot_id: SnapshotId,
    /// What to take.
    pub reference: Reference,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(ManageSnapshot => VolumeTopic, "manage_snapshot", since 2);

/// End a command that is in work; its report says what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOperation {
    /// Which.
    pub command: CommandId,
}
cast!(CancelOperation => VolumeTopic, "cancel_operation", since 3);

/// What lies on the backend, ours or not, by name, in pages: each must fit a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListExisting {
    /// The last name of the page before.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}
call!(ListExisting => VolumeTopic, "list_existing", since 2, reply Vec<Existing>);

/// The same, with an answer that says whether there is more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListExistingPage {
    /// What the page before had as its `next`.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Part of what lies on a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingPage {
    /// What lies there, by name.
    pub existing: Vec<Existing>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<String>,
}
call!(ListExistingPage => VolumeTopic, "list_existing_page", since 4, reply ExistingPage);
