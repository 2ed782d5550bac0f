//! The most recent messages that were not handled, for operators.
//!
//! Cinder's lost casts leave volumes in `creating` without a trace. Here each refused, expired or lost message leaves
//! an entry in a bounded list. Only names and ids are kept: payloads may hold secrets.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::Serialize;

use crate::model::Timestamp;

/// The most entries.
pub const KEPT: usize = 256;

/// A message that was not handled, or not known to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Undelivered {
    /// When it failed.
    pub at: Timestamp,
    /// Its destination.
    pub to: String,
    /// Its name.
    pub message: String,
    /// The request that it belongs to.
    pub request_id: String,
    /// The reason: `overloaded`, `unreachable`, `expired`, `lost`, …
    pub reason: String,
}

/// The last messages that were not delivered.
#[derive(Debug, Default)]
pub struct RecentUndelivered {
    lines: Mutex<VecDeque<Undelivered>>,
}

impl RecentUndelivered {
    /// Adds an entry; the oldest is dropped when the list is full.
    pub fn push(&self, to: &impl ToString, message: &str, request_id: &str, reason: impl Into<String>) {
        let line = Undelivered {
            at: Timestamp::now(),
            to: to.to_string(),
            message: message.to_owned(),
            request_id: request_id.to_owned(),
            reason: reason.into(),
        };
        let mut lines = self.lines.lock();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// All entries, the oldest first.
    pub fn lines(&self) -> Vec<Undelivered> {
        self.lines.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, RecentUndelivered};

    #[test]
    fn the_ring_keeps_the_newest() {
        let undelivered = RecentUndelivered::default();
        for n in 0..=KEPT {
            undelivered.push(&"api", "report", &n.to_string(), "lost");
        }
        let lines = undelivered.lines();
        assert_eq!(lines.len(), KEPT);
        assert_eq!(lines[0].request_id, "1");
        assert_eq!(lines[KEPT - 1].request_id, KEPT.to_string());
    }
}
