//! What stands in for random values and threads while the service runs in a simulation (`tests/sim_service`, `tests/sim_transport.rs`);
//! nothing of it is in a program that serves.
//!
//! A run is the same for the same seed, event by event, as long as all that could differ comes from here or from the simulated
//! network and its clock. So: ids, nonces, pauses and CHAP secrets are drawn from the seed (`rng`), the time of records is the
//! simulated one (`model::time`), tasks belong to the `LocalSet` of their node, which drops them in a defined order when it crashes
//! (`tasks`), nothing is walked in the order of a hash, and a driver's verb runs on the simulated node itself instead of in a thread,
//! with the time that it takes simulated around it. The engine of the store does have threads: in its place is the one in memory.
//! `clippy.toml` refuses what would go past this; `tests/sim_support` compares two runs of a seed.

use std::cell::RefCell;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use uuid::{Builder, Uuid};

use crate::model::Timestamp;

thread_local! {
    static SEEDED: RefCell<Option<State>> = const { RefCell::new(None) };
}

struct State {
    rng: StdRng,
    verbs: Verbs,
    /// The millisecond of the last id that sorts by its time, and how many it had before.
    last_id: (u64, u16),
}

/// How long driver verbs take; no time at all by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verbs {
    /// Most take up to this.
    pub mostly: Duration,
    /// Of a thousand, so many are slow,
    pub slow_per_mille: u32,
    /// and take up to this: beyond the patience of those who wait for them.
    pub slow: Duration,
}

/// From here on all that this thread does is drawn from `seed`.
pub fn begin(seed: u64, verbs: Verbs) {
    let rng = StdRng::seed_from_u64(seed);
    SEEDED.set(Some(State {
        rng,
        verbs,
        last_id: (0, 0),
    }));
}

/// Driver verbs take so long from now on.
pub fn set_verbs(verbs: Verbs) {
    SEEDED.with_borrow_mut(|state| {
        if let Some(state) = state {
            state.verbs = verbs;
        }
    });
}

/// An id that sorts behind all before it, as those of one process do.
pub(crate) fn id_by_time() -> Option<Uuid> {
    SEEDED.with_borrow_mut(|state| {
        let state = state.as_mut()?;
        let now = u64::try_from(Timestamp::now().0 / 1000).unwrap_or_default();
        state.last_id = match state.last_id {
            (last, count) if last >= now => (last, count + 1),
            _ => (now, 0),
        };
        let mut rest: [u8; 10] = state.rng.random();
        rest[..2].copy_from_slice(&state.last_id.1.to_be_bytes());
        Some(Builder::from_unix_timestamp_millis(state.last_id.0, &rest).into_uuid())
    })
}

/// Whether this thread simulates.
pub(crate) fn is_running() -> bool {
    SEEDED.with_borrow(Option::is_some)
}

/// The next source of random values, if this thread simulates.
pub fn seeded() -> Option<StdRng> {
    let seed = SEEDED.with_borrow_mut(|state| Some(state.as_mut()?.rng.random()))?;
    tracing::trace!(seed, "drawn");
    Some(StdRng::seed_from_u64(seed))
}

/// Runs what blocks. A thread that is killed with its process has done it, or not: so the verb is one instant, at some time
/// before its answer.
pub(crate) fn in_thread<T: Send + 'static>(verb: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let Some((before, after)) = SEEDED.with_borrow_mut(|state| state.as_mut().map(State::verb)) else {
        return tokio::task::spawn_blocking(verb);
    };
    tracing::trace!(?before, ?after, "a verb");
    tokio::task::spawn_local(async move {
        tokio::time::sleep(before).await;
        let answer = verb();
        tokio::time::sleep(after).await;
        answer
    })
}

impl State {
    fn verb(&mut self) -> (Duration, Duration) {
        let longest = if self.rng.random_range(0..1000) < self.verbs.slow_per_mille {
            self.verbs.slow
        } else {
            self.verbs.mostly
        };
        let takes = self.rng.random_range(Duration::ZERO..=longest);
        let before = self.rng.random_range(Duration::ZERO..=takes);
        (before, takes - before)
    }
}
