//! The context of the end of a stage, and common parts of transitions.
//!
//! Pure. The engine commits the [`Transition`] under the condition that nothing of the context has changed since. A transition
//! never leaves the volume in a transient status without an operation.

use super::transition::{Answer, RecordChange, Transition, UserMessageDraft, client_error};
use super::{Verb, verb_of};
use crate::control::Deadlines;
use crate::messages::api::{Failure, FailureKind, Outcome};
use crate::model::transitions::follow_attachments;
use crate::model::user_message::{Action, Detail};
use crate::model::{
    Attachment, AttachmentId, AttachmentStatus, Operation, Snapshot, SnapshotId, SnapshotStatus, Subject,
    Timestamp, Volume, VolumeStatus,
};

/// The context of the end of a stage.
#[derive(Clone, Copy, Debug)]
pub struct OperationContext<'a> {
    /// The operation, whose current command has the outcome.
    pub operation: &'a Operation,
    /// Its volume.
    pub volume: &'a Volume,
    /// The other volume that it works with, as [`Verb::reads`] says.
    pub other: Option<&'a Volume>,
    /// The volume's attachments, as [`Verb::reads`] says.
    pub attachments: &'a [Attachment],
    /// The operation's snapshots: one, or all that are deleted with their volume.
    pub snapshots: &'a [Snapshot],
    /// How many pools may be tried for a new volume.
    pub max_attempts: u32,
    /// The deadlines of operations: a stage of another verb gets a new deadline.
    pub deadlines: &'a Deadlines,
    /// The time now.
    pub now: Timestamp,
}

/// The transition after an outcome; `None` if it does not belong to the stage, and must be dropped.
pub fn next(at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
    match verb_of(at.operation) {
        Ok(verb) => next_of(verb.as_ref(), at, outcome),
        Err(_) => None,
    }
}

/// The same for a decoded verb.
pub fn next_of(verb: &dyn Verb, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
    if at.is_superseded() {
        return Some(Transition::superseded());
    }
    verb.next(at, outcome)
}

/// The transition after the deadline.
pub fn give_up(at: &OperationContext<'_>) -> Transition {
    let failure = if at.operation.is_cancelled() {
        cancelled(
            FailureKind::Cancelled,
            "cancelled; its backend did not report the result in time",
        )
    } else {
        Failure::new(
            FailureKind::TimedOut,
            "The operation timed out.",
            "its deadline passed",
        )
    };
    next(at, &Outcome::Failed(failure)).unwrap_or_else(Transition::superseded)
}

/// The transition after a cancellation before the first command was sent: nothing was changed on the backend.
pub fn cancel_unsent(at: &OperationContext<'_>) -> Transition {
    let failure = cancelled(FailureKind::Busy, "cancelled before it was begun");
    next(at, &Outcome::Failed(failure)).unwrap_or_else(Transition::superseded)
}

/// The failure of a cancelled operation.
pub(super) fn cancelled(kind: FailureKind, operator: &str) -> Failure {
    Failure::new(kind, "The operation was cancelled.", operator)
}

impl OperationContext<'_> {
    /// Whether a stronger request has taken the subject from this operation.
    fn is_superseded(&self) -> bool {
        match self.operation.subject {
            Subject::Volume(_) => self.volume.operation != Some(self.operation.id),
            Subject::Snapshot(_) => self.snapshot().is_none(),
            Subject::Attachment(_) | Subject::Export(_) => false,
        }
    }

    /// The volume without this operation.
    pub fn released(&self) -> Volume {
        let mut volume = self.volume.clone();
        if volume.operation == Some(self.operation.id) {
            volume.operation = None;
            if self.operation.owns_volume() {
                volume.previous_status = None;
            }
        }
        volume.updated_at = Some(self.now);
        volume
    }

    /// The volume after the operation, with the status of its attachments.
    pub fn resting(&self) -> Volume {
        let mut volume = self.released();
        volume.status = VolumeStatus::Available;
        follow_attachments(
            &mut volume,
            self.attachments.iter().map(|attachment| attachment.status),
        );
        volume
    }

    /// The volume without this operation, with that status.
    pub fn with_status(&self, status: VolumeStatus) -> Volume {
        let mut volume = self.released();
        volume.status = status;
        volume
    }

    /// The volume in the status it had before the operation.
    pub fn resting_as_before(&self) -> Volume {
        let before = self
            .volume
            .previous_status
            .or(self.operation.previous_status)
            .unwrap_or(VolumeStatus::Available);
        self.with_status(before)
    }

    /// The volume with the status of its attachments, where this one has a new status (`None`: is deleted).
    pub fn following(&self, id: AttachmentId, status: Option<AttachmentStatus>) -> Volume {
        let mut volume = self.released();
        let others = self
            .attachments
            .iter()
            .filter(|other| other.id != id)
            .map(|other| other.status);
        follow_attachments(&mut volume, others.chain(status));
        volume
    }

    /// The operation's snapshot, if it still belongs to the operation.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        let id = self.operation.snapshot_id?;
        self.snapshots
            .iter()
            .find(|snapshot| snapshot.id == id && snapshot.operation == Some(self.operation.id))
    }

    /// The operation's attachment.
    pub fn attachment(&self) -> Option<&Attachment> {
        let id = self.operation.attachment_id()?;
        self.attachments.iter().find(|attachment| attachment.id == id)
    }

    /// A snapshot without this operation, with that status.
    pub fn snapshot_with_status(
        &self,
        snapshot: &Snapshot,
        status: SnapshotStatus,
    ) -> (SnapshotId, RecordChange<Snapshot>) {
        let resting = Snapshot {
            status,
            operation: None,
            updated_at: Some(self.now),
            ..snapshot.clone()
        };
        (snapshot.id, RecordChange::Update(Box::new(resting)))
    }

    /// The transition after the operation's snapshot was created.
    pub fn snapshot_available(&self, provider_id: Option<String>) -> Transition {
        let change = self.snapshot().map(|snapshot| {
            let made = Snapshot {
                progress: "100%".to_owned(),
                provider_id,
                ..snapshot.clone()
            };
            self.snapshot_with_status(&made, SnapshotStatus::Available)
        });
        Transition::done(Answer::Done).and_snapshot(change)
    }

    /// The transition that deletes the volume's record and those of its deleted snapshots.
    pub fn volume_gone(&self) -> Transition {
        Transition {
            volume: RecordChange::Delete,
            snapshots: self
                .snapshots
                .iter()
                .map(|snapshot| (snapshot.id, RecordChange::Delete))
                .collect(),
            ..Transition::done(Answer::Done)
        }
    }

    /// The transition that deletes the record of the operation's snapshot.
    pub fn snapshot_gone(&self) -> Transition {
        let change = self
            .snapshot()
            .map(|snapshot| (snapshot.id, RecordChange::Delete));
        Transition::done(Answer::Done).and_snapshot(change)
    }

    /// The transition after a failure of the operation's snapshot.
    pub fn snapshot_failed(
        &self,
        failure: &Failure,
        status: SnapshotStatus,
        (action, detail): (Action, Detail),
        text: &str,
    ) -> Transition {
        let change = self
            .snapshot()
            .map(|snapshot| self.snapshot_with_status(snapshot, status));
        Transition {
            message: Some(UserMessageDraft::of(failure, action, detail)),
            ..Transition::failed(client_error(failure, text))
        }
        .and_snapshot(change)
    }

    /// The transition after a failure of the operation's attachment.
    pub fn attachment_failed(
        &self,
        failure: &Failure,
        status: AttachmentStatus,
        about: (Action, Detail),
        text: &str,
    ) -> Transition {
        let Some(was) = self.attachment() else {
            return Transition {
                volume: RecordChange::Update(Box::new(self.released())),
                ..Transition::superseded()
            };
        };
        let mut attachment = was.clone();
        attachment.status = status;
        attachment.operation = None;
        attachment.updated_at = Some(self.now);
        Transition {
            attachment: RecordChange::Update(Box::new(attachment)),
            ..Transition::volume_failed(self.following(was.id, Some(status)), failure, about, text)
        }
    }
}
