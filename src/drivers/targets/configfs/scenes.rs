//! What tests of both kernel targets do with the emulated kernel.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::emulation::Emulation;
use crate::drivers::testing::fence::{Lock, Scene};
use crate::drivers::{DriverResult, Work};

/// Interrupts a verb before each of its changes, repeats it in a new process, and expects the same result. `target` is a
/// process's target over a kernel.
pub(crate) fn killed_anywhere<T>(
    target: impl Fn(&Emulation) -> T,
    begin: impl Fn(&T),
    verb: impl Fn(&T) -> DriverResult<()>,
) {
    let straight = Emulation::new();
    begin(&target(&straight));
    let whole = target(&straight);
    let before = straight.changes();
    verb(&whole).unwrap();
    let changes = straight.changes() - before;
    assert!(changes > 0, "the verb does something");
    for stop in 0..changes {
        let kernel = Emulation::new();
        begin(&target(&kernel));
        let killed = target(&kernel);
        kernel.stop_after(stop);
        assert!(verb(&killed).is_err(), "stopped before change {stop}");
        kernel.go_on();
        let next = target(&kernel);
        for _ in 0..2 {
            verb(&next).unwrap_or_else(|error| panic!("after {stop}: {error}"));
            assert_eq!(kernel.shown(), straight.shown(), "after {stop}");
        }
    }
}

/// A target over this kernel with a lock that can be lost.
pub(crate) struct Fenced<T> {
    pub(crate) kernel: Emulation,
    lock: Lock,
    parts: T,
}

impl<T> Fenced<T> {
    pub(crate) fn new(kernel: Emulation, parts: T) -> Self {
        Self {
            kernel,
            lock: Lock::taken(),
            parts,
        }
    }
}

impl<T> Deref for Fenced<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.parts
    }
}

impl<T> Scene for Fenced<T> {
    fn work(&self) -> Work {
        self.lock.work()
    }

    fn lock(&self) -> PathBuf {
        self.lock.file()
    }

    fn record(&self, changes: usize, lock: &Path) {
        self.kernel.lose_after(changes, lock);
    }

    fn changes(&self) -> Vec<String> {
        self.kernel.changed()
    }
}
