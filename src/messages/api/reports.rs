//! What backends tell of commands and of themselves.

use serde::{Deserialize, Serialize};

use super::ApiTopic;
use crate::messages::volume::CommandId;
use crate::messages::{call, cast};
use crate::model::volume::Secret;
use crate::model::{
    BackendName, ConnectionInfo, Connector, OperationId, PoolName, Timestamp, VolumeId, VolumeSpec,
    VolumeStatus,
};

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
    /// The backend that copies the volume may read it.
    CopySourceOpened,
    /// The copy has all of the source's content, and it is durable.
    Copied {
        /// How many bytes.
        bytes: u64,
    },
    /// A pool was found, and its room is promised.
    Placed {
        /// Which.
        pool: PoolName,
    },
    /// The volume is of the other type now, or cannot be where it is.
    Retyped {
        /// Whether it is.
        in_place: bool,
    },
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

/// How much of a copy of a volume is durable: a command that is sent again may begin there. Sent every few seconds; one that is
/// lost costs a restarted copy a few seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProgress {
    /// Which command copies it.
    pub command: CommandId,
    /// The backend that the copy is on.
    pub from: BackendName,
    /// All bytes before this one are durable.
    pub offset: u64,
}
cast!(CopyProgress => ApiTopic, "copy_progress", since 5);

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

/// The same, with an answer that says whether there is more: a page may be short because volumes went while it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListBackendVolumesPage {
    /// Who asks.
    pub backend: BackendName,
    /// What the page before had as its `next`.
    pub after: Option<VolumeId>,
    /// At most so many.
    pub limit: u32,
}

/// Part of what a backend has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendVolumesPage {
    /// Volumes, by id.
    pub volumes: Vec<BackendVolume>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<VolumeId>,
}
call!(ListBackendVolumesPage => ApiTopic, "list_backend_volumes_page", since 4, reply BackendVolumesPage);

/// A backend tells that it is (re)started, and from when on: operations it had are sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStarted {
    /// Who.
    pub backend: BackendName,
    /// When.
    pub at: Timestamp,
}
cast!(BackendStarted => ApiTopic, "backend_started", since 1);
