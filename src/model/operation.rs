//! Operations: what the journal remembers of a change that is under way.
//!
//! An operation is written in the same commit as the change it belongs to, and removed in the commit that ends it. So
//! long as it stands, some live actor owns it and will end it: that is what keeps a volume from being stuck.

use serde::{Deserialize, Serialize};

use super::quota::Deltas;
use super::spec::VolumeSource;
use super::volume::VolumeStatus;
use super::{
    AttachMode, AttachmentId, Connector, OperationId, PoolName, ProjectId, Reference, SnapshotId, Timestamp,
    UserId, VolumeId,
};

/// What is to be done, with all that a restart needs to go on. Variants are only ever appended: they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationKind {
    /// Make a volume: schedule it, then have a backend make it.
    CreateVolume {
        /// Hints of the request, as JSON text (`OS-SCH-HNT:scheduler_hints`).
        hints: Option<String>,
    },
    /// Take a volume's storage away, then its record.
    DeleteVolume {
        /// Delete what depends on it, too.
        cascade: bool,
        /// From whatever state.
        force: bool,
    },
    /// Grow a volume to `new_size` GiB.
    ExtendVolume {
        /// The size it shall have, in GiB.
        new_size: u32,
    },
    /// Export a volume for an initiator.
    UpdateAttachment {
        /// The attachment.
        attachment_id: AttachmentId,
        /// The initiator.
        connector: Connector,
        /// Read-write or read-only.
        mode: AttachMode,
    },
    /// Take an initiator's access away, and the export with the last one.
    DeleteAttachment {
        /// The attachment.
        attachment_id: AttachmentId,
    },
    /// The old way of exporting: `os-initialize_connection`.
    InitializeConnection {
        /// The initiator.
        connector: Connector,
    },
    /// The old way of ending it: `os-terminate_connection`.
    TerminateConnection {
        /// The initiator; `None` means all of them.
        connector: Option<Connector>,
    },
    /// Make a volume with the content of something that exists. What it is made from stays until it is made: what would
    /// change or delete it waits for this operation's end.
    CreateVolumeFrom {
        /// Hints of the request, as JSON text.
        hints: Option<String>,
        /// What it is made from.
        source: VolumeSource,
    },
    /// Keep a volume as it is.
    CreateSnapshot {
        /// The snapshot.
        snapshot_id: SnapshotId,
    },
    /// Take a snapshot's storage away, then its record.
    DeleteSnapshot {
        /// The snapshot.
        snapshot_id: SnapshotId,
    },
    /// Make a volume what it was.
    RevertToSnapshot {
        /// The snapshot.
        snapshot_id: SnapshotId,
        /// The size it shall have again, in GiB.
        size: u32,
    },
    /// Adopt what exists on a backend as a volume.
    ManageVolume {
        /// What to adopt.
        reference: Reference,
    },
    /// Forget a volume without touching its storage.
    UnmanageVolume,
    /// Adopt what exists on a backend as a snapshot.
    ManageSnapshot {
        /// The snapshot to be.
        snapshot_id: SnapshotId,
        /// What to adopt.
        reference: Reference,
    },
    /// Forget a snapshot without touching its storage.
    UnmanageSnapshot {
        /// The snapshot.
        snapshot_id: SnapshotId,
    },
}

impl OperationKind {
    /// Whether it may take so long that its owner may want to end it: what may move data. Anything else ends sooner than a
    /// request to end it would be written down.
    #[must_use]
    pub fn may_be_cancelled(&self) -> bool {
        matches!(
            self,
            Self::CreateVolume { .. }
                | Self::CreateVolumeFrom { .. }
                | Self::DeleteVolume { .. }
                | Self::RevertToSnapshot { .. }
        )
    }

    /// The verb, as it is named in every room.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateVolume { .. } => "create_volume",
            Self::DeleteVolume { .. } => "delete_volume",
            Self::ExtendVolume { .. } => "extend_volume",
            Self::UpdateAttachment { .. } => "update_attachment",
            Self::DeleteAttachment { .. } => "delete_attachment",
            Self::InitializeConnection { .. } => "initialize_connection",
            Self::TerminateConnection { .. } => "terminate_connection",
            Self::CreateVolumeFrom { .. } => "create_volume",
            Self::CreateSnapshot { .. } => "create_snapshot",
            Self::DeleteSnapshot { .. } => "delete_snapshot",
            Self::RevertToSnapshot { .. } => "revert_to_snapshot",
            Self::ManageVolume { .. } => "manage_volume",
            Self::UnmanageVolume => "unmanage_volume",
            Self::ManageSnapshot { .. } => "manage_snapshot",
            Self::UnmanageSnapshot { .. } => "unmanage_snapshot",
        }
    }

    /// Whether it makes a volume that the scheduler finds a pool for.
    #[must_use]
    pub fn creates_volume(&self) -> bool {
        matches!(self, Self::CreateVolume { .. } | Self::CreateVolumeFrom { .. })
    }

    /// Hints for the scheduler, as JSON text.
    #[must_use]
    pub fn hints(&self) -> Option<&String> {
        match self {
            Self::CreateVolume { hints } | Self::CreateVolumeFrom { hints, .. } => hints.as_ref(),
            _ => None,
        }
    }

    /// What the content of a volume that it makes comes from.
    #[must_use]
    pub fn source(&self) -> VolumeSource {
        match self {
            Self::CreateVolumeFrom { source, .. } => source.clone(),
            _ => VolumeSource::Raw,
        }
    }

    /// The snapshot that it is about.
    #[must_use]
    pub fn snapshot_id(&self) -> Option<SnapshotId> {
        match self {
            Self::CreateSnapshot { snapshot_id }
            | Self::DeleteSnapshot { snapshot_id }
            | Self::RevertToSnapshot { snapshot_id, .. }
            | Self::ManageSnapshot { snapshot_id, .. }
            | Self::UnmanageSnapshot { snapshot_id } => Some(*snapshot_id),
            _ => None,
        }
    }
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepOutcome {
    /// It is under way.
    Running,
    /// It is done.
    Done,
    /// It surely did not happen, and why.
    Failed(String),
    /// It was taken back.
    Reverted,
}

/// One step of an operation, with its times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's name.
    pub name: String,
    /// The attempt it belonged to, from 1.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: StepOutcome,
}

/// A journal entry (stored form of version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id; commands and reports carry it.
    pub id: OperationId,
    /// What is to be done.
    pub kind: OperationKind,
    /// The volume it is about.
    pub volume_id: VolumeId,
    /// The volume's project.
    pub project_id: ProjectId,
    /// Who asked.
    pub user_id: UserId,
    /// The request it came from; every log line of it carries this.
    pub request_id: String,
    /// Which try this is, from 1. A report of an earlier one is dropped.
    pub attempt: u32,
    /// The pool that was told to do it in this attempt; `None` while none is chosen.
    pub pool: Option<PoolName>,
    /// Pools that failed and shall not be asked again, and why.
    pub tried: Vec<(PoolName, String)>,
    /// The volume's status to go back to if it fails harmlessly.
    pub previous_status: Option<VolumeStatus>,
    /// What it holds of the quota until it ends (counted as `reserved`).
    pub reserved: Deltas,
    /// What was done so far.
    pub steps: Vec<StepRecord>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it is given up and ended with an error.
    pub deadline: Timestamp,
}

impl Operation {
    /// The name of the step that says that it was cancelled.
    const CANCEL: &str = "cancel";

    /// Whether somebody wants it ended.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.steps.iter().any(Self::says_cancelled)
    }

    /// Whether it is the step that says that somebody wants the operation ended.
    #[must_use]
    pub fn says_cancelled(step: &StepRecord) -> bool {
        step.name == Self::CANCEL
    }

    /// The same, cancelled: its journal entry says so, and it is given up `grace` from now at the latest.
    #[must_use]
    pub fn cancelled(&self, now: Timestamp, grace: std::time::Duration) -> Self {
        let mut cancelled = self.clone();
        cancelled.deadline = self.deadline.min(now.plus(grace));
        cancelled.steps.push(StepRecord {
            name: Self::CANCEL.to_owned(),
            attempt: self.attempt,
            started_at: now,
            finished_at: Some(now),
            outcome: StepOutcome::Done,
        });
        cancelled
    }
}
