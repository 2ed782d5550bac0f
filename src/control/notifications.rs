//! Notifications of events of volumes and snapshots, with Cinder's event types and payloads (cinder: `volume/volume_utils.py`
//! `_usage_from_volume`, `_usage_from_snapshot`).
//!
//! They are added to the [`Changes`] that they are about, so that they are committed together. Without a sink nothing is made.
//! Hidden volumes (`consumes_quota` is false) have no notifications, as in Cinder.
//!
//! | published by | events |
//! |---|---|
//! | `volume.<host>@<backend>#<pool>` | `create.*`, `manage_existing.*` of a volume, `manage_existing_snapshot.*` |
//! | `<service>.<host>` of the control node | those of volume types and QoS specs |
//! | `volume.<host>` of the control node | `update.*`, `reset_status.*`, `transfer.*`, `detach.end`, all of a volume without a host |
//! | `volume.<host>@<backend>`, `snapshot.<host>@<backend>` | all others |

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Control;
use crate::model::{
    AttachStatus, Attachment, Notification, NotificationCaller, Result, Snapshot, Timestamp, Volume,
    VolumeStatus,
};
use crate::store::catalog::Changes;

/// The largest payload, in bytes: beyond it, attachments and metadata are left out.
const LARGEST_PAYLOAD: usize = 32 * 1024;

/// The status of a deleted volume or snapshot.
pub const DELETED: &str = "deleted";

/// An event of a volume.
#[derive(Clone, Copy, Debug)]
pub struct VolumeEvent<'a> {
    /// Its type: `volume.create.start`.
    pub event_type: &'a str,
    /// The volume at the time of the event.
    pub volume: &'a Volume,
    /// Its attachments then.
    pub attachments: &'a [Attachment],
    /// Whether the volume is deleted.
    pub deleted: bool,
}

/// An event of a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotEvent<'a> {
    /// Its type: `snapshot.create.start`.
    pub event_type: &'a str,
    /// The snapshot at the time of the event.
    pub snapshot: &'a Snapshot,
    /// Its volume.
    pub volume: &'a Volume,
    /// Whether the snapshot is deleted.
    pub deleted: bool,
}

impl Control {
    /// The attachments of a volume for its notifications; none if there is no sink.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn attachments_to_notify(&self, volume: &Volume) -> Result<Vec<Attachment>> {
        if self.catalog.outbox().is_none() || volume.attach_status == AttachStatus::Detached {
            return Ok(Vec::new());
        }
        let found = self.catalog.volume_attachments(volume.id).await?;
        Ok(found.into_iter().map(|stored| stored.record).collect())
    }
}

/// Adds a notification of a volume.
pub fn notify_volume(changes: &mut Changes, caller: &NotificationCaller, event: &VolumeEvent<'_>) {
    let Some(outbox) = changes.outbox().filter(|_| event.volume.consumes_quota) else {
        return;
    };
    let publisher = publisher("volume", event.event_type, event.volume, outbox.host());
    let payload = volume_payload(event, Timestamp::now());
    let resource = event.volume.id.0;
    changes.notify(Notification::new(
        event.event_type,
        publisher,
        resource,
        caller,
        text(payload),
    ));
}

/// Adds a notification of a snapshot.
pub fn notify_snapshot(changes: &mut Changes, caller: &NotificationCaller, event: &SnapshotEvent<'_>) {
    let Some(outbox) = changes.outbox().filter(|_| event.snapshot.consumes_quota) else {
        return;
    };
    let publisher = publisher("snapshot", event.event_type, event.volume, outbox.host());
    let (resource, payload) = (event.volume.id.0, text(snapshot_payload(event)));
    changes.notify(Notification::new(
        event.event_type,
        publisher,
        resource,
        caller,
        payload,
    ));
}

/// Adds a notification of a change of something that administrators keep, published by `<service>.<host>` of the control node.
pub fn notify_about(
    changes: &mut Changes,
    caller: &NotificationCaller,
    (service, event_type): (&str, &str),
    resource: Uuid,
    payload: impl FnOnce() -> Value,
) {
    let Some(outbox) = changes.outbox() else { return };
    let publisher = format!("{service}.{}", outbox.host());
    changes.notify(Notification::new(
        event_type,
        publisher,
        resource,
        caller,
        text(payload()),
    ));
}

/// Adds a notification that the scheduler found no pool for a new volume; `verb` was to make it (cinder: `scheduler/flows`).
pub fn notify_not_scheduled(
    changes: &mut Changes,
    caller: &NotificationCaller,
    verb: &str,
    volume: &Volume,
    reason: &str,
) {
    let Some(outbox) = changes.outbox() else { return };
    let publisher = format!("scheduler.{}", outbox.host());
    let properties = json!({
        "size": volume.size,
        "display_name": volume.name,
        "display_description": volume.description,
        "volume_type_id": volume.volume_type_id,
        "availability_zone": volume.availability_zone,
        "snapshot_id": volume.snapshot_id,
        "source_volid": volume.source_volid,
        "user_id": volume.user_id,
        "project_id": volume.project_id,
        "status": VolumeStatus::Creating.as_str(),
        "attach_status": volume.attach_status.as_str(),
        "multiattach": volume.multiattach,
    });
    let payload = json!({
        "request_spec": {
            "volume_id": volume.id,
            "snapshot_id": volume.snapshot_id,
            "source_volid": volume.source_volid,
            "volume_properties": properties,
        },
        "volume_properties": properties,
        "volume_id": volume.id,
        "state": "error",
        "method": verb,
        "reason": reason,
    });
    let event_type = &format!("scheduler.{verb}");
    changes.notify(Notification::new(
        event_type,
        publisher,
        volume.id.0,
        caller,
        text(payload),
    ));
}

/// The payload as text that is not too large.
fn text(mut payload: Value) -> String {
    let mut text = payload.to_string();
    for part in [
        "volume_attachment",
        "glance_metadata",
        "metadata",
        "volume_properties",
        "request_spec",
    ] {
        if text.len() <= LARGEST_PAYLOAD {
            break;
        }
        if let Some(value) = payload.get_mut(part) {
            *value = match value {
                Value::Array(_) => json!([]),
                Value::Object(_) => json!({}),
                _ => json!(""),
            };
            tracing::warn!(
                part,
                "a notification without a part of its payload, which is too large"
            );
            text = payload.to_string();
        }
    }
    text
}

/// See the table of the module.
fn publisher(service: &str, event_type: &str, volume: &Volume, api_host: &str) -> String {
    let of_api = ["update.", "reset_status.", "transfer."];
    let of_pool = [
        "volume.create.",
        "volume.manage_existing.",
        "snapshot.manage_existing_snapshot.",
    ];
    let what = event_type.split_once('.').map_or(event_type, |(_, what)| what);
    let is_of_api = of_api.iter().any(|prefix| what.starts_with(prefix)) || what == "detach.end";
    match &volume.host {
        Some(pool) if of_pool.iter().any(|prefix| event_type.starts_with(prefix)) => {
            format!("{service}.{pool}")
        }
        Some(pool) if !is_of_api => format!("{service}.{}", pool.backend),
        _ => format!("{service}.{api_host}"),
    }
}

/// As Python shows a time with its zone (`isoformat`).
fn zoned(time: Timestamp) -> String {
    format!("{time}+00:00")
}

/// Metadata as Cinder lists it: a `key` and a `value` for each pair.
fn pairs<'a>(metadata: impl IntoIterator<Item = (&'a String, &'a String)>) -> Value {
    let pairs = metadata
        .into_iter()
        .map(|(key, value)| json!({ "key": key, "value": value }));
    Value::Array(pairs.collect())
}

fn volume_payload(event: &VolumeEvent<'_>, now: Timestamp) -> Value {
    let volume = event.volume;
    let status = match volume.status {
        _ if event.deleted => DELETED,
        VolumeStatus::ErrorManagingDeleting => VolumeStatus::Deleting.as_str(),
        status => status.as_str(),
    };
    let mut payload = json!({
        "tenant_id": volume.project_id,
        "host": volume.host.as_ref().map(ToString::to_string),
        "user_id": volume.user_id,
        "availability_zone": volume.availability_zone,
        "volume_id": volume.id,
        "volume_type": volume.volume_type_id,
        "display_name": volume.name,
        "launched_at": zoned(volume.launched_at.unwrap_or(now)),
        "created_at": zoned(volume.created_at),
        "status": status,
        "snapshot_id": volume.snapshot_id,
        "size": volume.size,
        "replication_status": volume.replication_status,
        "replication_extended_status": null,
        "replication_driver_data": null,
        "metadata": pairs(&volume.metadata),
        "volume_attachment": event.attachments.iter().map(attachment).collect::<Vec<_>>(),
    });
    if !volume.image_metadata.is_empty() {
        payload["glance_metadata"] = pairs(&volume.image_metadata);
    }
    payload
}

/// An attachment with the columns of Cinder's row; `connection_info` has a secret and is left out.
fn attachment(attachment: &Attachment) -> Value {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    json!({
        "id": attachment.id,
        "volume_id": attachment.volume_id,
        "instance_uuid": attachment.instance_uuid,
        "attached_host": attachment.attached_host,
        "mountpoint": attachment.mountpoint,
        "attach_time": time(attachment.attached_at),
        "detach_time": time(attachment.detached_at),
        "attach_status": attachment.status.as_str(),
        "attach_mode": attachment.mode.map(|mode| mode.as_str()),
        "connection_info": null,
        "connector": attachment.connector.as_ref().map(|connector| Value::Object(connector.to_json()).to_string()),
        "created_at": time(Some(attachment.created_at)),
        "updated_at": time(attachment.updated_at),
        "deleted_at": null,
        "deleted": false,
    })
}

fn snapshot_payload(event: &SnapshotEvent<'_>) -> Value {
    let SnapshotEvent {
        snapshot,
        volume,
        deleted,
        ..
    } = *event;
    let mut payload = Map::new();
    let mut set = |key: &str, value: Value| payload.insert(key.to_owned(), value);
    set("tenant_id", json!(snapshot.project_id));
    set("user_id", json!(snapshot.user_id));
    set("availability_zone", json!(volume.availability_zone));
    set("volume_id", json!(snapshot.volume_id));
    set("volume_size", json!(snapshot.volume_size));
    set("snapshot_id", json!(snapshot.id));
    set("display_name", json!(snapshot.name));
    set("created_at", json!(zoned(snapshot.created_at)));
    set(
        "status",
        json!(if deleted {
            DELETED
        } else {
            snapshot.status.as_str()
        }),
    );
    set("deleted", json!(if deleted { "True" } else { "" }));
    set("metadata", json!(python_dict(&snapshot.metadata)));
    Value::Object(payload)
}

/// A dictionary as Python's `str` shows it; an empty one is an empty text, as in Cinder.
fn python_dict<'a>(metadata: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pairs = metadata
        .into_iter()
        .map(|(key, value)| format!("{}: {}", python_text(key), python_text(value)));
    let pairs: Vec<String> = pairs.collect();
    if pairs.is_empty() {
        return String::new();
    }
    format!("{{{}}}", pairs.join(", "))
}

/// A text as Python's `repr` shows it.
fn python_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut shown = String::with_capacity(text.len() + 2);
    shown.push(quote);
    for character in text.chars() {
        match character {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            character if character == quote => shown.extend(['\\', character]),
            character if character.is_control() => {
                shown.push_str(&format!("\\x{:02x}", u32::from(character)))
            }
            character => shown.push(character),
        }
    }
    shown.push(quote);
    shown
}

#[cfg(test)]
mod tests;
