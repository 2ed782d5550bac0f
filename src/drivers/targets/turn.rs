//! One verb at a time for each volume. Verbs on different volumes do not wait for one another: in the kernel, taking an export
//! away lasts as long as the storage under it takes for what it was asked.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::drivers::{DriverResult, Work};

/// How often one who waits looks whether it may still wait.
const LOOK: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Default)]
pub(super) struct Turnstile {
    inside: Mutex<BTreeSet<String>>,
    left: Condvar,
}

/// Whoever holds it is alone with a volume.
pub(super) struct Turn<'a> {
    turnstile: &'a Turnstile,
    name: String,
}

impl Turnstile {
    /// Waits for its turn with the volume of that name.
    pub(super) fn enter(&self, work: &Work, name: &str) -> DriverResult<Turn<'_>> {
        let mut inside = self.inside.lock();
        loop {
            work.check()?;
            if inside.insert(name.to_owned()) {
                drop(inside);
                let turn = Turn {
                    turnstile: self,
                    name: name.to_owned(),
                };
                work.check_owner()?;
                return Ok(turn);
            }
            self.left.wait_for(&mut inside, LOOK);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut inside = self.turnstile.inside.lock();
        inside.remove(&self.name);
        self.turnstile.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Turnstile;
    use crate::drivers::{DriverError, Work};

    #[test]
    fn volumes_wait_for_themselves_alone() {
        let turnstile = Turnstile::default();
        let work = Work::within(Duration::from_secs(10));
        let first = turnstile.enter(&work, "a").unwrap();
        let _other = turnstile.enter(&work, "b").unwrap();
        let short = Work::within(Duration::from_millis(20));
        assert!(matches!(turnstile.enter(&short, "a"), Err(DriverError::TimedOut)));
        drop(first);
        drop(turnstile.enter(&work, "a").unwrap());
    }
}
