//! What an outcome makes of an operation's records.

use crate::messages::api::{Failure, FailureKind};
use crate::model::quota::Deltas;
use crate::model::user_message::{Action, Detail};
use crate::model::{Attachment, ConnectionInfo, Error, Operation, Snapshot, SnapshotId, Volume};

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordChange<R> {
    /// It stays as it is.
    Keep,
    /// It is this from now on.
    Update(Box<R>),
    /// It is removed.
    Delete,
}

/// A user message to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMessageDraft {
    /// What was being done.
    pub action: Action,
    /// What went wrong.
    pub detail: Detail,
    /// In the backend's words, fit for the owner's eyes.
    pub cause: Option<String>,
}

impl UserMessageDraft {
    /// Of a failure: `detail`, unless the backend could not be reached in time.
    #[must_use]
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

/// What one who waits for an operation is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// It is done, and this is how to connect.
    Connected(Box<ConnectionInfo>),
}

/// What is committed at once when a stage has ended, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The volume.
    pub volume: RecordChange<Volume>,
    /// The other volume that the operation works with.
    pub other: RecordChange<Volume>,
    /// A volume that is made: a hidden one, which counts for nothing.
    pub made: Option<Box<Volume>>,
    /// The operation's attachment, if it is about one.
    pub attachment: RecordChange<Attachment>,
    /// The operation's snapshots; one that is not listed stays.
    pub snapshots: Vec<(SnapshotId, RecordChange<Snapshot>)>,
    /// GiB that the volume grew by, or shrank by.
    pub growth: i64,
    /// What else the volume's project uses more, or less, from now on: by another type, say.
    pub usage: Deltas,
    /// The message for its owner.
    pub message: Option<UserMessageDraft>,
    /// `None` ends the operation; else it goes on as this: with another stage, or with another pool.
    pub next: Option<Box<Operation>>,
    /// For those who wait; `None` while the operation goes on.
    pub answer: Option<Result<Answer, Error>>,
}

impl Transition {
    /// It is done; nothing changes but that.
    #[must_use]
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

    /// It is done, and the volume is this.
    #[must_use]
    pub fn done_with(volume: Volume) -> Self {
        Self {
            volume: RecordChange::Update(Box::new(volume)),
            ..Self::done(Answer::Done)
        }
    }

    /// It has failed; nothing changes but that.
    #[must_use]
    pub fn failed(error: Error) -> Self {
        Self {
            answer: Some(Err(error)),
            ..Self::done(Answer::Done)
        }
    }

    /// It has failed, and the volume is this.
    #[must_use]
    pub fn failed_with(volume: Volume, error: Error, message: Option<UserMessageDraft>) -> Self {
        Self {
            volume: RecordChange::Update(Box::new(volume)),
            message,
            ..Self::failed(error)
        }
    }

    /// It goes on as this, and the volume is this.
    #[must_use]
    pub fn goes_on(operation: Operation, volume: Volume) -> Self {
        Self {
            volume: RecordChange::Update(Box::new(volume)),
            next: Some(Box::new(operation)),
            answer: None,
            ..Self::done(Answer::Done)
        }
    }

    /// The operation ends, and nothing else changes: what it was about is gone, or another operation's now.
    #[must_use]
    pub fn superseded() -> Self {
        Self::failed(Error::conflict(
            "Resource conflict: the operation was overtaken by another request",
        ))
    }

    /// The same with what becomes of a snapshot.
    #[must_use]
    pub fn and_snapshot(mut self, change: Option<(SnapshotId, RecordChange<Snapshot>)>) -> Self {
        self.snapshots.extend(change);
        self
    }
}

/// The client's error for a failure: its own fault in the backend's words, else in Cinder's.
#[must_use]
pub fn client_error(failure: &Failure, text: &str) -> Error {
    match failure.kind {
        FailureKind::Request => Error::invalid_input(&failure.client),
        _ => Error::backend(text).with_operator(&failure.operator),
    }
}
