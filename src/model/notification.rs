//! Notifications of changes, for billing and monitoring: the records of the outbox (cinder: `rpc.get_notifier`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Context, Operation, ProjectId, Timestamp, UserId};
use crate::rng;

/// The priority of a notification. Variants are only appended, since they are stored.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
pub enum NotificationPriority {
    /// Something was begun or is done.
    #[strum(serialize = "INFO")]
    Info,
    /// Something failed.
    #[strum(serialize = "ERROR")]
    Error,
}

/// The user whose request led to a notification: the `_context_` of its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationCaller {
    /// The id of the request.
    pub request_id: String,
    /// The id of the originating request.
    pub global_request_id: Option<String>,
    /// The user.
    pub user_id: UserId,
    /// The project that the request was for.
    pub project_id: ProjectId,
    /// The user's roles in it; empty if the notification is about the work of a backend, which is done for the user later.
    pub roles: Vec<String>,
    /// Whether the caller is an administrator.
    pub is_admin: bool,
}

impl From<&Context> for NotificationCaller {
    fn from(context: &Context) -> Self {
        Self {
            request_id: context.request_id.clone(),
            global_request_id: context.global_request_id.clone(),
            user_id: context.user_id.clone(),
            project_id: context.project_id.clone(),
            roles: context.roles.clone(),
            is_admin: context.is_admin,
        }
    }
}

impl From<&Operation> for NotificationCaller {
    fn from(operation: &Operation) -> Self {
        Self {
            request_id: operation.request_id.clone(),
            global_request_id: None,
            user_id: operation.user_id.clone(),
            project_id: operation.project_id.clone(),
            roles: Vec::new(),
            // Cinder's manager elevates the context before it notifies.
            is_admin: true,
        }
    }
}

/// A notification, as stored in the outbox (version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Its id, the same each time it is published: consumers recognise repetitions by it.
    pub message_id: Uuid,
    /// The event: `volume.create.start`.
    pub event_type: String,
    /// Its priority.
    pub priority: NotificationPriority,
    /// The service that it is from: `volume.host@backend`.
    pub publisher_id: String,
    /// What it is about, by id (a snapshot's by that of its volume): notifications of one resource are published in order.
    pub resource: Uuid,
    /// When it was made.
    pub timestamp: Timestamp,
    /// The user whose request led to it.
    pub caller: NotificationCaller,
    /// The event's data: a JSON object as text.
    pub payload: String,
}

impl Notification {
    /// A new notification about this resource.
    pub fn new(
        event_type: &str,
        publisher_id: String,
        resource: Uuid,
        caller: &NotificationCaller,
        payload: String,
    ) -> Self {
        Self {
            message_id: rng::id(),
            event_type: event_type.to_owned(),
            priority: NotificationPriority::of(event_type),
            publisher_id,
            resource,
            timestamp: Timestamp::now(),
            caller: caller.clone(),
            payload,
        }
    }
}

impl NotificationPriority {
    /// That of an event. The scheduler notifies of failures only.
    pub fn of(event_type: &str) -> Self {
        match event_type.ends_with(".error") || event_type.starts_with("scheduler.") {
            true => Self::Error,
            false => Self::Info,
        }
    }

    /// Its text in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_keep_their_form() {
        let bare = Notification {
            message_id: Uuid::from_u128(1),
            event_type: "volume.create.start".to_owned(),
            priority: NotificationPriority::Info,
            publisher_id: "volume.host@lvm#pool".to_owned(),
            resource: Uuid::from_u128(2),
            timestamp: Timestamp(1_700_000_000_000_001),
            caller: NotificationCaller {
                request_id: "req-1".to_owned(),
                global_request_id: None,
                user_id: "user".into(),
                project_id: "project".into(),
                roles: Vec::new(),
                is_admin: false,
            },
            payload: "{}".to_owned(),
        };
        crate::golden::record("bare", &bare);
        let full = Notification {
            priority: NotificationPriority::Error,
            caller: NotificationCaller {
                global_request_id: Some("req-0".to_owned()),
                roles: vec!["member".to_owned()],
                is_admin: true,
                ..bare.caller.clone()
            },
            payload: r#"{"volume_id":"v"}"#.to_owned(),
            ..bare
        };
        crate::golden::record("full", &full);
    }
}
