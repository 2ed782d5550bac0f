//! The folder of a backend: names, drafts that become files atomically, and the detection of a missing disk.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::Existing;
pub(super) use crate::model::StorageName as Name;
use crate::private_files;

const DRAFT: &str = ".new-";

/// Device and inode of a folder, once known: another folder in its place means that a disk was unmounted or exchanged.
#[derive(Clone, Debug, Default)]
pub struct Identity(Arc<Mutex<Option<(u64, u64)>>>);

/// The folder of a backend.
pub(super) struct Folder {
    path: PathBuf,
    identity: Identity,
}

impl Folder {
    pub(super) fn new(path: PathBuf, identity: Identity) -> Self {
        Self { path, identity }
    }

    pub(super) fn path_of(&self, name: Name) -> PathBuf {
        self.path.join(name.to_string())
    }

    fn draft_path(&self, name: Name) -> PathBuf {
        self.path.join(format!("{DRAFT}{name}"))
    }

    /// Creates the folder if this process does not know it yet, and stores its identity; then returns true. A known one
    /// must be the same.
    pub(super) fn make(&self) -> DriverResult<bool> {
        let first = self.seen().is_none();
        if first {
            private_files::create_dir(&self.path).map_err(|error| io_error("make", &self.path, &error))?;
        } else {
            self.check()?;
        }
        let (identity, mode) = self.look()?;
        if mode & 0o007 != 0 {
            tracing::warn!(path = %self.path.display(), mode = format!("{mode:o}"), "all users may read the volume folder");
        }
        *self.seen() = Some(identity);
        // Fails now, and not at the first volume, if the folder is not writable.
        rustix::fs::access(
            &self.path,
            rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
        )
        .map_err(|error| io_error("write to", &self.path, &error.into()))?;
        Ok(first)
    }

    /// Checks that the folder exists, and is the known one. Without this, an unmounted disk would look like an empty
    /// one, and a delete would succeed.
    pub(super) fn check(&self) -> DriverResult<()> {
        let (identity, _) = self.look()?;
        let mut seen = self.seen();
        match *seen {
            Some(before) if before != identity => Err(gone(&self.path, "is not the same as before")),
            _ => {
                *seen = Some(identity);
                Ok(())
            }
        }
    }

    fn look(&self) -> DriverResult<((u64, u64), u32)> {
        match std::fs::metadata(&self.path) {
            Ok(found) if found.is_dir() => {
                Ok(((found.dev(), found.ino()), found.permissions().mode() & 0o777))
            }
            Ok(_) => Err(gone(&self.path, "is not a folder")),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(gone(&self.path, "is not there")),
            Err(error) => Err(io_error("look at", &self.path, &error)),
        }
    }

    fn seen(&self) -> parking_lot::MutexGuard<'_, Option<(u64, u64)>> {
        self.identity.0.lock()
    }

    /// The size of a file, if it exists.
    pub(super) fn size(&self, name: Name) -> DriverResult<Option<u64>> {
        let path = self.path_of(name);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Ok(Some(found.len())),
            Ok(_) => Err(DriverError::failed(
                "The storage backend has something else of that name.",
                format!("{} is not a regular file", path.display()),
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("look at", &path, &error)),
        }
    }

    /// An empty draft of a file.
    pub(super) fn draft<'a>(&'a self, work: &'a Work, name: Name) -> DriverResult<Draft<'a>> {
        let path = self.draft_path(name);
        unlink(work, &path)?;
        work.check_owner()?;
        let file = private_files::options()
            .write(true)
            .read(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| io_error("make", &path, &error))?;
        Ok(Draft {
            folder: self,
            work,
            name,
            path,
            file,
            published: false,
        })
    }

    /// Extends a file, durably.
    pub(super) fn extend(&self, work: &Work, name: Name, bytes: u64) -> DriverResult<()> {
        let path = self.path_of(name);
        work.check_owner()?;
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|error| io_error("open", &path, &error))?;
        file.set_len(bytes)
            .and_then(|()| file.sync_all())
            .map_err(|error| io_error("extend", &path, &error))
    }

    /// Removes a file and its draft, durably. Missing ones count as removed.
    pub(super) fn remove(&self, work: &Work, name: Name) -> DriverResult<()> {
        let draft = unlink(work, &self.draft_path(name))?;
        let file = unlink(work, &self.path_of(name))?;
        if draft || file { self.sync() } else { Ok(()) }
    }

    /// Removes drafts that a killed run left.
    pub(super) fn remove_drafts(&self, work: &Work) -> DriverResult<()> {
        for entry in self.entries()? {
            let entry = entry.map_err(|error| io_error("list", &self.path, &error))?;
            let name = entry.file_name();
            let draft = name.to_str().and_then(|text| text.strip_prefix(DRAFT));
            if let Some(name) = draft.and_then(Name::parse) {
                tracing::info!(file = %name, "removing an incomplete file of an earlier run");
                unlink(work, &entry.path())?;
            }
        }
        Ok(())
    }

    /// The files with names of this driver, and their sizes.
    pub(super) fn list(&self, work: &Work) -> DriverResult<Vec<(Name, u64)>> {
        self.files(work, Name::parse)
    }

    /// Every regular file, managed or not, except drafts and hidden ones.
    pub(super) fn list_existing(&self, work: &Work) -> DriverResult<Vec<Existing>> {
        let mut files = self.files(work, |name| is_plain(name).then(|| name.to_owned()))?;
        files.sort();
        let existing = |(name, bytes)| Existing {
            name,
            bytes,
            in_use: false,
            origin: None,
        };
        Ok(files.into_iter().map(existing).collect())
    }

    /// The regular files with a name that `wanted` accepts, and their sizes.
    fn files<N>(&self, work: &Work, wanted: impl Fn(&str) -> Option<N>) -> DriverResult<Vec<(N, u64)>> {
        let mut all = Vec::new();
        for (index, entry) in self.entries()?.enumerate() {
            if index % 1024 == 0 {
                work.check()?;
            }
            let entry = entry.map_err(|error| io_error("list", &self.path, &error))?;
            let Some(name) = entry.file_name().to_str().and_then(&wanted) else {
                continue;
            };
            match entry.metadata() {
                Ok(found) if found.is_file() => all.push((name, found.len())),
                Ok(_) => {}
                // It was deleted since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(io_error("look at", &entry.path(), &error)),
            }
        }
        Ok(all)
    }

    /// Renames a file of the folder to a name of this driver, durably, and returns its size. Idempotent.
    pub(super) fn adopt(&self, work: &Work, source: &str, name: Name) -> DriverResult<u64> {
        let refused = |why: &str| {
            Err(DriverError::refused(format!(
                "Manage existing {} failed: {why}",
                name.kind()
            )))
        };
        if !is_plain(source) {
            return refused("the reference is no name of a file on the storage backend.");
        }
        let from = self.path.join(source);
        let is_there = match std::fs::symlink_metadata(&from) {
            Ok(found) if found.is_file() => true,
            Ok(_) => return refused("the reference names something else than a file."),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(io_error("look at", &from, &error)),
        };
        let ours = self.size(name)?;
        match (is_there, ours) {
            (false, Some(bytes)) => return Ok(bytes),
            (false, None) => return refused("the reference names nothing on the storage backend."),
            (true, Some(bytes)) if source == name.to_string() => return Ok(bytes),
            (true, Some(_)) => return refused("the storage backend has it already."),
            (true, None) => {}
        }
        work.check_owner()?;
        name_file(&from, &self.path_of(name))?;
        self.sync()?;
        self.size(name)?
            .ok_or_else(|| gone(&self.path, "has lost a file"))
    }

    fn entries(&self) -> DriverResult<std::fs::ReadDir> {
        std::fs::read_dir(&self.path).map_err(|error| io_error("list", &self.path, &error))
    }

    /// Total bytes, and bytes that this user may still write.
    pub(super) fn space(&self) -> DriverResult<(u64, u64)> {
        let found = rustix::fs::statvfs(&self.path)
            .map_err(|error| io_error("measure", &self.path, &error.into()))?;
        Ok((
            found.f_blocks.saturating_mul(found.f_frsize),
            found.f_bavail.saturating_mul(found.f_frsize),
        ))
    }

    /// Makes created and removed names durable.
    fn sync(&self) -> DriverResult<()> {
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| io_error("sync", &self.path, &error))
    }
}

/// A file without its final name. Dropping it removes it.
pub(super) struct Draft<'a> {
    folder: &'a Folder,
    work: &'a Work,
    name: Name,
    path: PathBuf,
    file: File,
    published: bool,
}

impl Draft<'_> {
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Extends it to that length with a hole.
    pub(super) fn grow(&self, bytes: u64) -> DriverResult<()> {
        self.file
            .set_len(bytes)
            .map_err(|error| io_error("make", &self.path, &error))
    }

    /// Checks that the file with the draft's name is this one: another process may own the folder by now, and create
    /// the same.
    fn must_be_ours(&self) -> DriverResult<()> {
        self.work.check_owner()?;
        let ours = self
            .file
            .metadata()
            .map_err(|error| io_error("look at", &self.path, &error))?;
        match std::fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (ours.dev(), ours.ino()) => Ok(()),
            _ => Err(gone(&self.path, "is not the file that was created")),
        }
    }

    /// Renames it to its final name, durably.
    pub(super) fn publish(self) -> DriverResult<()> {
        self.rename_with(name_file)
    }

    /// Replaces the file with its name, durably.
    pub(super) fn publish_over(self) -> DriverResult<()> {
        self.rename_with(|from, to| {
            rustix::fs::rename(from, to).map_err(|error| io_error("name", to, &error.into()))
        })
    }

    fn rename_with(mut self, rename: impl FnOnce(&Path, &Path) -> DriverResult<()>) -> DriverResult<()> {
        self.file
            .sync_all()
            .map_err(|error| io_error("sync", &self.path, &error))?;
        self.must_be_ours()?;
        rename(&self.path, &self.folder.path_of(self.name))?;
        self.published = true;
        self.folder.sync()
    }
}

/// Renames a file, unless the name exists.
fn name_file(from: &Path, to: &Path) -> DriverResult<()> {
    let renamed = match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system without this flag: no other process creates files with that name here.
        Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::rename(from, to),
        result => result,
    };
    renamed.map_err(|error| io_error("name", to, &error.into()))
}

/// Whether it is the name of a file in this folder, and not hidden.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains('/')
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.published
            && self.must_be_ours().is_ok()
            && let Err(error) = unlink(self.work, &self.path)
        {
            tracing::warn!(%error, "an incomplete file stays until the next start");
        }
    }
}

/// Removes a file; false if it does not exist.
fn unlink(work: &Work, path: &Path) -> DriverResult<bool> {
    work.check_owner()?;
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("remove", path, &error)),
    }
}

fn gone(path: &Path, how: &str) -> DriverError {
    DriverError::failed(
        "The storage backend's folder is not available.",
        format!("the volume folder {} {how}: is its disk mounted?", path.display()),
    )
}

/// The error of a failed copy; the system does not report which of the two files failed.
pub(super) fn copy_error(error: &io::Error) -> DriverError {
    io_error("copy within", Path::new("the volume folder"), error)
}

/// Maps an error of the system.
pub(super) fn io_error(what: &str, path: &Path, error: &io::Error) -> DriverError {
    let operator = format!("cannot {what} {}: {error}", path.display());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DriverError::NoSpace { operator },
        ErrorKind::FileTooLarge => {
            tracing::warn!(operator, "a volume is larger than the file system can hold");
            DriverError::refused("The volume is larger than the storage backend can hold.")
        }
        _ => DriverError::backend_failed(operator),
    }
}
