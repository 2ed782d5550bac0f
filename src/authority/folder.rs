//! The files of an authority: locked, and replaced as a whole.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::fs::FlockOperation;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{AuthorityError, Result};
use crate::private_files;

/// The folder, locked until this is dropped.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

/// Locks the folder; waits for another process that has.
pub(super) fn lock(folder: &Path) -> Result<FolderLock> {
    let path = folder.join("lock");
    let mut options = private_files::options();
    let file = options.create(true).write(true).truncate(false).open(&path);
    let file = file.map_err(|error| AuthorityError::of(&path, error))?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| AuthorityError::of(&path, error))?;
    Ok(FolderLock { _file: file })
}

pub(super) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| AuthorityError::of(path, error))
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&read_text(path)?).map_err(|error| AuthorityError::of(path, error))
}

pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| AuthorityError::of(path, error))?;
    write_private(path, &text)
}

/// Writes a file that only its owner may read. It is the old or the new one, whole, whatever happens meanwhile.
///
/// # Errors
/// The file system's.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let next = path.with_extension("new");
        let _ = std::fs::remove_file(&next);
        let mut file = private_files::options()
            .write(true)
            .create_new(true)
            .open(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&next, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| AuthorityError::of(path, error))
}
