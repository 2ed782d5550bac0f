//! Replacements of random values and threads for simulations (`tests/sim_service`, `tests/sim_transport.rs`); not part of the
//! released program.
//!
//! A run is the same for the same seed, event by event, as long as everything that could differ is from here or from the
//! simulated network and its clock. So: ids, nonces, pauses and CHAP secrets are generated from the seed (`rng`), the time of
//! records is the simulated one (`model::time`), tasks belong to the `LocalSet` of their node, which drops them in a defined
//! order when it crashes (`tasks`), no hash map is iterated, and a driver's verb runs on the simulated node itself instead of in
//! a thread, with the time that it takes simulated around it. The engine of the store has threads: the engine in memory replaces
//! it. `clippy.toml` forbids what would bypass this; `tests/sim_support` compares two runs of a seed.

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
    /// The millisecond of the last id that sorts by its time, and the number of earlier ids in it.
    last_id: (u64, u16),
}

/// The durations of driver verbs; zero by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verbs {
    /// The largest duration of most verbs.
    pub mostly: Duration,
    /// The number of slow verbs per thousand,
    pub slow_per_mille: u32,
    /// and their largest duration, beyond the timeouts of their callers.
    pub slow: Duration,
}

/// Begins a simulation on this thread: all random values are from `seed`.
pub fn begin(seed: u64, verbs: Verbs) {
    let rng = StdRng::seed_from_u64(seed);
    SEEDED.set(Some(State {
        rng,
        verbs,
        last_id: (0, 0),
    }));
}

/// An id that sorts after all earlier ones, as in one process.
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

/// Whether this thread runs a simulation.
pub(crate) fn is_running() -> bool {
    SEEDED.with_borrow(Option::is_some)
}

/// The next source of random values, if this thread runs a simulation.
pub fn seeded() -> Option<StdRng> {
    let seed = SEEDED.with_borrow_mut(|state| Some(state.as_mut()?.rng.random()))?;
    tracing::trace!(seed, "drawn");
    Some(StdRng::seed_from_u64(seed))
}

/// Runs a blocking verb. A thread that is killed with its process has either done it or not: so the verb is executed in one
/// instant, at some time before its answer.
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
