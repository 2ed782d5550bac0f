//! The bytes of each frame and each message, kept, so that a change cannot pass unseen: it would be a program that does
//! not understand its neighbour of yesterday.
//!
//! One file for each message in `tests/golden/wire`, one line for each sample: a label and the bytes. They are written
//! anew only by `PUMICE_WRITE_GOLDEN=1`; to do so for a message that was ever released is to break it: make a new
//! message, or append a variant, and its lines are new ones.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

#[path = "transport_golden/copies.rs"]
mod copies;
#[path = "golden_support/mod.rs"]
mod golden_support;
#[path = "transport_golden/moving.rs"]
mod moving;
#[path = "transport_golden/snapshots.rs"]
mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bytes::BytesMut;
use pumice::inventory::{Visitor, every_message};
use pumice::messages::{Message, api, quota, registry, scheduler, volume};
use pumice::model::service::{BackendStats, Capacity, OverSubscription, PoolStats};
use pumice::model::spec::VolumeSource;
use pumice::model::volume::Secret;
use pumice::model::*;
use pumice::transport::frame::{self, Kind, MAX_FRAME};
use pumice::transport::fuzzing::decode_header;
use pumice::transport::header::*;
use pumice::transport::{Address, codec};
use serde::Serialize;
use uuid::Uuid;

use golden_support::{compare, file_name, lines, message, reply, wire, writing};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8800 + n)
}

fn map() -> BTreeMap<String, String> {
    BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())])
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn backend() -> BackendName {
    BackendName::new("h1", "file")
}

fn connector() -> Connector {
    let json = serde_json::json!({"host": "h1", "initiator": "iqn.1", "multipath": false});
    Connector::from_json(json.as_object().unwrap())
}

fn connection_info() -> ConnectionInfo {
    let json = serde_json::json!({"target_lun": 1, "target_iqn": "iqn.2"});
    ConnectionInfo::new("iscsi", json.as_object().unwrap().clone())
}

fn command() -> volume::CommandId {
    volume::CommandId {
        operation: OperationId(id(1)),
        attempt: 2,
    }
}

fn spec(source: VolumeSource) -> VolumeSpec {
    VolumeSpec {
        id: VolumeId(id(2)),
        project_id: "p".into(),
        size: 3,
        pool: backend().pool("pool"),
        multiattach: true,
        readonly: false,
        encrypted: false,
        extra_specs: map(),
        source,
        provider_location: text("127.0.0.1:3260,1 iqn 1"),
        provider_auth: Some(Secret::new("CHAP user password")),
    }
}

fn sources() -> [(&'static str, VolumeSource); 3] {
    [
        ("raw", VolumeSource::Raw),
        (
            "snapshot",
            VolumeSource::Snapshot {
                id: SnapshotId(id(3)),
                volume_id: VolumeId(id(4)),
                size: 1,
            },
        ),
        (
            "volume",
            VolumeSource::Volume {
                id: VolumeId(id(4)),
                size: 2,
            },
        ),
    ]
}

fn request() -> scheduler::RequestSpec {
    scheduler::RequestSpec {
        volume_id: VolumeId(id(2)),
        size: 3,
        availability_zone: text("nova"),
        extra_specs: map(),
        resource_backend: Some(backend().pool("pool")),
        hints: text("{}"),
        tried: vec![backend().pool("other")],
    }
}

fn service() -> Service {
    Service {
        id: ServiceId(id(5)),
        binary: "cinder-volume".into(),
        host: "h1@file".into(),
        availability_zone: "nova".into(),
        disabled: true,
        disabled_reason: text("because"),
        frozen: false,
        created_at: Timestamp(1),
        updated_at: Some(Timestamp(2)),
    }
}

fn backend_stats() -> BackendStats {
    let pool = |name: &str, total, ratio| PoolStats {
        pool_name: name.into(),
        total_capacity_gb: total,
        free_capacity_gb: Capacity::Unknown,
        allocated_capacity_gb: 1.5,
        provisioned_capacity_gb: 2.5,
        reserved_percentage: 10,
        max_over_subscription_ratio: ratio,
        thin_provisioning_support: true,
        thick_provisioning_support: false,
        multiattach: true,
        online_extend_support: true,
        total_volumes: 7,
        extra: map(),
    };
    BackendStats {
        backend: backend(),
        volume_backend_name: "file".into(),
        vendor_name: "Pumice".into(),
        driver_version: "1".into(),
        storage_protocol: "iSCSI".into(),
        availability_zone: "nova".into(),
        up: true,
        reason: text("none"),
        pools: vec![
            pool("a", Capacity::Gib(10.25), OverSubscription::Ratio(20.0)),
            pool("b", Capacity::Infinite, OverSubscription::Auto),
        ],
        timestamp: Timestamp(9),
    }
}

fn whole_volume() -> Volume {
    Volume {
        id: VolumeId(id(2)),
        project_id: "p".into(),
        user_id: "u".into(),
        name: text("n"),
        description: None,
        size: 3,
        status: VolumeStatus::InUse,
        previous_status: Some(VolumeStatus::Available),
        attach_status: AttachStatus::Attached,
        migration_status: Some(MigrationStatus::None),
        volume_type_id: Some(VolumeTypeId(id(6))),
        availability_zone: "nova".into(),
        host: Some(backend().pool("pool")),
        placed: true,
        metadata: map(),
        admin_metadata: map(),
        image_metadata: BTreeMap::new(),
        snapshot_id: Some(SnapshotId(id(3))),
        source_volid: Some(VolumeId(id(4))),
        group_id: Some(id(7)),
        bootable: true,
        multiattach: false,
        encryption_key_id: Some(id(8)),
        replication_status: text("disabled"),
        consumes_quota: true,
        provider_location: text("l"),
        provider_auth: Some(Secret::new("s")),
        provider_id: text("i"),
        service_uuid: Some(ServiceId(id(5))),
        shared_targets: Some(false),
        operation: Some(OperationId(id(1))),
        created_at: Timestamp(1),
        updated_at: Some(Timestamp(2)),
        scheduled_at: Some(Timestamp(3)),
        launched_at: Some(Timestamp(4)),
    }
}

#[test]
fn each_frame_has_the_bytes_it_had() {
    let identity = |node: &str, boot| Identity {
        node: node.into(),
        incarnation: Incarnation {
            boot,
            random: 0x0102_0304_0506_0708,
        },
        max_frame: 1 << 20,
        nonce: [7; 32],
    };
    let header = |remaining_ms| MessageHeader {
        id: 5,
        to: Address::of("volume", "h1@file"),
        message: "create_volume".into(),
        version: 1,
        remaining_ms,
        context: Context {
            request_id: "req-1".into(),
            global_request_id: text("req-0"),
            user_id: "u".into(),
            project_id: "p".into(),
            roles: vec!["admin".into(), "member".into()],
            is_admin: true,
            traceparent: text("00-4bf9-00f0-01"),
            sender: None,
        },
    };
    let announcement = Announcement {
        endpoints: vec![Address::any("api"), Address::of("volume", "h1@file")],
        topics: vec![TopicVersions {
            topic: "api".into(),
            min: 1,
            max: 2,
        }],
    };
    let reply = |status| ReplyHeader { id: 5, status };
    let failed = |failure| reply(ReplyStatus::Failed(failure));
    let refuse = |reason| Refuse {
        reason,
        text: "because".into(),
    };
    let number = Numbered { id: 5 };
    let mut lines = Vec::new();
    let mut add = |label: &str, frame: Result<Vec<u8>, frame::FrameError>| {
        lines.push((label.to_owned(), frame.unwrap()));
    };
    add(
        "hello",
        frame::encode(Kind::Hello, &identity("a", 1), &(), MAX_FRAME),
    );
    let welcome = Welcome {
        identity: identity("b", 2),
        proof: Some([9; 32]),
    };
    add("welcome", frame::encode(Kind::Welcome, &welcome, &(), MAX_FRAME));
    for reason in [
        Refusal::Protocol,
        Refusal::SameName,
        Refusal::Duplicate,
        Refusal::Stale,
        Refusal::BadProof,
        Refusal::Full,
        Refusal::Leaving,
        Refusal::Malformed,
        Refusal::Certificate,
        Refusal::NotItsOwn,
    ] {
        let label = format!("refuse.{reason:?}");
        add(
            &label,
            frame::encode(Kind::Refuse, &refuse(reason), &(), MAX_FRAME),
        );
    }
    add(
        "proof",
        frame::encode(Kind::Proof, &Proof { proof: Some([9; 32]) }, &(), MAX_FRAME),
    );
    add(
        "announce",
        frame::encode(Kind::Announce, &(), &announcement, MAX_FRAME),
    );
    add(
        "cast",
        frame::encode_raw(Kind::Cast, &header(None), b"payload", MAX_FRAME),
    );
    add(
        "call",
        frame::encode_raw(Kind::Call, &header(Some(1500)), b"payload", MAX_FRAME),
    );
    add(
        "reply.done",
        frame::encode_raw(Kind::Reply, &reply(ReplyStatus::Done), b"payload", MAX_FRAME),
    );
    let refused = Error::unavailable("later", 3).with_operator("full");
    add(
        "reply.refused",
        frame::encode(Kind::Reply, &reply(ReplyStatus::Refused), &refused, MAX_FRAME),
    );
    for (label, failure) in [
        ("unreachable", Failure::Unreachable),
        ("overloaded", Failure::Overloaded),
        ("too_large", Failure::TooLarge { bytes: 10, limit: 9 }),
        (
            "unsupported_version",
            Failure::UnsupportedVersion { speaks: 1, needs: 2 },
        ),
        ("timeout", Failure::Timeout),
        ("lost", Failure::Lost),
    ] {
        let label = format!("reply.failed.{label}");
        add(
            &label,
            frame::encode(Kind::Reply, &failed(failure), &(), MAX_FRAME),
        );
    }
    for (label, kind) in [
        ("accepted", Kind::Accepted),
        ("cancel", Kind::Cancel),
        ("ping", Kind::Ping),
        ("pong", Kind::Pong),
    ] {
        add(label, frame::encode(kind, &number, &(), MAX_FRAME));
    }
    let goodbye = Goodbye {
        reason: "because".into(),
    };
    add("goodbye", frame::encode(Kind::Goodbye, &goodbye, &(), MAX_FRAME));

    let mut kinds = BTreeSet::new();
    for (label, bytes) in &lines {
        let frame = frame::parse(&mut BytesMut::from(bytes.as_slice()), MAX_FRAME)
            .unwrap()
            .unwrap();
        assert!(decode_header(&frame), "{label}");
        kinds.insert(frame.kind as u8);
    }
    assert_eq!(kinds.len(), Kind::ALL.len(), "a kind of frame has no sample");
    compare("frames", &lines);
}

#[test]
fn each_message_to_api_has_the_bytes_it_had() {
    use api::*;
    use pumice::verbs::attachment::{
        CompleteAttachment, CreateAttachment, DeleteAttachment, UpdateAttachment,
    };
    use pumice::verbs::message::DeleteMessage;
    use pumice::verbs::volume::{
        ChangeVolume, CreateVolume, DeleteVolume, ExtendVolume, InitializeConnection, TerminateConnection,
        UpdateVolume, UpdateVolumeMetadata, VolumeChange,
    };
    use pumice::verbs::volume_type::{
        CreateVolumeType, DeleteVolumeType, UpdateVolumeType, VolumeTypeChange,
    };
    message(&[
        (
            "full",
            CreateVolume {
                size: Some(3),
                name: text("n"),
                description: text("d"),
                volume_type: text("t"),
                metadata: map(),
                availability_zone: text("nova"),
                snapshot_id: Some(id(3)),
                source_volid: Some(id(4)),
                image: text("i"),
                backup_id: Some(id(5)),
                group_id: Some(id(6)),
                hints: text("{}"),
            },
        ),
        ("empty", CreateVolume::default()),
    ]);
    message(&[
        (
            "full",
            UpdateVolume {
                volume_id: "v".into(),
                name: Some(None),
                description: Some(text("d")),
                metadata: Some(map()),
            },
        ),
        ("empty", UpdateVolume::default()),
    ]);
    message(&[(
        "full",
        DeleteVolume {
            volume_id: "v".into(),
            cascade: true,
            force: false,
        },
    )]);
    message(&[(
        "full",
        ExtendVolume {
            volume_id: "v".into(),
            new_size: 4,
            attached_too: true,
        },
    )]);
    message(&[(
        "full",
        CancelOperation {
            operation: OperationId(id(1)),
        },
    )]);
    message(&[(
        "full",
        Progress {
            command: command(),
            done: 1 << 20,
            total: 1 << 30,
        },
    )]);
    let changes = [
        ("merge", MetadataChange::Merge(map())),
        ("replace", MetadataChange::Replace(map())),
        ("remove", MetadataChange::Remove("a".into())),
    ];
    message(&changes.map(|(label, change)| {
        (
            label,
            UpdateVolumeMetadata {
                volume_id: "v".into(),
                change,
                expected: Some(map()),
            },
        )
    }));
    let changes = [
        ("reserve", VolumeChange::Reserve),
        ("unreserve", VolumeChange::Unreserve),
        ("begin_detaching", VolumeChange::BeginDetaching),
        ("roll_detaching", VolumeChange::RollDetaching),
        (
            "attach",
            VolumeChange::Attach {
                instance_uuid: Some(id(9)),
                host_name: text("h"),
                mountpoint: "/dev/vdb".into(),
                mode: AttachMode::Ro,
            },
        ),
        (
            "detach",
            VolumeChange::Detach {
                attachment_id: Some(AttachmentId(id(9))),
            },
        ),
        (
            "update_readonly_flag",
            VolumeChange::UpdateReadonlyFlag { readonly: true },
        ),
        ("set_bootable", VolumeChange::SetBootable { bootable: true }),
        (
            "reset_status",
            VolumeChange::ResetStatus {
                status: Some(VolumeStatus::Error),
                attach_status: Some(AttachStatus::Detached),
                migration_status: Some(MigrationStatus::None),
            },
        ),
        ("set_image_metadata", VolumeChange::SetImageMetadata(map())),
        (
            "unset_image_metadata",
            VolumeChange::UnsetImageMetadata("a".into()),
        ),
    ];
    message(&changes.map(|(label, change)| {
        (
            label,
            ChangeVolume {
                volume_id: "v".into(),
                change,
            },
        )
    }));
    message(&[(
        "full",
        InitializeConnection {
            volume_id: "v".into(),
            connector: connector(),
        },
    )]);
    message(&[(
        "full",
        TerminateConnection {
            volume_id: "v".into(),
            connector: Some(connector()),
        },
    )]);
    message(&[(
        "full",
        CreateAttachment {
            volume_id: "v".into(),
            instance_uuid: Some(id(9)),
            connector: Some(connector()),
            mode: Some(AttachMode::Rw),
        },
    )]);
    message(&[(
        "full",
        UpdateAttachment {
            attachment_id: "a".into(),
            connector: connector(),
        },
    )]);
    message(&[(
        "full",
        CompleteAttachment {
            attachment_id: "a".into(),
        },
    )]);
    message(&[(
        "full",
        DeleteAttachment {
            attachment_id: "a".into(),
        },
    )]);
    message(&[(
        "full",
        CreateVolumeType {
            name: "t".into(),
            description: text("d"),
            is_public: true,
            extra_specs: map(),
        },
    )]);
    let changes = [
        (
            "update",
            VolumeTypeChange::Update {
                name: text("t"),
                description: Some(None),
                is_public: Some(false),
            },
        ),
        ("set_extra_specs", VolumeTypeChange::SetExtraSpecs(map())),
        ("unset_extra_spec", VolumeTypeChange::UnsetExtraSpec("a".into())),
        (
            "add_project_access",
            VolumeTypeChange::AddProjectAccess("p".into()),
        ),
        (
            "remove_project_access",
            VolumeTypeChange::RemoveProjectAccess("p".into()),
        ),
        (
            "change_extra_specs",
            VolumeTypeChange::ChangeExtraSpecs([("a".to_owned(), None), ("b".to_owned(), text("c"))].into()),
        ),
    ];
    message(&changes.map(|(label, change)| {
        (
            label,
            UpdateVolumeType {
                id: VolumeTypeId(id(6)),
                change,
            },
        )
    }));
    message(&[(
        "full",
        DeleteVolumeType {
            id: VolumeTypeId(id(6)),
        },
    )]);
    message(&[(
        "full",
        DeleteMessage {
            message_id: "m".into(),
        },
    )]);
    message(&[(
        "full",
        ListBackendVolumes {
            backend: backend(),
            after: Some(VolumeId(id(2))),
            limit: 100,
        },
    )]);
    message(&[(
        "full",
        ListBackendVolumesPage {
            backend: backend(),
            after: Some(VolumeId(id(2))),
            limit: 100,
        },
    )]);
    message(&[(
        "full",
        ConfirmOrphans {
            backend: backend(),
            names: vec![StorageName::Volume(VolumeId(id(2)))],
        },
    )]);
    message(&[(
        "full",
        BackendStarted {
            backend: backend(),
            at: Timestamp(9),
        },
    )]);
}

#[test]
fn each_report_has_the_bytes_it_had() {
    use api::*;
    let failed = |kind| {
        Outcome::Failed(Failure {
            kind,
            client: "c".to_owned(),
            operator: "o".to_owned(),
        })
    };
    let outcomes = [
        (
            "created",
            Outcome::Created {
                provider_id: text("i"),
            },
        ),
        ("deleted", Outcome::Deleted),
        ("extended", Outcome::Extended),
        (
            "connected",
            Outcome::Connected {
                connection_info: connection_info(),
                provider_location: "l".into(),
                provider_auth: Some(Secret::new("s")),
            },
        ),
        ("disconnected", Outcome::Disconnected { export_removed: true }),
        ("failed.no_valid_backend", failed(FailureKind::NoValidBackend)),
        ("failed.backend", failed(FailureKind::Backend)),
        ("failed.no_space", failed(FailureKind::NoSpace)),
        ("failed.request", failed(FailureKind::Request)),
        ("failed.busy", failed(FailureKind::Busy)),
        ("failed.timed_out", failed(FailureKind::TimedOut)),
        (
            "snapshot_created",
            Outcome::SnapshotCreated {
                provider_id: text("i"),
            },
        ),
        ("snapshot_deleted", Outcome::SnapshotDeleted),
        ("reverted", Outcome::Reverted),
        (
            "managed",
            Outcome::Managed {
                size: 3,
                provider_id: text("i"),
            },
        ),
        ("unmanaged", Outcome::Unmanaged),
        (
            "snapshot_managed",
            Outcome::SnapshotManaged {
                size: 3,
                provider_id: None,
            },
        ),
        ("snapshot_unmanaged", Outcome::SnapshotUnmanaged),
        ("failed.cancelled", failed(FailureKind::Cancelled)),
        ("copy_source_opened", Outcome::CopySourceOpened),
        ("copied", Outcome::Copied { bytes: 1 << 30 }),
    ];
    let step = |outcome| StepRecord {
        name: "create".to_owned(),
        attempt: 1,
        started_at: Timestamp(1),
        finished_at: Some(Timestamp(2)),
        outcome,
    };
    let steps = [
        StepOutcome::Running,
        StepOutcome::Done,
        StepOutcome::Failed("x".into()),
        StepOutcome::Reverted,
    ]
    .map(step);
    message(&outcomes.map(|(label, outcome)| {
        (
            label,
            Report {
                command: command(),
                from: Some(backend()),
                outcome,
                steps: steps.to_vec(),
            },
        )
    }));
}

#[test]
fn each_message_to_quota_has_the_bytes_it_had() {
    use pumice::model::quota::Resource;
    use quota::*;
    let limits = vec![(Resource::volumes(), 10), (Resource::gigabytes(), -1)];
    message(&[(
        "full",
        CheckQuota {
            project_id: "p".into(),
            deltas: BTreeMap::from([(Resource::volumes(), 1), (Resource::gigabytes(), -3)]),
            volume_size: Some(3),
        },
    )]);
    message(&[(
        "full",
        UpdateQuotaSet {
            project_id: "p".into(),
            limits: limits.clone(),
        },
    )]);
    message(&[(
        "full",
        DeleteQuotaSet {
            project_id: "p".into(),
        },
    )]);
    message(&[(
        "full",
        UpdateQuotaClass {
            class: "default".into(),
            limits: limits.clone(),
        },
    )]);
    reply("quota.check_quota", &[("full", Ceilings { limits })]);
}

#[test]
fn each_message_to_registry_has_the_bytes_it_had() {
    use registry::*;
    message(&[(
        "full",
        Heartbeat {
            binary: "cinder-volume".into(),
            host: "h1@file".into(),
            availability_zone: "nova".into(),
            backend_up: Some(true),
        },
    )]);
    message(&[("full", ListServices {})]);
    message(&[(
        "full",
        SetServiceDisabled {
            binary: "cinder-volume".into(),
            host: "h1@file".into(),
            disabled: true,
            reason: text("because"),
        },
    )]);
    message(&[(
        "full",
        SetServiceFrozen {
            host: "h1@file".into(),
            frozen: true,
        },
    )]);
    let view = ServiceView {
        service: service(),
        heard_at: Some(Timestamp(3)),
        up: true,
        backend_up: Some(false),
    };
    reply("registry.list_services", &[("full", vec![view])]);
    reply("registry.set_service_disabled", &[("full", service())]);
}

#[test]
fn each_message_to_scheduler_has_the_bytes_it_had() {
    use scheduler::*;
    message(&[(
        "full",
        pumice::verbs::volume::ScheduleVolume {
            operation: OperationId(id(1)),
            attempt: 2,
            request: request(),
            volume: UnplacedVolume::new(spec(VolumeSource::Raw)),
        },
    )]);
    message(&[(
        "full",
        ValidateExtend {
            pool: backend().pool("pool"),
            request: request(),
            attached: true,
        },
    )]);
    message(&[(
        "full",
        UpdateServiceCapabilities {
            stats: backend_stats(),
        },
    )]);
    message(&[("full", GetPools {})]);
    let view = PoolView {
        name: backend().pool("a"),
        usable: true,
        backend: backend_stats(),
        index: 1,
    };
    reply("scheduler.get_pools", &[("full", vec![view])]);
}

#[test]
fn each_message_to_volume_has_the_bytes_it_had() {
    use pumice::verbs::volume::{
        CreateVolumeCommand, DeleteVolumeCommand, ExtendVolumeCommand, InitializeConnectionCommand,
        TerminateConnectionCommand,
    };
    use volume::*;
    message(&sources().map(|(label, source)| {
        (
            label,
            CreateVolumeCommand {
                command: command(),
                volume: spec(source),
                remaining_ms: 60_000,
            },
        )
    }));
    let volume = || spec(VolumeSource::Raw);
    message(&[(
        "full",
        DeleteVolumeCommand {
            command: command(),
            volume: volume(),
            remaining_ms: 60_000,
        },
    )]);
    message(&[(
        "full",
        ExtendVolumeCommand {
            command: command(),
            volume: volume(),
            new_size: 4,
            remaining_ms: 60_000,
        },
    )]);
    message(&[(
        "full",
        InitializeConnectionCommand {
            command: command(),
            volume: volume(),
            attachment: Some(AttachmentId(id(9))),
            connector: connector(),
            mode: AttachMode::Ro,
            remaining_ms: 60_000,
        },
    )]);
    message(&[(
        "full",
        TerminateConnectionCommand {
            command: command(),
            volume: volume(),
            connector: Some(connector()),
            connector_stays: true,
            export_stays: false,
            remaining_ms: 60_000,
        },
    )]);
    message(&[("full", CancelOperation { command: command() })]);
}

#[test]
fn each_reply_of_api_has_the_bytes_it_had() {
    reply("api.volume", &[("full", whole_volume())]);
    let attachment = Attachment {
        id: AttachmentId(id(9)),
        volume_id: VolumeId(id(2)),
        project_id: "p".into(),
        instance_uuid: Some(id(10)),
        attached_host: text("h"),
        mountpoint: text("/dev/vdb"),
        mode: Some(AttachMode::Rw),
        status: AttachmentStatus::Attached,
        connector: Some(connector()),
        connection_info: Some(connection_info()),
        attached_at: Some(Timestamp(1)),
        detached_at: None,
        operation: Some(OperationId(id(1))),
        created_at: Timestamp(1),
        updated_at: Some(Timestamp(2)),
    };
    reply("api.attachment", &[("full", attachment)]);
    reply("api.initialize_connection", &[("full", connection_info())]);
    let volume_type = VolumeType {
        id: VolumeTypeId(id(6)),
        name: "t".into(),
        description: text("d"),
        is_public: false,
        extra_specs: map(),
        projects: BTreeSet::from(["p".into()]),
        qos_specs_id: Some(pumice::model::QosSpecsId(id(11))),
        created_at: Timestamp(1),
        updated_at: Some(Timestamp(2)),
    };
    reply("api.volume_type", &[("full", volume_type)]);
    let listed = api::BackendVolume {
        volume: spec(VolumeSource::Raw),
        status: VolumeStatus::Available,
        connectors: vec![connector()],
    };
    let page = api::BackendVolumesPage {
        volumes: vec![listed.clone()],
        next: Some(VolumeId(id(2))),
    };
    reply("api.list_backend_volumes", &[("full", vec![listed])]);
    reply("api.list_backend_volumes_page", &[("full", page)]);
    let orphans = vec![StorageName::Volume(VolumeId(id(2)))];
    reply("api.confirm_orphans", &[("full", orphans)]);
}

/// Words that travel as a number: their order is the wire's.
#[test]
fn each_word_has_the_number_it_had() {
    fn words<T: Serialize + Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> Vec<(String, Vec<u8>)> {
        all.iter()
            .map(|word| (name(*word).to_owned(), codec::encode(word).unwrap()))
            .collect()
    }
    compare(
        "word.volume_status",
        &words(VolumeStatus::ALL, VolumeStatus::as_str),
    );
    compare(
        "word.attach_status",
        &words(AttachStatus::ALL, AttachStatus::as_str),
    );
    compare(
        "word.migration_status",
        &words(MigrationStatus::ALL, MigrationStatus::as_str),
    );
    compare(
        "word.attachment_status",
        &words(AttachmentStatus::ALL, AttachmentStatus::as_str),
    );
    compare(
        "word.snapshot_status",
        &words(SnapshotStatus::ALL, SnapshotStatus::as_str),
    );
    compare("word.attach_mode", &words(AttachMode::ALL, AttachMode::as_str));
    let kinds = [
        ("bad_request", Error::bad_request("t")),
        ("forbidden", Error::forbidden_by("t")),
        ("not_found", Error::not_found("t")),
        ("conflict", Error::conflict("t")),
        ("over_quota", Error::over_quota("t")),
        ("not_implemented", Error::not_implemented("t")),
        ("unavailable", Error::unavailable("t", 3)),
        ("backend", Error::backend("t")),
        ("internal", Error::internal("t")),
        ("too_large", Error::too_large("t")),
        ("unprocessable", Error::unprocessable("t")),
    ];
    compare("error", &lines(&kinds));
}

/// Names of all messages in the inventory, as their files are called.
struct Names(BTreeSet<String>);

impl Visitor for Names {
    fn message<M: Message>(&mut self) {
        assert!(
            self.0.insert(file_name::<M>()),
            "{} is there twice",
            file_name::<M>()
        );
    }
}

#[test]
fn every_message_has_golden_bytes() {
    let mut names = Names(BTreeSet::new());
    every_message(&mut names);
    if !writing() {
        for name in &names.0 {
            assert!(wire(name).is_file(), "{name} has none");
        }
    }
    // And the inventory has every message that `src/messages` and `src/verbs` make one.
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut made) = (vec![sources.join("messages"), sources.join("verbs")], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(path).unwrap();
            made += source
                .lines()
                .filter(|line| line.starts_with("call!(") || line.starts_with("cast!("))
                .count();
        }
    }
    assert_eq!(names.0.len(), made, "a message is missing in the inventory");
}
