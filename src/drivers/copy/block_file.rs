//! The content of a volume that is a file or a device, read and written in a worker's thread: bypassing the page cache
//! where possible, and within the rate limit of the backend's copies.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::data::{self, Buffer};
use super::program::{is_device, open};
use super::throttle::{Place, Throttle};
use super::{BLOCK, as_u64};
use crate::drivers::open_volume::{Access, OpenVolume};
use crate::drivers::{DriverError, DriverResult, Work};

/// See the module.
pub(crate) struct BlockFile {
    path: PathBuf,
    file: File,
    length: u64,
    reads_zeros_when_new: bool,
    buffer: Buffer,
    place: Option<Place>,
}

impl BlockFile {
    /// Opens it. If it is opened for writing, it counts as one of the backend's copies until it is closed.
    ///
    /// # Errors
    /// `NotFound`; `Busy` if it is a device that is opened for writing and in use.
    pub(crate) fn open(
        path: &Path,
        access: Access,
        throttle: &Throttle,
        reads_zeros_when_new: bool,
    ) -> DriverResult<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::Write);
        let opened = open(path, access == Access::Write && is_device(path), &options);
        let opened = opened.and_then(|file| {
            let length = rustix::fs::seek(&file, SeekFrom::End(0))?;
            Ok((file, length))
        });
        let (file, length) = opened.map_err(|error| block_error("open", path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            length,
            reads_zeros_when_new,
            buffer: Buffer::new(BLOCK),
            place: (access == Access::Write).then(|| throttle.enter()),
        })
    }

    /// Checks that a range is within the volume.
    fn check(&self, work: &Work, offset: u64, length: u64) -> DriverResult<()> {
        work.check()?;
        if offset.checked_add(length).is_some_and(|end| end <= self.length) {
            return Ok(());
        }
        let operator = format!(
            "{} has {} bytes, and {length} from {offset} on were to be read or written",
            self.path.display(),
            self.length
        );
        Err(DriverError::backend_failed(operator))
    }

    fn may_write(&mut self, work: &Work, bytes: u64) -> DriverResult<()> {
        if let Some(place) = &mut self.place {
            place.pace(work, bytes)?;
        }
        work.check_owner()
    }

    fn error(&self, what: &str, error: &io::Error) -> DriverError {
        block_error(what, &self.path, error)
    }
}

impl OpenVolume for BlockFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn reads_zeros_when_new(&self) -> bool {
        self.reads_zeros_when_new
    }

    fn next_data(&mut self, work: &Work, offset: u64) -> DriverResult<u64> {
        work.check()?;
        if offset >= self.length {
            return Ok(self.length);
        }
        match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => Ok(start),
            Err(Errno::NXIO) => Ok(self.length),
            // A device, or a file system that does not know its holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(offset),
            Err(error) => Err(self.error("look at", &error.into())),
        }
    }

    fn read(&mut self, work: &Work, offset: u64, length: usize) -> DriverResult<Vec<u8>> {
        self.check(work, offset, as_u64(length))?;
        let mut bytes = vec![0; length];
        let mut at = offset;
        for part in bytes.chunks_mut(BLOCK) {
            work.check()?;
            let aligned = &mut self.buffer.slice()[..part.len()];
            data::read_all(&self.file, aligned, at)
                .map_err(|error| block_error("read", &self.path, &error))?;
            part.copy_from_slice(aligned);
            at += as_u64(part.len());
        }
        Ok(bytes)
    }

    fn write(&mut self, work: &Work, offset: u64, bytes: &[u8]) -> DriverResult<()> {
        self.check(work, offset, as_u64(bytes.len()))?;
        let mut at = offset;
        for part in bytes.chunks(BLOCK) {
            let runs = if self.reads_zeros_when_new {
                data::nonzero_runs(part)
            } else {
                std::iter::once(0..part.len()).collect()
            };
            for run in runs {
                self.may_write(work, as_u64(run.len()))?;
                let aligned = &mut self.buffer.slice()[..run.len()];
                aligned.copy_from_slice(&part[run.clone()]);
                data::write_all(&self.file, aligned, at + as_u64(run.start))
                    .map_err(|error| block_error("write", &self.path, &error))?;
            }
            at += as_u64(part.len());
        }
        Ok(())
    }

    fn write_zeros(&mut self, work: &Work, offset: u64, length: u64) -> DriverResult<()> {
        self.check(work, offset, length)?;
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let part = (end - at).min(as_u64(BLOCK));
            self.may_write(work, part)?;
            let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
            match rustix::fs::fallocate(&self.file, flags, at, part) {
                Ok(()) => {}
                // A file system without support, or a range that is not aligned to sectors.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    data::wipe(&self.file, at, part, BLOCK, &mut |_, _| Ok(()))
                        .map_err(|error| self.error("write", &error))?;
                }
                Err(error) => return Err(self.error("write", &error.into())),
            }
            at += part;
        }
        Ok(())
    }

    fn sync(&mut self, work: &Work) -> DriverResult<()> {
        work.check()?;
        self.file.sync_all().map_err(|error| self.error("sync", &error))
    }
}

fn block_error(what: &str, path: &Path, error: &io::Error) -> DriverError {
    let operator = format!("cannot {what} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DriverError::NoSpace { operator },
        io::ErrorKind::ResourceBusy => DriverError::Busy { operator },
        io::ErrorKind::NotFound => {
            DriverError::not_found("The volume's data is not on the storage backend.", operator)
        }
        _ => DriverError::backend_failed(operator),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Access, BlockFile, DriverError, DriverResult, OpenVolume, Throttle, Work};
    use crate::drivers::testing::fence::{Effect, Lock, verbs_of};
    use crate::drivers::testing::{fault, work};

    const LENGTH: u64 = 3 << 20;

    /// A file that is filled with this byte, or consists of a hole.
    fn file(byte: u8) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(LENGTH).unwrap();
        if byte != 0 {
            let bytes = vec![byte; usize::try_from(LENGTH).unwrap()];
            file.as_file().write_all_at(&bytes, 0).unwrap();
        }
        file
    }

    fn open(file: &tempfile::NamedTempFile, access: Access, is_zeroed: bool) -> BlockFile {
        BlockFile::open(file.path(), access, &Throttle::new(0), is_zeroed).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_written_is_read_and_nothing_else_changes(
            pieces in proptest::collection::vec((0..LENGTH, 1_usize..300_000, any::<u8>(), any::<bool>()), 0..6),
            is_zeroed: bool,
        ) {
            let before = if is_zeroed { 0 } else { 9 };
            let file = file(before);
            let mut expected = vec![before; usize::try_from(LENGTH).unwrap()];
            let mut volume = open(&file, Access::Write, is_zeroed);
            for (offset, length, byte, is_zeros) in pieces {
                let start = usize::try_from(offset).unwrap();
                let end = (start + length).min(expected.len());
                // A volume that is written as new has no data yet where zeros are written.
                if is_zeros && !is_zeroed {
                    volume.write_zeros(&work(), offset, u64::try_from(end - start).unwrap()).unwrap();
                    expected[start..end].fill(0);
                } else if byte != 0 {
                    let mut bytes = vec![byte; end - start];
                    bytes[0] = 1;
                    volume.write(&work(), offset, &bytes).unwrap();
                    expected[start..end].copy_from_slice(&bytes);
                }
            }
            volume.sync(&work()).unwrap();
            let read = open(&file, Access::Read, is_zeroed).read(&work(), 0, expected.len()).unwrap();
            prop_assert!(read == expected);
        }
    }

    #[test]
    fn zeros_take_no_room_in_a_new_volume() {
        let file = file(0);
        let mut volume = open(&file, Access::Write, true);
        let mut bytes = vec![0; 1 << 20];
        bytes[700_000] = 1;
        volume.write(&work(), 0, &bytes).unwrap();
        volume.sync(&work()).unwrap();
        assert!(file.as_file().metadata().unwrap().blocks() * 512 <= 128 << 10);
        assert_eq!(volume.next_data(&work(), 1 << 20).unwrap(), LENGTH);
    }

    #[test]
    fn what_lies_beyond_the_end_fails_and_is_not_made() {
        let file = file(0);
        let mut volume = open(&file, Access::Write, true);
        let failed = |answer: Result<(), DriverError>| matches!(answer, Err(DriverError::Failed { .. }));
        assert!(failed(volume.write(&work(), LENGTH - 1, &[1, 1])));
        assert!(failed(volume.write_zeros(&work(), u64::MAX, 2)));
        assert!(failed(volume.read(&work(), LENGTH - 1, 2).map(drop)));
        assert_eq!(file.as_file().metadata().unwrap().len(), LENGTH);
        let nowhere = std::path::Path::new("/nowhere/volume");
        let missing = BlockFile::open(nowhere, Access::Read, &Throttle::new(0), true);
        assert!(matches!(missing.err(), Some(DriverError::NotFound { .. })));
    }

    /// Each method of an open volume, by name, and whether it changes the volume.
    type Method = (
        &'static str,
        Effect,
        fn(&mut BlockFile, &Work) -> DriverResult<()>,
    );

    const METHODS: [Method; 5] = [
        ("next_data", Effect::Reads, |volume, work| {
            volume.next_data(work, 0).map(drop)
        }),
        ("read", Effect::Reads, |volume, work| {
            volume.read(work, 0, 4096).map(drop)
        }),
        ("write", Effect::Changes, |volume, work| {
            volume.write(work, 0, &[1; 3 << 20])
        }),
        ("write_zeros", Effect::Changes, |volume, work| {
            volume.write_zeros(work, 0, LENGTH)
        }),
        ("sync", Effect::Reads, |volume, work| volume.sync(work)),
    ];

    #[test]
    fn nothing_is_written_once_the_lock_of_the_storage_is_lost() {
        let source = include_str!("../open_volume.rs");
        let listed: BTreeSet<&str> = METHODS.iter().map(|(name, ..)| *name).collect();
        assert_eq!(verbs_of(source, "pub trait OpenVolume: Send"), listed);
        for (name, effect, method) in METHODS {
            // The first megabyte passes the limit at once, each further one waits.
            for lost_after in [0, 1, 2] {
                let (file, lock) = (file(9), Lock::taken());
                let mut volume =
                    BlockFile::open(file.path(), Access::Write, &Throttle::new(8 << 20), false).unwrap();
                let work = lock.work();
                if lost_after == 0 {
                    std::fs::remove_file(lock.file()).unwrap();
                }
                let changed = || {
                    let bytes = std::fs::read(file.path()).unwrap();
                    bytes.chunks(1 << 20).filter(|part| part[0] != 9).count()
                };
                let answer = std::thread::scope(|scope| {
                    let running = scope.spawn(|| method(&mut volume, &work));
                    while lost_after > 0 && changed() < lost_after && !running.is_finished() {
                        std::thread::yield_now();
                    }
                    let _ = std::fs::remove_file(lock.file());
                    running.join().unwrap()
                });
                match effect {
                    Effect::Reads => assert_eq!(changed(), 0, "{name}"),
                    Effect::Changes => {
                        let is_superseded = matches!(answer, Err(DriverError::Superseded { .. }));
                        assert!(is_superseded, "{name}, {lost_after}: {answer:?}");
                        assert_eq!(changed(), lost_after, "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_written_keeps_to_the_limit_and_a_wait_for_it_can_be_cancelled() {
        let (one, other) = (file(0), file(0));
        let throttle = Throttle::new(4 << 20);
        let begun = Instant::now();
        let mut volume = BlockFile::open(one.path(), Access::Write, &throttle, false).unwrap();
        let mut read = BlockFile::open(other.path(), Access::Read, &throttle, false).unwrap();
        for offset in [0, 1, 2] {
            read.read(&work(), offset << 20, 1 << 20).unwrap();
            volume.write(&work(), offset << 20, &vec![1; 1 << 20]).unwrap();
        }
        // A reader does not count as a copy: the writer has the whole limit, and the first write passes at once.
        assert!(begun.elapsed() >= Duration::from_millis(450));
        let work = work();
        work.cancel();
        assert_eq!(fault(volume.write(&work, 0, &[1])), "Cancelled");
    }
}
