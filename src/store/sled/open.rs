//! Opening: the directory's lock, sled's recovery, and the format's version, each with its error.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sled::Db;

use super::disk_reservation;
use super::{FORMAT_KEY, REVISION_KEY, SledOptions};
use crate::panic_text::panic_text;
use crate::private_files;
use crate::store::number_file::NumberFile;
use crate::store::{Revision, StoreError};

/// The version of the format of values and of the engine's keys.
const FORMAT: u32 = 1;

/// How long to wait for sled to close its file, which it does in the background some time after it was dropped.
const SLED_CLOSES_WITHIN: Duration = Duration::from_secs(10);

/// The file with the revision up to which commits were durable.
const WATERMARK: &str = "watermark";

/// The file that exists while an export is restored.
const RESTORING: &str = "restoring";

/// How often sled's own thread compacts.
const TIDY_EVERY_MS: u64 = 500;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store in {} is in use by another process{}", path.display(), holder.as_deref().unwrap_or(""))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// ` (pid …)`, if it left its id.
        holder: Option<String>,
    },
    /// The store cannot be read.
    #[error("the store in {} is damaged: {what}", path.display())]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// The damage.
        what: String,
    },
    /// A later version of this program wrote it.
    #[error(
        "the store in {} is of format {found}, but this program knows formats up to {FORMAT}: was it downgraded?",
        path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file system reported an error.
    #[error("cannot open the store in {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl OpenError {
    /// The error of the file system about this store.
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + Copy {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        let no_space = matches!(&error, OpenError::Io { source, .. } if disk_reservation::is_no_room(source));
        Self {
            no_space,
            ..Self::new(error.to_string()).caused_by(error)
        }
    }
}

pub(super) struct Opened {
    pub(super) db: Db,
    /// Sled's data file, for `fdatasync`.
    pub(super) data_file: File,
    /// Held as long as the store is open.
    pub(super) lock: File,
    pub(super) revision: Revision,
    /// The file with the durable revision.
    pub(super) watermark: NumberFile,
}

pub(super) fn open(path: &Path, options: &SledOptions) -> Result<Opened, OpenError> {
    if is_half_restored(path) {
        return Err(OpenError::damaged(path, "a restore into it did not end"));
    }
    open_any(path, options)
}

/// Opens an empty or incompletely restored store; until [`restored`] is called, it cannot be opened normally.
pub(super) fn open_to_restore(path: &Path, options: &SledOptions) -> Result<Opened, OpenError> {
    let io = OpenError::io(path);
    private_files::create_dir(path).map_err(io)?;
    private_files::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path.join(RESTORING))
        .map_err(io)?;
    open_any(path, options)
}

pub(super) fn is_half_restored(path: &Path) -> bool {
    path.join(RESTORING).exists()
}

/// Marks the restore as complete.
pub(super) fn restored(path: &Path) -> std::io::Result<()> {
    std::fs::remove_file(path.join(RESTORING))?;
    File::open(path)?.sync_all()
}

fn open_any(path: &Path, options: &SledOptions) -> Result<Opened, OpenError> {
    let io = OpenError::io(path);
    private_files::create_dir(path).map_err(io)?;
    let lock = lock(path)?;
    forget_unfinished_snapshots(path).map_err(io)?;
    let db = match recover(path, options) {
        // Sled rewrites what it found; the space after its log is reserved for that, too.
        Err(OpenError::Io { source, .. }) if disk_reservation::is_no_room(&source) => {
            disk_reservation::give_back(&open_data_file(path).map_err(io)?).map_err(io)?;
            forget_unfinished_snapshots(path).map_err(io)?;
            recover(path, options)?
        }
        recovered => recovered?,
    };
    // Sled creates its files with the umask; until here the permissions of the folder protect them.
    if let Some((path, source)) = private_files::tighten(path).map_err(io)?.failed.pop() {
        return Err(OpenError::Io { path, source });
    }
    let data_file = open_data_file(path).map_err(io)?;
    let revision = read_format(path, &db)?;
    let watermark = NumberFile::open(&path.join(WATERMARK)).map_err(io)?;
    check_watermark(path, &watermark, revision)?;
    data_file.sync_all().map_err(io)?;
    note_durable(path, &watermark, revision);
    disk_reservation::take_what_there_is(&data_file);
    // A new file exists after a power cut only if its directory was synced, too.
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(io)?;
    Ok(Opened {
        db,
        data_file,
        lock,
        revision,
        watermark,
    })
}

/// A crash during the last start may have left an incomplete snapshot of the log, and sled would read it first because
/// it has the latest name. It has nothing that is not in the log.
fn forget_unfinished_snapshots(path: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        let unfinished = name
            .to_str()
            .filter(|name| name.starts_with("snap.") && name.ends_with(".generating"));
        if let Some(name) = unfinished {
            std::fs::remove_file(path.join(name))?;
        }
    }
    Ok(())
}

fn open_data_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path.join("db"))
}

/// Locks the directory. This lock is taken before sled's, because sled reads its files before it locks them.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let io = OpenError::io(path);
    let mut file = private_files::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path.join("lock"))
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let holder = file.read_to_string(&mut pid).ok().filter(|_| !pid.is_empty());
            let holder = holder.map(|_| format!(" (pid {})", pid.trim()));
            return Err(OpenError::Locked {
                path: path.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    // Only the lock matters; on a full disk the file may be without a pid. It is overwritten in place, which needs no
    // space.
    let _ = file.write_all_at(format!("{:<20}\n", std::process::id()).as_bytes(), 0);
    Ok(file)
}

/// Has sled open its files and replay its log.
fn recover(path: &Path, options: &SledOptions) -> Result<Db, OpenError> {
    let give_up = Instant::now() + SLED_CLOSES_WITHIN;
    loop {
        let config = sled::Config::new()
            .path(path)
            .mode(sled::Mode::LowSpace)
            .cache_capacity(options.cache_capacity)
            .flush_every_ms(Some(TIDY_EVERY_MS));
        // Sled asserts properties of its files, which may fail on damaged ones.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        return match opened {
            Ok(Ok(db)) => Ok(db),
            // This process holds the directory's lock, so this can only be an earlier store of this process that is
            // being closed.
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
                if Instant::now() < give_up {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                }
                Err(OpenError::Locked {
                    path: path.to_owned(),
                    holder: None,
                })
            }
            Ok(Err(sled::Error::Io(source))) => Err(OpenError::io(path)(source)),
            Ok(Err(error)) => Err(OpenError::damaged(path, error.to_string())),
            Err(panic) => Err(OpenError::damaged(path, panic_text(panic.as_ref()))),
        };
    }
}

/// Compares what sled recovered with what is known to have been durable: sled treats an unreadable part of the log as
/// its end, and would open a damaged store as an older or an empty one.
fn check_watermark(path: &Path, watermark: &NumberFile, recovered: Revision) -> Result<(), OpenError> {
    // A power cut may leave it empty, because it is not synced: then nothing can be checked.
    match watermark.read().map_err(OpenError::io(path))? {
        Some(durable) if recovered.0 < durable => Err(OpenError::damaged(
            path,
            format!(
                "commits up to {durable} were made, but only those up to {} can be read",
                recovered.0
            ),
        )),
        _ => Ok(()),
    }
}

/// Records that commits up to this one are durable. It is not synced: after a power cut it may be older, but never
/// newer, than the store.
pub(super) fn note_durable(path: &Path, watermark: &NumberFile, durable: Revision) {
    if let Err(error) = watermark.write(durable.0) {
        tracing::warn!(path = %path.display(), %error, "the store's watermark could not be written");
    }
}

/// Checks the format, or writes it into a new store, and reads the last revision.
fn read_format(path: &Path, db: &Db) -> Result<Revision, OpenError> {
    let damaged = |what: &str| OpenError::damaged(path, what);
    let read = |key: &[u8]| db.get(key).map_err(|error| damaged(&error.to_string()));
    match read(FORMAT_KEY)? {
        Some(format) => {
            let format: [u8; 4] = format
                .as_ref()
                .try_into()
                .map_err(|_| damaged("its format version is not a number"))?;
            let found = u32::from_be_bytes(format);
            if found > FORMAT {
                return Err(OpenError::Newer {
                    path: path.to_owned(),
                    found,
                });
            }
        }
        None if db.is_empty() => {
            let written = db
                .insert(FORMAT_KEY, FORMAT.to_be_bytes().to_vec())
                .and_then(|_| db.flush());
            written.map_err(|error| match error {
                sled::Error::Io(source) => OpenError::io(path)(source),
                other => damaged(&other.to_string()),
            })?;
        }
        None => {
            return Err(damaged(
                "it has entries but no format version, so it was not created by this program",
            ));
        }
    }
    match read(REVISION_KEY)? {
        None => Ok(Revision(0)),
        Some(revision) => match revision.as_ref().try_into() {
            Ok(bytes) => Ok(Revision(u64::from_be_bytes(bytes))),
            Err(_) => Err(damaged("its revision is not a number")),
        },
    }
}
