//! The disk of the store: reserved space, and the folder of its files.
//!
//! A single write that finds no space breaks sled, and its own thread writes at any time. So space for the next writes
//! is reserved in advance, after the end of its file, and a commit without enough space is refused before it reaches
//! sled. The reserved space stays with the file when the process is killed, so that there is space to open it again.
//!
//! Deleted files can still be written to. Commits would then be acknowledged and lost, so after each commit, before its
//! answer, it is checked that the files are still in the folder.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::store::StoreError;

/// Space that must be free in addition to the bytes of a commit: sled rewrites pages, and empties segments.
const AT_LEAST: u64 = 4 * 1024 * 1024;

/// Space that is reserved at once.
const AHEAD: u64 = 2 * AT_LEAST;

/// How often the disk is checked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why the store cannot write.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// The disk is full; space may be freed.
    NoRoom(String),
    /// It cannot write any more.
    Broken(String),
}

impl From<Obstacle> for StoreError {
    fn from(obstacle: Obstacle) -> Self {
        let (what, no_space) = match obstacle {
            Obstacle::NoRoom(what) => (what, true),
            Obstacle::Broken(what) => (what, false),
        };
        Self {
            no_space,
            broken: !no_space,
            ..Self::new(what)
        }
    }
}

pub(super) struct DiskReservation {
    path: PathBuf,
    data_file: File,
    min_free: u64,
    looked: Option<Instant>,
    free: u64,
    /// Whether the disk was full at the last check.
    full: bool,
    /// Whether the file system supports reservations, and shows them.
    reserves: bool,
}

impl DiskReservation {
    pub(super) fn new(path: &Path, data_file: File, min_free: u64) -> Self {
        Self {
            path: path.to_owned(),
            data_file,
            min_free,
            looked: None,
            free: 0,
            full: false,
            reserves: true,
        }
    }

    /// Checks that so many bytes, and what sled writes with them, can be written. After the disk was full there must be
    /// some spare space: else the first commit would fill it again, and each change would be logged.
    pub(super) fn ready_for(&mut self, bytes: u64) -> Result<(), Obstacle> {
        let least = if self.full { AHEAD } else { AT_LEAST };
        let ready = self.has_room(least.saturating_add(bytes.saturating_mul(2)));
        match &ready {
            Ok(()) => self.full = false,
            Err(Obstacle::NoRoom(_)) => self.full = true,
            Err(Obstacle::Broken(_)) => {}
        }
        ready
    }

    fn has_room(&mut self, needed: u64) -> Result<(), Obstacle> {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.look()?;
        }
        self.must_have_free()?;
        match self.reserve(needed) {
            Ok(false) => Ok(()),
            // Space that sled frees by truncating its file does not count: it is used up as soon as it is reserved
            // again.
            Ok(true) => {
                self.free = free_bytes(&self.path);
                self.must_have_free()
            }
            Err(error) if is_no_room(&error) => Err(self.no_room(error.to_string())),
            Err(error) => Err(Obstacle::Broken(format!(
                "no space can be reserved on the disk of {}: {error}",
                self.path.display()
            ))),
        }
    }

    fn must_have_free(&self) -> Result<(), Obstacle> {
        if self.free >= self.min_free {
            return Ok(());
        }
        Err(self.no_room(format!(
            "only {} bytes are free, of which {} are reserved",
            self.free, self.min_free
        )))
    }

    /// Checks the disk and the folder again.
    pub(super) fn look(&mut self) -> Result<(), Obstacle> {
        self.looked = Some(Instant::now());
        self.free = free_bytes(&self.path);
        self.must_be_there()?;
        let there = std::fs::metadata(self.path.join("db"));
        let ours = self.data_file.metadata();
        match (there, ours) {
            (Ok(there), Ok(ours)) if (there.dev(), there.ino()) != (ours.dev(), ours.ino()) => {
                Err(self.gone("replaced"))
            }
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Err(self.gone("moved away")),
            _ => Ok(()),
        }
    }

    /// Checks that the files are still in the folder.
    pub(super) fn must_be_there(&self) -> Result<(), Obstacle> {
        match self.data_file.metadata() {
            Ok(file) if file.nlink() == 0 => Err(self.gone("deleted")),
            _ => Ok(()),
        }
    }

    fn gone(&self, how: &str) -> Obstacle {
        Obstacle::Broken(format!(
            "its files in {} were {how} while it was open",
            self.path.display()
        ))
    }

    fn no_room(&self, why: String) -> Obstacle {
        Obstacle::NoRoom(format!("the disk of {} is full: {why}", self.path.display()))
    }

    /// Reserves space after the end of the file, unless it is already reserved. The end moves in both directions,
    /// because sled truncates what it no longer needs; the number of blocks of the file shows whether the reservation
    /// still exists. Returns whether space was reserved.
    fn reserve(&mut self, needed: u64) -> io::Result<bool> {
        if !self.reserves || self.reserved()? >= needed {
            return Ok(false);
        }
        match take(&self.data_file, needed.max(AHEAD)) {
            Ok(()) => self.reserves = self.reserved()? >= needed,
            Err(error) if is_unknown(&error) => self.reserves = false,
            Err(error) => return Err(error),
        }
        if !self.reserves {
            tracing::info!(path = %self.path.display(), "the file system supports no reservations: min_free_space alone keeps it");
        }
        Ok(self.reserves)
    }

    fn reserved(&self) -> io::Result<u64> {
        let file = self.data_file.metadata()?;
        Ok(file.blocks().saturating_mul(512).saturating_sub(file.len()))
    }
}

/// Reserves as much of the required space as is free.
pub(super) fn take_what_there_is(data_file: &File) {
    let mut bytes = AHEAD;
    while bytes >= 64 * 1024 && take(data_file, bytes).is_err_and(|error| is_no_room(&error)) {
        bytes /= 2;
    }
}

/// Releases the space after the end of the file: opening the store needs some for other files.
pub(super) fn give_back(data_file: &File) -> io::Result<()> {
    data_file.set_len(data_file.metadata()?.len())
}

/// From the beginning, because the file may have holes.
fn take(data_file: &File, behind: u64) -> io::Result<()> {
    let end = data_file.metadata()?.len().saturating_add(behind);
    fallocate(data_file, FallocateFlags::KEEP_SIZE, 0, end).map_err(io::Error::from)
}

/// Whether an error means that the disk, or the quota on it, is full.
pub(super) fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn is_unknown(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL))
}

/// Free bytes of the disk; the maximum if unknown, so that an unusual file system is no reason to refuse commits.
fn free_bytes(path: &Path) -> u64 {
    match rustix::fs::statvfs(path) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) if error == Errno::NOENT => u64::MAX,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "free space on the disk is not known");
            u64::MAX
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn disk(folder: &Path) -> DiskReservation {
        let path = folder.join("db");
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        file.write_all(&[1; 100_000]).unwrap();
        DiskReservation::new(folder, file, 0)
    }

    #[test]
    fn room_is_taken_behind_the_end_and_taken_again_when_it_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = disk(folder.path());
        disk.ready_for(1000).unwrap();
        if !disk.reserves {
            return;
        }
        assert!(disk.reserved().unwrap() >= AT_LEAST);
        assert_eq!(disk.data_file.metadata().unwrap().len(), 100_000);
        give_back(&disk.data_file).unwrap();
        assert!(disk.reserved().unwrap() < AT_LEAST);
        disk.ready_for(2 * AHEAD).unwrap();
        assert!(disk.reserved().unwrap() >= 4 * AHEAD);
    }

    #[test]
    fn after_a_full_disk_commits_continue_only_with_spare_space() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = disk(folder.path());
        take(&disk.data_file, AT_LEAST).unwrap();
        disk.ready_for(0).unwrap();
        if !disk.reserves {
            return;
        }
        assert!(disk.reserved().unwrap() < AHEAD, "as little as possible");
        disk.full = true;
        disk.min_free = u64::MAX;
        assert!(matches!(disk.ready_for(0), Err(Obstacle::NoRoom(_))));
        disk.min_free = 0;
        disk.ready_for(0).unwrap();
        assert!(disk.reserved().unwrap() >= AHEAD && !disk.full);
    }

    #[test]
    fn a_file_that_was_deleted_moved_or_replaced_is_noticed() {
        for (how, what) in [
            ("delete", "deleted"),
            ("move", "moved away"),
            ("replace", "replaced"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut disk = disk(folder.path());
            disk.look().unwrap();
            let path = folder.path().join("db");
            match how {
                "delete" => std::fs::remove_file(&path).unwrap(),
                "move" => std::fs::rename(&path, folder.path().join("elsewhere")).unwrap(),
                _ => {
                    std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
                    std::fs::write(&path, "another").unwrap();
                }
            }
            let Err(Obstacle::Broken(said)) = disk.look() else {
                panic!("{how}")
            };
            assert!(said.contains(what), "{said}");
        }
    }
}
