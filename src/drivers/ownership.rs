//! Who may change a storage: one process at a time, and it finds out when it no longer is that one.
//!
//! ```text
//! take    lock the file; end what the last owner's commands left running; write who we are
//! check   the file is still the one that we locked, and still says who we are
//! ```
//!
//! The lock is the kernel's (`flock`), so it ends with the process, however that ends; programs that it started do not inherit it.
//! Those may outlive a killed process and still change the storage, so each has the number of its run in its environment, and the
//! next owner ends those of the last before anything else.
//!
//! A lock can be lost while its process stands still (a paused machine, a file on NFS, a file that somebody deleted), and
//! another may own the storage by then. So every verb checks before it begins, again before it changes or removes anything, and
//! when it has ended, before anybody hears of it. An owner that was superseded fails with [`DriverError::Superseded`] and changes
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

/// What is owned, and the file that says by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it is, for people: `volume group vg1`.
    what: String,
    file: PathBuf,
    /// Whether the file's folder is made when it is missing. That of volumes is not: its disk may not be mounted.
    makes_folder: bool,
}

impl Place {
    /// A folder of volumes: whoever reaches it finds the lock, also from another machine.
    #[must_use]
    pub fn folder(path: &Path) -> Self {
        Self {
            what: format!("volume folder {}", path.display()),
            file: path.join(IN_FOLDER),
            makes_folder: false,
        }
    }

    /// A file in a folder that is there; `what` it guards, for people.
    #[must_use]
    pub fn file(file: PathBuf, what: String) -> Self {
        Self {
            what,
            file,
            makes_folder: false,
        }
    }

    /// Something of this machine without a folder of its own: `kind` and `name` are its lock's name in `lock_dir`.
    #[must_use]
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
    /// Somebody else has it, a command of the last owner does not end, or the file system said no.
    pub fn lock(&self) -> Result<OwnerLock, LockError> {
        if self.makes_folder
            && let Some(folder) = self.file.parent()
        {
            lock::make_private(folder)?;
        }
        OwnerLock::take(&self.file, &self.what, true)
    }
}

/// The storage of one backend. Clones are one.
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
    /// Of these places; nothing is locked yet. Of none, nothing is ever checked.
    #[must_use]
    pub fn of(places: Vec<Place>) -> Self {
        Self(Arc::new(Inner {
            places,
            held: Mutex::default(),
            superseded: watch::Sender::new(None),
        }))
    }

    /// Whether nothing is to be owned.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.0.places.is_empty()
    }

    /// Locks what is not locked yet.
    ///
    /// # Errors
    /// See [`Place::lock`]; what was locked before stays so.
    pub fn take(&self) -> Result<(), LockError> {
        let mut held = self.held();
        for place in &self.0.places[held.len()..] {
            held.push(place.lock()?);
        }
        Ok(())
    }

    /// Lets go of all of it.
    pub fn release(&self) {
        self.held().clear();
    }

    /// Whether all of it is still ours. It looks at each lock's file, and may block as long as that takes.
    ///
    /// # Errors
    /// [`DriverError::Superseded`], for ever once it was so.
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

    /// It is no longer ours, for this reason.
    pub fn lose(&self, why: &str) {
        self.0.superseded.send_if_modified(|told| {
            let is_news = told.is_none();
            if is_news {
                tracing::error!(
                    why,
                    "another process owns the storage, or may: this one changes nothing any more"
                );
                *told = Some(why.to_owned());
            }
            is_news
        });
    }

    /// Why it is no longer ours, if that was found.
    #[must_use]
    pub fn superseded(&self) -> Option<String> {
        self.0.superseded.borrow().clone()
    }

    /// Ends when it was found to be no longer ours, with the reason.
    pub async fn lost(&self) -> String {
        let mut superseded = self.0.superseded.subscribe();
        match superseded.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // The sender is in ourselves.
            Err(_) => std::future::pending().await,
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<OwnerLock>> {
        self.0.held.lock()
    }
}
