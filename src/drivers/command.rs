//! The only place that runs external programs.
//!
//! A program gets a list of arguments and never a shell, a defined environment, its own process group, and the time
//! limit of its [`Work`]. When that passes, or the work is cancelled, the whole group is ended, including
//! grandchildren: by SIGTERM, then by SIGKILL. Its output is read at once, so that it never blocks, and stored up to a
//! bound. Secrets among the arguments are shown as `***` in logs and errors.
//!
//! The end of a program is detected at once (`pidfd`), so one that takes a millisecond costs a millisecond.
//! Cancellation is checked every [`LOOK`], or every [`TALK`] during a conversation.

mod child;
pub mod daemon;
pub mod leftover;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use super::{DriverError, Work};
use crate::failpoint::point;

/// The search path of programs: administration tools are in the `sbin` folders, which may be missing in a user's
/// `PATH`.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How often the work of a running program is checked: each check takes processor time from the program.
pub const LOOK: Duration = Duration::from_millis(250);

/// The same during a conversation: how often something may be sent to it.
pub const TALK: Duration = Duration::from_millis(50);

/// How long a program that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// How much of a program's output is stored by default.
const KEPT: usize = 64 << 10;

/// A program and its arguments, to be run as often as needed.
#[derive(Clone)]
pub struct Command {
    program: OsString,
    package: &'static str,
    args: Vec<Arg>,
    env: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    limit: Duration,
    keep: usize,
}

#[derive(Clone)]
struct Arg {
    text: OsString,
    secret: bool,
}

impl Command {
    /// A program by name, or by a path with a slash; `package` is the Debian package that has it.
    pub fn new(program: impl Into<OsString>, package: &'static str) -> Self {
        Self {
            program: program.into(),
            package,
            args: Vec::new(),
            env: Vec::new(),
            stdin: None,
            limit: Duration::MAX,
            keep: KEPT,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, text: impl Into<OsString>) -> Self {
        let text = text.into();
        self.args.push(Arg { text, secret: false });
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(self, texts: impl IntoIterator<Item = T>) -> Self {
        texts.into_iter().fold(self, Self::arg)
    }

    /// Adds an argument that is shown as `***`. Other users of the machine can still read it in `/proc` while the
    /// program runs: use standard input where a program allows it.
    #[must_use]
    pub fn secret_arg(mut self, text: impl Into<OsString>) -> Self {
        let text = text.into();
        self.args.push(Arg { text, secret: true });
        self
    }

    /// Adds a variable to its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets its standard input, which is empty by default. Never shown.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Sets its time limit, even if its work may take longer.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sets how many bytes of each of its outputs are stored; the rest is discarded.
    #[must_use]
    pub fn keep(mut self, bytes: usize) -> Self {
        self.keep = bytes;
        self
    }

    /// Runs it to its end, with any exit code.
    ///
    /// # Errors
    /// If it could not be started, did not end in time, or its work was cancelled.
    pub fn output(&self, work: &Work) -> Result<Output, CommandError> {
        self.run_once(work, None)
    }

    /// Runs it to its end, with a conversation meanwhile: `talk` gets each line that it prints, and may send something
    /// at every check. Its standard input stays open as long as this process lives, so that the program can detect its
    /// end.
    ///
    /// # Errors
    /// As [`Self::output`].
    pub fn converse(&self, work: &Work, talk: &mut dyn Talk) -> Result<Output, CommandError> {
        self.run_once(work, Some(talk))
    }

    fn run_once(&self, work: &Work, talk: Option<&mut dyn Talk>) -> Result<Output, CommandError> {
        let begun = std::time::Instant::now();
        self.reached("before");
        let result = child::run(self, work, talk);
        self.reached("after");
        let took = begun.elapsed();
        match &result {
            Ok(output) => tracing::debug!(command = %self, status = %output.status, ?took, "command ended"),
            Err(error) => tracing::debug!(command = %self, %error, ?took, "command failed"),
        }
        result
    }

    /// Runs it, and fails for any exit code except zero.
    ///
    /// # Errors
    /// As [`Self::output`], and [`CommandError::Exit`].
    pub fn run(&self, work: &Work) -> Result<Output, CommandError> {
        self.require_success(self.output(work)?)
    }

    /// Fails for any exit code except zero.
    ///
    /// # Errors
    /// [`CommandError::Exit`].
    pub fn require_success(&self, output: Output) -> Result<Output, CommandError> {
        if output.status.success() {
            return Ok(output);
        }
        Err(CommandError::Exit {
            command: self.to_string(),
            status: output.status,
            stderr: self.masked(&output.stderr.text()),
        })
    }

    /// Whether the program is installed.
    ///
    /// # Errors
    /// [`CommandError::Missing`] if it is not.
    pub fn find(&self) -> Result<PathBuf, CommandError> {
        let executable =
            |path: &Path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
        let found = if self.program.as_encoded_bytes().contains(&b'/') {
            Some(PathBuf::from(&self.program)).filter(|path| executable(path))
        } else {
            std::env::split_paths(PATH)
                .map(|folder| folder.join(&self.program))
                .find(|path| executable(path))
        };
        found.ok_or_else(|| self.missing())
    }

    /// Reaches a fail point, named by program and first argument: several commands are subcommands of one program.
    fn reached(&self, when: &str) {
        point(|| {
            let verb = self.args.first().filter(|arg| !arg.secret).map(|arg| &arg.text);
            let verb = verb.filter(|verb| !verb.as_encoded_bytes().starts_with(b"-"));
            let (program, verb) = (Path::new(&self.program), verb.cloned().unwrap_or_default());
            let program = program.file_name().unwrap_or(&self.program).to_string_lossy();
            format!("command {program} {} {when}", verb.to_string_lossy())
        });
    }

    /// The error of a command whose work has ended with this one.
    pub(super) fn ended_with(&self, error: &DriverError) -> CommandError {
        let command = self.to_string();
        match error {
            DriverError::Cancelled => CommandError::Cancelled { command },
            _ => CommandError::TimedOut { command },
        }
    }

    fn missing(&self) -> CommandError {
        CommandError::Missing {
            program: self.program.to_string_lossy().into_owned(),
            package: self.package,
        }
    }

    /// Replaces the secrets in a text.
    fn masked(&self, text: &str) -> String {
        self.args
            .iter()
            .filter(|arg| arg.secret && !arg.text.is_empty())
            .fold(text.to_owned(), |text, arg| {
                text.replace(&*arg.text.to_string_lossy(), "***")
            })
    }

    /// The command for the operating system: in its own group, with a defined environment, in the root folder.
    ///
    /// The program is given by its path: to look up a name in another `PATH` the standard library uses `fork` instead
    /// of `posix_spawn`, and a fork copies the page tables of the whole process.
    #[expect(clippy::disallowed_types, reason = "this is the only place")]
    fn prepare(&self) -> Result<std::process::Command, CommandError> {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new(self.find()?);
        command
            .args(self.args.iter().map(|arg| &arg.text))
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("HOME", "/")
            .env(leftover::VARIABLE, leftover::run())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .process_group(0);
        Ok(command)
    }

    /// Prevents commands on a storage that another process owns by now.
    fn check_owner(&self, work: &Work) -> Result<(), CommandError> {
        work.check_owner().map_err(|error| {
            let command = self.to_string();
            match error {
                DriverError::Superseded { operator: why } => CommandError::Superseded { command, why },
                error => CommandError::NotOwned {
                    command,
                    why: error.to_string(),
                },
            }
        })
    }

    fn spawn_error(&self, error: std::io::Error) -> CommandError {
        if error.kind() == std::io::ErrorKind::NotFound {
            self.missing()
        } else {
            CommandError::Start {
                command: self.to_string(),
                source: error,
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program.to_string_lossy())?;
        for arg in &self.args {
            let text = if arg.secret { OsStr::new("***") } else { &arg.text };
            write!(f, " {}", text.to_string_lossy().escape_debug())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A conversation with a running program.
pub trait Talk {
    /// Receives a line that it printed.
    fn heard(&mut self, line: &str);

    /// The text to send to it now, if any. Called at the start and then at every check.
    fn say(&mut self) -> Option<String>;
}

/// The exit status of a program, and its output.
#[derive(Debug)]
pub struct Output {
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
}

/// The beginning of a program's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The stored output.
    pub bytes: Vec<u8>,
    /// Whether output was discarded.
    pub truncated: bool,
}

impl Captured {
    /// As text; invalid UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Why a program failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It is not installed.
    #[error("the program {program} is not installed: it is in the package {package}")]
    Missing {
        /// Its name.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// It could not be started.
    #[error("cannot start {command}")]
    Start {
        /// The command with its arguments, without secrets.
        command: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("{command}: {status}: {}", stderr.trim())]
    Exit {
        /// With its arguments, without secrets.
        command: String,
        /// Its exit status.
        status: ExitStatus,
        /// Its standard error.
        stderr: String,
    },
    /// It exceeded its time limit, and was ended.
    #[error("{command} took too long and was ended")]
    TimedOut {
        /// With its arguments, without secrets.
        command: String,
    },
    /// It was not started: another process owns the storage by now.
    #[error("{command} was not started: {why}")]
    Superseded {
        /// With its arguments, without secrets.
        command: String,
        /// The evidence.
        why: String,
    },
    /// It was not started: the ownership of the storage is unknown at present.
    #[error("{command} was not started: {why}")]
    NotOwned {
        /// With its arguments, without secrets.
        command: String,
        /// The reason.
        why: String,
    },
    /// Its work was cancelled, and it was ended.
    #[error("{command} was cancelled")]
    Cancelled {
        /// With its arguments, without secrets.
        command: String,
    },
}

impl From<CommandError> for DriverError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::TimedOut { command } => {
                tracing::warn!(command, "a command took too long and was ended");
                Self::TimedOut
            }
            CommandError::Cancelled { .. } => Self::Cancelled,
            CommandError::Superseded { .. } => Self::Superseded {
                operator: error.to_string(),
            },
            CommandError::NotOwned { .. } => Self::backend_unavailable(error.to_string()),
            CommandError::Missing { .. } => {
                Self::not_found("The storage backend is not available.", error.to_string())
            }
            CommandError::Start { command, source } => {
                Self::backend_failed(format!("cannot start {command}: {source}"))
            }
            CommandError::Exit { .. } => Self::backend_failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
