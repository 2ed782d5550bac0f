//! What the store stands on: room on its disk, and the folder that its files are in.
//!
//! Sled is broken by one write that finds no room, and its own thread writes when it likes. So the room for what comes next is
//! taken beforehand, behind the end of its file, and a commit for which there is none is refused before sled hears of it.
//! What was taken stays with the file when the process is killed: there is room to open it again.
//!
//! Files that were deleted can be written to as well as others. What is committed then would be acknowledged and lost, so
//! whether they are still in the folder is looked at behind each commit, before it is answered.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::store::StoreError;

/// Room that must be there beside what a commit writes itself: sled writes pages anew, and empties segments.
const AT_LEAST: u64 = 4 * 1024 * 1024;

/// Room that is taken at once.
const AHEAD: u64 = 2 * AT_LEAST;

/// How old the knowledge of the disk may be.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What keeps the store from writing.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// No room; it may be made.
    NoRoom(String),
    /// It can write no more.
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
    /// Whether there was no room the last time.
    full: bool,
    /// Whether the file system takes room beforehand, and shows it.
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

    /// Whether so many bytes can be written, and what sled writes with them. After there was no room there must be some to
    /// spare: else the first commit would find none again, and it would be told of with each.
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
            // What sled gives back when it cuts off its file is no room: it is gone as soon as it is taken again.
            Ok(true) => {
                self.free = free_bytes(&self.path);
                self.must_have_free()
            }
            Err(error) if is_no_room(&error) => Err(self.no_room(error.to_string())),
            Err(error) => Err(Obstacle::Broken(format!(
                "no room can be taken on the disk of {}: {error}",
                self.path.display()
            ))),
        }
    }

    fn must_have_free(&self) -> Result<(), Obstacle> {
        if self.free >= self.min_free {
            return Ok(());
        }
        Err(self.no_room(format!(
            "only {} bytes are free, of which {} are kept",
            self.free, self.min_free
        )))
    }

    /// Looks at the disk and the folder anew.
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

    /// Whether what is written is found again.
    pub(super) fn must_be_there(&self) -> Result<(), Obstacle> {
        match self.data_file.metadata() {
            Ok(file) if file.nlink() == 0 => Err(self.gone("deleted")),
            _ => Ok(()),
        }
    }

    fn gone(&self, how: &str) -> Obstacle {
        Obstacle::Broken(format!(
            "its files in {} were {how} while it served",
            self.path.display()
        ))
    }

    fn no_room(&self, why: String) -> Obstacle {
        Obstacle::NoRoom(format!("the disk of {} is full: {why}", self.path.display()))
    }

    /// Takes room behind the end of the file, unless so much is there. The end moves both ways, for sled cuts off what it no
    /// longer needs; how many blocks the file has tells whether they are still there. Whether any was taken.
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
            tracing::info!(path = %self.path.display(), "the file system takes no room beforehand: min_free_space alone keeps it");
        }
        Ok(self.reserves)
    }

    fn reserved(&self) -> io::Result<u64> {
        let file = self.data_file.metadata()?;
        Ok(file.blocks().saturating_mul(512).saturating_sub(file.len()))
    }
}

/// Takes what there is of the room that should be there, down to none.
pub(super) fn take_what_there_is(data_file: &File) {
    let mut bytes = AHEAD;
    while bytes >= 64 * 1024 && take(data_file, bytes).is_err_and(|error| is_no_room(&error)) {
        bytes /= 2;
    }
}

/// Gives back the room behind the end of the file: to open the store takes some in other files.
pub(super) fn give_back(data_file: &File) -> io::Result<()> {
    data_file.set_len(data_file.metadata()?.len())
}

/// From the beginning, for the file may have holes.
fn take(data_file: &File, behind: u64) -> io::Result<()> {
    let end = data_file.metadata()?.len().saturating_add(behind);
    fallocate(data_file, FallocateFlags::KEEP_SIZE, 0, end).map_err(io::Error::from)
}

/// Whether a failure means that the disk, or what we may use of it, is full.
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

/// Free bytes of the disk; all there could be if it does not tell, so that a strange file system is no reason to refuse.
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
    fn who_found_no_room_goes_on_only_when_there_is_some_to_spare() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = disk(folder.path());
        take(&disk.data_file, AT_LEAST).unwrap();
        disk.ready_for(0).unwrap();
        if !disk.reserves {
            return;
        }
        assert!(disk.reserved().unwrap() < AHEAD, "as little as may be");
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
