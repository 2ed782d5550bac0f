//! What a report makes of a snapshot.

use super::{Answer, Case, Complaint, Fate, Verdict, failed::told};
use crate::messages::api::{Failure, FailureKind};
use crate::model::user_message::{Action, Detail};
use crate::model::{Snapshot, SnapshotId, SnapshotStatus, VolumeStatus};

/// It is there.
pub(super) fn available(case: &Case<'_>, provider_id: Option<String>) -> Verdict {
    let fate = case.snapshot().map(|snapshot| {
        becomes(Snapshot {
            progress: "100%".to_owned(),
            provider_id,
            ..at_rest(case, snapshot, SnapshotStatus::Available)
        })
    });
    with(Verdict::done(Answer::Done), fate)
}

/// Its record goes.
pub(super) fn gone(case: &Case<'_>) -> Verdict {
    let fate = case.snapshot().map(|snapshot| (snapshot.id, Fate::Goes));
    with(Verdict::done(Answer::Done), fate)
}

/// The volume is what it was, in its content and in its size.
pub(super) fn reverted(case: &Case<'_>, size: u32) -> Verdict {
    let mut volume = case.resting_as_before();
    let growth = i64::from(size) - i64::from(volume.size);
    volume.size = size;
    let verdict = Verdict {
        volume: Fate::Becomes(Box::new(volume)),
        growth,
        ..Verdict::done(Answer::Done)
    };
    with(verdict, restored(case))
}

/// The snapshot could not be made, taken away, adopted or forgotten.
pub(super) fn failed(
    case: &Case<'_>,
    failure: &Failure,
    status: SnapshotStatus,
    (action, detail): (Action, Detail),
    text: &str,
) -> Verdict {
    let fate = case
        .snapshot()
        .map(|snapshot| becomes(at_rest(case, snapshot, status)));
    let verdict = Verdict {
        complaint: Some(Complaint {
            action,
            detail: match failure.kind {
                FailureKind::TimedOut => Detail::HostUnreachable,
                _ => detail,
            },
            cause: Some(failure.client.clone()),
        }),
        ..Verdict::failed(told(failure, text))
    };
    with(verdict, fate)
}

/// A volume that surely is what it was rests again; of any other nobody knows what it holds. The snapshot is whole.
pub(super) fn revert_failed(case: &Case<'_>, failure: &Failure) -> Verdict {
    let volume = match failure.kind {
        FailureKind::Busy | FailureKind::Request | FailureKind::NoSpace => case.resting_as_before(),
        _ => case.with_status(VolumeStatus::Error),
    };
    let verdict = Verdict {
        volume: Fate::Becomes(Box::new(volume)),
        complaint: Some(Complaint {
            action: Action::RevertToSnapshot,
            detail: match failure.kind {
                FailureKind::TimedOut => Detail::HostUnreachable,
                _ => Detail::DriverFailedRevert,
            },
            cause: Some(failure.client.clone()),
        }),
        ..Verdict::failed(told(failure, "Unable to revert the volume."))
    };
    with(verdict, restored(case))
}

/// What becomes of the snapshots of a volume whose cascading delete failed. Those that are gone already are deleted by the
/// next try, which finds nothing of them.
pub(super) fn left_by_cascade(case: &Case<'_>, failure: &Failure) -> Vec<(SnapshotId, Fate<Snapshot>)> {
    let status = match failure.kind {
        FailureKind::Busy => SnapshotStatus::Available,
        _ => SnapshotStatus::ErrorDeleting,
    };
    case.snapshots
        .iter()
        .filter(|snapshot| snapshot.operation == Some(case.operation.id))
        .map(|snapshot| becomes(at_rest(case, snapshot, status)))
        .collect()
}

fn restored(case: &Case<'_>) -> Option<(SnapshotId, Fate<Snapshot>)> {
    let snapshot = case.snapshot()?;
    Some(becomes(at_rest(case, snapshot, SnapshotStatus::Available)))
}

fn at_rest(case: &Case<'_>, snapshot: &Snapshot, status: SnapshotStatus) -> Snapshot {
    Snapshot {
        status,
        operation: None,
        updated_at: Some(case.now),
        ..snapshot.clone()
    }
}

fn becomes(snapshot: Snapshot) -> (SnapshotId, Fate<Snapshot>) {
    (snapshot.id, Fate::Becomes(Box::new(snapshot)))
}

fn with(verdict: Verdict, fate: Option<(SnapshotId, Fate<Snapshot>)>) -> Verdict {
    Verdict {
        snapshots: fate.into_iter().collect(),
        ..verdict
    }
}
