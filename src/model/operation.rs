//! Operations: the journal entries of changes in progress.
//!
//! An operation is written in the same commit as the change it belongs to, and removed in the commit that ends it. As
//! long as it exists, a live actor owns it and will end it, so no volume gets stuck.
//!
//! The verb's own data is in [`Operation::entry`], which only the verb reads ([`crate::verbs`]): a new verb
//! changes nothing here.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::quota::Deltas;
use super::volume::{Volume, VolumeStatus};
use super::{
    AttachmentId, BackendName, NodeIncarnation, OperationId, PoolName, ProjectId, SnapshotId, Timestamp,
    UserId, VolumeId,
};

/// The subject of an operation. It may be deleted before its operation has ended. Variants are only appended, since
/// they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A volume, whose status belongs to the operation while it is open. `Volume::operation` refers to the operation; if it
    /// refers to another one, the operation is superseded.
    Volume(VolumeId),
    /// A snapshot, by the same rule.
    Snapshot(SnapshotId),
    /// An attachment.
    Attachment(AttachmentId),
    /// A volume's export, independent of other changes of the volume.
    Export(VolumeId),
}

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepOutcome {
    /// It is in progress.
    Running,
    /// It is done.
    Done,
    /// It was certainly not done, with the reason.
    Failed(String),
    /// It was reverted.
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
    /// Its outcome.
    pub outcome: StepOutcome,
}

/// A journal entry (stored version 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id, which is part of commands and reports.
    pub id: OperationId,
    /// The verb, by the name of its file in [`crate::verbs`].
    pub verb: String,
    /// The verb's own data, with the current stage: bincode, used by [`crate::verbs`] only.
    pub entry: Vec<u8>,
    /// Its subject.
    pub subject: Subject,
    /// The volume that it changes or that its subject belongs to.
    pub volume_id: Option<VolumeId>,
    /// The snapshot that it changes.
    pub snapshot_id: Option<SnapshotId>,
    /// The volume or snapshot that it copies: requests that would change or delete that wait for this operation's end.
    pub copied_from: Option<Uuid>,
    /// The subject's project.
    pub project_id: ProjectId,
    /// The user of the request.
    pub user_id: UserId,
    /// The request that began it; part of all its log lines.
    pub request_id: String,
    /// The number of its current command, from 1: a new one is sent for each stage and for each pool that is tried. A report of an
    /// earlier one is dropped.
    pub attempt: u32,
    /// The pool that the current command is for; `None` while none is chosen.
    pub pool: Option<PoolName>,
    /// Pools that failed and must not be used again, and why.
    pub tried: Vec<(PoolName, String)>,
    /// The volume's status to restore if it fails without an effect.
    pub previous_status: Option<VolumeStatus>,
    /// The quota that it reserves until it ends (counted as `reserved`).
    pub reserved: Deltas,
    /// The steps so far.
    pub steps: Vec<StepRecord>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it times out and ends with an error.
    pub deadline: Timestamp,
    /// The run of a control node that sends its commands; `None` if control nodes do not share the store.
    pub owner: Option<NodeIncarnation>,
}

impl Operation {
    /// One about a volume or what belongs to it, whose first command is to be sent: everything else is as it is before anybody says
    /// otherwise.
    pub fn new(
        verb: &str,
        subject: Subject,
        volume: &Volume,
        created_at: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        Self {
            id: OperationId::new(),
            verb: verb.to_owned(),
            entry: Vec::new(),
            subject,
            volume_id: Some(volume.id),
            snapshot_id: match subject {
                Subject::Snapshot(id) => Some(id),
                _ => None,
            },
            copied_from: None,
            project_id: volume.project_id.clone(),
            user_id: volume.user_id.clone(),
            request_id: String::new(),
            attempt: 1,
            pool: None,
            tried: Vec::new(),
            previous_status: None,
            reserved: Deltas::new(),
            steps: Vec::new(),
            created_at,
            deadline,
            owner: None,
        }
    }

    /// Whether the volume's status belongs to it while it is open.
    pub fn owns_volume(&self) -> bool {
        matches!(self.subject, Subject::Volume(_))
    }

    /// Whether its command is for this backend.
    pub fn is_on(&self, backend: &BackendName) -> bool {
        self.pool.as_ref().is_some_and(|pool| pool.backend == *backend)
    }

    /// The volume in this status until the operation has ended.
    #[must_use]
    pub fn claim(&self, volume: &Volume, status: VolumeStatus) -> Volume {
        Volume {
            status,
            previous_status: Some(volume.status),
            operation: Some(self.id),
            updated_at: Some(Timestamp::now()),
            ..volume.clone()
        }
    }

    /// The attachment that is its subject.
    pub fn attachment_id(&self) -> Option<AttachmentId> {
        match self.subject {
            Subject::Attachment(id) => Some(id),
            _ => None,
        }
    }

    /// The name of the step that records its cancellation.
    const CANCEL: &str = "cancel";

    /// Whether its cancellation was requested.
    pub fn is_cancelled(&self) -> bool {
        self.steps.iter().any(Self::says_cancelled)
    }

    /// Whether a step is the record of a cancellation.
    pub fn says_cancelled(step: &StepRecord) -> bool {
        step.name == Self::CANCEL
    }

    /// The operation after a cancellation: with the step that records it, and a deadline of at most `grace` from now.
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
