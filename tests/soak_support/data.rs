//! Data in volumes, to be found again in their snapshots and in what was made from those. They are written into the file as the
//! target would write them: at its beginning, in the middle, and at the end of what the smallest volume has.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;

const BLOCK: usize = 256 << 10;
const PLACES: [u64; 4] = [0, 333 << 20, 700 << 20, (1 << 30) - BLOCK as u64];

/// What is written for this name at this place.
fn block(name: &str, place: u64) -> Vec<u8> {
    let words = format!("{name} at {place}; ");
    words.bytes().cycle().take(BLOCK).collect()
}

/// Writes them into a file that is there.
pub fn write(path: &Path, name: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    for place in PLACES {
        file.write_all_at(&block(name, place), place)?;
    }
    Ok(())
}

/// Whether a file has them.
pub fn are_in(path: &Path, name: &str) -> Result<bool> {
    let file = File::open(path)?;
    let mut found = vec![0; BLOCK];
    for place in PLACES {
        file.read_exact_at(&mut found, place)?;
        if found != block(name, place) {
            return Ok(false);
        }
    }
    Ok(true)
}
