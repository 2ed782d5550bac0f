//! A store's folder as one small file, for the repository: sled's files are large and mostly zeros.
//!
//! ```text
//! for each file:  name length u32 · name · file length u64 · runs u32
//! for each run:   offset u64 · length u32 · bytes                         all else is zeros
//! ```

use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};

/// What is shorter between two runs is kept as it is.
const GAP: usize = 32;

/// Packs the files of a folder, but for the lock.
pub fn pack(folder: &Path) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files
        .iter()
        .filter(|file| file.path().is_file() && file.file_name() != "lock")
    {
        let name = file
            .file_name()
            .into_string()
            .ok()
            .context("a name that is no text")?;
        let bytes = std::fs::read(file.path())?;
        packed.extend(u32::try_from(name.len())?.to_le_bytes());
        packed.extend(name.as_bytes());
        packed.extend((bytes.len() as u64).to_le_bytes());
        let runs = runs(&bytes);
        packed.extend(u32::try_from(runs.len())?.to_le_bytes());
        for (from, to) in runs {
            packed.extend((from as u64).to_le_bytes());
            packed.extend(u32::try_from(to - from)?.to_le_bytes());
            packed.extend(&bytes[from..to]);
        }
    }
    Ok(packed)
}

fn runs(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte != 0) {
        match runs.last_mut() {
            Some((_, to)) if at < *to + GAP => *to = at + 1,
            _ => runs.push((at, at + 1)),
        }
    }
    runs
}

/// Makes the folder again.
pub fn unpack(mut packed: &[u8], folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    while !packed.is_empty() {
        let name = length(&mut packed)?;
        let name = std::str::from_utf8(take(&mut packed, name)?)?;
        let file = std::fs::File::create_new(folder.join(name))?;
        file.set_len(number(&mut packed)?)?;
        for _ in 0..length(&mut packed)? {
            let offset = number(&mut packed)?;
            let run = length(&mut packed)?;
            file.write_all_at(take(&mut packed, run)?, offset)?;
        }
    }
    Ok(())
}

fn take<'a>(packed: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (taken, rest) = packed.split_at_checked(count).context("it ends too early")?;
    *packed = rest;
    Ok(taken)
}

fn number(packed: &mut &[u8]) -> Result<u64> {
    Ok(u64::from_le_bytes(take(packed, 8)?.try_into()?))
}

fn length(packed: &mut &[u8]) -> Result<usize> {
    Ok(u32::from_le_bytes(take(packed, 4)?.try_into()?).try_into()?)
}
