//! The parent's side: starts `pumice copy` or `pumice wipe`, sends it its rate, receives its progress.

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::throttle::Throttle;
use super::{BLOCK, Target, program};
use crate::drivers::command::{Command, Talk};
use crate::drivers::{DriverError, DriverResult, Work};

/// This program. The kernel's link refers to the running one, even after its file was replaced by an upgrade.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Options of a backend's data transfers.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// The program that has the `copy` and `wipe` commands; `None` for the running one.
    pub pumice: Option<PathBuf>,
    /// The size of a chunk.
    pub block: usize,
    /// The limit of bytes per second for all copies of the backend together; 0 is no limit.
    pub limit: u64,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            pumice: None,
            block: BLOCK,
            limit: 0,
        }
    }
}

/// Transfers data for a backend. Clones share one limit.
#[derive(Clone, Debug)]
pub struct Copier {
    options: CopyOptions,
    throttle: Throttle,
}

impl Copier {
    /// A copier without transfers.
    pub fn new(options: CopyOptions) -> Self {
        Self {
            throttle: Throttle::new(options.limit),
            options,
        }
    }

    /// The limit that all copies of the backend share.
    pub(crate) fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// Copies the first `length` bytes, and syncs them.
    ///
    /// # Errors
    /// `NoSpace`, `Busy`, `NotFound` as reported by the child; or the end of the work.
    pub fn copy(&self, work: &Work, from: &Path, to: &Path, length: u64, target: Target) -> DriverResult<()> {
        let args = ["copy".into(), from.into(), to.into()];
        let command = self.command(None, args, length);
        let command = command.args(["--target", target.into()]);
        self.run(work, &command, length)
    }

    /// Overwrites these bytes with zeros. `ionice` are the options of that program, if it is used.
    ///
    /// # Errors
    /// As [`Self::copy`].
    pub fn wipe(&self, work: &Work, path: &Path, part: Range<u64>, ionice: Option<&str>) -> DriverResult<()> {
        let args = ["wipe".into(), path.into()];
        let length = part.end.saturating_sub(part.start);
        let mut command = self.command(ionice, args, length);
        if part.start > 0 {
            command = command.arg("--offset").arg(part.start.to_string());
        }
        self.run(work, &command, length)
    }

    fn command(
        &self,
        ionice: Option<&str>,
        args: impl IntoIterator<Item = OsString>,
        length: u64,
    ) -> Command {
        let pumice = self.options.pumice.clone();
        let command = match ionice {
            None => Command::new(pumice.unwrap_or_else(|| THIS_PROGRAM.into()), "pumice"),
            // Under `ionice` the link would refer to ionice.
            Some(options) => Command::new("ionice", "util-linux")
                .args(options.split_whitespace())
                .arg(
                    pumice
                        .or_else(|| std::env::current_exe().ok())
                        .unwrap_or_else(|| "pumice".into()),
                ),
        };
        command
            .args(args)
            .args(["--length".to_owned(), length.to_string()])
            .args(["--block".to_owned(), self.options.block.to_string()])
    }

    fn run(&self, work: &Work, command: &Command, length: u64) -> DriverResult<()> {
        work.progressed(0, length);
        let _place = self.throttle.enter();
        let mut talk = Shares {
            copier: self,
            sent: None,
            work,
            length,
        };
        let output = command.converse(work, &mut talk)?;
        let code = output.status.code().and_then(|code| u8::try_from(code).ok());
        let operator = || format!("{command}: {}", output.stderr.text().trim());
        match code {
            Some(0) => {
                work.progressed(length, length);
                Ok(())
            }
            Some(program::EXIT_NO_SPACE) => Err(DriverError::no_space(operator())),
            Some(program::EXIT_BUSY) => Err(DriverError::busy(operator())),
            Some(program::EXIT_NOT_FOUND) => Err(DriverError::not_found(
                "The volume's data is not on the storage backend.",
                operator(),
            )),
            _ => Err(command
                .require_success(output)
                .err()
                .map_or(DriverError::Cancelled, DriverError::from)),
        }
    }
}

/// The conversation: the share is sent, the progress received.
struct Shares<'a> {
    copier: &'a Copier,
    sent: Option<u64>,
    work: &'a Work,
    length: u64,
}

impl Talk for Shares<'_> {
    fn heard(&mut self, line: &str) {
        if let Some(done) = line.strip_prefix("done ").and_then(|done| done.parse().ok()) {
            self.work.progressed(done, self.length);
        }
    }

    fn say(&mut self) -> Option<String> {
        let share = self.copier.throttle.share();
        if self.sent == Some(share) {
            return None;
        }
        self.sent = Some(share);
        Some(format!("limit {share}\n"))
    }
}
