//! `pumice copy` and `pumice wipe`: the child process that transfers a device's data. Hidden from the help, since users
//! do not run it.
//!
//! It waits for its first `limit` line, prints `done <bytes>` a few times a second, syncs, and ends with 0. Its exit
//! code is the kind of failure (see the constants), its standard error has the text. When its standard input ends, it
//! ends, too.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::bucket::Bucket;
use super::{BLOCK, Target, data};

/// It failed for another reason than those below.
pub const EXIT_FAILED: u8 = 1;
/// The target, or the pool under it, is full (`ENOSPC`).
pub const EXIT_NO_SPACE: u8 = 28;
/// The target is in use (`EBUSY`).
pub const EXIT_BUSY: u8 = 16;
/// The source or the target does not exist (`ENOENT`).
pub const EXIT_NOT_FOUND: u8 = 6;
/// Its standard input ended: its parent has ended.
pub const EXIT_ALONE: u8 = 5;

/// How often it reports its progress.
const TELL: Duration = Duration::from_millis(250);

/// Options of `pumice copy`.
#[derive(Debug, clap::Args)]
pub struct CopyArgs {
    /// The source.
    pub from: PathBuf,
    /// The target; a missing file is created.
    pub to: PathBuf,
    /// The number of bytes.
    #[arg(long)]
    pub length: u64,
    /// The size of a chunk.
    #[arg(long, default_value_t = BLOCK)]
    pub block: usize,
    /// What is known about the target.
    #[arg(long, value_enum, default_value_t = Target::Anything)]
    pub target: Target,
}

/// Options of `pumice wipe`.
#[derive(Debug, clap::Args)]
pub struct WipeArgs {
    /// The file or device to overwrite with zeros.
    pub path: PathBuf,
    /// The first byte.
    #[arg(long, default_value_t = 0)]
    pub offset: u64,
    /// The number of bytes.
    #[arg(long)]
    pub length: u64,
    /// The size of a chunk.
    #[arg(long, default_value_t = BLOCK)]
    pub block: usize,
}

/// Runs `pumice copy`.
pub fn copy(args: &CopyArgs) -> ExitCode {
    run(args.block, |block, pace| {
        let (from, to) = (source(&args.from)?, target(&args.to)?);
        let found = to.metadata()?;
        if found.is_file() && found.len() < args.length {
            to.set_len(args.length)?;
        }
        data::copy(&from, &to, args.length, block, args.target, pace)?;
        to.sync_all()
    })
}

/// Runs `pumice wipe`.
pub fn wipe(args: &WipeArgs) -> ExitCode {
    run(args.block, |block, pace| {
        let to = target(&args.path)?;
        data::wipe(&to, args.offset, args.length, block, pace)?;
        to.sync_all()
    })
}

#[expect(clippy::print_stderr, reason = "its parent reads it there")]
fn run(block: usize, job: impl FnOnce(usize, &mut data::Pace<'_>) -> io::Result<()>) -> ExitCode {
    // A multiple of the sector size, as direct transfers require.
    let block = block.clamp(4096, 64 << 20) / 4096 * 4096;
    let Some(limit) = listen() else {
        return ExitCode::from(EXIT_ALONE);
    };
    let mut pacer = Pacer::new(limit);
    match job(block, &mut |done, next| pacer.pace(done, next)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => EXIT_NO_SPACE,
        io::ErrorKind::ResourceBusy => EXIT_BUSY,
        io::ErrorKind::NotFound => EXIT_NOT_FOUND,
        _ => EXIT_FAILED,
    }
}

pub(super) fn is_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device())
}

/// Opens the source.
fn source(path: &Path) -> io::Result<File> {
    open(path, false, OpenOptions::new().read(true))
}

/// Opens the target. A device is opened exclusively: it is busy if it is mounted, or used by another device.
fn target(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if is_device(path) {
        return open(path, true, &options);
    }
    open(path, false, options.create(true).mode(0o600))
}

/// Opens a file bypassing the page cache, if possible. A device that is opened exclusively is busy if it is in use.
pub(super) fn open(path: &Path, is_exclusive: bool, options: &OpenOptions) -> io::Result<File> {
    let flags = if is_exclusive {
        OFlags::EXCL
    } else {
        OFlags::empty()
    };
    let with = |flags: OFlags| {
        let mut options = options.clone();
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
        options.open(path)
    };
    let opened = match with(flags | OFlags::DIRECT) {
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => with(flags),
        other => other,
    };
    opened.map_err(|error| io::Error::new(error.kind(), format!("cannot open {}: {error}", path.display())))
}

/// Reads the first limit, and further ones in a thread, which ends the process with its input. `None` without a limit.
fn listen() -> Option<Arc<AtomicU64>> {
    let mut input = io::BufReader::new(io::stdin());
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    let limit = Arc::new(AtomicU64::new(parse_limit(&line)?));
    let reported = Arc::clone(&limit);
    let listener = std::thread::Builder::new().name("listener".to_owned());
    let listening = listener.spawn(move || {
        loop {
            line.clear();
            if !matches!(input.read_line(&mut line), Ok(1..)) {
                std::process::exit(i32::from(EXIT_ALONE));
            }
            if let Some(limit) = parse_limit(&line) {
                reported.store(limit, Ordering::Relaxed);
            }
        }
    });
    listening.ok().map(|_| limit)
}

/// `limit <bytes per second>`; 0 is no limit.
pub(super) fn parse_limit(line: &str) -> Option<u64> {
    line.trim_end().strip_prefix("limit ")?.parse().ok()
}

/// Applies the limit, and reports the progress.
struct Pacer {
    limit: Arc<AtomicU64>,
    bucket: Bucket,
    reported: Option<Instant>,
}

impl Pacer {
    fn new(limit: Arc<AtomicU64>) -> Self {
        Self {
            limit,
            bucket: Bucket::new(Instant::now()),
            reported: None,
        }
    }

    fn pace(&mut self, done: u64, next: u64) -> io::Result<()> {
        loop {
            let now = Instant::now();
            if self.reported.is_none_or(|reported| now - reported >= TELL) {
                self.reported = Some(now);
                let mut out = io::stdout().lock();
                writeln!(out, "done {done}")?;
                out.flush()?;
            }
            let wait = self.bucket.wait(now, self.limit.load(Ordering::Relaxed));
            if wait.is_zero() {
                self.bucket.take(next);
                return Ok(());
            }
            std::thread::sleep(wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse_limit;

    #[test]
    fn a_limit_is_a_number_and_nothing_else() {
        assert_eq!(parse_limit("limit 5000\n"), Some(5000));
        for bad in ["", "limit", "limit x", "limit -1", "done 5", "limit 5 6"] {
            assert_eq!(parse_limit(bad), None, "{bad}");
        }
    }
}
