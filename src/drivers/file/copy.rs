//! Copies of files: with shared blocks if the file system supports it, else only the data, without the holes.

use std::fs::File;
use std::io;

use super::folder::copy_error;
use crate::drivers::copy::throttle::Throttle;
use crate::drivers::copy::{BLOCK, Target, data};
use crate::drivers::{DriverResult, Work};

/// Copies the first `length` bytes of `from` to the empty file `to`.
pub(super) fn copy(
    work: &Work,
    throttle: &Throttle,
    from: &File,
    to: &File,
    length: u64,
) -> DriverResult<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    // Whatever the reason (another file system, an old one), a copy works, too, and reports the real error if not.
    copy_data(work, throttle, from, to, length)
}

fn copy_data(work: &Work, throttle: &Throttle, from: &File, to: &File, length: u64) -> DriverResult<()> {
    let mut place = throttle.enter();
    let copied = data::copy(from, to, length, BLOCK, Target::Zeros, &mut |done, next| {
        work.progressed(done, length);
        place.pace(work, next).map_err(io::Error::other)
    });
    if copied.is_err() {
        // If it was cancelled, that must be the error.
        work.check()?;
    }
    copied.map_err(|error| copy_error(&error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use proptest::prelude::*;

    use super::{Throttle, copy};
    use crate::drivers::testing::{fault, work};

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
            let work = work();
            copy(&work, &Throttle::new(0), &from, &to, length).unwrap();
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
        let work = work();
        work.cancel();
        assert_eq!(
            fault(super::copy_data(&work, &Throttle::new(0), &from, &to, 4096)),
            "Cancelled"
        );
    }
}
