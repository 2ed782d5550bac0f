//! Ownership of a storage: one process at a time may change it, and it detects the loss of its ownership.
//!
//! ```text
//! take    lock the file; end running commands of the last owner; write the owner
//! check   the file is still the locked one, and still has this owner
//! ```
//!
//! The lock is the kernel's (`flock`), so it ends with the process; programs that it started do not inherit it. They
//! may outlive a killed process and still change the storage, so each has the number of its run in its environment, and
//! the next owner first ends those of the last one.
//!
//! A lock can be lost while its process is paused (a paused machine, a file on NFS, a deleted file), and another
//! process may own the storage by then. So every verb checks before it begins, before every change, and at its end,
//! before its result is reported. An owner that was superseded fails with [`DriverError::Superseded`] and changes
//! nothing any more.

mod lock;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

pub use self::lock::{LockError, Lost, OwnerLock};
use super::{DriverError, DriverResult};

/// The name of the lock file in a folder of volumes.
const IN_FOLDER: &str = ".pumice.lock";

/// An owned resource, and its lock file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its description, for messages: `volume group vg1`.
    what: String,
    file: PathBuf,
    /// Whether a missing folder of the file is created. The folder of volumes is not: its disk may not be mounted.
    makes_folder: bool,
}

impl Place {
    /// A folder of volumes: its lock is visible from all machines that can access it.
    pub fn folder(path: &Path) -> Self {
        Self::file(path.join(IN_FOLDER), format!("volume folder {}", path.display()))
    }

    /// A file in an existing folder; `what` describes what it protects.
    pub fn file(file: PathBuf, what: String) -> Self {
        Self {
            what,
            file,
            makes_folder: false,
        }
    }

    /// A resource of this machine without a folder: `kind` and `name` are its lock's name in `lock_dir`.
    pub fn of_machine(lock_dir: &Path, kind: &str, what: &str, name: &str) -> Self {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+');
        let name: String = name
            .bytes()
            .map(|byte| match byte {
                byte if plain(byte) => char::from(byte).to_string(),
                byte => format!("%{byte:02x}"),
            })
            .collect();
        Self {
            what: what.to_owned(),
            file: lock_dir.join(format!("{kind}-{name}.lock")),
            makes_folder: true,
        }
    }

    /// Locks it.
    ///
    /// # Errors
    /// If another process has it, a command of the last owner does not end, or the file system reports an error.
    pub fn lock(&self) -> Result<OwnerLock, LockError> {
        if self.makes_folder
            && let Some(folder) = self.file.parent()
        {
            lock::make_private(folder)?;
        }
        OwnerLock::take(&self.file, &self.what, true)
    }
}

/// The ownership of one backend's storage. Clones share it.
#[derive(Clone, Debug)]
pub struct Ownership(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Vec<Place>,
    held: Mutex<Vec<OwnerLock>>,
    superseded: watch::Sender<Option<String>>,
}

impl Default for Ownership {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Ownership {
    /// The ownership of these places, not locked yet. Without places nothing is checked.
    pub fn of(places: Vec<Place>) -> Self {
        Self(Arc::new(Inner {
            places,
            held: Mutex::default(),
            superseded: watch::Sender::new(None),
        }))
    }

    /// Whether there are no places.
    pub fn is_free(&self) -> bool {
        self.0.places.is_empty()
    }

    /// Locks the places that are not locked yet.
    ///
    /// # Errors
    /// See [`Place::lock`]; earlier locks are kept.
    pub fn take(&self) -> Result<(), LockError> {
        let mut held = self.held();
        for place in &self.0.places[held.len()..] {
            held.push(place.lock()?);
        }
        Ok(())
    }

    /// Releases all locks.
    pub fn release(&self) {
        self.held().clear();
    }

    /// Checks that this process still owns all places. It reads each lock file, and may block as long as that takes.
    ///
    /// # Errors
    /// [`DriverError::Superseded`], permanently once it was lost.
    pub fn check(&self) -> DriverResult<()> {
        if self.0.places.is_empty() {
            return Ok(());
        }
        if let Some(operator) = self.superseded() {
            return Err(DriverError::Superseded { operator });
        }
        let unavailable = |operator: String| Err(DriverError::backend_unavailable(operator));
        let held = self.held();
        if held.len() < self.0.places.len() {
            return unavailable("the storage is not locked for this process".to_owned());
        }
        match held.iter().find_map(|lock| lock.check().err()) {
            None => Ok(()),
            Some(Lost::Unreachable(why)) => unavailable(why),
            Some(Lost::Replaced(why) | Lost::Deleted(why)) => {
                self.lose(&why);
                Err(DriverError::Superseded { operator: why })
            }
        }
    }

    /// Marks the ownership as lost, with the reason.
    pub fn lose(&self, why: &str) {
        self.0.superseded.send_if_modified(|superseded_by| {
            let is_news = superseded_by.is_none();
            if is_news {
                tracing::error!(
                    why,
                    "another process owns the storage, or may: this one changes nothing any more"
                );
                *superseded_by = Some(why.to_owned());
            }
            is_news
        });
    }

    /// Why the ownership was lost, if it was.
    pub fn superseded(&self) -> Option<String> {
        self.0.superseded.borrow().clone()
    }

    /// Returns the reason once the ownership is lost.
    pub async fn lost(&self) -> String {
        let mut superseded = self.0.superseded.subscribe();
        match superseded.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // The sender is in `self`.
            Err(_) => std::future::pending().await,
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<OwnerLock>> {
        self.0.held.lock()
    }
}
