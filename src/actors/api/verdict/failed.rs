//! What a failure makes of each kind of operation: another pool, the state before, or an error that says why.

use super::{Answer, Case, Complaint, Fate, Verdict, snapshots};
use crate::actors::api::old_connectors;
use crate::messages::api::{Failure, FailureKind};
use crate::model::bounds::{ATTEMPTS, CAUSE, cut};
use crate::model::user_message::{Action, Detail};
use crate::model::{AttachmentStatus, Error, OperationKind, SnapshotStatus, VolumeStatus};

pub(super) fn failed(case: &Case<'_>, failure: &Failure) -> Verdict {
    match &case.operation.kind {
        OperationKind::CreateVolume { .. } | OperationKind::CreateVolumeFrom { .. } => {
            create_failed(case, failure)
        }
        OperationKind::DeleteVolume { .. } => delete_failed(case, failure),
        OperationKind::ExtendVolume { .. } => extend_failed(case, failure),
        OperationKind::UpdateAttachment { .. } => attachment_failed(
            case,
            failure,
            AttachmentStatus::ErrorAttaching,
            (Action::UpdateAttachment, Detail::DriverFailedExport),
            "Unable to update the attachment.",
        ),
        OperationKind::DeleteAttachment { .. } => attachment_failed(
            case,
            failure,
            AttachmentStatus::ErrorDetaching,
            (Action::DetachVolume, Detail::UnknownError),
            "Unable to terminate volume connection from backend.",
        ),
        OperationKind::InitializeConnection { connector } => {
            let mut volume = case.released();
            if failure.kind != FailureKind::TimedOut {
                old_connectors::forget(&mut volume, Some(connector));
            }
            Verdict {
                volume: Fate::Becomes(Box::new(volume)),
                ..Verdict::failed(told(
                    failure,
                    "Unable to fetch connection information from backend.",
                ))
            }
        }
        OperationKind::CreateSnapshot { .. } => snapshots::failed(
            case,
            failure,
            SnapshotStatus::Error,
            (Action::SnapshotCreate, Detail::SnapshotCreateError),
            "Unable to create the snapshot.",
        ),
        // Something on the backend depends on it: nothing was touched (cinder: `SnapshotIsBusy`).
        OperationKind::DeleteSnapshot { .. } if failure.kind == FailureKind::Busy => snapshots::failed(
            case,
            failure,
            SnapshotStatus::Available,
            (Action::SnapshotDelete, Detail::SnapshotIsBusy),
            "Unable to delete the snapshot.",
        ),
        OperationKind::DeleteSnapshot { .. } => snapshots::failed(
            case,
            failure,
            SnapshotStatus::ErrorDeleting,
            (Action::SnapshotDelete, Detail::SnapshotDeleteError),
            "Unable to delete the snapshot.",
        ),
        OperationKind::ManageSnapshot { .. } => snapshots::failed(
            case,
            failure,
            SnapshotStatus::ErrorManaging,
            (Action::ManageSnapshot, Detail::DriverFailedManage),
            "Unable to manage the snapshot.",
        ),
        OperationKind::UnmanageSnapshot { .. } => snapshots::failed(
            case,
            failure,
            SnapshotStatus::ErrorDeleting,
            (Action::UnmanageSnapshot, Detail::UnknownError),
            "Unable to unmanage the snapshot.",
        ),
        OperationKind::RevertToSnapshot { .. } => snapshots::revert_failed(case, failure),
        OperationKind::ManageVolume { .. } => manage_failed(
            case,
            failure,
            VolumeStatus::ErrorManaging,
            (Action::ManageVolume, Detail::DriverFailedManage),
        ),
        OperationKind::UnmanageVolume => manage_failed(
            case,
            failure,
            VolumeStatus::ErrorUnmanaging,
            (Action::UnmanageVolume, Detail::UnknownError),
        ),
        OperationKind::TerminateConnection { .. } => Verdict {
            volume: Fate::Becomes(Box::new(case.released())),
            ..Verdict::failed(told(
                failure,
                "Unable to terminate volume connection from backend.",
            ))
        },
    }
}

/// Another pool, while attempts are left and nothing is left behind on this one. A backend that timed out may still
/// have, or yet make, something of the volume: it keeps its host, so that the delete will clean up there.
fn create_failed(case: &Case<'_>, failure: &Failure) -> Verdict {
    let operation = case.operation;
    let another_may = !operation.is_cancelled()
        && matches!(
            failure.kind,
            FailureKind::Backend | FailureKind::NoSpace | FailureKind::Busy
        );
    if let (true, Some(pool)) = (
        another_may && operation.attempt < case.max_attempts.min(ATTEMPTS),
        &operation.pool,
    ) {
        let mut again = operation.clone();
        again.attempt += 1;
        again.tried.push((pool.clone(), cut(&failure.client, CAUSE)));
        again.pool = None;
        let mut volume = case.volume.clone();
        volume.host = None;
        volume.placed = false;
        volume.scheduled_at = Some(case.now);
        volume.updated_at = Some(case.now);
        return Verdict {
            volume: Fate::Becomes(Box::new(volume)),
            again: Some(Box::new(again)),
            answer: None,
            ..Verdict::done(Answer::Done)
        };
    }
    let (action, detail, cause) = match failure.kind {
        FailureKind::NoValidBackend => (
            Action::ScheduleAllocateVolume,
            Detail::NoBackendAvailable,
            operation.tried.last().map(|(_, why)| why.clone()),
        ),
        FailureKind::TimedOut if operation.pool.is_none() => (
            Action::ScheduleAllocateVolume,
            Detail::UnknownError,
            Some(failure.client.clone()),
        ),
        FailureKind::TimedOut => (
            Action::CreateVolumeFromBackend,
            Detail::HostUnreachable,
            Some(failure.client.clone()),
        ),
        _ => (
            Action::CreateVolumeFromBackend,
            Detail::DriverFailedCreate,
            Some(failure.client.clone()),
        ),
    };
    Verdict {
        volume: Fate::Becomes(Box::new(case.with_status(VolumeStatus::Error))),
        complaint: Some(Complaint {
            action,
            detail,
            cause,
        }),
        ..Verdict::failed(told(failure, "Unable to create the volume."))
    }
}

fn delete_failed(case: &Case<'_>, failure: &Failure) -> Verdict {
    // Something on the backend depends on it: nothing was touched (cinder: `VolumeIsBusy`).
    let (status, detail) = match failure.kind {
        FailureKind::Busy => (
            case.operation
                .previous_status
                .filter(|s| !s.is_transient())
                .unwrap_or(VolumeStatus::Available),
            Detail::DriverFailedDelete,
        ),
        FailureKind::TimedOut => (VolumeStatus::ErrorDeleting, Detail::HostUnreachable),
        _ => (VolumeStatus::ErrorDeleting, Detail::DriverFailedDelete),
    };
    Verdict {
        volume: Fate::Becomes(Box::new(case.with_status(status))),
        snapshots: snapshots::left_by_cascade(case, failure),
        complaint: Some(Complaint {
            action: Action::DeleteVolume,
            detail,
            cause: Some(failure.client.clone()),
        }),
        ..Verdict::failed(told(failure, "Unable to delete the volume."))
    }
}

fn manage_failed(
    case: &Case<'_>,
    failure: &Failure,
    status: VolumeStatus,
    (action, detail): (Action, Detail),
) -> Verdict {
    Verdict {
        volume: Fate::Becomes(Box::new(case.with_status(status))),
        complaint: Some(Complaint {
            action,
            detail: match failure.kind {
                FailureKind::TimedOut => Detail::HostUnreachable,
                _ => detail,
            },
            cause: Some(failure.client.clone()),
        }),
        ..Verdict::failed(told(failure, "Unable to manage the volume."))
    }
}

/// Where the volume surely has its old size it goes back to what it was; where it may be half grown it says so.
fn extend_failed(case: &Case<'_>, failure: &Failure) -> Verdict {
    let (volume, detail) = match failure.kind {
        FailureKind::NoValidBackend => (case.resting_as_before(), Detail::NoBackendAvailable),
        FailureKind::NoSpace | FailureKind::Request | FailureKind::Busy => {
            (case.resting_as_before(), Detail::DriverFailedExtend)
        }
        FailureKind::TimedOut => (
            case.with_status(VolumeStatus::ErrorExtending),
            Detail::HostUnreachable,
        ),
        FailureKind::Backend | FailureKind::Cancelled => (
            case.with_status(VolumeStatus::ErrorExtending),
            Detail::DriverFailedExtend,
        ),
    };
    Verdict {
        volume: Fate::Becomes(Box::new(volume)),
        complaint: Some(Complaint {
            action: Action::ExtendVolume,
            detail,
            cause: Some(failure.client.clone()),
        }),
        ..Verdict::failed(told(failure, "Unable to extend the volume."))
    }
}

fn attachment_failed(
    case: &Case<'_>,
    failure: &Failure,
    status: AttachmentStatus,
    (action, detail): (Action, Detail),
    text: &str,
) -> Verdict {
    let Some(was) = case.attachment() else {
        return Verdict {
            volume: Fate::Becomes(Box::new(case.released())),
            ..Verdict::moot()
        };
    };
    let mut attachment = was.clone();
    attachment.status = status;
    attachment.operation = None;
    attachment.updated_at = Some(case.now);
    Verdict {
        volume: Fate::Becomes(Box::new(case.following(was.id, Some(status)))),
        attachment: Fate::Becomes(Box::new(attachment)),
        complaint: Some(Complaint {
            action,
            detail: if failure.kind == FailureKind::TimedOut {
                Detail::HostUnreachable
            } else {
                detail
            },
            cause: Some(failure.client.clone()),
        }),
        ..Verdict::failed(told(failure, text))
    }
}

/// The client's error for a failure: its own fault in the backend's words, else in Cinder's.
pub(super) fn told(failure: &Failure, text: &str) -> Error {
    match failure.kind {
        FailureKind::Request => Error::invalid_input(&failure.client),
        _ => Error::backend(text).with_operator(&failure.operator),
    }
}
