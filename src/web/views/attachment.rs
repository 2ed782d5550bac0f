//! Attachments as clients see them (cinder: `api/v3/views/attachments.py`).

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::time;
use crate::model::{Attachment, Timestamp};
use crate::web::views::shape::{self, Shape, field};

/// A time, or the empty text.
const TIME_OR_BLANK: Shape = Shape::OneOf(&[Shape::Time, Shape::Enum(&[""])]);

/// An attachment with all its fields.
pub const DETAIL: Shape = Shape::Named(
    "attachment",
    &Shape::Object(&[
        field("id", Shape::Uuid),
        field("status", Shape::Text),
        field("instance", shape::UUID_OR_NULL),
        field("volume_id", Shape::Uuid),
        field("attached_at", TIME_OR_BLANK),
        field("detached_at", TIME_OR_BLANK),
        field("attach_mode", Shape::Nullable(&Shape::Enum(&["rw", "ro"]))),
        field("connection_info", shape::OBJECT),
    ]),
);

/// An attachment in a brief list.
pub const SUMMARY: Shape = Shape::Named(
    "attachment_summary",
    &Shape::Object(&[
        field("id", Shape::Uuid),
        field("status", Shape::Text),
        field("instance", shape::UUID_OR_NULL),
        field("volume_id", Shape::Uuid),
    ]),
);

/// An answer with one attachment.
pub const ONE: Shape = Shape::Object(&[field("attachment", DETAIL)]);
/// An answer with those that are left of a volume.
pub const OTHERS: Shape = Shape::Object(&[field("attachments", Shape::List(&SUMMARY))]);

/// An attachment with all its fields: `connection_info` contains secrets, and is shown only to callers that
/// may see the volume.
#[derive(Clone, Copy)]
pub struct AttachmentDetail<'a>(pub &'a Attachment);

/// An attachment in a brief list.
#[derive(Clone, Copy)]
pub struct AttachmentSummary<'a>(pub &'a Attachment);

fn summary<M: SerializeMap>(attachment: &Attachment, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("id", &attachment.id)?;
    map.serialize_entry("status", attachment.status.as_str())?;
    map.serialize_entry("instance", &attachment.instance_uuid)?;
    map.serialize_entry("volume_id", &attachment.volume_id)
}

/// A time, or the empty text, which Cinder writes for none.
fn time_or_blank<M: SerializeMap>(map: &mut M, key: &str, at: Option<Timestamp>) -> Result<(), M::Error> {
    match at {
        Some(at) => map.serialize_entry(key, &time(at)),
        None => map.serialize_entry(key, ""),
    }
}

impl Serialize for AttachmentSummary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        summary(self.0, &mut map)?;
        map.end()
    }
}

impl Serialize for AttachmentDetail<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let attachment = self.0;
        let mut map = serializer.serialize_map(Some(8))?;
        summary(attachment, &mut map)?;
        time_or_blank(&mut map, "attached_at", attachment.attached_at)?;
        time_or_blank(&mut map, "detached_at", attachment.detached_at)?;
        map.serialize_entry("attach_mode", &attachment.mode.map(|mode| mode.as_str()))?;
        map.serialize_entry("connection_info", &connection_info(attachment))?;
        map.end()
    }
}

/// Everything in one object, unlike the answer to a connection of the old way; empty until there is a connection.
fn connection_info(attachment: &Attachment) -> Value {
    let Some(info) = &attachment.connection_info else {
        return Value::Object(serde_json::Map::new());
    };
    let mut facts = info.data();
    facts.insert(
        "driver_volume_type".to_owned(),
        info.driver_volume_type.clone().into(),
    );
    facts.insert("attachment_id".to_owned(), attachment.id.to_string().into());
    Value::Object(facts)
}
