//! Bounds the concurrent commands that change a group. LVM serialises them, so further ones would only take processor
//! time from the running one. The bound is the number of processors plus one, which runs while another waits for the
//! disk or for udev.
//!
//! It only orders commands and protects nothing: LVM has its own lock. A command that hangs for longer than
//! [`PATIENCE`] is no longer waited for.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::drivers::{DriverResult, Work};

/// How long a command is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How often a waiter checks whether it may still wait.
const LOOK: Duration = Duration::from_millis(250);

/// See the module.
pub(super) struct CommandQueue {
    at_once: usize,
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    inside: Vec<(u64, Instant)>,
}

/// A running command.
pub(super) struct Permit<'a> {
    queue: &'a CommandQueue,
    number: u64,
}

impl CommandQueue {
    /// A queue for this machine's processors.
    pub(super) fn new() -> Self {
        Self::of(std::thread::available_parallelism().map_or(1, usize::from) + 1)
    }

    fn of(at_once: usize) -> Self {
        Self {
            at_once,
            state: Mutex::default(),
            left: Condvar::new(),
        }
    }

    /// Waits for a permit until the deadline of the work.
    pub(super) fn acquire(&self, work: &Work) -> DriverResult<Permit<'_>> {
        let mut state = self.state();
        loop {
            work.check()?;
            let now = Instant::now();
            let counts = state
                .inside
                .iter()
                .filter(|(_, since)| now.duration_since(*since) < PATIENCE)
                .count();
            if counts < self.at_once {
                let number = state.next;
                state.next += 1;
                state.inside.push((number, now));
                return Ok(Permit { queue: self, number });
            }
            let pause = LOOK.min(work.remaining());
            self.left.wait_for(&mut state, pause);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    #[cfg(test)]
    fn hang(&self) {
        for (_, since) in &mut self.state().inside {
            *since -= PATIENCE;
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.inside.retain(|(number, _)| *number != self.number);
        drop(state);
        self.queue.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::CommandQueue;
    use crate::drivers::testing::work;
    use crate::drivers::{DriverError, Work};

    #[test]
    fn no_more_are_in_than_may_be_and_all_get_in() {
        let queue = CommandQueue::of(2);
        let (now, most, all) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let permit = queue.acquire(&work()).unwrap();
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                        all.fetch_add(1, Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!((most.into_inner(), all.into_inner()), (2, 400));
    }

    #[test]
    fn one_that_hangs_is_not_waited_for() {
        let queue = CommandQueue::of(1);
        let hanging = queue.acquire(&work()).unwrap();
        let short = Work::within(Duration::from_millis(20));
        assert!(matches!(queue.acquire(&short), Err(DriverError::TimedOut)));
        queue.hang();
        let other = queue.acquire(&work()).unwrap();
        // It returns its own place only.
        drop(hanging);
        assert!(queue.acquire(&Work::within(Duration::from_millis(20))).is_err());
        drop(other);
        assert!(queue.acquire(&work()).is_ok());
    }
}
