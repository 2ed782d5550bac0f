//! `[notifications]`: where events of volumes and snapshots are published.

use std::path::PathBuf;

use super::reading::section;
use super::units::Duration;
use crate::model::volume::Secret;

section! {
    /// Where events of volumes and snapshots are published, for billing and monitoring. Read by control nodes.
    Notifications {
        /// The sinks: "log", "webhook", "amqp". Each gets every notification at least once. None: nothing is notified.
        sinks: Vec<String> = Vec::new(),
        /// The most notifications that wait for one sink; beyond it the oldest are dropped, with a line in the log.
        max_pending: usize = 100_000,
        /// PEM certificates that those of "webhook" (https) and "amqp" (amqps) are checked with. Empty: those of the system.
        cafile: PathBuf = PathBuf::new(),
        /// Where "webhook" posts to: http://… or https://…. Better given as `PUMICE_NOTIFICATIONS__WEBHOOK_URL` if it has a password.
        webhook_url: Secret = Secret::new(""),
        /// The key of the signatures of "webhook" (`X-Pumice-Signature`: HMAC-SHA256 of the body). Empty: none.
        webhook_secret: Secret = Secret::new(""),
        /// How long a request of "webhook" may take.
        webhook_timeout: Duration = Duration::from_secs(10),
        /// How often "webhook" posts a notification that is refused (an answer 3xx or 4xx but 408 and 429) before it is dropped.
        webhook_refusals: u32 = 5,
        /// The broker of "amqp", as in oslo.messaging's `transport_url`: amqp://user:password@host:port/vhost, or amqps://… for TLS;
        /// several hosts divided by commas. Better given as `PUMICE_NOTIFICATIONS__AMQP_URL`.
        amqp_url: Secret = Secret::new(""),
        /// The exchange (oslo.messaging: `control_exchange`).
        amqp_exchange: String = "openstack".to_owned(),
        /// The topics; each notification is published to all (oslo.messaging: `topics`).
        amqp_topics: Vec<String> = vec!["notifications".to_owned()],
        /// Whether the exchange and the queues are durable, if they do not exist yet. Consumers then need oslo.messaging's
        /// `amqp_durable_queues`.
        amqp_durable: bool = true,
    }
}
