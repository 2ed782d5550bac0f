//! Copying and wiping of data, chunk by chunk.
//!
//! Files may be open with `O_DIRECT`, which bypasses the page cache; where a file system or a length does not allow it,
//! the flag is removed and the transfer repeated. Holes and zeros of the source are skipped if the target reads as
//! zeros.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

use super::{Target, as_u64};

/// The alignment of direct transfers: no disk has larger sectors.
const ALIGN: u64 = 4096;

/// The granularity of skipped zeros: the smallest chunk of a thin pool.
const ZERO_PIECE: usize = 64 << 10;

/// The granularity of differences: that of LVM's snapshots. Equal data is not written and so needs no space in a
/// snapshot.
const DIFFERENCE_PIECE: usize = 4096;

/// Called before each chunk, with the completed and the next bytes; it may wait, or fail to stop the transfer.
pub(crate) type Pace<'a> = dyn FnMut(u64, u64) -> io::Result<()> + 'a;

/// Makes the first `length` bytes of `to` equal to those of `from`. The data is not synced.
pub(crate) fn copy(
    from: &File,
    to: &File,
    length: u64,
    block: usize,
    target: Target,
    pace: &mut Pace<'_>,
) -> io::Result<()> {
    let mut buffer = Buffer::new(block);
    let mut theirs = Buffer::new(if target == Target::Alike { block } else { 0 });
    let mut offset = 0;
    while let Some(stretch) = next_stretch(from, offset, length, target)? {
        let mut at = stretch.start;
        while at < stretch.end {
            let want = length_of(stretch.end - at, block);
            pace(at, stretch.end.min(at + as_u64(want)) - at)?;
            let chunk = &mut buffer.slice()[..want];
            read_all(from, chunk, at)?;
            let wanted = match target {
                Target::Zeros => nonzero_runs(chunk),
                Target::Anything => std::iter::once(0..want).collect(),
                Target::Alike => {
                    let theirs = &mut theirs.slice()[..want];
                    read_all(to, theirs, at)?;
                    runs(want, DIFFERENCE_PIECE, |piece| {
                        chunk[piece.clone()] != theirs[piece]
                    })
                }
            };
            for run in wanted {
                write_all(to, &chunk[run.clone()], at + as_u64(run.start))?;
            }
            at += as_u64(want);
        }
        offset = stretch.end;
    }
    Ok(())
}

/// Writes zeros over `length` bytes from `offset` on.
pub(super) fn wipe(to: &File, offset: u64, length: u64, block: usize, pace: &mut Pace<'_>) -> io::Result<()> {
    let mut zeros = Buffer::new(block);
    let mut at = 0;
    while at < length {
        let want = length_of(length - at, block);
        pace(at, as_u64(want))?;
        write_all(to, &zeros.slice()[..want], offset + at)?;
        at += as_u64(want);
    }
    Ok(())
}

/// The next range to read at or after `offset`: data only, or everything if holes matter, too.
fn next_stretch(from: &File, offset: u64, length: u64, target: Target) -> io::Result<Option<Range<u64>>> {
    if offset >= length {
        return Ok(None);
    }
    if target != Target::Zeros {
        return Ok(Some(offset..length));
    }
    let start = match rustix::fs::seek(from, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // A device, or a file system that does not know its holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(offset..length)),
        Err(error) => return Err(error.into()),
    };
    let start = (start / ALIGN * ALIGN).max(offset);
    if start >= length {
        return Ok(None);
    }
    let end = rustix::fs::seek(from, SeekFrom::Hole(start.max(offset)))?;
    // An empty data range is extended: a file system without holes reports a hole at the end of the file only.
    let end = end.next_multiple_of(ALIGN).max(start + ALIGN).min(length);
    Ok(Some(start..end))
}

/// The ranges that are not all zeros.
pub(super) fn nonzero_runs(bytes: &[u8]) -> Vec<Range<usize>> {
    runs(bytes.len(), ZERO_PIECE, |piece| !is_zeros(&bytes[piece]))
}

/// Whether all of these bytes are zeros.
pub(crate) fn is_zeros(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|part| *part == ZEROS[..part.len()])
}

/// The ranges whose pieces are wanted, with adjacent ones merged.
fn runs(length: usize, piece: usize, wanted: impl Fn(Range<usize>) -> bool) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for start in (0..length).step_by(piece) {
        let end = (start + piece).min(length);
        if wanted(start..end) {
            match found.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => found.push(start..end),
            }
        }
    }
    found
}

fn length_of(left: u64, block: usize) -> usize {
    usize::try_from(left).unwrap_or(block).min(block)
}

pub(super) fn read_all(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        let rest = &mut buffer[done..];
        match file.read_at(rest, at + as_u64(done)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(error) => recover(file, error)?,
        }
    }
    Ok(())
}

pub(super) fn write_all(file: &File, buffer: &[u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.write_at(&buffer[done..], at + as_u64(done)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(error) => recover(file, error)?,
        }
    }
    Ok(())
}

/// Whether the transfer may be retried: if it was interrupted, or not possible with `O_DIRECT`, which is then removed.
fn recover(file: &File, error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted {
        return Ok(());
    }
    if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) {
        let flags = rustix::fs::fcntl_getfl(file)?;
        if flags.contains(OFlags::DIRECT) {
            rustix::fs::fcntl_setfl(file, flags - OFlags::DIRECT)?;
            return Ok(());
        }
    }
    Err(error)
}

/// A buffer for direct transfers, initially zeros.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    pub(super) fn new(length: usize) -> Self {
        let align = usize::try_from(ALIGN).unwrap_or(1);
        let bytes = vec![0; length + align];
        let start = bytes.as_ptr().align_offset(align).min(align);
        Self { bytes, start, length }
    }

    pub(super) fn slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::{FileExt, MetadataExt};

    use proptest::prelude::*;

    use super::{Target, copy, runs, wipe};

    const LENGTH: u64 = 3 << 20;

    fn free(_: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn read(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(LENGTH).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn with(pieces: &[(u64, Vec<u8>)]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(LENGTH).unwrap();
        for (offset, bytes) in pieces {
            file.write_all_at(bytes, *offset).unwrap();
        }
        file.set_len(LENGTH).unwrap();
        file
    }

    fn pieces() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
        let piece = (
            0..LENGTH,
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 1..9000),
                Just(vec![0; 200_000])
            ],
        );
        proptest::collection::vec(piece, 0..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_copy_is_equal_whatever_the_target_held(source in pieces(), old in pieces(), block in 1_usize..40) {
            let from = with(&source);
            for target in [Target::Zeros, Target::Anything, Target::Alike] {
                let to = with(if target == Target::Zeros { &[] } else { &old });
                copy(&from, &to, LENGTH, block * 4096, target, &mut free).unwrap();
                prop_assert!(read(&from) == read(&to), "{target:?}");
            }
        }

        #[test]
        fn runs_cover_what_is_wanted_and_nothing_else(wanted in proptest::collection::vec(any::<bool>(), 1..40), short in 0_usize..7) {
            let length = wanted.len() * 8 - short;
            let mut covered = vec![false; length];
            for run in runs(length, 8, |piece| wanted[piece.start / 8]) {
                covered[run].fill(true);
            }
            for (index, covered) in covered.iter().enumerate() {
                prop_assert_eq!(*covered, wanted[index / 8]);
            }
        }
    }

    #[test]
    fn zeros_take_no_room_in_a_target_of_zeros() {
        let from = with(&[(0, vec![0; 2 << 20]), (2 << 20, vec![1; 10])]);
        let to = with(&[]);
        copy(&from, &to, LENGTH, 1 << 20, Target::Zeros, &mut free).unwrap();
        assert!(to.metadata().unwrap().blocks() * 512 <= 128 << 10);
    }

    #[test]
    fn a_source_that_is_too_short_is_no_whole_copy() {
        let (from, to) = (with(&[(0, vec![1; 10])]), with(&[]));
        let copied = copy(&from, &to, LENGTH + 1, 1 << 20, Target::Anything, &mut free);
        assert_eq!(copied.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_wipe_wipes_so_much_and_no_more() {
        let file = with(&[(0, vec![7; usize::try_from(LENGTH).unwrap()])]);
        wipe(&file, 4096, 1_500_000, 1 << 20, &mut free).unwrap();
        let bytes = read(&file);
        let (wiped, end) = (4096..4096 + 1_500_000, 4096 + 1_500_000);
        assert!(bytes[wiped].iter().all(|byte| *byte == 0));
        assert!(bytes[..4096].iter().chain(&bytes[end..]).all(|byte| *byte == 7));
    }

    #[test]
    fn the_pace_function_can_stop_a_transfer() {
        let (from, to) = (with(&[(0, vec![1; 10])]), with(&[]));
        let mut asked = 0;
        let mut pace = |done, next| {
            asked += 1;
            assert!(next <= 1 << 20);
            if done >= 1 << 20 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(())
        };
        let stopped = copy(&from, &to, LENGTH, 1 << 20, Target::Anything, &mut pace);
        assert_eq!((stopped.unwrap_err().kind(), asked), (io::ErrorKind::TimedOut, 2));
    }
}
