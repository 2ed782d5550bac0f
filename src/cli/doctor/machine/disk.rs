//! A folder that exists or can be created: its file system, its free space, and whether it is writable.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags};

/// The kind of file system of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// A disk of this machine, as far as is known.
    Local,
    /// Another machine, by this protocol.
    Network(&'static str),
    /// Memory: empty after a restart.
    Memory,
    /// A file system of the kernel, which has no files.
    Kernel,
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
    /// The folder itself, or its nearest existing parent.
    pub nearest: PathBuf,
    /// Whether it exists.
    pub exists: bool,
    /// Whether it, or the parent in which it would be created, is writable.
    pub writable: Result<(), String>,
    /// The owner of `nearest`.
    pub owner: u32,
    /// Its permissions.
    pub mode: u32,
    /// Its file system.
    pub on: FileSystem,
    /// Total bytes.
    pub total: u64,
    /// Bytes that this user may still write.
    pub free: u64,
}

/// The abilities of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Whether unwritten ranges take no space.
    pub sparse: bool,
    /// Whether two files can share blocks.
    pub reflink: bool,
}

impl Folder {
    /// Examines a folder.
    ///
    /// # Errors
    /// If it cannot be examined.
    pub fn look(path: &Path) -> io::Result<Self> {
        let (nearest, found) = nearest(path)?;
        let exists = nearest == path;
        let space = rustix::fs::statvfs(&nearest)?;
        let kind = rustix::fs::statfs(&nearest)?.f_type;
        let writable = if found.is_dir() {
            rustix::fs::access(&nearest, Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|error| io::Error::from(error).to_string())
        } else {
            Err("it is no folder".to_owned())
        };
        Ok(Self {
            path: path.to_owned(),
            nearest,
            exists,
            writable,
            owner: found.uid(),
            mode: found.mode() & 0o7777,
            on: file_system(kind.cast_unsigned()),
            total: space.f_blocks.saturating_mul(space.f_frsize),
            free: space.f_bavail.saturating_mul(space.f_frsize),
        })
    }

    /// Tests it with unnamed files, of which nothing is left, even if the process is killed.
    ///
    /// # Errors
    /// If the file system does not support unnamed files, or is not writable.
    pub fn try_out(&self) -> io::Result<Abilities> {
        const BLOCK: usize = 64 << 10;
        const HOLE: u64 = 1 << 30;
        let unnamed = || -> io::Result<File> {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            Ok(rustix::fs::open(&self.nearest, flags, Mode::RUSR | Mode::WUSR)?.into())
        };
        let (from, to) = (unnamed()?, unnamed()?);
        from.set_len(HOLE)?;
        let sparse = from.metadata()?.blocks() * 512 < HOLE / 2;
        from.set_len(0)?;
        from.write_all_at(&[7; BLOCK], 0)?;
        Ok(Abilities {
            sparse,
            reflink: rustix::fs::ioctl_ficlone(&to, &from).is_ok(),
        })
    }
}

fn nearest(path: &Path) -> io::Result<(PathBuf, std::fs::Metadata)> {
    for folder in path.ancestors() {
        match std::fs::metadata(folder) {
            Ok(found) => return Ok((folder.to_owned(), found)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::NotFound.into())
}

/// By its magic number (statfs(2)).
#[expect(
    clippy::cast_possible_truncation,
    reason = "magic numbers have 32 bits, whatever the type of the field"
)]
fn file_system(magic: u64) -> FileSystem {
    match magic as u32 {
        0x6969 => FileSystem::Network("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => FileSystem::Network("SMB"),
        0x00c3_6400 => FileSystem::Network("Ceph"),
        0x0102_1997 => FileSystem::Network("9p"),
        0x5346_414f => FileSystem::Network("AFS"),
        0x6573_5546 => FileSystem::Network("FUSE"),
        0x0116_1970 => FileSystem::Network("GFS2"),
        0x7461_636f => FileSystem::Network("OCFS2"),
        0x0bd0_0bd0 => FileSystem::Network("Lustre"),
        0x0102_1994 | 0x8584_58f6 => FileSystem::Memory,
        0x9fa0 | 0x6265_6572 | 0x6462_6720 | 0x0027_e0eb | 0x6367_7270 => FileSystem::Kernel,
        _ => FileSystem::Local,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{FileSystem, Folder, file_system};

    #[test]
    fn a_folder_that_is_to_be_made_is_assessed_by_the_one_above() {
        let home = tempfile::tempdir().unwrap();
        let there = Folder::look(home.path()).unwrap();
        assert!(there.exists && there.writable.is_ok() && there.total >= there.free);
        let wanted = Folder::look(&home.path().join("a/b")).unwrap();
        assert!(!wanted.exists && wanted.nearest == home.path());
        std::fs::write(home.path().join("file"), "").unwrap();
        let below_a_file = Folder::look(&home.path().join("file/a")).unwrap();
        assert!(below_a_file.writable.is_err());
    }

    #[test]
    fn trying_a_folder_out_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let _ = Folder::look(home.path()).unwrap().try_out();
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn file_systems_are_distinguished() {
        assert_eq!(file_system(0xef53), FileSystem::Local);
        assert_eq!(file_system(0x6969), FileSystem::Network("NFS"));
        assert_eq!(
            Folder::look(Path::new("/proc/none")).unwrap().on,
            FileSystem::Kernel
        );
    }
}
