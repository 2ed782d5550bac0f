//! What clients want changed of snapshots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ApiTopic, MetadataChange};
use crate::messages::call;
use crate::model::{Snapshot, SnapshotStatus};

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
