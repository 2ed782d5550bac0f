//! The JSON of volumes and other resources at several versions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::messages::api::{ManageableSnapshot, ManageableVolume};
use crate::messages::scheduler::PoolView;
use crate::model::quota::Usage;
use crate::model::service::{BackendStats, Capacity, OverSubscription};
use crate::model::volume::Secret;
use crate::model::{
    AttachMode, AttachStatus, Attachment, AttachmentId, AttachmentStatus, BackendName, ConnectionInfo,
    Context, MigrationStatus, PoolStats, ProjectId, Reference, ServiceId, Snapshot, SnapshotId,
    SnapshotStatus, Volume, VolumeId, VolumeStatus, VolumeType, VolumeTypeId,
};
use crate::web::microversion::Microversion;

/// A caller with version 3.`minor`.
pub(crate) fn caller(minor: u16, is_admin: bool) -> Caller {
    Caller {
        scope: Default::default(),
        context: Context {
            project_id: ProjectId::from("0123456789abcdef0123456789abcdef"),
            user_id: "admin".into(),
            roles: vec![if is_admin { "admin" } else { "member" }.to_owned()],
            is_admin,
            ..Context::internal("test")
        },
        version: Microversion(minor),
        base_url: "http://localhost".to_owned(),
        path_project: Some("0123456789abcdef0123456789abcdef".to_owned()),
        policy: std::sync::Arc::default(),
        rule: None,
        once: None,
    }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0000 + number)
}

fn at(second: i64) -> Timestamp {
    Timestamp(1_795_331_554_123_456 + second * 1_000_000)
}

/// A volume with all fields.
fn volume() -> Volume {
    let text = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    Volume {
        id: VolumeId(id(1)),
        project_id: ProjectId::from("0123456789abcdef0123456789abcdef"),
        user_id: "admin".into(),
        name: Some("n1".to_owned()),
        description: None,
        size: 1,
        status: VolumeStatus::InUse,
        previous_status: None,
        attach_status: AttachStatus::Attached,
        migration_status: Some(MigrationStatus::Success),
        volume_type_id: Some(VolumeTypeId(id(2))),
        availability_zone: "nova".to_owned(),
        host: "h@lvm#lvm".parse().ok(),
        placed: true,
        metadata: text(&[("k", "v"), ("readonly", "mine")]),
        admin_metadata: text(&[("readonly", "False"), ("attached_mode", "rw"), ("secret", "x")]),
        image_metadata: text(&[("image_id", "i")]),
        snapshot_id: None,
        source_volid: Some(VolumeId(id(3))),
        group_id: None,
        bootable: true,
        multiattach: false,
        encryption_key_id: Some(id(4)),
        replication_status: None,
        consumes_quota: true,
        provider_location: Some("secret".to_owned()),
        provider_auth: Some(Secret::new("CHAP u p")),
        provider_id: Some("p".to_owned()),
        service_uuid: Some(ServiceId(id(5))),
        shared_targets: None,
        operation: None,
        created_at: at(0),
        updated_at: Some(at(1)),
        scheduled_at: None,
        launched_at: None,
    }
}

fn attachments() -> [Attachment; 2] {
    let attached = Attachment {
        id: AttachmentId(id(6)),
        instance_uuid: Some(id(7)),
        mode: Some(AttachMode::Rw),
        attached_host: Some("h1".to_owned()),
        mountpoint: Some("/dev/vdb".to_owned()),
        connection_info: Some(ConnectionInfo::new(
            "iscsi",
            json!({"target_lun": 1, "auth_password": "p"})
                .as_object()
                .cloned()
                .unwrap_or_default(),
        )),
        attached_at: Some(at(2)),
        ..Attachment::of(&volume(), AttachmentStatus::Attached, at(0))
    };
    let reserved = Attachment {
        id: AttachmentId(id(8)),
        instance_uuid: None,
        status: AttachmentStatus::Reserved,
        mode: None,
        connection_info: None,
        attached_at: None,
        ..attached.clone()
    };
    [attached, reserved]
}

fn volume_type() -> VolumeType {
    VolumeType {
        id: VolumeTypeId(id(2)),
        name: "gold".to_owned(),
        description: None,
        is_public: true,
        extra_specs: [("multiattach", "<is> True"), ("volume_backend_name", "lvm")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        projects: BTreeSet::default(),
        qos_specs_id: None,
        created_at: at(0),
        updated_at: None,
    }
}

/// As text, so that the order of keys is visible in review.
fn shown(view: &impl Serialize) -> String {
    serde_json::to_string_pretty(view).unwrap()
}

/// Compares the view with the snapshot of that name.
fn compare(name: &str, view: &impl Serialize) {
    insta::assert_snapshot!(name, shown(view));
}

fn detail(minor: u16, is_admin: bool) -> String {
    let caller = caller(minor, is_admin);
    let views = volume::VolumeViews::extended(&caller);
    shown(&Named(
        "volume",
        views.detail(&volume(), &volume::type_names([&volume_type()]), &attachments()),
    ))
}

#[test]
fn a_volume_at_each_version_that_changed_it() {
    for minor in [0, 13, 21, 48, 61, 63, 64, 65, 69, 71] {
        insta::assert_snapshot!(format!("volume_admin_3_{minor}"), detail(minor, true));
    }
}

#[test]
fn a_volume_as_its_owner_sees_it() {
    for minor in [0, 71] {
        insta::assert_snapshot!(format!("volume_member_3_{minor}"), detail(minor, false));
    }
    assert!(!detail(71, false).contains("secret") && !detail(71, true).contains("CHAP"));
}

#[test]
fn a_new_volume_is_shown_without_extended_attributes() {
    let caller = caller(71, true);
    let mut bare = volume();
    bare.volume_type_id = Some(VolumeTypeId(id(99)));
    bare.encryption_key_id = None;
    let views = volume::VolumeViews::plain(&caller);
    compare("volume_new", &views.detail(&bare, &volume::TypeNames::new(), &[]));
    let older = volume::VolumeViews::plain(&self::caller(62, true));
    let older = shown(&older.detail(&bare, &volume::TypeNames::new(), &[]));
    assert!(
        older.contains(&format!("\"volume_type\": \"{}\"", id(99))),
        "before 3.63 the id stands for the name"
    );
}

#[test]
fn states_of_managing_are_shown_as_their_plainer_kin() {
    let caller = caller(71, false);
    let views = volume::VolumeViews::plain(&caller);
    for (status, word) in [
        (VolumeStatus::Managing, "creating"),
        (VolumeStatus::ErrorManaging, "error"),
        (VolumeStatus::ErrorManagingDeleting, "deleting"),
        (VolumeStatus::InUse, "in-use"),
    ] {
        let volume = Volume { status, ..volume() };
        let shown: Value =
            serde_json::to_value(views.detail(&volume, &volume::TypeNames::new(), &[])).unwrap();
        assert_eq!(shown["status"], word);
    }
}

#[test]
fn brief_lists_have_links_and_counts() {
    let mut caller = caller(71, false);
    caller.path_project = None;
    let views = volume::VolumeViews::extended(&caller);
    let volumes = [volume(), volume()];
    let list = Listed {
        name: "volumes",
        items: volumes.iter().map(|volume| views.summary(volume)),
        next: Some(("volumes_links", caller.next_link("volumes", "limit=2", "x"))),
        count: Some(7),
    };
    compare("volume_list", &list);
}

fn snapshot() -> Snapshot {
    Snapshot {
        id: SnapshotId(id(10)),
        name: Some("s1".to_owned()),
        progress: "100%".to_owned(),
        metadata: [("k".to_owned(), "v".to_owned())].into(),
        provider_id: Some("secret".to_owned()),
        encryption_key_id: Some(id(4)),
        group_snapshot_id: Some(id(11)),
        updated_at: Some(at(1)),
        ..Snapshot::of(&volume(), SnapshotStatus::Available, at(0))
    }
}

#[test]
fn a_snapshot_at_each_version_that_changed_it() {
    for minor in [0, 14, 41, 65, 71] {
        let views = snapshot::SnapshotViews::extended(&caller(minor, false));
        let shown = shown(&Named("snapshot", views.detail(&snapshot())));
        assert!(!shown.contains("secret"));
        insta::assert_snapshot!(format!("snapshot_3_{minor}"), shown);
    }
}

#[test]
fn a_snapshot_that_is_new_or_in_a_brief_list_is_shown_without_extended_attributes() {
    let views = snapshot::SnapshotViews::plain(&caller(71, true));
    compare("snapshot_new", &views.detail(&snapshot()));
    let snapshots = [snapshot()];
    let list = Listed {
        name: "snapshots",
        items: snapshots.iter().map(snapshot::SnapshotSummary),
        next: None,
        count: Some(1),
    };
    compare("snapshot_list", &list);
}

#[test]
fn what_can_be_adopted_is_shown_briefly_or_with_its_reasons() {
    let volumes = [ManageableVolume {
        reference: Reference::named("lv1"),
        size: 1,
        safe_to_manage: false,
        reason_not_safe: Some("already managed".to_owned()),
        cinder_id: Some(VolumeId(id(1))),
    }];
    let snapshots = [ManageableSnapshot {
        reference: Reference::named("s1"),
        size: 1,
        safe_to_manage: true,
        reason_not_safe: None,
        cinder_id: None,
        source_reference: Reference::named("lv1"),
    }];
    for (detail, suffix) in [(false, "_brief"), (true, "")] {
        let volumes = volumes
            .each_ref()
            .map(|found| manageable::Manageable { found, detail });
        compare(&format!("manageable_volumes{suffix}"), &volumes);
        let snapshots = snapshots
            .each_ref()
            .map(|found| manageable::Manageable { found, detail });
        compare(&format!("manageable_snapshots{suffix}"), &snapshots);
    }
}

#[test]
fn attachments_are_shown_briefly_or_with_their_secrets() {
    let attachments = attachments();
    let detail = Items(attachments.iter().map(attachment::AttachmentDetail));
    compare("attachments", &Named("attachments", detail));
    let brief = Items(attachments.iter().map(attachment::AttachmentSummary));
    compare("attachments_brief", &Named("attachments", brief));
}

#[test]
fn a_type_is_shown_as_far_as_the_role_goes() {
    let volume_type = volume_type();
    for is_admin in [true, false] {
        let caller = caller(71, is_admin);
        let role = if is_admin { "admin" } else { "member" };
        let view = volume_type::TypeView::new(&caller, &volume_type);
        compare(&format!("type_{role}"), &view);
    }
    let managed = volume_type::ManagedTypeView {
        volume_type: &volume_type,
        with_access: true,
    };
    compare("type_managed", &managed);
}

#[test]
fn quotas_stand_in_the_order_of_cinder() {
    let types = ["t2", "__DEFAULT__"].map(|name| VolumeType {
        name: name.to_owned(),
        ..volume_type()
    });
    let quotas: Vec<quota::Quota> = quota::resources(&types)
        .into_iter()
        .map(|(resource, name)| quota::Quota {
            resource,
            name,
            limit: -1,
            usage: Usage {
                in_use: 1,
                reserved: 2,
            },
        })
        .collect();
    let set = quota::QuotaSet {
        quotas: &quotas,
        with_usage: false,
        id: Some("p"),
    };
    compare("quota_set", &set);
    let usage = serde_json::to_value(quota::QuotaSet {
        quotas: &quotas[..1],
        with_usage: true,
        id: None,
    })
    .unwrap();
    assert_eq!(
        usage,
        json!({"volumes": {"limit": -1, "in_use": 1, "reserved": 2}})
    );
    let limits = quota::AbsoluteLimits {
        quotas: &quotas,
        with_usage: true,
    };
    compare("limits", &limits);
}

#[test]
fn a_pool_tells_what_it_can() {
    let stats = PoolStats {
        pool_name: "p".to_owned(),
        total_capacity_gb: Capacity::Gib(10.0),
        free_capacity_gb: Capacity::Infinite,
        allocated_capacity_gb: 1.0,
        provisioned_capacity_gb: 1.5,
        reserved_percentage: 5,
        max_over_subscription_ratio: OverSubscription::Auto,
        thin_provisioning_support: true,
        thick_provisioning_support: false,
        multiattach: true,
        online_extend_support: true,
        total_volumes: 3,
        extra: [("location_info".to_owned(), "here".to_owned())].into(),
    };
    let backend = BackendStats {
        backend: BackendName::new("h", "lvm"),
        volume_backend_name: "lvm".to_owned(),
        vendor_name: "Open Source".to_owned(),
        driver_version: "1.0".to_owned(),
        storage_protocol: "iSCSI".to_owned(),
        availability_zone: "nova".to_owned(),
        up: true,
        reason: None,
        pools: vec![stats],
        timestamp: at(0),
    };
    let name = backend.backend.pool("p");
    let pool = PoolView {
        name,
        usable: true,
        backend,
        index: 0,
    };
    let view = |pool: &PoolView| shown(&pool::Pool { pool, detail: true });
    insta::assert_snapshot!("pool", view(&pool));
    // An index out of range does not panic.
    let gone = PoolView { index: 7, ..pool };
    assert!(view(&gone).contains("backend_state"));
}

proptest::proptest! {
    #[test]
    fn a_time_is_written_as_everywhere_else(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
        let at = Timestamp(micros);
        proptest::prop_assert_eq!(serde_json::to_value(time(at)).unwrap(), json!(at.to_string()));
    }

    #[test]
    fn no_time_is_beyond_writing(micros: i64) {
        proptest::prop_assert!(serde_json::to_string(&time(Timestamp(micros))).is_ok());
    }
}
