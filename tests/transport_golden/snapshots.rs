//! What came with version 2 of `api` and `volume`: snapshots, and the adoption of what exists.

use super::*;
use pumice::log_levels::LogLevel;
use pumice::messages::api::*;
use pumice::verbs::snapshot::{
    ChangeSnapshot, CreateSnapshot, DeleteSnapshot, ManageSnapshot, SnapshotChange, UnmanageSnapshot,
    UpdateSnapshot, UpdateSnapshotMetadata,
};
use pumice::verbs::volume::{ManageVolume, RevertToSnapshot, UnmanageVolume};

#[test]
fn each_message_about_snapshots_has_the_bytes_it_had() {
    message(&[
        (
            "full",
            CreateSnapshot {
                volume_id: "v".into(),
                name: text("n"),
                description: text("d"),
                metadata: map(),
                in_use_too: true,
            },
        ),
        ("empty", CreateSnapshot::default()),
    ]);
    message(&[
        (
            "full",
            UpdateSnapshot {
                snapshot_id: "s".into(),
                name: Some(None),
                description: Some(text("d")),
            },
        ),
        ("empty", UpdateSnapshot::default()),
    ]);
    let changes = [
        ("merge", MetadataChange::Merge(map())),
        ("replace", MetadataChange::Replace(map())),
        ("remove", MetadataChange::Remove("a".into())),
    ];
    message(&changes.map(|(label, change)| {
        let snapshot_id = "s".to_owned();
        (label, UpdateSnapshotMetadata { snapshot_id, change })
    }));
    message(&[(
        "full",
        DeleteSnapshot {
            snapshot_id: "s".into(),
            force: true,
        },
    )]);
    let changes = [
        (
            "reset_status",
            SnapshotChange::ResetStatus {
                status: SnapshotStatus::Error,
            },
        ),
        (
            "update_status",
            SnapshotChange::UpdateStatus {
                status: "available".into(),
                progress: text("42%"),
            },
        ),
    ];
    message(&changes.map(|(label, change)| {
        let snapshot_id = "s".to_owned();
        (label, ChangeSnapshot { snapshot_id, change })
    }));
    message(&[(
        "full",
        RevertToSnapshot {
            volume_id: "v".into(),
            snapshot_id: text("s"),
        },
    )]);
}

#[test]
fn each_message_about_adoption_has_the_bytes_it_had() {
    message(&[(
        "full",
        ManageVolume {
            host: "h1@file#pool".into(),
            reference: Reference::named("lv1"),
            name: text("n"),
            description: text("d"),
            volume_type: text("t"),
            availability_zone: text("nova"),
            metadata: map(),
            bootable: true,
        },
    )]);
    message(&[(
        "full",
        UnmanageVolume {
            volume_id: "v".into(),
        },
    )]);
    message(&[(
        "full",
        ManageSnapshot {
            volume_id: "v".into(),
            reference: Reference::named("lv1"),
            name: text("n"),
            description: text("d"),
            metadata: map(),
        },
    )]);
    message(&[(
        "full",
        UnmanageSnapshot {
            snapshot_id: "s".into(),
        },
    )]);
    message(&[(
        "full",
        ListManageableVolumes {
            host: "h1@file".into(),
        },
    )]);
    message(&[(
        "full",
        ListManageableSnapshots {
            host: "h1@file".into(),
        },
    )]);
    let volume = ManageableVolume {
        reference: Reference::named("lv1"),
        size: 3,
        safe_to_manage: false,
        reason_not_safe: text("already managed"),
        cinder_id: Some(VolumeId(id(2))),
    };
    reply("api.list_manageable_volumes", &[("full", vec![volume])]);
    let snapshot = ManageableSnapshot {
        reference: Reference::named("s1"),
        size: 3,
        safe_to_manage: true,
        reason_not_safe: None,
        cinder_id: Some(SnapshotId(id(3))),
        source_reference: Reference::named("lv1"),
    };
    reply("api.list_manageable_snapshots", &[("full", vec![snapshot])]);
}

#[test]
fn each_message_about_storage_has_the_bytes_it_had() {
    let names = vec![
        StorageName::Volume(VolumeId(id(2))),
        StorageName::Snapshot(SnapshotId(id(3))),
    ];
    message(&[(
        "full",
        CompareStorage {
            backend: backend(),
            after: Some(names[0]),
            found: names.clone(),
            complete: true,
        },
    )]);
    let difference = StorageDifference {
        orphans: names.clone(),
        missing: names,
    };
    reply("api.compare_storage", &[("full", difference)]);
}

#[test]
fn each_later_message_to_volume_has_the_bytes_it_had() {
    use pumice::verbs::snapshot::{
        CreateSnapshotCommand, DeleteSnapshotCommand, ManageSnapshotCommand, UnmanageSnapshotCommand,
    };
    use pumice::verbs::volume::{
        DeleteVolumeCascadeCommand, ManageVolumeCommand, RevertToSnapshotCommand, UnmanageVolumeCommand,
    };
    use volume::*;
    let volume = || spec(VolumeSource::Raw);
    let snapshot_id = SnapshotId(id(3));
    let remaining_ms = 60_000;
    message(&[(
        "full",
        DeleteVolumeCascadeCommand {
            command: command(),
            volume: volume(),
            snapshots: vec![snapshot_id, SnapshotId(id(4))],
            remaining_ms,
        },
    )]);
    macro_rules! about_a_snapshot {
        ($($message:ident)+) => {$(
            message(&[("full", $message { command: command(), volume: volume(), snapshot_id, remaining_ms })]);
        )+};
    }
    about_a_snapshot!(CreateSnapshotCommand DeleteSnapshotCommand UnmanageSnapshotCommand);
    message(&[(
        "full",
        RevertToSnapshotCommand {
            command: command(),
            volume: volume(),
            snapshot_id,
            size: 2,
            remaining_ms,
        },
    )]);
    message(&[(
        "full",
        ManageVolumeCommand {
            command: command(),
            volume: volume(),
            reference: Reference::named("lv1"),
            remaining_ms,
        },
    )]);
    message(&[(
        "full",
        UnmanageVolumeCommand {
            command: command(),
            volume: volume(),
            remaining_ms,
        },
    )]);
    message(&[(
        "full",
        ManageSnapshotCommand {
            command: command(),
            volume: volume(),
            snapshot_id,
            reference: Reference::named("s1"),
            remaining_ms,
        },
    )]);
    message(&[(
        "full",
        ListExisting {
            after: text("lv1"),
            limit: 100,
        },
    )]);
    let existing = Existing {
        name: "s1".into(),
        bytes: 3 << 30,
        in_use: true,
        origin: text("lv1"),
    };
    let page = ExistingPage {
        existing: vec![existing.clone()],
        next: text("s1"),
    };
    reply("volume.list_existing", &[("full", vec![existing])]);
    message(&[(
        "full",
        ListExistingPage {
            after: text("lv1"),
            limit: 100,
        },
    )]);
    reply("volume.list_existing_page", &[("full", page)]);
    message(&[(
        "full",
        GetLogLevels {
            prefix: "pumice::web".into(),
        },
    )]);
    let levels = BTreeMap::from([("pumice::web".to_owned(), "INFO".to_owned())]);
    reply("volume.get_log_levels", &[("full", levels)]);
    let set = |level| SetLogLevels {
        prefix: "pumice::web".into(),
        level,
    };
    message(&[
        ("debug", set(LogLevel::Debug)),
        ("info", set(LogLevel::Info)),
        ("warning", set(LogLevel::Warning)),
        ("error", set(LogLevel::Error)),
    ]);
}

#[test]
fn each_reply_about_snapshots_has_the_bytes_it_had() {
    let snapshot = Snapshot {
        id: SnapshotId(id(3)),
        volume_id: VolumeId(id(2)),
        project_id: "p".into(),
        user_id: "u".into(),
        name: text("n"),
        description: None,
        volume_size: 3,
        volume_type_id: Some(VolumeTypeId(id(6))),
        status: SnapshotStatus::Available,
        progress: "100%".into(),
        metadata: map(),
        provider_id: text("i"),
        encryption_key_id: Some(id(8)),
        group_snapshot_id: Some(id(7)),
        consumes_quota: true,
        operation: Some(OperationId(id(1))),
        created_at: Timestamp(1),
        updated_at: Some(Timestamp(2)),
    };
    reply("api.snapshot", &[("full", snapshot)]);
}
