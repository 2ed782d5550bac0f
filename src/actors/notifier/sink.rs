//! What a sink does.

use async_trait::async_trait;

use crate::model::Notification;

/// Why a notification was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The sink is down or slow, or cannot accept anything now: the notification is published again until it is accepted.
    #[error("{0}")]
    Unavailable(String),
    /// The sink refuses this notification. It is published again a few times, then dropped.
    #[error("refused: {0}")]
    Refused(String),
}

/// Where notifications are published.
#[async_trait(?Send)]
pub trait Sink {
    /// The most notifications on their way at once, all of different resources.
    fn width(&self) -> usize;

    /// Publishes a notification. Returns when the sink has accepted it durably, and within a time limit in any case.
    ///
    /// # Errors
    /// [`SinkError`]; the notification may have been accepted nevertheless.
    async fn publish(&self, notification: &Notification) -> Result<(), SinkError>;
}
