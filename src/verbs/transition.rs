//! The changes of an operation's records after an outcome.

use crate::messages::api::{Failure, FailureKind};
use crate::model::quota::Deltas;
use crate::model::user_message::{Action, Detail};
use crate::model::{Attachment, ConnectionInfo, Error, Operation, Snapshot, SnapshotId, Volume};

/// The change of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordChange<R> {
    /// It is not changed.
    Keep,
    /// It is replaced by this.
    Update(Box<R>),
    /// It is deleted.
    Delete,
}

/// A user message to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMessageDraft {
    /// The action that failed.
    pub action: Action,
    /// The failure.
    pub detail: Detail,
    /// The backend's text, suitable for the owner.
    pub cause: Option<String>,
}

impl UserMessageDraft {
    /// For a failure: with `detail`, unless the backend could not be reached in time.
    pub fn of(failure: &Failure, action: Action, detail: Detail) -> Self {
        Self {
            action,
            detail: match failure.kind {
                FailureKind::TimedOut => Detail::HostUnreachable,
                _ => detail,
            },
            cause: Some(failure.client.clone()),
        }
    }
}

/// The answer for the waiters of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// It is done, with these connection data.
    Connected(Box<ConnectionInfo>),
}

/// The changes of one commit at the end of a stage, and the next stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The volume.
    pub volume: RecordChange<Volume>,
    /// The other volume that the operation works with.
    pub other: RecordChange<Volume>,
    /// A new hidden volume, which has no usage.
    pub made: Option<Box<Volume>>,
    /// The operation's attachment, if it has one.
    pub attachment: RecordChange<Attachment>,
    /// The operation's snapshots; others are not changed.
    pub snapshots: Vec<(SnapshotId, RecordChange<Snapshot>)>,
    /// The growth of the volume in GiB, negative if it shrank.
    pub growth: i64,
    /// Further changes of the project's usage, for example by another type.
    pub usage: Deltas,
    /// The message for its owner.
    pub message: Option<UserMessageDraft>,
    /// The operation with its next stage or another pool; `None` ends it.
    pub next: Option<Box<Operation>>,
    /// The answer for waiters; `None` while the operation continues.
    pub answer: Option<Result<Answer, Error>>,
}

impl Transition {
    /// A success without changes.
    pub fn done(answer: Answer) -> Self {
        Self {
            volume: RecordChange::Keep,
            other: RecordChange::Keep,
            made: None,
            attachment: RecordChange::Keep,
            snapshots: Vec::new(),
            growth: 0,
            usage: Deltas::new(),
            message: None,
            next: None,
            answer: Some(Ok(answer)),
        }
    }

    /// A success with this volume.
    pub fn done_with(volume: Volume) -> Self {
        Self {
            volume: RecordChange::Update(Box::new(volume)),
            ..Self::done(Answer::Done)
        }
    }

    /// A success with this volume, which has this new size in GiB.
    pub fn resized(mut volume: Volume, size: u32) -> Self {
        let growth = i64::from(size) - i64::from(volume.size);
        volume.size = size;
        Self {
            growth,
            ..Self::done_with(volume)
        }
    }

    /// A failure without changes.
    pub fn failed(error: Error) -> Self {
        Self {
            answer: Some(Err(error)),
            ..Self::done(Answer::Done)
        }
    }

    /// A failure with this volume.
    pub fn failed_with(volume: Volume, error: Error, message: Option<UserMessageDraft>) -> Self {
        Self {
            volume: RecordChange::Update(Box::new(volume)),
            message,
            ..Self::failed(error)
        }
    }

    /// A failure of a backend with this volume, and the user message about it.
    pub fn volume_failed(
        volume: Volume,
        failure: &Failure,
        (action, detail): (Action, Detail),
        text: &str,
    ) -> Self {
        let message = UserMessageDraft::of(failure, action, detail);
        Self::failed_with(volume, client_error(failure, text), Some(message))
    }

    /// A next stage with this volume.
    pub fn goes_on(operation: Operation, volume: Volume) -> Self {
        Self {
            volume: RecordChange::Update(Box::new(volume)),
            next: Some(Box::new(operation)),
            answer: None,
            ..Self::done(Answer::Done)
        }
    }

    /// The end of the operation without changes: its subject is deleted, or belongs to another operation now.
    pub fn superseded() -> Self {
        Self::failed(Error::conflict(
            "Resource conflict: the operation was overtaken by another request",
        ))
    }

    /// Adds the change of a snapshot.
    #[must_use]
    pub fn and_snapshot(mut self, change: Option<(SnapshotId, RecordChange<Snapshot>)>) -> Self {
        self.snapshots.extend(change);
        self
    }
}

/// The client's error for a failure: with the backend's text if the request is at fault, else with Cinder's.
pub fn client_error(failure: &Failure, text: &str) -> Error {
    match failure.kind {
        FailureKind::Request => Error::invalid_input(&failure.client),
        _ => Error::backend(text).with_operator(&failure.operator),
    }
}
