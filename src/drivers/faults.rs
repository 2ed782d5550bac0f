//! Fault injection for the fake drivers: the next calls of a verb fail, hang or panic, before or after their effect.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::{DriverError, DriverResult, Work};

/// The behaviour of a scripted call.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It has no effect and returns this error.
    Fails(fn() -> DriverError),
    /// It has its effect, but returns this error: a lost reply.
    FailsAfter(fn() -> DriverError),
    /// It has no effect and returns only when it is cancelled or its time limit passes.
    Hangs,
    /// It panics before its effect.
    Panics,
    /// It panics after its effect.
    PanicsAfter,
}

impl Fault {
    /// A failure like that of a broken disk.
    pub fn broken() -> Self {
        Self::Fails(|| DriverError::backend_failed("scripted fault"))
    }

    /// A full storage.
    pub fn no_space() -> Self {
        Self::Fails(|| DriverError::no_space("scripted fault"))
    }
}

struct Script<V> {
    next: HashMap<V, Vec<Fault>>,
    calls: HashMap<V, usize>,
}

/// The scripts of all verbs `V`, and how often each was called.
pub struct Faults<V> {
    latency: Duration,
    script: Mutex<Script<V>>,
}

impl<V: Copy + Eq + Hash> Faults<V> {
    /// With a minimal duration of each call.
    pub fn new(latency: Duration) -> Self {
        let script = Script {
            next: HashMap::new(),
            calls: HashMap::new(),
        };
        Self {
            latency,
            script: Mutex::new(script),
        }
    }

    /// Sets the fault of the next call of `verb` without one.
    pub fn push(&self, verb: V, fault: Fault) {
        self.script().next.entry(verb).or_default().insert(0, fault);
    }

    /// Removes all scripted faults.
    pub fn clear(&self) {
        self.script().next.clear();
    }

    /// How often `verb` was called.
    pub fn calls(&self, verb: V) -> usize {
        self.script().calls.get(&verb).copied().unwrap_or(0)
    }

    /// Runs `deed` as `verb`, with its scripted fault, if any.
    #[expect(clippy::panic, reason = "the test requested a panic")]
    pub fn run<T>(&self, verb: V, work: &Work, deed: impl FnOnce() -> DriverResult<T>) -> DriverResult<T> {
        let fault = {
            let mut script = self.script();
            *script.calls.entry(verb).or_default() += 1;
            script.next.get_mut(&verb).and_then(Vec::pop)
        };
        pause(work, self.latency)?;
        work.check()?;
        match fault {
            None => deed(),
            Some(Fault::Fails(error)) => Err(error()),
            Some(Fault::FailsAfter(error)) => deed().and_then(|_| Err(error())),
            Some(Fault::Hangs) => loop {
                pause(work, Duration::from_secs(1))?;
            },
            Some(Fault::Panics) => panic!("scripted panic"),
            Some(Fault::PanicsAfter) => {
                deed()?;
                panic!("scripted panic after the deed")
            }
        }
    }

    fn script(&self) -> MutexGuard<'_, Script<V>> {
        self.script.lock()
    }
}

/// Sleeps, and checks its work every few milliseconds.
fn pause(work: &Work, span: Duration) -> DriverResult<()> {
    const LOOK: Duration = Duration::from_millis(5);
    let mut left = span;
    while !left.is_zero() {
        work.check()?;
        let nap = left.min(LOOK);
        std::thread::sleep(nap);
        left -= nap;
    }
    Ok(())
}
