//! Operations: what the journal remembers of a change that is under way.
//!
//! An operation is written in the same commit as the change it belongs to, and removed in the commit that ends it. So
//! long as it stands, some live actor owns it and will end it: that is what keeps a volume from being stuck.
//!
//! What a verb alone knows of its operations lies in [`Operation::entry`], which nobody but the verb reads
//! ([`crate::verbs`]): a new verb changes nothing here.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::quota::Deltas;
use super::volume::VolumeStatus;
use super::{AttachmentId, OperationId, PoolName, ProjectId, SnapshotId, Timestamp, UserId, VolumeId};

/// What an operation is about. It may be gone before its operation has ended. Variants are only ever appended: they are
/// stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A volume, whose status belongs to the operation while it is open. `Volume::operation` names the operation; when it names
    /// another one, the operation is superseded.
    Volume(VolumeId),
    /// A snapshot, by the same rule.
    Snapshot(SnapshotId),
    /// An attachment.
    Attachment(AttachmentId),
    /// A volume's export, whatever else is done to the volume meanwhile.
    Export(VolumeId),
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

/// A journal entry (stored form of version 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id; commands and reports carry it.
    pub id: OperationId,
    /// The verb, by the name of its file in [`crate::verbs`].
    pub verb: String,
    /// What the verb keeps of it, with the stage that it is at: bincode, by [`crate::verbs`] alone.
    pub entry: Vec<u8>,
    /// What it is about.
    pub subject: Subject,
    /// The volume that it changes or that its subject belongs to.
    pub volume_id: Option<VolumeId>,
    /// The snapshot that it changes.
    pub snapshot_id: Option<SnapshotId>,
    /// The volume or snapshot that it copies: what would change or delete that waits for this operation's end.
    pub copied_from: Option<Uuid>,
    /// The subject's project.
    pub project_id: ProjectId,
    /// Who asked.
    pub user_id: UserId,
    /// The request it came from; every log line of it carries this.
    pub request_id: String,
    /// The number of its current command, from 1: a new one is sent for each stage and for each pool that is tried. A report of an
    /// earlier one is dropped.
    pub attempt: u32,
    /// The pool that the current command is for; `None` while none is chosen.
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
    /// Whether the volume's status belongs to it while it is open.
    #[must_use]
    pub fn owns_volume(&self) -> bool {
        matches!(self.subject, Subject::Volume(_))
    }

    /// The attachment that it is about.
    #[must_use]
    pub fn attachment_id(&self) -> Option<AttachmentId> {
        match self.subject {
            Subject::Attachment(id) => Some(id),
            _ => None,
        }
    }

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
