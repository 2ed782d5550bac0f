//! The kinds of backing stores that the kernel's targets distinguish: block devices and files.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::drivers::{DriverError, DriverResult};

/// A backing store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A block device, by its numbers: the target of its path may change.
    Device {
        /// The driver's number.
        major: u32,
        /// The device's number.
        minor: u32,
    },
    /// A regular file.
    File {
        /// Its length.
        bytes: u64,
    },
}

impl Backing {
    /// Examines a path.
    ///
    /// # Errors
    /// If it does not exist, is neither of the two, or has a name that the kernel would misinterpret.
    pub fn of(path: &Path) -> DriverResult<Self> {
        let failed =
            |operator: String| DriverError::failed("The volume's storage could not be read.", operator);
        let plain = |text: &str| {
            path.is_absolute() && !text.contains(|c: char| c == ',' || c.is_whitespace() || c.is_control())
        };
        if !path.to_str().is_some_and(plain) {
            return Err(failed(format!(
                "{} cannot be exported by the kernel: its name has blanks or commas, or is relative",
                path.display()
            )));
        }
        let found = std::fs::metadata(path).map_err(|error| {
            let operator = format!("cannot export {}: {error}", path.display());
            match error.kind() {
                io::ErrorKind::NotFound => {
                    DriverError::not_found("The volume's storage is not there.", operator)
                }
                _ => failed(operator),
            }
        })?;
        let kind = found.file_type();
        if kind.is_block_device() {
            let device = found.rdev();
            Ok(Self::Device {
                major: rustix::fs::major(device),
                minor: rustix::fs::minor(device),
            })
        } else if kind.is_file() {
            Ok(Self::File { bytes: found.len() })
        } else {
            Err(failed(format!(
                "{} is neither a block device nor a file",
                path.display()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Backing;
    use crate::drivers::DriverError;
    use crate::drivers::testing::fault;

    #[test]
    fn files_are_measured_and_unusable_paths_are_reported() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("volume");
        std::fs::write(&file, [0; 512]).unwrap();
        assert_eq!(Backing::of(&file).unwrap(), Backing::File { bytes: 512 });
        assert_eq!(fault(Backing::of(&home.path().join("none"))), "NotFound");
        for bad in [
            home.path().to_owned(),
            home.path().join("a,fd_dev_size=0"),
            "volume".into(),
        ] {
            assert!(
                matches!(Backing::of(&bad), Err(DriverError::Failed { .. })),
                "{bad:?}"
            );
        }
    }
}
