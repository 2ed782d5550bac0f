//! The form of a notification on the wire, as oslo.messaging's driver `messagingv2` has it: the message, and the envelope around it.

use serde_json::{Map, Value, json};

use crate::model::{Notification, Timestamp};
use crate::rng;

/// The version of the envelope.
const ENVELOPE: &str = "2.0";

/// The message: what a consumer's endpoint gets, with the context as `_context_…`.
pub fn message(notification: &Notification) -> Value {
    let mut message = Map::new();
    let mut set = |key: &str, value: Value| message.insert(key.to_owned(), value);
    set("message_id", json!(notification.message_id));
    set("publisher_id", json!(notification.publisher_id));
    set("event_type", json!(notification.event_type));
    set("priority", json!(notification.priority.as_str()));
    set(
        "payload",
        serde_json::from_str(&notification.payload).unwrap_or_else(|_| json!({})),
    );
    set("timestamp", json!(python_text(notification.timestamp)));
    for (key, value) in context(notification) {
        set(&format!("_context_{key}"), value);
    }
    Value::Object(message)
}

/// The message in its envelope, for a broker. Its `_unique_id` is another each time: a consumer of oslo.messaging leaves a message
/// with a known one without acknowledgement.
pub fn envelope(notification: &Notification) -> String {
    let mut message = message(notification);
    message["_unique_id"] = json!(rng::id().simple().to_string());
    json!({ "oslo.version": ENVELOPE, "oslo.message": message.to_string() }).to_string()
}

/// The keys of Cinder's `RequestContext.to_dict`; without tokens, and without what the service does not know.
fn context(notification: &Notification) -> impl Iterator<Item = (&'static str, Value)> {
    let caller = &notification.caller;
    let identity = format!("{} {} - - -", caller.user_id, caller.project_id);
    [
        ("user", json!(caller.user_id)),
        ("user_id", json!(caller.user_id)),
        ("project", json!(caller.project_id)),
        ("project_id", json!(caller.project_id)),
        ("tenant", json!(caller.project_id)),
        ("request_id", json!(caller.request_id)),
        ("global_request_id", json!(caller.global_request_id)),
        ("roles", json!(caller.roles)),
        ("is_admin", json!(caller.is_admin)),
        ("user_identity", json!(identity)),
        ("timestamp", json!(notification.timestamp.to_string())),
        ("read_deleted", json!("no")),
    ]
    .into_iter()
}

/// A time as Python's `str` shows it.
fn python_text(time: Timestamp) -> String {
    time.to_string().replacen('T', " ", 1)
}
