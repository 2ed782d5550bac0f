//! Replays every row that was recorded from a real Cinder, and checks invariants.

use proptest::prelude::*;

use super::*;
use crate::model::{
    MigrationStatus, PoolName, ProjectId, Snapshot, SnapshotStatus, Timestamp, UserId, VolumeTypeId,
};
use crate::rng;

/// A volume with this status. As in the recorded runs, it is attached if its status implies it.
pub(crate) fn volume(status: VolumeStatus) -> Volume {
    let attached = matches!(status, VolumeStatus::InUse | VolumeStatus::Detaching);
    let host: PoolName = "h@b#p".parse().unwrap();
    Volume {
        attach_status: if attached {
            AttachStatus::Attached
        } else {
            AttachStatus::Detached
        },
        host: Some(host),
        placed: true,
        launched_at: Some(Timestamp(2)),
        ..Volume::new(
            ProjectId::from("p"),
            UserId::from("u"),
            1,
            status,
            "nova".to_owned(),
            Timestamp(1),
        )
    }
}

pub(crate) fn snapshot(volume: &Volume, status: SnapshotStatus) -> Snapshot {
    Snapshot {
        volume_type_id: None,
        encryption_key_id: None,
        ..Snapshot::of(volume, status, Timestamp(1))
    }
}

pub(crate) fn attachment(volume: &Volume, status: AttachmentStatus) -> Attachment {
    Attachment::of(volume, status, Timestamp(3))
}

/// A recorded row: a verb on a resource in some state, and its result.
pub(crate) struct Row<'a> {
    pub(crate) resource: &'a str,
    pub(crate) action: &'a str,
    pub(crate) from: &'a str,
    pub(crate) http: u16,
    pub(crate) to: &'a str,
    pub(crate) message: &'a str,
}

pub(crate) fn rows() -> Vec<Row<'static>> {
    include_str!("../../../tests/api/observed_states.tsv")
        .lines()
        .skip(1)
        .map(|line| {
            let mut cells = line.split('\t');
            let mut cell = || cells.next().unwrap_or_default();
            Row {
                resource: cell(),
                action: cell(),
                from: cell(),
                http: cell().parse().unwrap(),
                to: cell(),
                message: cell(),
            }
        })
        .collect()
}

fn verb(action: &str) -> Option<Verb> {
    Some(match action {
        "delete" | "delete?cascade" => Verb::Delete { force: false },
        "delete?force" | "os-force_delete" => Verb::Delete { force: true },
        "os-extend(3.0)" => Verb::Extend { attached_too: false },
        "os-extend(3.42+)" => Verb::Extend { attached_too: true },
        "os-reserve" => Verb::Reserve,
        "os-unreserve" => Verb::Unreserve,
        "os-begin_detaching" => Verb::BeginDetaching,
        "os-roll_detaching" => Verb::RollDetaching,
        "os-attach" => Verb::Attach,
        "os-detach" => Verb::Detach,
        "os-initialize_connection" => Verb::InitializeConnection,
        // The status changes after the backend has answered, as by `os-unreserve`.
        "os-terminate_connection" => Verb::Unreserve,
        "os-update_readonly_flag" => Verb::UpdateReadonlyFlag,
        "os-set_bootable" | "PUT volume(name)" => Verb::Update,
        "POST metadata" => Verb::UpdateMetadata,
        "clone (source_volid)" => Verb::CloneFrom,
        "attachment create (no connector)" => Verb::CreateAttachment { instance_uuid: None },
        "create snapshot(<3.66,no force)" => Verb::CreateSnapshot { in_use_too: false },
        "create snapshot(force)" | "create snapshot(3.66+)" => Verb::CreateSnapshot { in_use_too: true },
        "os-unmanage" => Verb::Unmanage,
        "os-migrate_volume" => Verb::Migrate,
        "os-retype" => Verb::Retype(VolumeTypeId::new()),
        _ => return None,
    })
}

/// Intended differences from Cinder.
fn differs(action: &str, from: VolumeStatus) -> bool {
    match action {
        // Cinder's API accepts nearly everything and its manager refuses after the 202; here the API refuses.
        "os-attach" => from != VolumeStatus::Maintenance,
        // A download keeps its status, which its operation ends.
        "attachment create (no connector)" => from == VolumeStatus::Downloading,
        _ => false,
    }
}

#[test]
fn every_observed_volume_row_is_answered_alike() {
    let mut compared = 0;
    for row in rows().iter().filter(|row| row.resource == "volume") {
        let Some(verb) = verb(row.action) else { continue };
        for from in row.from.split(',') {
            let from: VolumeStatus = from.parse().unwrap();
            if differs(row.action, from) {
                continue;
            }
            let volume = volume(from);
            let case = format!("{} from {from}", row.action);
            match decide(&volume, &[], verb) {
                Ok(status) => {
                    assert!(
                        row.http < 400,
                        "{case}: allowed, observed {} {}",
                        row.http,
                        row.message
                    );
                    let to = if row.to == "same" { from.as_str() } else { row.to };
                    assert_eq!(status.as_str(), to, "{case}");
                }
                Err(error) => {
                    assert_eq!(row.http, 400, "{case}: {error}");
                    // Cinder's text has a Python dictionary, and the same one where attached volumes are allowed.
                    let allowed_to_extend = match row.action {
                        "os-extend(3.42+)" => "available or in-use",
                        _ => "available",
                    };
                    let expected = row
                        .message
                        .replace("<id>", &volume.id.to_string())
                        .replace("<status>", from.as_str())
                        .replace("'{'status': 'available'}'", allowed_to_extend);
                    assert!(
                        error.client.trim_end().starts_with(expected.trim_end()),
                        "{case}: '{}', observed '{expected}'",
                        error.client
                    );
                }
            }
            compared += 1;
        }
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn every_observed_attachment_row_is_answered_alike() {
    for row in rows().iter().filter(|row| row.resource == "attachment/volume") {
        let all: Vec<String> = if row.from == "all" {
            let of = |a: &AttachmentStatus| {
                ["reserved", "attaching", "in-use", "available", "error"].map(|v| format!("{a}/{v}"))
            };
            AttachmentStatus::ALL.iter().flat_map(of).collect()
        } else {
            row.from.split(',').map(str::to_owned).collect()
        };
        for from in all {
            let (attachment_status, status) = from.split_once('/').unwrap();
            let mut volume = volume(status.parse().unwrap());
            let attachment = attachment(&volume, attachment_status.parse().unwrap());
            let case = format!("{} from {from}", row.action);
            match row.action {
                "update" => match decide(&volume, &[attachment], Verb::UpdateAttachment) {
                    Ok(_) => assert_eq!(row.http, 200, "{case}"),
                    Err(error) => {
                        assert_eq!(row.http, 409, "{case}");
                        let expected = row.message.replace("<id>", &volume.id.to_string());
                        assert_eq!(error.client.trim_end(), expected.trim_end(), "{case}");
                    }
                },
                "delete" => {
                    follow_attachments(&mut volume, []);
                    assert_eq!(row.to, "(gone)/available");
                    assert_eq!(volume.status, VolumeStatus::Available, "{case}");
                }
                "os-complete" => {
                    follow_attachments(&mut volume, [AttachmentStatus::Attached]);
                    assert_eq!(volume.status, VolumeStatus::InUse, "{case}");
                    assert_eq!(volume.attach_status, AttachStatus::Attached, "{case}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_multiattach_volume_takes_more_while_in_use() {
    let mut volume = volume(VolumeStatus::InUse);
    assert!(decide(&volume, &[], Verb::Reserve).is_err());
    volume.multiattach = true;
    assert_eq!(decide(&volume, &[], Verb::Reserve), Ok(VolumeStatus::Attaching));
    let create = Verb::CreateAttachment { instance_uuid: None };
    assert_eq!(decide(&volume, &[], create), Ok(VolumeStatus::Reserved));
    volume.status = VolumeStatus::Extending;
    let error = decide(&volume, &[], create).unwrap_err();
    assert!(
        error
            .client
            .contains("must be available or in-use or downloading to reserve"),
        "{error}"
    );
}

#[test]
fn a_migrating_volume_and_one_in_a_group_are_not_deleted() {
    let mut migrating = volume(VolumeStatus::Available);
    migrating.migration_status = Some(MigrationStatus::Migrating);
    assert!(decide(&migrating, &[], Verb::Delete { force: true }).is_err());
    let mut grouped = volume(VolumeStatus::Available);
    grouped.group_id = Some(rng::id());
    assert!(decide(&grouped, &[], Verb::Delete { force: true }).is_err());
}

#[test]
fn an_error_that_never_was_a_volume_does_not_become_available() {
    let mut failed = volume(VolumeStatus::Error);
    failed.launched_at = None;
    follow_attachments(&mut failed, []);
    assert_eq!(failed.status, VolumeStatus::Error);
    assert!(must_have_storage(&failed).is_err());
}

#[test]
fn a_volume_of_uncertain_size_says_so_also_when_it_is_detached() {
    let mut grown = volume(VolumeStatus::ErrorExtending);
    for (attachments, attached) in [
        (vec![AttachmentStatus::Attached], AttachStatus::Attached),
        (vec![], AttachStatus::Detached),
    ] {
        follow_attachments(&mut grown, attachments);
        assert_eq!(grown.status, VolumeStatus::ErrorExtending);
        assert_eq!(grown.attach_status, attached);
    }
}

#[test]
fn the_strongest_attachment_decides() {
    use AttachmentStatus as S;
    for (attachments, expected) in [
        (&[][..], AttachStatus::Detached),
        (&[S::Reserved, S::Attached, S::Attaching], AttachStatus::Attached),
        (&[S::Reserved, S::Attaching], AttachStatus::Attaching),
        (&[S::ErrorAttaching, S::Detached], AttachStatus::Detached),
        // Still in use.
        (&[S::ErrorDetaching, S::Reserved], AttachStatus::Attached),
    ] {
        assert_eq!(
            attach_status(attachments.iter().copied()),
            expected,
            "{attachments:?}"
        );
    }
}

fn statuses() -> impl Strategy<Value = VolumeStatus> {
    proptest::sample::select(VolumeStatus::ALL)
}

fn verbs() -> impl Strategy<Value = Verb> {
    proptest::sample::select(vec![
        Verb::Delete { force: false },
        Verb::Delete { force: true },
        Verb::Extend { attached_too: false },
        Verb::Extend { attached_too: true },
        Verb::Reserve,
        Verb::Unreserve,
        Verb::BeginDetaching,
        Verb::RollDetaching,
        Verb::Attach,
        Verb::Detach,
        Verb::InitializeConnection,
        Verb::TerminateConnection,
        Verb::UpdateReadonlyFlag,
        Verb::Update,
        Verb::UpdateMetadata,
        Verb::DeleteMetadata,
        Verb::CloneFrom,
        Verb::CreateAttachment { instance_uuid: None },
        Verb::UpdateAttachment,
        Verb::CreateSnapshot { in_use_too: false },
        Verb::CreateSnapshot { in_use_too: true },
        Verb::Unmanage,
    ])
}

proptest! {
    /// Only verbs that begin an operation lead to a transient status.
    #[test]
    fn nothing_but_delete_extend_and_unmanage_makes_a_volume_transient(from in statuses(), verb in verbs(), multi: bool) {
        let mut volume = volume(from);
        volume.multiattach = multi;
        if let Ok(status) = decide(&volume, &[], verb) {
            let begins = matches!(verb, Verb::Delete { .. } | Verb::Extend { .. } | Verb::Unmanage);
            prop_assert!(status == from || !status.is_transient() || begins, "{verb:?}: {from} to {status}");
        }
    }

    /// Every status can be left: by a forced delete, or (if attached) by a detach that makes it deletable.
    #[test]
    fn every_status_has_a_way_out(from in statuses()) {
        let mut volume = volume(from);
        if decide(&volume, &[], Verb::Delete { force: true }).is_err() {
            follow_attachments(&mut volume, []);
            let allowed = decide(&volume, &[], Verb::Delete { force: true }).is_ok();
            prop_assert!(allowed);
        }
    }

    /// Changes of attachments do not change the status of a running operation.
    #[test]
    fn attachments_leave_a_running_operation_its_status(
        from in statuses(),
        attached in proptest::collection::vec(proptest::sample::select(AttachmentStatus::ALL), 0..4),
    ) {
        let mut volume = volume(from);
        volume.previous_status = Some(VolumeStatus::InUse);
        follow_attachments(&mut volume, attached.iter().copied());
        if from.is_transient() {
            prop_assert_eq!(volume.status, from);
            prop_assert_eq!(volume.previous_status, Some(resting_status(volume.attach_status)));
        } else {
            prop_assert!(!volume.status.is_transient());
        }
    }
}
