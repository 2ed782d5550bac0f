//! One lock file: taken, written, and compared with what was written.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags};

use crate::drivers::command::leftover;
use crate::model::Timestamp;

/// The size of the file: always the same, so that it needs no further space on a full disk.
const LENGTH: usize = 512;

/// How often locking is retried if the file was replaced meanwhile.
const TRIES: u32 = 10;

/// How long the lock of a dead owner may remain.
const DYING: Duration = Duration::from_secs(5);

/// How often that is checked.
const LOOK: Duration = Duration::from_millis(20);

/// How long a command of the last owner gets to end.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(10);

/// Why a lock cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process owns it.
    #[error(
        "the {what} is in use by another process{holder}: stop that one first, or give this one a storage of its own \
         (the lock is {})",
        file.display()
    )]
    Held {
        /// The resource.
        what: String,
        /// ` (pid … on …, since …)`, if it is known.
        holder: String,
        /// The lock's file.
        file: PathBuf,
    },
    /// A command that the last owner started is still running.
    #[error("process {pid} of an earlier run still works on the {what}, and does not end when it is killed")]
    Leftover {
        /// The resource.
        what: String,
        /// The process.
        pid: u32,
    },
    /// Other users could change the locks there.
    #[error("{} is not a folder of this user alone: make it so (chmod 700), or set node.lock_dir", folder.display())]
    NotPrivate {
        /// The folder.
        folder: PathBuf,
    },
    /// The file system reported an error.
    #[error("cannot lock {}: {source}", file.display())]
    Io {
        /// The lock's file, or its folder.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// A file that is locked until this is dropped.
#[derive(Debug)]
pub struct OwnerLock {
    file: File,
    path: PathBuf,
    what: String,
    /// Device and inode.
    identity: (u64, u64),
    /// Those of its folder.
    folder: (u64, u64),
    /// Its content; `None` if it could not be written (a full disk): then only the file itself is compared.
    written: Option<Vec<u8>>,
}

impl OwnerLock {
    /// Locks the file, which is created if it is missing. With `ends_leftovers`, running commands of the last owner are
    /// ended first.
    ///
    /// # Errors
    /// If another process has it, a leftover does not end, or the file system reports an error.
    pub fn take(path: &Path, what: &str, ends_leftovers: bool) -> Result<Self, LockError> {
        let io = |source: std::io::Error| LockError::Io {
            file: path.to_owned(),
            source,
        };
        let begun = Instant::now();
        let mut tries = 0;
        while tries < TRIES {
            let file = open(path).map_err(io)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                // A program that was being started when the owner was killed has its locks briefly.
                Err(rustix::io::Errno::WOULDBLOCK)
                    if Owner::read(&file).is_some_and(|owner| owner.is_dead()) && begun.elapsed() < DYING =>
                {
                    std::thread::sleep(LOOK);
                    continue;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(LockError::Held {
                        what: what.to_owned(),
                        holder: for_people(Owner::read(&file)),
                        file: path.to_owned(),
                    });
                }
                Err(error) => return Err(io(error.into())),
            }
            let identity = identity_of(&file.metadata().map_err(io)?);
            // Between opening and locking, another process may have replaced the file, and locked the new one.
            match std::fs::symlink_metadata(path) {
                Ok(found) if identity_of(&found) == identity => {}
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
                _ => {
                    tries += 1;
                    continue;
                }
            }
            let folder = identity_of(&std::fs::metadata(folder_of(path)).map_err(io)?);
            let last = Owner::read(&file);
            if ends_leftovers && let Some(last) = &last {
                leftover::end(&last.run, last.session, LEFTOVER_LIMIT).map_err(|pid| {
                    LockError::Leftover {
                        what: what.to_owned(),
                        pid,
                    }
                })?;
            }
            let owner = Owner::us(last.map_or(1, |last| last.incarnation + 1)).to_bytes();
            let written = match file.write_all_at(&owner, 0).and_then(|()| file.sync_data()) {
                Ok(()) => Some(owner),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "the owner of a storage could not be noted; it is locked all the same");
                    None
                }
            };
            return Ok(Self {
                file,
                path: path.to_owned(),
                what: what.to_owned(),
                identity,
                folder,
                written,
            });
        }
        Err(io(std::io::Error::other("the file is replaced again and again")))
    }

    /// Checks the ownership: the file at that path is the locked one, and has the written content.
    ///
    /// # Errors
    /// Why it is lost or unknown.
    pub fn check(&self) -> Result<(), Lost> {
        let path = self.path.display();
        let what = &self.what;
        match std::fs::symlink_metadata(&self.path) {
            Ok(found) if identity_of(&found) == self.identity => {}
            Ok(_) => {
                let found = options().open(&self.path).ok();
                let holder = for_people(found.and_then(|file| Owner::read(&file)));
                return Err(Lost::Replaced(format!(
                    "the lock {path} of the {what} was replaced{holder}"
                )));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = folder_of(&self.path);
                return Err(match std::fs::metadata(folder) {
                    Ok(found) if identity_of(&found) == self.folder => {
                        Lost::Deleted(format!("the lock {path} of the {what} was deleted"))
                    }
                    // A disk that was unmounted.
                    _ => Lost::Unreachable(format!(
                        "the lock {path} of the {what} does not exist, and neither does its folder"
                    )),
                });
            }
            Err(error) => {
                return Err(Lost::Unreachable(format!(
                    "the lock {path} of the {what} cannot be seen: {error}"
                )));
            }
        }
        let Some(written) = &self.written else {
            return Ok(());
        };
        let mut found = vec![0; LENGTH];
        match self.file.read_at(&mut found, 0) {
            Ok(length) if found[..length] == **written => Ok(()),
            Ok(length) => {
                let holder = for_people(Owner::parse(&found[..length]));
                Err(Lost::Replaced(format!(
                    "the {what} is owned by another process now{holder}"
                )))
            }
            Err(error) => Err(Lost::Unreachable(format!(
                "the lock {path} of the {what} cannot be read: {error}"
            ))),
        }
    }
}

/// How a lock was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Its file has another owner, or was replaced: another process owns the resource.
    Replaced(String),
    /// Its file was deleted: another process may own the resource.
    Deleted(String),
    /// Its file is inaccessible at present, and so is the resource.
    Unreachable(String),
}

/// Creates a folder for locks that is writable by this user only.
pub(super) fn make_private(folder: &Path) -> Result<(), LockError> {
    let io = |source| LockError::Io {
        file: folder.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(io)?;
    let found = std::fs::symlink_metadata(folder).map_err(io)?;
    let is_ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if !is_ours {
        return Err(LockError::NotPrivate {
            folder: folder.to_owned(),
        });
    }
    if found.mode() & 0o022 != 0 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(io)?;
    }
    Ok(())
}

/// Never through a link, and not inherited by child programs (the standard library's default).
fn open(path: &Path) -> std::io::Result<File> {
    options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn options() -> OpenOptions {
    let no_link = i32::try_from((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(no_link);
    options
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn identity_of(found: &std::fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// ` (pid … on …, since …)`; empty if the owner is unknown.
fn for_people(owner: Option<Owner>) -> String {
    owner.map_or_else(String::new, |owner| {
        format!(" (pid {} on {}, since {})", owner.pid, owner.host, owner.since)
    })
}

/// The owner of a lock.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    run: String,
    /// Counts the owners of this storage.
    incarnation: u64,
    pid: u32,
    /// The session of its commands; a daemon that a command starts has its own.
    session: u32,
    host: String,
    since: String,
}

impl Owner {
    fn us(incarnation: u64) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            run: leftover::run().to_owned(),
            incarnation,
            pid: std::process::id(),
            session: leftover::session(),
            host: host.trim().chars().take(64).collect(),
            since: Timestamp::now().to_string(),
        }
    }

    /// Whether it is certainly dead: it was on this machine, and its process does not exist.
    fn is_dead(&self) -> bool {
        let us = Self::us(0);
        self.host == us.host && !Path::new("/proc").join(self.pid.to_string()).exists()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Self {
            run,
            incarnation,
            pid,
            session,
            host,
            since,
        } = self;
        let mut bytes =
            format!("pumice 1\nrun {run}\nincarnation {incarnation}\npid {pid}\nsession {session}\nhost {host}\nsince {since}\n")
                .into_bytes();
        bytes.resize(LENGTH, b'\n');
        bytes
    }

    fn read(file: &File) -> Option<Self> {
        let mut bytes = vec![0; LENGTH];
        let length = file.read_at(&mut bytes, 0).ok()?;
        Self::parse(&bytes[..length])
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        };
        (field("pumice")? == "1").then_some(())?;
        Some(Self {
            run: field("run")?.to_owned(),
            incarnation: field("incarnation")?.parse().ok()?,
            pid: field("pid")?.parse().ok()?,
            session: field("session")?.parse().ok()?,
            host: field("host")?.to_owned(),
            since: field("since")?.to_owned(),
        })
    }
}
