//! Faults on purpose, for the drivers that only pretend: the next calls of a verb fail, hang or panic, before or after the
//! deed.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::{DriverError, DriverResult, Work};

/// What a scripted call does.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It does nothing and answers this.
    Fails(fn() -> DriverError),
    /// It does all it should, and answers this all the same: a reply that got lost.
    FailsAfter(fn() -> DriverError),
    /// It does nothing until it is cancelled or its time is up.
    Hangs,
    /// It panics before it does anything.
    Panics,
    /// It panics after it did everything.
    PanicsAfter,
}

impl Fault {
    /// A failure like that of a broken disk.
    #[must_use]
    pub fn broken() -> Self {
        Self::Fails(|| DriverError::backend_failed("scripted fault"))
    }

    /// No room.
    #[must_use]
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
    /// Every call takes this long at least.
    #[must_use]
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

    /// The next call of `verb` that has no fault yet gets this one.
    pub fn push(&self, verb: V, fault: Fault) {
        self.script().next.entry(verb).or_default().insert(0, fault);
    }

    /// Forgets all faults to come.
    pub fn clear(&self) {
        self.script().next.clear();
    }

    /// How often `verb` was called.
    #[must_use]
    pub fn calls(&self, verb: V) -> usize {
        self.script().calls.get(&verb).copied().unwrap_or(0)
    }

    /// Runs `deed` as `verb`, with the fault that is due, if any.
    #[expect(clippy::panic, reason = "a scripted panic is what the test asked for")]
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

/// Sleeps, but looks at its work every few milliseconds.
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
