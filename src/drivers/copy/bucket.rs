//! A token bucket that limits the bytes per second.

use std::time::{Duration, Instant};

/// The most tokens that accumulate while nothing is transferred.
const SAVED: Duration = Duration::from_millis(250);

/// The longest wait; after it the caller asks again, since the rate may have changed.
const LONGEST: Duration = Duration::from_millis(250);

/// Bytes that may be transferred now; negative while there is a debt.
#[derive(Debug)]
pub(super) struct Bucket {
    bytes: f64,
    filled: Instant,
}

impl Bucket {
    /// An empty one.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            bytes: 0.0,
            filled: now,
        }
    }

    /// Takes the bytes of a transfer; missing ones become a debt.
    #[expect(clippy::cast_precision_loss, reason = "a chunk has far less than 52 bits")]
    pub(super) fn take(&mut self, bytes: u64) {
        self.bytes -= bytes as f64;
    }

    /// How long to wait until the debt is paid; zero when there is none, or no limit (`rate` 0).
    #[expect(
        clippy::cast_precision_loss,
        reason = "no disk moves 2^52 bytes a second, nor does it matter"
    )]
    pub(super) fn wait(&mut self, now: Instant, rate: u64) -> Duration {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        if rate == 0 {
            self.bytes = 0.0;
            return Duration::ZERO;
        }
        let rate = rate as f64;
        self.bytes = (self.bytes + passed * rate).min(rate * SAVED.as_secs_f64());
        if self.bytes >= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-self.bytes / rate).map_or(LONGEST, |wait| wait.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::Bucket;

    /// How long it takes to transfer chunks of these sizes, with a simulated clock.
    fn time_for(chunks: &[u64], rate: u64) -> Duration {
        let start = Instant::now();
        let mut now = start;
        let mut bucket = Bucket::new(now);
        for chunk in chunks {
            loop {
                let wait = bucket.wait(now, rate);
                if wait.is_zero() {
                    break;
                }
                now += wait;
            }
            bucket.take(*chunk);
        }
        now - start
    }

    proptest! {
        #[test]
        fn the_limit_is_kept_and_used(chunks in proptest::collection::vec(1_u64..4 << 20, 2..60), rate in 100_000_u64..1 << 30) {
            let all: u64 = chunks.iter().sum();
            let last = chunks.last().copied().unwrap_or(0);
            let took = time_for(&chunks, rate).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let (least, most) = ((all - last) as f64 / rate as f64, all as f64 / rate as f64);
            prop_assert!(took >= least - 0.01, "{took} {least}");
            prop_assert!(took <= most + 0.01, "{took} {most}");
        }
    }

    #[test]
    fn without_a_limit_there_is_no_wait() {
        assert_eq!(time_for(&[1 << 40, 1 << 40], 0), Duration::ZERO);
    }
}
