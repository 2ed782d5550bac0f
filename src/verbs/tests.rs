//! Invariants of every transition of every verb.

use proptest::prelude::*;

use super::operation_context::{give_up, next};
use super::*;
use crate::messages::api::{Failure, FailureKind};
use crate::model::quota::Deltas;
use crate::model::spec::VolumeSource;
use crate::model::transitions::tests::{attachment, snapshot, volume};
use crate::model::{
    AttachMode, AttachmentId, BackendName, ConnectionInfo, Connector, MessageId, OperationId, ProjectId,
    Reference, SnapshotId, Timestamp, UserId, VolumeStatus,
};
use crate::store::record::operation_v1::{OperationKind, OperationV1};

fn kinds(attachment_id: AttachmentId, snapshot_id: SnapshotId) -> Vec<OperationKind> {
    let connector = Connector::from_json(&serde_json::Map::new());
    vec![
        OperationKind::CreateVolume { hints: None },
        OperationKind::DeleteVolume {
            cascade: false,
            force: false,
        },
        OperationKind::ExtendVolume { new_size: 3 },
        OperationKind::UpdateAttachment {
            attachment_id,
            connector: connector.clone(),
            mode: AttachMode::Rw,
        },
        OperationKind::DeleteAttachment { attachment_id },
        OperationKind::InitializeConnection {
            connector: connector.clone(),
        },
        OperationKind::TerminateConnection {
            connector: Some(connector),
        },
        OperationKind::DeleteVolume {
            cascade: true,
            force: false,
        },
        OperationKind::CreateVolumeFrom {
            hints: None,
            source: VolumeSource::Raw,
        },
        OperationKind::CreateSnapshot { snapshot_id },
        OperationKind::DeleteSnapshot { snapshot_id },
        OperationKind::RevertToSnapshot { snapshot_id, size: 1 },
        OperationKind::ManageVolume {
            reference: Reference::named("lv1"),
        },
        OperationKind::UnmanageVolume,
        OperationKind::ManageSnapshot {
            snapshot_id,
            reference: Reference::named("lv1"),
        },
        OperationKind::UnmanageSnapshot { snapshot_id },
    ]
}

/// The number of kinds.
const KINDS: usize = 16;

fn outcomes() -> Vec<Outcome> {
    let mut all = vec![
        Outcome::Created { provider_id: None },
        Outcome::Deleted,
        Outcome::Extended,
        Outcome::Connected {
            connection_info: ConnectionInfo::new("iscsi", serde_json::Map::new()),
            provider_location: "here".to_owned(),
            provider_auth: None,
        },
        Outcome::Disconnected { export_removed: true },
        Outcome::Disconnected {
            export_removed: false,
        },
        Outcome::SnapshotCreated { provider_id: None },
        Outcome::SnapshotDeleted,
        Outcome::Reverted,
        Outcome::Managed {
            size: 2,
            provider_id: None,
        },
        Outcome::Unmanaged,
        Outcome::SnapshotManaged {
            size: 2,
            provider_id: None,
        },
        Outcome::SnapshotUnmanaged,
        Outcome::CopySourceOpened,
        Outcome::Copied { bytes: 2 },
        Outcome::Placed {
            pool: BackendName::new("h2", "b").pool("p"),
        },
        Outcome::Retyped { in_place: true },
        Outcome::Retyped { in_place: false },
    ];
    let failures = [
        FailureKind::NoValidBackend,
        FailureKind::Backend,
        FailureKind::NoSpace,
        FailureKind::Request,
        FailureKind::Busy,
        FailureKind::TimedOut,
    ];
    all.extend(failures.map(|kind| Outcome::Failed(Failure::new(kind, "c", "o"))));
    all
}

/// A volume with an open operation of this kind.
fn under_way(kind: OperationKind, attempt: u32) -> (Operation, Volume) {
    let status = match kind {
        OperationKind::CreateVolume { .. } | OperationKind::CreateVolumeFrom { .. } => VolumeStatus::Creating,
        OperationKind::DeleteVolume { .. } => VolumeStatus::Deleting,
        OperationKind::ExtendVolume { .. } => VolumeStatus::Extending,
        OperationKind::RevertToSnapshot { .. } => VolumeStatus::Reverting,
        OperationKind::ManageVolume { .. } => VolumeStatus::Managing,
        OperationKind::UnmanageVolume => VolumeStatus::Unmanaging,
        _ => VolumeStatus::Reserved,
    };
    let mut volume = volume(status);
    let operation = OperationV1 {
        id: OperationId::new(),
        volume_id: volume.id,
        project_id: ProjectId::from("p"),
        user_id: UserId::from("u"),
        request_id: "req".to_owned(),
        attempt,
        pool: volume.host.clone(),
        tried: Vec::new(),
        previous_status: Some(VolumeStatus::Available),
        reserved: Deltas::new(),
        steps: Vec::new(),
        created_at: Timestamp(1),
        deadline: Timestamp(9),
        kind,
    };
    let operation = operation.upgrade().unwrap();
    if operation.owns_volume() {
        volume.operation = Some(operation.id);
    }
    (operation, volume)
}

/// The end of a stage of this operation, which has only its volume.
pub(super) fn context<'a>(
    operation: &'a Operation,
    volume: &'a Volume,
    deadlines: &'a Deadlines,
) -> OperationContext<'a> {
    OperationContext {
        operation,
        volume,
        other: None,
        deadlines,
        attachments: &[],
        snapshots: &[],
        max_attempts: 3,
        now: Timestamp(5),
    }
}

fn check(at: &OperationContext<'_>, transition: &Transition) -> Result<(), TestCaseError> {
    let goes_on = transition.next.is_some();
    if let RecordChange::Update(volume) = &transition.volume {
        let status = volume.status;
        prop_assert!(!status.is_transient() || goes_on, "left in {status}");
        let is_owned = goes_on && at.volume.operation.is_some();
        prop_assert_eq!(volume.operation.is_some(), is_owned);
    }
    if at.operation.owns_volume() && at.volume.operation == Some(at.operation.id) {
        prop_assert_ne!(&transition.volume, &RecordChange::Keep);
    }
    if let RecordChange::Update(attachment) = &transition.attachment {
        prop_assert_eq!(attachment.operation, None);
    }
    let of_a_snapshot = at.operation.snapshot_id.is_some() || !transition.snapshots.is_empty();
    for snapshot in at.snapshots.iter().filter(|_| of_a_snapshot && !goes_on) {
        let ours = snapshot.operation == Some(at.operation.id);
        let overtaken = at.operation.owns_volume() && at.volume.operation != Some(at.operation.id);
        let fate = transition.snapshots.iter().find(|(id, _)| *id == snapshot.id);
        if let Some((_, RecordChange::Update(now))) = fate {
            prop_assert!(!now.status.is_transient(), "left in {}", now.status);
            prop_assert_eq!(now.operation, None);
        }
        prop_assert!(
            fate.is_some() || !ours || overtaken,
            "a snapshot was left as it was"
        );
    }
    // Waiters are answered at the end, and only then.
    prop_assert_eq!(transition.answer.is_none(), goes_on);
    if let Some(again) = &transition.next {
        prop_assert_eq!(again.attempt, at.operation.attempt + 1);
        prop_assert!(again.attempt <= at.max_attempts);
        prop_assert!(again.pool.is_none());
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_report_and_no_deadline_leaves_a_transient_status_without_an_owner(
        kind in 0..KINDS,
        outcome in proptest::sample::select(outcomes()),
        attempt in 1_u32..5,
        with_pool: bool,
        with_attachment: bool,
        overtaken: bool,
        with_snapshot: bool,
        snapshot_is_ours: bool,
    ) {
        let id = AttachmentId(MessageId::new().0);
        let snapshot_id = SnapshotId::new();
        let all = kinds(id, snapshot_id);
        assert_eq!(all.len(), KINDS);
        let (mut operation, mut volume) = under_way(all[kind].clone(), attempt);
        if !with_pool {
            operation.pool = None;
        }
        if overtaken {
            volume.operation = None;
            volume.status = VolumeStatus::Error;
        }
        let mut attached = attachment(&volume, AttachmentStatus::Reserved);
        attached.id = id;
        attached.operation = Some(operation.id);
        let attachments = if with_attachment { vec![attached] } else { Vec::new() };
        let mut kept = snapshot(&volume, SnapshotStatus::Deleting);
        kept.id = snapshot_id;
        kept.operation = snapshot_is_ours.then_some(operation.id);
        let snapshots = if with_snapshot { vec![kept] } else { Vec::new() };
        let deadlines = Deadlines::default();
        let at = OperationContext {
            attachments: &attachments,
            snapshots: &snapshots,
            ..context(&operation, &volume, &deadlines)
        };
        if let Some(transition) = next(&at, &outcome) {
            check(&at, &transition)?;
        }
        let transition = give_up(&at);
        prop_assert!(transition.next.is_none(), "a deadline is an end");
        check(&at, &transition)?;
    }
}

#[test]
fn a_report_that_does_not_fit_its_operation_is_dropped() {
    let (operation, volume) = under_way(OperationKind::CreateVolume { hints: None }, 1);
    let deadlines = Deadlines::default();
    let at = context(&operation, &volume, &deadlines);
    assert_eq!(next(&at, &Outcome::Deleted), None);
    assert_eq!(next(&at, &Outcome::Extended), None);
}
