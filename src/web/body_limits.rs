//! How large a body may be, and how slowly it may come.

use std::time::Duration;

/// What a request may weigh, unless told otherwise (oslo.middleware: `max_request_body_size`).
pub const MAX_BODY_SIZE: usize = 114_688;

/// How large a body may be, and how slowly it may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// In bytes.
    pub size: usize,
    /// How long a body may take to come…
    pub time: Duration,
    /// …and one second more for each so many bytes that are there.
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
    /// How long the body may have taken when so much of it is there.
    #[must_use]
    pub fn time_for(&self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let earned = bytes.saturating_mul(1000) / self.bytes_per_second.max(1);
        self.time.saturating_add(Duration::from_millis(earned))
    }
}
