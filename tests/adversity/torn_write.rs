//! A log whose last bytes are not what was written: cut, zeroed, overwritten or bent after the program was killed. It starts with
//! all that was acknowledged, or not at all and with the way back in its words; never with less.

use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::client::Client;
use crate::disk::copy_folder;
use crate::load::{self, Load};
use crate::process::{Place, Pumice};

/// Where offsets come from; another seed tries others.
const SEED: u64 = 0x7075_6d69_6365;

/// How often each way is tried.
const TIMES: u64 = 2;

/// How long the header of a segment of sled's log is.
const SEGMENT_HEADER: usize = 20;

/// How many commits come behind those of all operations.
const LAST: usize = 8;

#[derive(Clone, Copy, Debug)]
enum Way {
    /// The file ends earlier.
    Cut,
    /// The last bytes never came to the disk.
    Zeroed,
    /// Others came.
    Garbage,
    /// One bit.
    Bent,
    /// More was begun behind what was acknowledged: the one that must not matter.
    Begun,
}

/// splitmix64.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

/// Where sled wrote last. Its log is made of segments in any order; each begins with a checksum and its place in the log, that is
/// kept with all bits but the sign turned over (sled 0.34, `pagecache/logger.rs`, `SegmentHeader`). The last byte that is not zero
/// will not do: what was written may end with zeros.
fn end_of_log(bytes: &[u8]) -> Result<u64> {
    const SEGMENT: usize = 512 * 1024;
    let place = |segment: &[u8]| {
        let turned = segment.get(4..12).and_then(|bytes| bytes.try_into().ok());
        turned.map(|turned| i64::from_le_bytes(turned) ^ i64::MAX)
    };
    let written = |segment: &&[u8]| segment.iter().any(|byte| *byte != 0);
    let segments = bytes
        .chunks(SEGMENT)
        .enumerate()
        .filter(|(_, segment)| written(segment));
    let (index, last) = segments
        .max_by_key(|(_, segment)| place(segment))
        .context("an empty log")?;
    let mut end = SEGMENT_HEADER;
    while let Some(length) = last.get(end..).and_then(message) {
        end += length;
    }
    ensure!(end > SEGMENT_HEADER, "no message in the last segment");
    Ok((index * SEGMENT + end) as u64)
}

/// How long the message is that begins here, with its header: checksum, kind, length, segment and page (sled 0.34,
/// `serialization.rs`, `MessageHeader`). `None` if there is none: kind 0 is what was never written.
fn message(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes.get(4..)?;
    let kind = *rest.split_off_first()?;
    let length = number(&mut rest)?;
    let (_segment, _page) = (number(&mut rest)?, number(&mut rest)?);
    let header = bytes.len() - rest.len();
    (kind != 0).then_some(header + length)
}

/// A number as sled writes it: the small ones in a byte, others with their length in the first.
fn number(bytes: &mut &[u8]) -> Option<usize> {
    let first = usize::from(*bytes.split_off_first()?);
    let mut next = |count: usize| {
        let taken = bytes.split_off(..count)?;
        Some(
            taken
                .iter()
                .rev()
                .fold(0, |sum, byte| (sum << 8) | usize::from(*byte)),
        )
    };
    match first {
        0..=240 => Some(first),
        241..=248 => Some(240 + 256 * (first - 241) + next(1)?),
        // The one that has its high byte first.
        249 => Some(2288 + 256 * next(1)? + next(1)?),
        _ => next(first - 247),
    }
}

/// Damages the end of what was written; where, counted from it.
fn damage(log: &Path, way: Way, seeded: &mut Seeded) -> Result<u64> {
    let bytes = std::fs::read(log)?;
    let end = end_of_log(&bytes)?;
    // From a few bytes to more than a group of commits.
    let before = 1 + seeded.next() % (1 << (4 + seeded.next() % 13));
    let before = before.min(end);
    let file = std::fs::OpenOptions::new().write(true).open(log)?;
    let at = end - before;
    let length = usize::try_from(before)?;
    match way {
        Way::Cut => file.set_len(at)?,
        Way::Zeroed => file.write_all_at(&vec![0; length], at)?,
        Way::Garbage => {
            let garbage: Vec<u8> = (0..length).map(|_| seeded.next().to_le_bytes()[0]).collect();
            file.write_all_at(&garbage, at)?;
        }
        Way::Begun => {
            let garbage: Vec<u8> = (0..length % 4096)
                .map(|_| seeded.next().to_le_bytes()[0])
                .collect();
            file.write_all_at(&garbage, end)?;
        }
        Way::Bent => {
            let bit = 1 << (seeded.next() % 8);
            file.write_all_at(&[bytes[usize::try_from(at)?] ^ bit], at)?;
        }
    }
    Ok(before)
}

#[test]
fn a_torn_log_gives_all_that_was_acknowledged_or_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let whole = Place::plain(&folder.path().join("whole"));
    std::fs::create_dir(&whole.folder)?;
    // So that there is an export to go back to.
    Pumice::start(&whole)?.stop()?;
    let pumice = Pumice::start(&whole)?;
    let load = Load::start(4, pumice.address);
    load.until("the clients to get to work", |answers| answers.count(202) > 100)?;
    let answers = load.end()?;
    // So that the end of the log is one that was acknowledged, not one that was under way.
    load::wait_for_rest(&pumice)?;
    let mut client = Client::connect(pumice.address)?;
    let there = load::volumes(&mut client)?;
    for id in there.keys().take(LAST) {
        let change = r#"{"volume": {"description": "the last that was acknowledged"}}"#;
        let answer = client.send("PUT", &format!("/volumes/{id}"), change)?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    }
    pumice.kill()?;

    let mut seeded = Seeded(SEED);
    let (mut served, mut refused) = (0, 0);
    for time in 0..TIMES {
        for way in [Way::Cut, Way::Zeroed, Way::Garbage, Way::Bent, Way::Begun] {
            let place = Place::plain(&folder.path().join(format!("{way:?}-{time}")));
            copy_folder(&whole.folder, &place.folder)?;
            let before = damage(&place.data.join("store/db"), way, &mut seeded)?;
            let from = place.log()?.len();
            match Pumice::start(&place) {
                Ok(pumice) => {
                    load::wait_for_rest(&pumice)?;
                    load::compare(&pumice, &answers)
                        .with_context(|| format!("{way:?}, {before} bytes before the end"))?;
                    pumice.stop()?;
                    place.must_agree()?;
                    served += 1;
                }
                Err(_) => {
                    let log = place.log()?;
                    let said = &log[from..];
                    ensure!(
                        said.contains("damaged") && said.contains("pumice store restore --replace"),
                        "{way:?}, {before} bytes before the end: {said}"
                    );
                    ensure!(!matches!(way, Way::Begun), "nothing was lost: {said}");
                    place.succeeds(&["store", "restore", "--replace"])?;
                    refused += 1;
                }
            }
            std::fs::remove_dir_all(&place.folder)?;
        }
    }
    ensure!(
        refused > served,
        "most of it should have mattered: {refused} refused, {served} served"
    );
    println!("{served} started with all, {refused} were refused, with seed {SEED:#x}");
    Ok(())
}
