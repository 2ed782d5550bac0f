//! The limit of a backend's copies, divided among the running ones: equal shares, applied before each chunk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::bucket::Bucket;
use crate::drivers::{DriverResult, Work};

/// The limit of bytes per second for all copies of a backend together. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    limit: u64,
    running: Arc<AtomicU64>,
}

impl Throttle {
    /// 0 is no limit.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            running: Arc::default(),
        }
    }

    /// Counts one more copy, until the returned value is dropped.
    pub(crate) fn enter(&self) -> Place {
        self.running.fetch_add(1, Ordering::Relaxed);
        Place {
            throttle: self.clone(),
            bucket: Bucket::new(Instant::now()),
        }
    }

    /// The share of one running copy in bytes per second; 0 is unlimited.
    pub(crate) fn share(&self) -> u64 {
        match self.limit {
            0 => 0,
            limit => (limit / self.running.load(Ordering::Relaxed).max(1)).max(1),
        }
    }
}

/// A running copy.
#[derive(Debug)]
pub(crate) struct Place {
    throttle: Throttle,
    bucket: Bucket,
}

impl Place {
    /// Waits until so many bytes may be transferred.
    ///
    /// # Errors
    /// The work's end.
    pub(crate) fn pace(&mut self, work: &Work, bytes: u64) -> DriverResult<()> {
        loop {
            work.check()?;
            let wait = self.bucket.wait(Instant::now(), self.throttle.share());
            if wait.is_zero() {
                self.bucket.take(bytes);
                return Ok(());
            }
            std::thread::sleep(wait);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.throttle.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Throttle;
    use crate::drivers::{DriverError, Work};

    #[test]
    fn shares_are_equal_and_given_back() {
        let throttle = Throttle::new(90);
        assert_eq!(Throttle::new(0).share(), 0);
        let places: Vec<_> = (0..3).map(|_| throttle.enter()).collect();
        assert_eq!(throttle.share(), 30);
        drop(places);
        assert_eq!(throttle.share(), 90);
    }

    #[test]
    fn a_wait_ends_when_the_work_is_cancelled() {
        let work = Work::within(Duration::from_secs(60));
        let mut place = Throttle::new(1).enter();
        place.pace(&work, 1 << 40).unwrap();
        let theirs = work.clone();
        let waits = std::thread::spawn(move || place.pace(&theirs, 1));
        work.cancel();
        assert!(matches!(waits.join().unwrap(), Err(DriverError::Cancelled)));
    }

    #[test]
    fn no_more_is_moved_than_may_be() {
        let (work, begun) = (Work::within(Duration::from_secs(60)), Instant::now());
        let mut place = Throttle::new(10_000).enter();
        for _ in 0..4 {
            place.pace(&work, 1000).unwrap();
        }
        // The first passes at once, the others wait for those before them.
        assert!(begun.elapsed() >= Duration::from_millis(290));
    }
}
