//! Reports of backends about commands and about themselves.

use serde::{Deserialize, Serialize};

use super::ApiTopic;
use crate::messages::volume::CommandId;
use crate::messages::{call, cast};
use crate::model::volume::Secret;
use crate::model::{
    BackendName, ConnectionInfo, Connector, OperationId, PoolName, Timestamp, VolumeId, VolumeSpec,
    VolumeStatus,
};

/// The result of a command, from the backend (or the scheduler).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The command. A report of an earlier attempt is dropped.
    pub command: CommandId,
    /// The backend that reports; `None` is the scheduler.
    pub from: Option<BackendName>,
    /// The outcome.
    pub outcome: Outcome,
    /// The steps with their times, for inspection.
    pub steps: Vec<crate::model::StepRecord>,
}
cast!(Report => ApiTopic, "report", since 1);

/// The outcome of a command. Variants are only appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The volume exists.
    Created {
        /// The driver's id for it.
        provider_id: Option<String>,
    },
    /// It does not exist any more.
    Deleted,
    /// It has the new size.
    Extended,
    /// It is exported, with these connection data.
    Connected {
        /// The connection data for the client.
        connection_info: ConnectionInfo,
        /// The location of the export.
        provider_location: String,
        /// The credentials of the export.
        provider_auth: Option<Secret>,
    },
    /// The initiator is disconnected.
    Disconnected {
        /// Whether the export was removed, too.
        export_removed: bool,
    },
    /// It failed, and everything that was begun has been reverted.
    Failed(Failure),
    /// The snapshot exists.
    SnapshotCreated {
        /// The driver's id for it.
        provider_id: Option<String>,
    },
    /// The snapshot does not exist any more.
    SnapshotDeleted,
    /// The volume has the snapshot's content and size.
    Reverted,
    /// The volume was adopted.
    Managed {
        /// Its size in GiB.
        size: u32,
        /// The driver's id for it.
        provider_id: Option<String>,
    },
    /// The volume is unmanaged, and its storage unchanged.
    Unmanaged,
    /// The snapshot was adopted.
    SnapshotManaged {
        /// Its size in GiB.
        size: u32,
        /// The driver's id for it.
        provider_id: Option<String>,
    },
    /// The snapshot is unmanaged, and its storage unchanged.
    SnapshotUnmanaged,
    /// The backend that copies the volume may read it.
    CopySourceOpened,
    /// The copy has all of the source's content, and it is durable.
    Copied {
        /// The number of bytes.
        bytes: u64,
    },
    /// A pool was chosen, and its capacity reserved.
    Placed {
        /// The pool.
        pool: PoolName,
    },
    /// The volume has the new type now, or cannot have it on this backend.
    Retyped {
        /// Whether it has the new type.
        in_place: bool,
    },
}

/// The failure of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind, which determines the next stage.
    pub kind: FailureKind,
    /// The text for the volume's owner, without paths and addresses.
    pub client: String,
    /// The text for the log.
    pub operator: String,
}

impl Failure {
    /// A failure with a text for the owner and one for the log.
    pub fn new(kind: FailureKind, client: impl Into<String>, operator: impl Into<String>) -> Self {
        Self {
            kind,
            client: client.into(),
            operator: operator.into(),
        }
    }
}

/// The kind of a failure. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// No pool is suitable (from the scheduler).
    NoValidBackend,
    /// This backend cannot; another may.
    Backend,
    /// This backend has not enough space; another may.
    NoSpace,
    /// The request is invalid: it fails on every backend.
    Request,
    /// The resource is in use.
    Busy,
    /// It exceeded its time limit.
    TimedOut,
    /// It was cancelled by a `CancelOperation`.
    Cancelled,
}

/// The progress of a command that moves data, sent repeatedly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The command.
    pub command: CommandId,
    /// Completed bytes.
    pub done: u64,
    /// Total bytes.
    pub total: u64,
}
cast!(Progress => ApiTopic, "progress", since 3);

/// How much of a copy of a volume is durable: a repeated command may continue there. Sent every few seconds; a lost message
/// costs a restarted copy a few seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProgress {
    /// The command of the copy.
    pub command: CommandId,
    /// The backend of the copy.
    pub from: BackendName,
    /// All bytes before this one are durable.
    pub offset: u64,
}
cast!(CopyProgress => ApiTopic, "copy_progress", since 5);

/// Cancel an operation. Its subject is left as after a failure. The receiver checks the owner of the operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOperation {
    /// The operation.
    pub operation: OperationId,
}
call!(CancelOperation => ApiTopic, "cancel_operation", since 3, reply ());

/// Sent by a starting VolumeManager for its volumes: exports to restore, and allocated space. In pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListBackendVolumes {
    /// The backend.
    pub backend: BackendName,
    /// The last volume of the previous page.
    pub after: Option<VolumeId>,
    /// The most volumes of the page.
    pub limit: u32,
}

/// A volume in the list of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendVolume {
    /// The volume.
    pub volume: VolumeSpec,
    /// Its status.
    pub status: VolumeStatus,
    /// The connected initiators.
    pub connectors: Vec<Connector>,
}
call!(ListBackendVolumes => ApiTopic, "list_backend_volumes", since 1, reply Vec<BackendVolume>);

/// The same, with an answer that says whether there is more: a page may be short because volumes were deleted while it
/// was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListBackendVolumesPage {
    /// The backend.
    pub backend: BackendName,
    /// The `next` of the previous page.
    pub after: Option<VolumeId>,
    /// The most volumes of the page.
    pub limit: u32,
}

/// A page of a backend's volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendVolumesPage {
    /// Volumes, by id.
    pub volumes: Vec<BackendVolume>,
    /// The start of the next page; `None` for the last page.
    pub next: Option<VolumeId>,
}
call!(ListBackendVolumesPage => ApiTopic, "list_backend_volumes_page", since 4, reply BackendVolumesPage);

/// Sent by a backend that was (re)started: its operations are sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStarted {
    /// The backend.
    pub backend: BackendName,
    /// When it started.
    pub at: Timestamp,
}
cast!(BackendStarted => ApiTopic, "backend_started", since 1);
