//! What is known when a stage of an operation ends, and the parts that the transitions of several verbs are made of.
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

/// What is known when a stage ends.
#[derive(Clone, Copy, Debug)]
pub struct OperationContext<'a> {
    /// The operation, whose current command the outcome is of.
    pub operation: &'a Operation,
    /// Its volume.
    pub volume: &'a Volume,
    /// The other volume that it works with, as [`Verb::reads`] says.
    pub other: Option<&'a Volume>,
    /// The volume's attachments, as [`Verb::reads`] says.
    pub attachments: &'a [Attachment],
    /// The snapshots that the operation is about: one, or all that go with their volume.
    pub snapshots: &'a [Snapshot],
    /// How many pools may be tried for a new volume.
    pub max_attempts: u32,
    /// When operations are given up: what is left to another verb gets time of its own.
    pub deadlines: &'a Deadlines,
    /// The time now.
    pub now: Timestamp,
}

/// What the outcome of a stage makes of the records; `None` if it does not fit the stage, and is to be dropped.
#[must_use]
pub fn next(at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
    match verb_of(at.operation) {
        Ok(verb) => next_of(verb.as_ref(), at, outcome),
        Err(_) => None,
    }
}

/// The same for a verb that was read already.
#[must_use]
pub fn next_of(verb: &dyn Verb, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
    if at.is_superseded() {
        return Some(Transition::superseded());
    }
    verb.next(at, outcome)
}

/// What the passing of the deadline makes of it.
#[must_use]
pub fn give_up(at: &OperationContext<'_>) -> Transition {
    let failure = if at.operation.is_cancelled() {
        Failure {
            kind: FailureKind::Cancelled,
            client: "The operation was cancelled.".to_owned(),
            operator: "cancelled; its backend did not say in time what is left".to_owned(),
        }
    } else {
        Failure {
            kind: FailureKind::TimedOut,
            client: "The operation timed out.".to_owned(),
            operator: "its deadline passed".to_owned(),
        }
    };
    next(at, &Outcome::Failed(failure)).unwrap_or_else(Transition::superseded)
}

/// What cancelling makes of it before its first command was sent: nothing was touched.
#[must_use]
pub fn cancel_unsent(at: &OperationContext<'_>) -> Transition {
    let failure = Failure {
        kind: FailureKind::Busy,
        client: "The operation was cancelled.".to_owned(),
        operator: "cancelled before it was begun".to_owned(),
    };
    next(at, &Outcome::Failed(failure)).unwrap_or_else(Transition::superseded)
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
    #[must_use]
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

    /// The volume at rest: attached as its attachments are.
    #[must_use]
    pub fn resting(&self) -> Volume {
        let mut volume = self.released();
        volume.status = VolumeStatus::Available;
        follow_attachments(
            &mut volume,
            self.attachments.iter().map(|attachment| attachment.status),
        );
        volume
    }

    /// The volume without this operation, in that status.
    #[must_use]
    pub fn with_status(&self, status: VolumeStatus) -> Volume {
        let mut volume = self.released();
        volume.status = status;
        volume
    }

    /// The volume in the status it had before the operation.
    #[must_use]
    pub fn resting_as_before(&self) -> Volume {
        let before = self
            .volume
            .previous_status
            .or(self.operation.previous_status)
            .unwrap_or(VolumeStatus::Available);
        self.with_status(before)
    }

    /// The volume, following its attachments with this one as it is to be (`None`: without it).
    #[must_use]
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

    /// The snapshot that the operation names, if it still is the operation's.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        let id = self.operation.snapshot_id?;
        self.snapshots
            .iter()
            .find(|snapshot| snapshot.id == id && snapshot.operation == Some(self.operation.id))
    }

    /// The attachment that the operation is about.
    #[must_use]
    pub fn attachment(&self) -> Option<&Attachment> {
        let id = self.operation.attachment_id()?;
        self.attachments.iter().find(|attachment| attachment.id == id)
    }

    /// A snapshot at rest, without this operation.
    #[must_use]
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

    /// The snapshot that the operation names is there.
    #[must_use]
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

    /// The volume's record goes, and with it those of the snapshots that went.
    #[must_use]
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

    /// The record of the snapshot that the operation names goes.
    #[must_use]
    pub fn snapshot_gone(&self) -> Transition {
        let change = self
            .snapshot()
            .map(|snapshot| (snapshot.id, RecordChange::Delete));
        Transition::done(Answer::Done).and_snapshot(change)
    }

    /// What was to be done to the snapshot that the operation names has failed.
    #[must_use]
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

    /// What was to be done to the attachment that the operation is about has failed.
    #[must_use]
    pub fn attachment_failed(
        &self,
        failure: &Failure,
        status: AttachmentStatus,
        (action, detail): (Action, Detail),
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
            ..Transition::failed_with(
                self.following(was.id, Some(status)),
                client_error(failure, text),
                Some(UserMessageDraft::of(failure, action, detail)),
            )
        }
    }
}
