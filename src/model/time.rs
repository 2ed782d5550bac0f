//! Points in time, as stored in records: microseconds since the Unix epoch, UTC.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch. Shown in Cinder's format: `2026-11-22T07:12:34.123456`, no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The current time of the system clock.
    pub fn now() -> Self {
        // A simulated node has a simulated clock.
        #[cfg(feature = "sim")]
        if let Some(now) = turmoil::since_epoch() {
            return Self(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
        }
        #[expect(clippy::disallowed_methods, reason = "this is the only place")]
        let now = Utc::now();
        Self(now.timestamp_micros())
    }

    /// This point, `span` later; saturates at the largest value.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// This point, `span` earlier; saturates at the smallest value.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// The time since `earlier`; zero if that is in the future (clocks may be set back).
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads `YYYY-MM-DD[T ]HH:MM:SS[.ffffff]` with an optional zone, or a bare date. `None` for other formats.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(zoned) = DateTime::parse_from_rfc3339(text) {
            return Some(Self(zoned.timestamp_micros()));
        }
        for form in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
            if let Ok(naive) = NaiveDateTime::parse_from_str(text, form) {
                return Some(Self(naive.and_utc().timestamp_micros()));
            }
        }
        let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(Self(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S%.6f")),
            None => write!(f, "{}us", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn a_time_is_shown_as_cinder_shows_it_and_read_back() {
        let time = Timestamp(1_795_331_554_123_456);
        assert_eq!(time.to_string(), "2026-11-22T07:12:34.123456");
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        assert_eq!(Timestamp::parse("2026-11-22T07:12:34.123456Z"), Some(time));
        assert_eq!(Timestamp::parse("bad"), None);
    }
}
