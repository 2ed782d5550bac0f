//! What lets clients work, and lets them all stand still between two steps while what is there is looked at.

use parking_lot::{Condvar, Mutex, MutexGuard};

#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    ended: bool,
    inside: usize,
}

/// The right to take a step.
pub struct Pass<'a>(&'a Gate);

impl Gate {
    /// Waits until it is open; nothing when there is no more work.
    pub fn enter(&self) -> Option<Pass<'_>> {
        let mut state = self.state();
        while state.closed && !state.ended {
            self.changed.wait(&mut state);
        }
        if state.ended {
            return None;
        }
        state.inside += 1;
        Some(Pass(self))
    }

    /// Lets no client in any more, and waits until all are out.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        while state.inside > 0 {
            self.changed.wait(&mut state);
        }
    }

    pub fn open(&self) {
        self.state().closed = false;
        self.changed.notify_all();
    }

    /// Ends all clients.
    pub fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.state().inside -= 1;
        self.0.changed.notify_all();
    }
}
