//! Files and folders that only their owner may read: the state, tenants' volumes, CHAP secrets, passwords.
//!
//! Three measures together, so that no place where a file is created can be forgotten:
//! - [`restrict_new_files`] removes the permissions of others from everything that the process and its child programs will
//!   create (a store's engine creates files by itself);
//! - [`tighten`] removes them from existing files, at start;
//! - [`create_dir`] and [`options`] request private ones, for processes that use this crate with another umask.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

/// All permissions of group and others.
const OTHERS: u32 = 0o077;

/// Sets the umask, so that others cannot read files that this process or its children create.
pub fn restrict_new_files() {
    rustix::process::umask(Mode::from_raw_mode(OTHERS));
}

/// Creates a folder that only its owner may access, with its missing parents. An existing one keeps its mode.
///
/// # Errors
/// As [`DirBuilder::create`].
pub fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Options to open a file, which only its owner may access if it is created.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// The result of [`tighten`].
#[derive(Debug, Default)]
pub struct Tightened {
    /// The number of changed files and folders.
    pub changed: usize,
    /// The files that could not be changed, and why.
    pub failed: Vec<(PathBuf, io::Error)>,
}

/// Removes the permissions of others from a folder and its content. Links are not followed. Files that are deleted meanwhile are
/// skipped.
///
/// # Errors
/// If the folder itself cannot be read.
pub fn tighten(folder: &Path) -> io::Result<Tightened> {
    let mut tightened = Tightened::default();
    walk(folder, &mut |path, mode| match std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(mode & !OTHERS),
    ) {
        Ok(()) => tightened.changed += 1,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tightened.failed.push((path.to_owned(), error)),
    })?;
    Ok(tightened)
}

/// The files and folders of a folder, itself included, that others have permissions on. Unreadable folders are skipped.
///
/// # Errors
/// If the folder itself cannot be read.
pub fn open_to_others(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(folder, &mut |path, _| found.push(path.to_owned()))?;
    Ok(found)
}

/// Calls `see` with each file and folder that others have permissions on, and its mode; a folder before its content.
fn walk(folder: &Path, see: &mut dyn FnMut(&Path, u32)) -> io::Result<()> {
    let mut look = |path: &Path| -> io::Result<bool> {
        let found = std::fs::symlink_metadata(path)?;
        let mode = found.permissions().mode();
        if !found.is_symlink() && mode & OTHERS != 0 {
            see(path, mode & 0o7777);
        }
        Ok(found.is_dir())
    };
    let mut folders = Vec::new();
    if look(folder)? {
        folders.push(folder.to_owned());
    }
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if look(&path).unwrap_or(false) {
                folders.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_there_is_taken_from_others_and_nothing_outside_of_it() {
        let home = tempfile::tempdir().unwrap();
        let (folder, outside) = (home.path().join("d"), home.path().join("outside"));
        create_dir(&folder.join("a/b")).unwrap();
        for path in [&outside, &folder.join("a/b/file"), &folder.join("program")] {
            fs::write(path, "x").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let _socket = UnixListener::bind(folder.join("socket")).unwrap();
        fs::set_permissions(folder.join("socket"), fs::Permissions::from_mode(0o777)).unwrap();
        fs::set_permissions(folder.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();

        assert_eq!(open_to_others(&folder).unwrap().len(), 4);
        let tightened = tighten(&folder).unwrap();
        assert_eq!((tightened.changed, tightened.failed.len()), (4, 0));
        assert!(open_to_others(&folder).unwrap().is_empty());
        assert_eq!(mode(&folder.join("a")), 0o700);
        assert_eq!(
            mode(&folder.join("a/b/file")),
            0o700,
            "only permissions of others are removed"
        );
        assert_eq!(mode(&folder.join("socket")), 0o700);
        assert_eq!(mode(&outside), 0o755, "a link is not followed");
        assert!(tighten(&home.path().join("nothing")).is_err());
    }

    #[test]
    fn what_is_made_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        create_dir(&home.path().join("a/b")).unwrap();
        options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(home.path().join("a/file"))
            .unwrap();
        for (path, expected) in [("a", 0o700), ("a/b", 0o700), ("a/file", 0o600)] {
            assert_eq!(mode(&home.path().join(path)), expected, "{path}");
        }
    }
}
