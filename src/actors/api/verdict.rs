//! What a report, or the lack of one, makes of an operation and its volume.
//!
//! Pure: a [`Case`] and an outcome give a [`Verdict`], which `report` then commits under the condition that nothing of the
//! case has changed since. A verdict never leaves the volume in a transient status without an operation.

mod failed;
mod snapshots;

use self::failed::failed;
use super::old_connectors;
use crate::messages::api::{Failure, FailureKind, Outcome};
use crate::model::transitions::follow_attachments;
use crate::model::user_message::{Action, Detail};
use crate::model::{
    Attachment, AttachmentId, AttachmentStatus, ConnectionInfo, Error, Operation, OperationKind, Snapshot,
    SnapshotId, Timestamp, Volume, VolumeStatus,
};

/// What is known when a report comes in.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The operation, whose attempt is the report's.
    pub operation: &'a Operation,
    /// Its volume.
    pub volume: &'a Volume,
    /// The volume's attachments (may be left out where the volume has none).
    pub attachments: &'a [Attachment],
    /// The snapshots that the operation is about: one, or all that go with their volume.
    pub snapshots: &'a [Snapshot],
    /// How many pools may be tried for a new volume.
    pub max_attempts: u32,
    /// The time now.
    pub now: Timestamp,
}

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate<R> {
    /// Stays as it is.
    Stays,
    /// Is this from now on.
    Becomes(Box<R>),
    /// Is taken away.
    Goes,
}

/// A user message to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What was being done.
    pub action: Action,
    /// What went wrong.
    pub detail: Detail,
    /// In the backend's words, fit for the owner's eyes.
    pub cause: Option<String>,
}

/// What one who waits for the operation is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// It is done, and this is how to connect.
    Connected(Box<ConnectionInfo>),
}

/// What is to be committed, and told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The volume.
    pub volume: Fate<Volume>,
    /// The operation's attachment, if it is about one.
    pub attachment: Fate<Attachment>,
    /// `None` ends the operation; else it goes on as this.
    pub again: Option<Box<Operation>>,
    /// GiB that the volume grew by, or shrank by.
    pub growth: i64,
    /// The operation's snapshots; one that is not listed stays.
    pub snapshots: Vec<(SnapshotId, Fate<Snapshot>)>,
    /// The message for its owner.
    pub complaint: Option<Complaint>,
    /// For those who wait; `None` while the operation goes on.
    pub answer: Option<Result<Answer, Error>>,
}

impl Verdict {
    fn done(answer: Answer) -> Self {
        Self {
            volume: Fate::Stays,
            attachment: Fate::Stays,
            again: None,
            growth: 0,
            snapshots: Vec::new(),
            complaint: None,
            answer: Some(Ok(answer)),
        }
    }

    fn failed(error: Error) -> Self {
        Self {
            answer: Some(Err(error)),
            ..Self::done(Answer::Done)
        }
    }

    /// The operation ends, nothing else changes: what it was about is gone, or somebody else's now.
    #[must_use]
    pub fn moot() -> Self {
        Self::failed(Error::conflict(
            "Resource conflict: the operation was overtaken by another request",
        ))
    }
}

/// What a report makes of the case; `None` if it does not fit the operation, and is to be dropped.
#[must_use]
pub fn settle(case: &Case<'_>, outcome: &Outcome) -> Option<Verdict> {
    let overtaken = match case.operation.kind.snapshot_id() {
        _ if owns_the_status(&case.operation.kind) => case.volume.operation != Some(case.operation.id),
        Some(_) => case.snapshot().is_none(),
        None => false,
    };
    if overtaken {
        return Some(Verdict::moot());
    }
    match (&case.operation.kind, outcome) {
        (_, Outcome::Failed(failure)) => Some(failed(case, failure)),
        (
            OperationKind::CreateVolume { .. } | OperationKind::CreateVolumeFrom { .. },
            Outcome::Created { provider_id },
        ) => Some(created(case, provider_id.clone())),
        (OperationKind::DeleteVolume { .. }, Outcome::Deleted)
        | (OperationKind::UnmanageVolume, Outcome::Unmanaged) => Some(gone(case)),
        (OperationKind::CreateSnapshot { .. }, Outcome::SnapshotCreated { provider_id })
        | (OperationKind::ManageSnapshot { .. }, Outcome::SnapshotManaged { provider_id, .. }) => {
            Some(snapshots::available(case, provider_id.clone()))
        }
        (OperationKind::DeleteSnapshot { .. }, Outcome::SnapshotDeleted)
        | (OperationKind::UnmanageSnapshot { .. }, Outcome::SnapshotUnmanaged) => Some(snapshots::gone(case)),
        (OperationKind::RevertToSnapshot { size, .. }, Outcome::Reverted) => {
            Some(snapshots::reverted(case, *size))
        }
        (OperationKind::ManageVolume { .. }, Outcome::Managed { size, provider_id }) => {
            Some(managed(case, *size, provider_id.clone()))
        }
        (OperationKind::ExtendVolume { new_size }, Outcome::Extended) => Some(extended(case, *new_size)),
        (
            OperationKind::UpdateAttachment { .. } | OperationKind::InitializeConnection { .. },
            Outcome::Connected { .. },
        ) => Some(connected(case, outcome)),
        (
            OperationKind::DeleteAttachment { .. } | OperationKind::TerminateConnection { .. },
            Outcome::Disconnected { export_removed },
        ) => Some(disconnected(case, *export_removed)),
        _ => None,
    }
}

/// What the passing of the deadline makes of it.
#[must_use]
pub fn give_up(case: &Case<'_>) -> Verdict {
    let failure = if case.operation.is_cancelled() {
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
    settle(case, &Outcome::Failed(failure)).unwrap_or_else(Verdict::moot)
}

/// What cancelling makes of it before it was begun: nothing was touched.
#[must_use]
pub fn cancel_unbegun(case: &Case<'_>) -> Verdict {
    let failure = Failure {
        kind: FailureKind::Busy,
        client: "The operation was cancelled.".to_owned(),
        operator: "cancelled before it was begun".to_owned(),
    };
    settle(case, &Outcome::Failed(failure)).unwrap_or_else(Verdict::moot)
}

/// Whether the volume's status belongs to this kind of operation while it runs.
#[must_use]
pub fn owns_the_status(kind: &OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::CreateVolume { .. }
            | OperationKind::CreateVolumeFrom { .. }
            | OperationKind::DeleteVolume { .. }
            | OperationKind::ExtendVolume { .. }
            | OperationKind::RevertToSnapshot { .. }
            | OperationKind::ManageVolume { .. }
            | OperationKind::UnmanageVolume
    )
}

/// The attachment that an operation is about.
#[must_use]
pub fn attachment_of(kind: &OperationKind) -> Option<AttachmentId> {
    match kind {
        OperationKind::UpdateAttachment { attachment_id, .. }
        | OperationKind::DeleteAttachment { attachment_id } => Some(*attachment_id),
        _ => None,
    }
}

impl Case<'_> {
    /// The volume without this operation.
    fn released(&self) -> Volume {
        let mut volume = self.volume.clone();
        if volume.operation == Some(self.operation.id) {
            volume.operation = None;
            if owns_the_status(&self.operation.kind) {
                volume.previous_status = None;
            }
        }
        volume.updated_at = Some(self.now);
        volume
    }

    /// The volume at rest: attached as its attachments are.
    fn resting(&self) -> Volume {
        let mut volume = self.released();
        volume.status = VolumeStatus::Available;
        follow_attachments(
            &mut volume,
            self.attachments.iter().map(|attachment| attachment.status),
        );
        volume
    }

    fn with_status(&self, status: VolumeStatus) -> Volume {
        let mut volume = self.released();
        volume.status = status;
        volume
    }

    /// The snapshot that the operation is about, if it still is the operation's.
    fn snapshot(&self) -> Option<&Snapshot> {
        let id = self.operation.kind.snapshot_id()?;
        self.snapshots
            .iter()
            .find(|snapshot| snapshot.id == id && snapshot.operation == Some(self.operation.id))
    }

    fn attachment(&self) -> Option<&Attachment> {
        let id = attachment_of(&self.operation.kind)?;
        self.attachments.iter().find(|attachment| attachment.id == id)
    }

    /// The volume, following its attachments with this one as it is to be (`None`: without it).
    fn following(&self, id: AttachmentId, becomes: Option<AttachmentStatus>) -> Volume {
        let mut volume = self.released();
        let others = self
            .attachments
            .iter()
            .filter(|other| other.id != id)
            .map(|other| other.status);
        follow_attachments(&mut volume, others.chain(becomes));
        volume
    }
}

fn created(case: &Case<'_>, provider_id: Option<String>) -> Verdict {
    let mut volume = case.resting();
    volume.launched_at = volume.launched_at.or(Some(case.now));
    volume.provider_id = provider_id;
    volume.placed = true;
    // Our target helpers make one target for each volume (cinder: `shared_targets` of the backend's stats).
    volume.shared_targets = Some(false);
    Verdict {
        volume: Fate::Becomes(Box::new(volume)),
        ..Verdict::done(Answer::Done)
    }
}

fn managed(case: &Case<'_>, size: u32, provider_id: Option<String>) -> Verdict {
    let mut verdict = created(case, provider_id);
    if let Fate::Becomes(volume) = &mut verdict.volume {
        verdict.growth = i64::from(size) - i64::from(volume.size);
        volume.size = size;
    }
    verdict
}

/// The volume's record goes, and with it those of the snapshots that went.
fn gone(case: &Case<'_>) -> Verdict {
    Verdict {
        volume: Fate::Goes,
        snapshots: case
            .snapshots
            .iter()
            .map(|snapshot| (snapshot.id, Fate::Goes))
            .collect(),
        ..Verdict::done(Answer::Done)
    }
}

fn extended(case: &Case<'_>, new_size: u32) -> Verdict {
    let mut volume = case.resting_as_before();
    let growth = i64::from(new_size) - i64::from(volume.size);
    volume.size = new_size;
    Verdict {
        volume: Fate::Becomes(Box::new(volume)),
        growth,
        ..Verdict::done(Answer::Done)
    }
}

impl Case<'_> {
    /// The volume in the status it had before the operation.
    fn resting_as_before(&self) -> Volume {
        let before = self
            .volume
            .previous_status
            .or(self.operation.previous_status)
            .unwrap_or(VolumeStatus::Available);
        self.with_status(before)
    }
}

fn connected(case: &Case<'_>, outcome: &Outcome) -> Verdict {
    let Outcome::Connected {
        connection_info,
        provider_location,
        provider_auth,
    } = outcome
    else {
        return Verdict::moot();
    };
    let with_export = |mut volume: Volume| {
        volume.provider_location = Some(provider_location.clone());
        volume.provider_auth.clone_from(provider_auth);
        Fate::Becomes(Box::new(volume))
    };
    let answer = Answer::Connected(Box::new(connection_info.clone()));
    let OperationKind::UpdateAttachment { connector, mode, .. } = &case.operation.kind else {
        return Verdict {
            volume: with_export(case.released()),
            ..Verdict::done(answer)
        };
    };
    let Some(was) = case.attachment() else {
        return Verdict {
            volume: with_export(case.released()),
            ..Verdict::moot()
        };
    };
    let mut attachment = was.clone();
    attachment.status = AttachmentStatus::Attaching;
    attachment.mode = Some(*mode);
    attachment.attached_host = Some(connector.host().unwrap_or_default());
    attachment.mountpoint = Some(connector.text("mountpoint").unwrap_or_else(|| "na".to_owned()));
    attachment.connector = Some(connector.clone());
    attachment.connection_info = Some(connection_info.clone());
    attachment.operation = None;
    attachment.attached_at = Some(case.now);
    attachment.updated_at = Some(case.now);
    Verdict {
        volume: with_export(case.following(was.id, Some(attachment.status))),
        attachment: Fate::Becomes(Box::new(attachment)),
        ..Verdict::done(answer)
    }
}

fn disconnected(case: &Case<'_>, export_removed: bool) -> Verdict {
    let attachment = attachment_of(&case.operation.kind);
    let mut volume = match attachment {
        Some(id) => case.following(id, None),
        None => case.released(),
    };
    if let OperationKind::TerminateConnection { connector } = &case.operation.kind {
        old_connectors::forget(&mut volume, connector.as_ref());
    }
    if export_removed {
        volume.provider_location = None;
        volume.provider_auth = None;
        old_connectors::forget(&mut volume, None);
    }
    if attachment.is_some() {
        volume.admin_metadata.remove("attached_mode");
    }
    Verdict {
        volume: Fate::Becomes(Box::new(volume)),
        attachment: if case.attachment().is_some() {
            Fate::Goes
        } else {
            Fate::Stays
        },
        ..Verdict::done(Answer::Done)
    }
}

#[cfg(test)]
mod tests;
