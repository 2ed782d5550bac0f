//! Locks of volumes: one verb at a time for each. Verbs on different volumes do not wait for one another: in the
//! kernel, removing an export takes as long as the pending requests to its storage.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::drivers::{DriverResult, Work};

/// How often a waiter checks its deadline.
const LOOK: Duration = Duration::from_millis(50);

/// The volumes that are locked, by name.
#[derive(Default)]
pub(super) struct VolumeLocks {
    locked: Mutex<BTreeSet<String>>,
    unlocked: Condvar,
}

/// A volume that is locked until this is dropped.
pub(super) struct VolumeLock<'a> {
    locks: &'a VolumeLocks,
    name: String,
}

impl VolumeLocks {
    /// Locks the volume of that name, when it is free.
    pub(super) fn lock(&self, work: &Work, name: &str) -> DriverResult<VolumeLock<'_>> {
        let mut locked = self.locked.lock();
        loop {
            work.check()?;
            if locked.insert(name.to_owned()) {
                drop(locked);
                let lock = VolumeLock {
                    locks: self,
                    name: name.to_owned(),
                };
                work.check_owner()?;
                return Ok(lock);
            }
            self.unlocked.wait_for(&mut locked, LOOK);
        }
    }
}

impl Drop for VolumeLock<'_> {
    fn drop(&mut self) {
        let mut locked = self.locks.locked.lock();
        locked.remove(&self.name);
        self.locks.unlocked.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::VolumeLocks;
    use crate::drivers::{DriverError, Work};

    #[test]
    fn volumes_wait_for_themselves_alone() {
        let locks = VolumeLocks::default();
        let work = Work::within(Duration::from_secs(10));
        let first = locks.lock(&work, "a").unwrap();
        let _other = locks.lock(&work, "b").unwrap();
        let short = Work::within(Duration::from_millis(20));
        assert!(matches!(locks.lock(&short, "a"), Err(DriverError::TimedOut)));
        drop(first);
        drop(locks.lock(&work, "a").unwrap());
    }
}
