//! configfs, in which the kernel's targets are folders: `mkdir` creates an object with its attributes, a symbolic link
//! connects two objects, writing to a file sets an attribute (kernel: `Documentation/filesystems/configfs.rst`).
//!
//! [`ConfigFs`] has the basic operations; [`Tree`] reads, and its [`Editor`] makes idempotent changes: existing objects
//! are not created again, missing ones are not removed again. An editor belongs to a verb: before each change it checks
//! that this process still owns the storage ([`Work::check_owner`]), so no change is possible without that. Every
//! single operation of the kernel is atomic, so a killed process leaves a state between two of them, and the emulation
//! (for tests) can stop between any two.

#[cfg(test)]
pub(super) mod emulation;
#[cfg(test)]
pub(super) mod scenes;

use std::io::{self, ErrorKind};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::drivers::{DriverError, DriverResult, Work};

/// Where Linux mounts it.
pub const ROOT: &str = "/sys/kernel/config";

/// The kind of a name in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An object or a group of them.
    Folder,
    /// A connection to another object.
    Link,
    /// Reads an attribute.
    File,
}

/// The operations of configfs. Paths are relative to its root.
pub trait ConfigFs: Send + Sync {
    /// The names in a folder.
    fn list(&self, path: &Path) -> io::Result<Vec<(String, Kind)>>;
    /// Whether the path exists.
    fn exists(&self, path: &Path) -> bool;
    /// An attribute.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// The target of a link. Only its last components are meaningful: the kernel shows it relative to the link's
    /// folder.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;
    /// Creates an object.
    fn mkdir(&self, path: &Path) -> io::Result<()>;
    /// Removes an object.
    fn rmdir(&self, path: &Path) -> io::Result<()>;
    /// Connects `path` to an object.
    fn symlink(&self, object: &Path, path: &Path) -> io::Result<()>;
    /// Removes a link.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Sets an attribute, in one write.
    fn write(&self, path: &Path, value: &str) -> io::Result<()>;
}

/// The kernel's configfs.
#[derive(Clone, Debug)]
pub struct Mounted {
    root: PathBuf,
}

impl Mounted {
    /// The configfs that is mounted there.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl ConfigFs for Mounted {
    fn list(&self, path: &Path) -> io::Result<Vec<(String, Kind)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.root.join(path))? {
            let entry = entry?;
            let kind = match entry.file_type()? {
                kind if kind.is_symlink() => Kind::Link,
                kind if kind.is_dir() => Kind::Folder,
                _ => Kind::File,
            };
            names.push((entry.file_name().to_string_lossy().into_owned(), kind));
        }
        names.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(names)
    }

    fn exists(&self, path: &Path) -> bool {
        self.root.join(path).symlink_metadata().is_ok()
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(self.root.join(path))
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::read_link(self.root.join(path))
    }

    fn mkdir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(self.root.join(path))
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(self.root.join(path))
    }

    fn symlink(&self, object: &Path, path: &Path) -> io::Result<()> {
        // The kernel resolves it at once, relative to the process's folder instead of the link's: it must be absolute.
        std::os::unix::fs::symlink(self.root.join(object), self.root.join(path))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(self.root.join(path))
    }

    fn write(&self, path: &Path, value: &str) -> io::Result<()> {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .open(self.root.join(path))?;
        // A second write would be a second value.
        match file.write(value.as_bytes())? {
            all if all == value.len() => Ok(()),
            _ => Err(ErrorKind::WriteZero.into()),
        }
    }
}

/// Reads a configfs. Clones share it.
#[derive(Clone)]
pub struct Tree {
    fs: Arc<dyn ConfigFs>,
}

impl Tree {
    /// A tree over a configfs.
    pub fn new(fs: impl ConfigFs + 'static) -> Self {
        Self { fs: Arc::new(fs) }
    }

    /// Whether the path exists.
    pub fn exists(&self, path: &Path) -> bool {
        self.fs.exists(path)
    }

    /// The folders in a folder; empty if it does not exist.
    pub fn folders(&self, path: &Path) -> DriverResult<Vec<String>> {
        self.names(path, Kind::Folder)
    }

    /// The links in a folder; empty if it does not exist.
    pub fn links(&self, path: &Path) -> DriverResult<Vec<String>> {
        self.names(path, Kind::Link)
    }

    fn names(&self, path: &Path, wanted: Kind) -> DriverResult<Vec<String>> {
        match self.fs.list(path) {
            Ok(names) => Ok(names
                .into_iter()
                .filter(|(_, kind)| *kind == wanted)
                .map(|(name, _)| name)
                .collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed("list", path, &error)),
        }
    }

    /// An attribute without the line's end; `None` if it does not exist, or is not readable.
    pub fn read(&self, path: &Path) -> Option<String> {
        self.fs.read(path).ok().map(|text| text.trim_end().to_owned())
    }

    /// Whether the link's target is this object (by its last components).
    pub fn leads_to(&self, link: &Path, object: &Path) -> bool {
        self.fs
            .read_link(link)
            .is_ok_and(|target| target.ends_with(object))
    }

    /// An editor for this work.
    pub fn editor<'a>(&'a self, work: &'a Work) -> Editor<'a> {
        Editor { tree: self, work }
    }
}

/// Makes idempotent changes of a configfs, as long as this process owns the storage. It reads, too.
#[derive(Clone, Copy)]
pub struct Editor<'a> {
    tree: &'a Tree,
    work: &'a Work,
}

impl Deref for Editor<'_> {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        self.tree
    }
}

impl Editor<'_> {
    /// The configfs for changes; fails if another process owns the storage by now.
    fn fs(&self) -> DriverResult<&dyn ConfigFs> {
        self.work.check_owner()?;
        Ok(&*self.tree.fs)
    }

    /// Makes a change. These errors count as done: the state is the desired one.
    fn change(
        &self,
        what: &str,
        path: &Path,
        done: &[ErrorKind],
        change: impl FnOnce(&dyn ConfigFs) -> io::Result<()>,
    ) -> DriverResult<()> {
        match change(self.fs()?) {
            Err(error) if !done.contains(&error.kind()) => Err(failed(what, path, &error)),
            _ => Ok(()),
        }
    }

    /// Creates an object, unless it exists.
    pub fn make(&self, path: &Path) -> DriverResult<()> {
        self.change("make", path, &[ErrorKind::AlreadyExists], |fs| fs.mkdir(path))
    }

    /// Removes an object, if it exists.
    pub fn remove(&self, path: &Path) -> DriverResult<()> {
        self.change("remove", path, &[ErrorKind::NotFound], |fs| fs.rmdir(path))
    }

    /// Removes an object, unless others still use it.
    pub fn remove_unused(&self, path: &Path) -> DriverResult<()> {
        let done = [
            ErrorKind::NotFound,
            ErrorKind::DirectoryNotEmpty,
            ErrorKind::ResourceBusy,
        ];
        self.change("remove", path, &done, |fs| fs.rmdir(path))
    }

    /// Creates a link, unless it exists.
    pub fn connect(&self, object: &Path, path: &Path) -> DriverResult<()> {
        self.change("connect", path, &[ErrorKind::AlreadyExists], |fs| {
            fs.symlink(object, path)
        })
    }

    /// Removes a link, if it exists.
    pub fn disconnect(&self, path: &Path) -> DriverResult<()> {
        self.change("disconnect", path, &[ErrorKind::NotFound], |fs| fs.unlink(path))
    }

    /// Removes all links of a folder.
    pub fn disconnect_all(&self, path: &Path) -> DriverResult<()> {
        for link in self.links(path)? {
            self.disconnect(&path.join(link))?;
        }
        Ok(())
    }

    /// Writes an attribute, whatever its value.
    pub fn write(&self, path: &Path, value: &str) -> DriverResult<()> {
        self.change("write to", path, &[], |fs| fs.write(path, value))
    }

    /// Sets an attribute, unless it has that value: many refuse a second write, or a write while they are in use.
    pub fn set(&self, path: &Path, value: &str) -> DriverResult<()> {
        if self.read(path).as_deref() == Some(value) {
            return Ok(());
        }
        self.write(path, value)
    }
}

/// The error does not contain values, since some are secret.
fn failed(what: &str, path: &Path, error: &io::Error) -> DriverError {
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => ": root is required",
        ErrorKind::ReadOnlyFilesystem => {
            ": the kernel's configuration is mounted read-only, as in containers"
        }
        _ => "",
    };
    DriverError::failed(
        "The storage target service failed.",
        format!(
            "cannot {what} {} of the kernel's targets: {error}{hint}",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Mounted, Tree};
    use crate::drivers::{DriverError, Work};

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_done_twice_is_done_once() {
        let home = tempfile::tempdir().unwrap();
        let (tree, work) = (Tree::new(Mounted::new(home.path())), Work::within(LIMIT));
        let tree = tree.editor(&work);
        let (object, link, gone) = (Path::new("a"), Path::new("l"), Path::new("none"));
        std::fs::write(home.path().join("attr"), "old\n").unwrap();
        for _ in 0..2 {
            tree.make(object).unwrap();
            tree.connect(object, link).unwrap();
            tree.set(Path::new("attr"), "new").unwrap();
        }
        assert!(tree.leads_to(link, object) && !tree.leads_to(link, gone));
        assert_eq!(tree.read(Path::new("attr")).unwrap(), "new");
        assert_eq!(tree.folders(Path::new("")).unwrap(), ["a"]);
        assert_eq!(tree.links(Path::new("")).unwrap(), ["l"]);
        assert!(tree.folders(gone).unwrap().is_empty());
        for _ in 0..2 {
            tree.disconnect_all(Path::new("")).unwrap();
            tree.disconnect(link).unwrap();
            tree.remove(object).unwrap();
        }
        assert!(!tree.exists(object) && !tree.exists(link));
        assert!(tree.make(Path::new("no/such")).is_err());
    }

    #[test]
    fn an_object_that_others_use_stays() {
        let home = tempfile::tempdir().unwrap();
        let (tree, work) = (Tree::new(Mounted::new(home.path())), Work::within(LIMIT));
        let tree = tree.editor(&work);
        tree.make(Path::new("a")).unwrap();
        tree.make(Path::new("a/b")).unwrap();
        tree.remove_unused(Path::new("a")).unwrap();
        assert!(tree.exists(Path::new("a/b")));
        assert!(tree.remove(Path::new("a")).is_err());
    }

    #[test]
    fn a_value_that_cannot_be_written_is_not_shown() {
        let home = tempfile::tempdir().unwrap();
        let (tree, work) = (Tree::new(Mounted::new(home.path())), Work::within(LIMIT));
        let tree = tree.editor(&work);
        let Err(DriverError::Failed { operator, .. }) = tree.write(Path::new("no/password"), "s3cret") else {
            panic!("there is no such file");
        };
        assert!(
            operator.contains("no/password") && !operator.contains("s3cret"),
            "{operator}"
        );
    }
}
