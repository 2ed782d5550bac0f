//! The sink that is the service's own log: lines with the target `pumice::notification`, by which a subscriber can select them.

use async_trait::async_trait;

use super::sink::{Sink, SinkError};
use crate::model::Notification;

/// See the module.
pub(super) struct LogSink;

#[async_trait(?Send)]
impl Sink for LogSink {
    fn width(&self) -> usize {
        1
    }

    async fn publish(&self, notification: &Notification) -> Result<(), SinkError> {
        tracing::info!(
            target: "pumice::notification",
            message_id = %notification.message_id,
            event_type = notification.event_type,
            priority = notification.priority.as_str(),
            publisher_id = notification.publisher_id,
            request_id = notification.caller.request_id,
            payload = notification.payload,
            "notification"
        );
        Ok(())
    }
}
