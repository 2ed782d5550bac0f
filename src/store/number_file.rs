//! A file with a number that can be changed when the disk is full: it is overwritten in place with the same number of
//! bytes, so that the file never needs more space. A new file that replaces the old one would.
//!
//! It is not synced: a power cut may leave an earlier number, or none.

use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::private_files;

/// The file, open.
#[derive(Debug)]
pub(crate) struct NumberFile(File);

impl NumberFile {
    /// Opens the file, or creates one without a number.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        private_files::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map(Self)
    }

    /// The number; `None` if there is none.
    pub(crate) fn read(&self) -> Result<Option<u64>> {
        let mut bytes = [0; 64];
        let read = self.0.read_at(&mut bytes, 0)?;
        Ok(std::str::from_utf8(&bytes[..read])
            .ok()
            .and_then(|text| text.trim().parse().ok()))
    }

    /// Writes another number.
    pub(crate) fn write(&self, number: u64) -> Result<()> {
        self.0.write_all_at(format!("{number:020}\n").as_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_over_itself_and_read_in_either_form() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        let file = NumberFile::open(&path).unwrap();
        assert_eq!(file.read().unwrap(), None);
        file.write(u64::MAX).unwrap();
        let length = path.metadata().unwrap().len();
        file.write(7).unwrap();
        assert_eq!(path.metadata().unwrap().len(), length);
        assert_eq!(NumberFile::open(&path).unwrap().read().unwrap(), Some(7));
        std::fs::write(&path, "41\n").unwrap();
        let file = NumberFile::open(&path).unwrap();
        assert_eq!(file.read().unwrap(), Some(41));
        file.write(42).unwrap();
        assert_eq!(file.read().unwrap(), Some(42));
        std::fs::write(&path, "no number").unwrap();
        assert_eq!(NumberFile::open(&path).unwrap().read().unwrap(), None);
    }
}
