//! Payloads and publishers, compared with the keys in Cinder's source.

use super::*;
use crate::model::{AttachmentStatus, BackendName, Connector, SnapshotStatus};

/// The keys of `_usage_from_volume`, in its order, and `volume_attachment`, which it adds.
const VOLUME_KEYS: [&str; 17] = [
    "tenant_id",
    "host",
    "user_id",
    "availability_zone",
    "volume_id",
    "volume_type",
    "display_name",
    "launched_at",
    "created_at",
    "status",
    "snapshot_id",
    "size",
    "replication_status",
    "replication_extended_status",
    "replication_driver_data",
    "metadata",
    "volume_attachment",
];

/// The keys of `_usage_from_snapshot`, in its order.
const SNAPSHOT_KEYS: [&str; 11] = [
    "tenant_id",
    "user_id",
    "availability_zone",
    "volume_id",
    "volume_size",
    "snapshot_id",
    "display_name",
    "created_at",
    "status",
    "deleted",
    "metadata",
];

/// The columns of the table `volume_attachment`.
const ATTACHMENT_COLUMNS: [&str; 15] = [
    "id",
    "volume_id",
    "instance_uuid",
    "attached_host",
    "mountpoint",
    "attach_time",
    "detach_time",
    "attach_status",
    "attach_mode",
    "connection_info",
    "connector",
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
];

fn volume() -> Volume {
    let made = Timestamp(1_795_331_554_123_456);
    let mut volume = Volume::new(
        "p".into(),
        "u".into(),
        3,
        VolumeStatus::InUse,
        "nova".to_owned(),
        made,
    );
    volume.host = Some(BackendName::new("h", "b").pool("pool"));
    volume.metadata.insert("k".to_owned(), "v".to_owned());
    volume
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn event<'a>(volume: &'a Volume, attachments: &'a [Attachment]) -> VolumeEvent<'a> {
    VolumeEvent {
        event_type: "volume.attach.end",
        volume,
        attachments,
        deleted: false,
    }
}

#[test]
fn the_payload_of_a_volume_has_cinders_keys_and_no_secret() {
    let volume = volume();
    let mut attached = Attachment::of(&volume, AttachmentStatus::Attached, Timestamp(1));
    let object = json!({ "host": "client" });
    attached.connector = Some(Connector::from_json(object.as_object().unwrap()));
    let secret = json!({ "auth_password": "hidden" });
    let data = secret.as_object().unwrap().clone();
    attached.connection_info = Some(crate::model::ConnectionInfo::new("iscsi", data));
    let payload = volume_payload(&event(&volume, &[attached]), Timestamp(0));
    assert_eq!(keys(&payload), VOLUME_KEYS);
    assert_eq!(keys(&payload["volume_attachment"][0]), ATTACHMENT_COLUMNS);
    assert!(!payload.to_string().contains("hidden"));
    assert_eq!(payload["created_at"], "2026-11-22T07:12:34.123456+00:00");
    assert_eq!(payload["host"], "h@b#pool");
    assert_eq!(payload["status"], "in-use");
    assert_eq!(payload["metadata"], json!([{ "key": "k", "value": "v" }]));
    assert_eq!(
        payload["volume_attachment"][0]["connector"],
        r#"{"host":"client"}"#
    );
}

#[test]
fn a_volume_is_named_by_its_own_id_after_its_storage_was_replaced() {
    let mut volume = volume();
    volume.set_storage_id(crate::model::VolumeId::new());
    assert_ne!(volume.storage_id(), volume.id);
    let payload = volume_payload(&event(&volume, &[]), Timestamp(0));
    assert_eq!(payload["volume_id"], volume.id.to_string());
}

#[test]
fn the_payload_of_a_snapshot_has_cinders_keys_and_texts() {
    let volume = volume();
    let mut snapshot = Snapshot::of(&volume, SnapshotStatus::Available, Timestamp(0));
    let of = |snapshot: &Snapshot, deleted| {
        snapshot_payload(&SnapshotEvent {
            event_type: "snapshot.delete.end",
            snapshot,
            volume: &volume,
            deleted,
        })
    };
    let payload = of(&snapshot, false);
    assert_eq!(keys(&payload), SNAPSHOT_KEYS);
    assert_eq!(
        (&payload["deleted"], &payload["metadata"]),
        (&json!(""), &json!(""))
    );
    snapshot.metadata.insert("a".to_owned(), "it's".to_owned());
    snapshot.metadata.insert("b".to_owned(), "\n".to_owned());
    let payload = of(&snapshot, true);
    assert_eq!(
        (&payload["deleted"], &payload["status"]),
        (&json!("True"), &json!("deleted"))
    );
    assert_eq!(payload["metadata"], r#"{'a': "it's", 'b': '\n'}"#);
}

#[test]
fn each_event_has_the_publisher_that_it_has_in_cinder() {
    let placed = volume();
    let unplaced = Volume {
        host: None,
        ..volume()
    };
    let of = |event_type, volume| publisher("volume", event_type, volume, "api");
    assert_eq!(of("volume.create.start", &placed), "volume.h@b#pool");
    assert_eq!(of("volume.delete.start", &placed), "volume.h@b");
    assert_eq!(of("volume.attach.end", &placed), "volume.h@b");
    assert_eq!(of("volume.detach.end", &placed), "volume.api");
    assert_eq!(of("volume.update.start", &placed), "volume.api");
    assert_eq!(of("volume.transfer.accept.end", &placed), "volume.api");
    assert_eq!(of("volume.delete.end", &unplaced), "volume.api");
    assert_eq!(
        publisher("snapshot", "snapshot.create.end", &placed, "api"),
        "snapshot.h@b"
    );
}

#[test]
fn a_payload_that_is_too_large_is_published_without_its_largest_parts() {
    let mut large = volume();
    large
        .metadata
        .insert("k".to_owned(), "\u{1}".repeat(LARGEST_PAYLOAD / 2));
    let short = text(volume_payload(&event(&large, &[]), Timestamp(0)));
    assert!(short.len() <= LARGEST_PAYLOAD);
    let read: Value = serde_json::from_str(&short).unwrap();
    assert_eq!(keys(&read), VOLUME_KEYS);
    assert_eq!(read["volume_id"], large.id.to_string());
}
