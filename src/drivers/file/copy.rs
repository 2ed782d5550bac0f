//! Copies of files: blocks shared where the file system can do it, and only the data, without the holes, elsewhere.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::folder::copy_error;
use crate::drivers::{DriverResult, Work};

/// How much is copied between two looks at the clock.
const CHUNK: usize = 1 << 20;

/// Makes the first `length` bytes of `to`, an empty file, equal to those of `from`.
pub(super) fn copy(work: &Work, from: &File, to: &File, length: u64) -> DriverResult<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    // Whatever the reason (another file system, an old one), a copy works as well, and tells what is really wrong if it does not.
    copy_data(work, from, to, length)
}

fn copy_data(work: &Work, from: &File, to: &File, length: u64) -> DriverResult<()> {
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    while let Some((start, end)) = next_data(from, offset, length).map_err(|error| copy_error(&error))? {
        let mut at = start;
        while at < end {
            work.check()?;
            let want = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            let chunk = &mut buffer[..want];
            let got = read_some(from, chunk, at).map_err(|error| copy_error(&error))?;
            if got == 0 {
                return Ok(());
            }
            let data = &chunk[..got];
            // A file system that cannot tell holes from data shows them as zeros: keep the copy sparse all the same.
            if data.iter().any(|byte| *byte != 0) {
                to.write_all_at(data, at).map_err(|error| copy_error(&error))?;
            }
            at += u64::try_from(got).unwrap_or(0);
        }
        offset = end;
    }
    Ok(())
}

fn read_some(from: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match from.read_at(buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The next stretch of data at or after `offset`, if there is any before `length`.
fn next_data(file: &File, offset: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if offset >= length {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((offset, length))),
        Err(error) => return Err(error.into()),
    };
    if start >= length {
        return Ok(None);
    }
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?.min(length);
    Ok(Some((start, end)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::copy;
    use crate::drivers::{DriverError, Work};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_copy_is_equal_and_sparse(pieces in proptest::collection::vec((0_u64..64 << 20, 1_usize..200_000), 0..4)) {
            let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
            let length = 80 << 20;
            from.set_len(length).unwrap();
            for (offset, size) in &pieces {
                from.write_all_at(&vec![7; *size], *offset).unwrap();
            }
            copy(&Work::within(Duration::from_secs(60)), &from, &to, length).unwrap();
            to.set_len(length).unwrap();
            for (offset, size) in &pieces {
                let mut read = vec![0; size + 2];
                to.read_exact_at(&mut read, offset.saturating_sub(1)).unwrap();
                let mut expected = vec![0; size + 2];
                from.read_exact_at(&mut expected, offset.saturating_sub(1)).unwrap();
                prop_assert!(read == expected);
            }
            prop_assert!(to.metadata().unwrap().blocks() * 512 < 16 << 20);
        }
    }

    #[test]
    fn a_copy_ends_when_cancelled() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(&[1; 4096], 0).unwrap();
        let work = Work::within(Duration::from_secs(60));
        work.cancel();
        assert!(matches!(
            super::copy_data(&work, &from, &to, 4096),
            Err(DriverError::Cancelled)
        ));
    }
}
