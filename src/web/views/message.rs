//! User messages as clients see them (cinder: `api/v3/views/messages.py`).

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{LinkBase, time};
use crate::model::UserMessage;
use crate::web::views::shape::{self, Shape, field};

/// A message.
pub const MESSAGE: Shape = Shape::Named(
    "message",
    &Shape::Object(&[
        field("id", Shape::Uuid),
        field("event_id", Shape::Text),
        field("user_message", Shape::Text),
        field("message_level", Shape::Text),
        field("created_at", Shape::Time),
        field("guaranteed_until", Shape::Time),
        field("request_id", Shape::Text),
        field("links", shape::LINKS),
        field("resource_type", Shape::Text),
        field("resource_uuid", Shape::Uuid).optional(),
    ]),
);

/// An answer with one message.
pub const ONE: Shape = Shape::Object(&[field("message", MESSAGE)]);

/// A message.
#[derive(Clone, Copy)]
pub struct MessageView<'a> {
    /// The message.
    pub message: &'a UserMessage,
    /// How its links begin.
    pub links: &'a LinkBase,
}

impl Serialize for MessageView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = self.message;
        let mut text = format!("{}:{}", message.action.text(), message.detail.text());
        if let Some(cause) = &message.cause {
            text.push(' ');
            text.push_str(cause);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &message.id)?;
        map.serialize_entry("event_id", &message.event_id())?;
        map.serialize_entry("user_message", &text)?;
        map.serialize_entry("message_level", UserMessage::LEVEL)?;
        map.serialize_entry("created_at", &time(message.created_at))?;
        map.serialize_entry("guaranteed_until", &time(message.expires_at))?;
        map.serialize_entry("request_id", &message.request_id)?;
        map.serialize_entry("links", &self.links.of(message.id))?;
        map.serialize_entry("resource_type", &message.resource_type)?;
        if let Some(id) = message.resource_uuid {
            map.serialize_entry("resource_uuid", &id)?;
        }
        map.end()
    }
}
