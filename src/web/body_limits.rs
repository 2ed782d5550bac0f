//! Limits of the size and the transfer time of a request body.

use std::time::Duration;

/// The default limit of a request body in bytes (oslo.middleware: `max_request_body_size`).
pub const MAX_BODY_SIZE: usize = 114_688;

/// Limits of the size and the transfer time of a request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// The largest body, in bytes.
    pub size: usize,
    /// How long a body may take to arrive…
    pub time: Duration,
    /// …plus one second per so many bytes received.
    pub bytes_per_second: u64,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            size: MAX_BODY_SIZE,
            time: Duration::from_secs(10),
            bytes_per_second: 8192,
        }
    }
}

impl BodyLimits {
    /// How long the transfer may have taken when so many bytes are received.
    pub fn time_for(&self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let earned = bytes.saturating_mul(1000) / self.bytes_per_second.max(1);
        self.time.saturating_add(Duration::from_millis(earned))
    }
}
