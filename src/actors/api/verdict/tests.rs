//! What must hold of every verdict.

use proptest::prelude::*;

use super::*;
use crate::model::quota::Deltas;
use crate::model::transitions::tests::{attachment, volume};
use crate::model::{
    AttachMode, Connector, MessageId, OperationId, ProjectId, Timestamp, UserId, VolumeStatus,
};

fn kinds(attachment_id: AttachmentId) -> Vec<OperationKind> {
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
    ]
}

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
    ];
    for kind in [
        FailureKind::NoValidBackend,
        FailureKind::Backend,
        FailureKind::NoSpace,
        FailureKind::Request,
        FailureKind::Busy,
        FailureKind::TimedOut,
    ] {
        all.push(Outcome::Failed(Failure {
            kind,
            client: "c".to_owned(),
            operator: "o".to_owned(),
        }));
    }
    all
}

/// A volume with an operation of this kind under way.
fn under_way(kind: OperationKind, attempt: u32) -> (Operation, Volume) {
    let status = match kind {
        OperationKind::CreateVolume { .. } => VolumeStatus::Creating,
        OperationKind::DeleteVolume { .. } => VolumeStatus::Deleting,
        OperationKind::ExtendVolume { .. } => VolumeStatus::Extending,
        _ => VolumeStatus::Reserved,
    };
    let mut volume = volume(status);
    let operation = Operation {
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
    if owns_the_status(&operation.kind) {
        volume.operation = Some(operation.id);
    }
    (operation, volume)
}

fn check(case: &Case<'_>, verdict: &Verdict) -> Result<(), TestCaseError> {
    let goes_on = verdict.again.is_some();
    if let Fate::Becomes(volume) = &verdict.volume {
        prop_assert!(
            !volume.status.is_transient() || goes_on,
            "left in {}",
            volume.status
        );
        prop_assert_eq!(
            volume.operation.is_some(),
            goes_on && case.volume.operation.is_some()
        );
    }
    if owns_the_status(&case.operation.kind) && case.volume.operation == Some(case.operation.id) {
        prop_assert_ne!(&verdict.volume, &Fate::Stays);
    }
    if let Fate::Becomes(attachment) = &verdict.attachment {
        prop_assert_eq!(attachment.operation, None);
    }
    prop_assert_eq!(
        verdict.answer.is_none(),
        goes_on,
        "who waits is told at the end, and only then"
    );
    if let Some(again) = &verdict.again {
        prop_assert_eq!(again.attempt, case.operation.attempt + 1);
        prop_assert!(again.attempt <= case.max_attempts);
        prop_assert!(again.pool.is_none());
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_report_and_no_deadline_leaves_a_transient_status_without_an_owner(
        kind in 0_usize..7,
        outcome in proptest::sample::select(outcomes()),
        attempt in 1_u32..5,
        with_pool: bool,
        with_attachment: bool,
        overtaken: bool,
    ) {
        let id = AttachmentId(MessageId::new().0);
        let (mut operation, mut volume) = under_way(kinds(id)[kind].clone(), attempt);
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
        let case =
            Case { operation: &operation, volume: &volume, attachments: &attachments, max_attempts: 3, now: Timestamp(5) };
        if let Some(verdict) = settle(&case, &outcome) {
            check(&case, &verdict)?;
        }
        let verdict = give_up(&case);
        prop_assert!(verdict.again.is_none(), "a deadline is an end");
        check(&case, &verdict)?;
    }
}

#[test]
fn a_report_that_does_not_fit_its_operation_is_dropped() {
    let (operation, volume) = under_way(OperationKind::CreateVolume { hints: None }, 1);
    let case = Case {
        operation: &operation,
        volume: &volume,
        attachments: &[],
        max_attempts: 3,
        now: Timestamp(5),
    };
    assert_eq!(settle(&case, &Outcome::Deleted), None);
    assert_eq!(settle(&case, &Outcome::Extended), None);
}
