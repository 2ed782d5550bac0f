//! Bounds how often something that a remote host causes is logged.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// At most [`MOST_LINES`] lines in [`WINDOW`], so that a remote host cannot flood the log.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    window: Mutex<Option<(Instant, u32)>>,
}

const MOST_LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

impl LogLimit {
    /// Calls `log`, unless there were too many lines of this kind; then says so once.
    pub(super) fn line(&self, kind: &str, log: impl FnOnce()) {
        match self.count(Instant::now()) {
            0..MOST_LINES => log(),
            MOST_LINES => tracing::warn!("{kind}; not all of them are logged"),
            _ => {}
        }
    }

    /// How many lines there were in this window.
    fn count(&self, now: Instant) -> u32 {
        let mut window = self.window.lock();
        let (since, count) = match *window {
            Some((since, count)) if now - since < WINDOW => (since, count),
            _ => (now, 0),
        };
        *window = Some((since, count.saturating_add(1)));
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_some_are_logged_and_later_again() {
        let (limit, count) = (LogLimit::default(), std::cell::Cell::new(0));
        (0..100).for_each(|_| limit.line("many", || count.set(count.get() + 1)));
        assert_eq!(count.get(), 20);
        assert_eq!(limit.count(Instant::now() + WINDOW), 0);
    }
}
