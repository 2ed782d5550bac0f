//! The bytes of every stored record, kept as files: a change of the stored form cannot pass unseen.
//!
//! When a record gets a new version, its old files stay and must still be read; `PUMICE_WRITE_GOLDEN=1 cargo test --test
//! store_records` writes the files that are missing, and never touches one that is there.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "golden_support/mod.rs"]
mod golden_support;

use std::collections::{BTreeMap, BTreeSet};

use pumice::model::operation::{StepOutcome, StepRecord};
use pumice::model::quota::Resource;
use pumice::model::spec::VolumeSource;
use pumice::model::user_message::{Action, Detail};
use pumice::model::volume::Secret;
use pumice::model::*;
use pumice::store::record::operation_v1::{OperationKind, OperationV1};
use pumice::store::record::{Layout, Limit, Limits, decode, encode_part};
use uuid::Uuid;

use golden_support::{check_text, record as check, record_since as check_first, stored};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn time(n: i64) -> Timestamp {
    Timestamp(1_700_000_000_000_000 + n)
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn connector() -> Connector {
    let object =
        serde_json::json!({"initiator": "iqn.1994-05.com.example:a", "host": "node", "multipath": false});
    Connector::from_json(object.as_object().unwrap())
}

fn bare_volume() -> Volume {
    Volume {
        id: VolumeId(id(1)),
        shared_targets: None,
        ..Volume::new(
            "project".into(),
            "user".into(),
            1,
            VolumeStatus::Creating,
            "nova".into(),
            time(1),
        )
    }
}

#[test]
fn volumes_keep_their_form() {
    check("bare", &bare_volume());
    check(
        "full",
        &Volume {
            name: Some("däta".into()),
            description: Some("of all".into()),
            size: u32::MAX,
            status: VolumeStatus::Extending,
            previous_status: Some(VolumeStatus::InUse),
            attach_status: AttachStatus::Attached,
            migration_status: Some(MigrationStatus::Success),
            volume_type_id: Some(VolumeTypeId(id(2))),
            host: Some(BackendName::new("node", "lvm").pool("fast")),
            placed: true,
            metadata: pairs(&[("a", "1"), ("b", "")]),
            admin_metadata: pairs(&[("readonly", "False")]),
            image_metadata: pairs(&[("os", "linux")]),
            snapshot_id: Some(SnapshotId(id(3))),
            source_volid: Some(VolumeId(id(4))),
            group_id: Some(id(5)),
            bootable: true,
            multiattach: true,
            encryption_key_id: Some(id(6)),
            replication_status: Some("disabled".into()),
            consumes_quota: false,
            provider_location: Some("127.0.0.1:3260,1 iqn 1".into()),
            provider_auth: Some(Secret::new("CHAP u p")),
            provider_id: Some("7".into()),
            service_uuid: Some(ServiceId(id(8))),
            shared_targets: Some(true),
            operation: Some(OperationId(id(9))),
            updated_at: Some(time(2)),
            scheduled_at: Some(time(3)),
            launched_at: Some(time(4)),
            ..bare_volume()
        },
    );
}

#[test]
fn attachments_keep_their_form() {
    let bare = Attachment {
        id: AttachmentId(id(1)),
        volume_id: VolumeId(id(2)),
        project_id: "project".into(),
        instance_uuid: None,
        status: AttachmentStatus::Reserved,
        mode: None,
        attached_host: None,
        mountpoint: None,
        connector: None,
        connection_info: None,
        operation: None,
        created_at: time(1),
        updated_at: None,
        attached_at: None,
        detached_at: None,
    };
    check("bare", &bare);
    let data = serde_json::json!({"target_lun": 1, "auth_password": "p"});
    check(
        "full",
        &Attachment {
            instance_uuid: Some(id(3)),
            status: AttachmentStatus::Attached,
            mode: Some(AttachMode::Ro),
            attached_host: Some("node".into()),
            mountpoint: Some("/dev/vdb".into()),
            connector: Some(connector()),
            connection_info: Some(ConnectionInfo::new("iscsi", data.as_object().unwrap().clone())),
            operation: Some(OperationId(id(4))),
            updated_at: Some(time(2)),
            attached_at: Some(time(3)),
            detached_at: Some(time(4)),
            ..bare
        },
    );
}

#[test]
fn snapshots_keep_their_form() {
    let bare = Snapshot {
        id: SnapshotId(id(1)),
        volume_id: VolumeId(id(2)),
        project_id: "project".into(),
        user_id: "user".into(),
        name: None,
        description: None,
        volume_size: 1,
        volume_type_id: None,
        status: SnapshotStatus::Creating,
        progress: "0%".into(),
        metadata: BTreeMap::new(),
        provider_id: None,
        encryption_key_id: None,
        group_snapshot_id: None,
        consumes_quota: true,
        operation: None,
        created_at: time(1),
        updated_at: None,
    };
    check("bare", &bare);
    check(
        "full",
        &Snapshot {
            name: Some("däta".into()),
            description: Some("of all".into()),
            volume_size: u32::MAX,
            volume_type_id: Some(VolumeTypeId(id(3))),
            status: SnapshotStatus::ErrorManaging,
            progress: "42%".into(),
            metadata: pairs(&[("a", "1"), ("b", "")]),
            provider_id: Some("7".into()),
            encryption_key_id: Some(id(4)),
            group_snapshot_id: Some(id(5)),
            consumes_quota: false,
            operation: Some(OperationId(id(6))),
            updated_at: Some(time(2)),
            ..bare
        },
    );
}

#[test]
fn types_and_limits_and_services_keep_their_form() {
    check(
        "full",
        &VolumeType {
            id: VolumeTypeId(id(1)),
            name: "fast".into(),
            description: Some("flash".into()),
            is_public: false,
            extra_specs: pairs(&[("multiattach", "<is> True")]),
            projects: BTreeSet::from(["p".into(), "q".into()]),
            qos_specs_id: Some(pumice::model::QosSpecsId(id(2))),
            created_at: time(1),
            updated_at: Some(time(2)),
        },
    );
    check(
        "full",
        &Limits(BTreeMap::from([
            (Resource::volumes(), 10),
            (Resource::gigabytes(), -1),
        ])),
    );
    check("full", &Limit(-1));
    check("full", &Layout { version: 1 });
    check(
        "full",
        &Service {
            id: ServiceId(id(1)),
            binary: "cinder-volume".into(),
            host: "node@lvm".into(),
            availability_zone: "nova".into(),
            disabled: true,
            disabled_reason: Some("old disks".into()),
            frozen: false,
            created_at: time(1),
            updated_at: Some(time(2)),
        },
    );
}

fn operation(kind: OperationKind) -> Operation {
    let first = OperationV1 {
        id: OperationId(id(1)),
        kind,
        volume_id: VolumeId(id(2)),
        project_id: "project".into(),
        user_id: "user".into(),
        request_id: "req-1".into(),
        attempt: 2,
        pool: Some(BackendName::new("node", "lvm").pool("fast")),
        tried: vec![(BackendName::new("other", "lvm").pool("slow"), "no space".into())],
        previous_status: Some(VolumeStatus::Available),
        reserved: BTreeMap::from([(Resource::gigabytes(), 3)]),
        steps: [
            StepOutcome::Running,
            StepOutcome::Done,
            StepOutcome::Failed("why".into()),
            StepOutcome::Reverted,
        ]
        .into_iter()
        .map(|outcome| StepRecord {
            name: "make".into(),
            attempt: 1,
            started_at: time(1),
            finished_at: Some(time(2)),
            outcome,
        })
        .collect(),
        created_at: time(3),
        deadline: time(4),
    };
    first.upgrade().unwrap()
}

/// What each is called: by its verb, but that two kinds make a volume.
fn label(kind: &OperationKind) -> String {
    match kind {
        OperationKind::CreateVolumeFrom { .. } => "create_volume_from".to_owned(),
        kind => operation(kind.clone()).verb,
    }
}

fn operation_kinds() -> Vec<OperationKind> {
    let snapshot_id = SnapshotId(id(8));
    let reference = Reference::named("lv1");
    let attachment_id = AttachmentId(id(7));
    vec![
        OperationKind::CreateVolume {
            hints: Some("{}".into()),
        },
        OperationKind::DeleteVolume {
            cascade: true,
            force: false,
        },
        OperationKind::ExtendVolume { new_size: 5 },
        OperationKind::UpdateAttachment {
            attachment_id,
            connector: connector(),
            mode: AttachMode::Rw,
        },
        OperationKind::DeleteAttachment { attachment_id },
        OperationKind::InitializeConnection {
            connector: connector(),
        },
        OperationKind::TerminateConnection { connector: None },
        OperationKind::CreateVolumeFrom {
            hints: Some("{}".into()),
            source: VolumeSource::Snapshot {
                id: snapshot_id,
                volume_id: VolumeId(id(9)),
                size: 5,
            },
        },
        OperationKind::CreateSnapshot { snapshot_id },
        OperationKind::DeleteSnapshot { snapshot_id },
        OperationKind::RevertToSnapshot { snapshot_id, size: 5 },
        OperationKind::ManageVolume {
            reference: reference.clone(),
        },
        OperationKind::UnmanageVolume,
        OperationKind::ManageSnapshot {
            snapshot_id,
            reference,
        },
        OperationKind::UnmanageSnapshot { snapshot_id },
    ]
}

#[test]
fn operations_keep_their_form() {
    for kind in operation_kinds() {
        let (label, now) = (label(&kind), operation(kind));
        check(&label, &now);
        let old = std::fs::read_to_string(stored(&format!("operation.{label}.v1.hex"))).unwrap();
        let old: Operation = decode(&hex::decode(old.replace('\n', "")).unwrap()).unwrap();
        assert_eq!(old, now);
        assert!(pumice::verbs::verb_of(&old).is_ok(), "{label}");
    }
}

/// Of verbs that came when journal entries had version 2 already.
#[test]
fn operations_of_later_verbs_keep_their_form() {
    use pumice::messages::scheduler::Among;
    use pumice::verbs::next_stage;
    use pumice::verbs::volume::{MigrateStage, MigrateVolumeEntry, NewType, RetypeStage, RetypeVolumeEntry};
    let operation = operation(OperationKind::UnmanageVolume);
    let new_type = NewType {
        id: VolumeTypeId(id(10)),
        multiattach: true,
    };
    let migrates = MigrateVolumeEntry {
        stage: MigrateStage::CopyData,
        destination: Among::Backend(BackendName::new("h2", "lvm")),
        copy: VolumeId(id(9)),
        pool: Some(BackendName::new("h2", "lvm").pool("p")),
        copied: 1 << 30,
        opened: 2,
        new_type: Some(new_type),
    };
    check_first("migrate_volume", 2, &next_stage(&operation, &migrates).unwrap());
    let retypes = RetypeVolumeEntry {
        stage: RetypeStage::Change,
        new_type,
        may_move: true,
        copy: VolumeId(id(9)),
    };
    check_first("retype_volume", 2, &next_stage(&operation, &retypes).unwrap());
    let owned = Operation {
        owner: Some(NodeIncarnation {
            node: "c1".to_owned(),
            boot: 3,
            random: 0x0123_4567_89ab_cdef,
        }),
        ..operation
    };
    check_first("owned", 3, &owned);
}

#[test]
fn user_messages_keep_their_form() {
    check(
        "full",
        &UserMessage {
            id: MessageId(id(1)),
            project_id: "project".into(),
            request_id: "req-1".into(),
            resource_type: "VOLUME".into(),
            resource_uuid: Some(id(2)),
            action: Action::CreateVolumeFromBackend,
            detail: Detail::DriverFailedCreate,
            cause: Some("no space".into()),
            created_at: time(1),
            expires_at: time(2),
        },
    );
}

#[test]
fn identity_keeps_its_form() {
    let roles = BTreeSet::from(["admin".to_owned(), "member".to_owned()]);
    check(
        "full",
        &Token {
            hash: TokenHash([7; 32]),
            user_id: "u".into(),
            project_id: Some("p".into()),
            roles,
            issued_at: time(1),
            expires_at: time(2),
            audit_id: id(3),
            audit_chain: Some(id(4)),
            methods: vec!["password".into()],
        },
    );
    check(
        "full",
        &TokenKeys {
            credentials: Secret::new("0a"),
            keys: vec![TokenKey {
                number: 1,
                secret: Secret::new("0b"),
                made_at: time(1),
            }],
        },
    );
    check(
        "full",
        &TokenGeneration {
            user_id: "u".into(),
            generation: 2,
        },
    );
    check(
        "full",
        &RevokedToken {
            user_id: "u".into(),
            audit_id: id(3),
            expires_at: time(2),
        },
    );
}

/// Variants of stored enums are distinguished by their position: this list may only grow at the end of each enum.
#[test]
fn variants_of_stored_enums_keep_their_numbers() {
    let mut lines = String::new();
    let mut line = |of: &str, variant: &str, bytes: Vec<u8>| {
        let number = u32::from_le_bytes(bytes[..4].try_into().unwrap());
        lines += &format!("{of} {number} {variant}\n");
    };
    macro_rules! words {
        ($($of:ident)+) => {$(
            for value in $of::ALL {
                line(stringify!($of), value.as_str(), encode_part(value).unwrap());
            }
        )+};
    }
    words!(VolumeStatus AttachStatus MigrationStatus AttachmentStatus AttachMode SnapshotStatus);
    for kind in operation_kinds() {
        line("OperationKind", &label(&kind), encode_part(&kind).unwrap());
    }
    for outcome in [
        StepOutcome::Running,
        StepOutcome::Done,
        StepOutcome::Failed("".into()),
        StepOutcome::Reverted,
    ] {
        line(
            "StepOutcome",
            &format!("{outcome:?}"),
            encode_part(&outcome).unwrap(),
        );
    }
    for action in Action::ALL {
        line("Action", &format!("{action:?}"), encode_part(action).unwrap());
    }
    for detail in Detail::ALL {
        line("Detail", &format!("{detail:?}"), encode_part(detail).unwrap());
    }
    for (name, source) in [
        ("raw", VolumeSource::Raw),
        (
            "snapshot",
            VolumeSource::Snapshot {
                id: SnapshotId(id(1)),
                volume_id: VolumeId(id(2)),
                size: 1,
            },
        ),
        (
            "volume",
            VolumeSource::Volume {
                id: VolumeId(id(1)),
                size: 1,
            },
        ),
    ] {
        line("VolumeSource", name, encode_part(&source).unwrap());
    }
    check_text("enums.txt", &lines);
}
