//! Programs that run as long as this process.
//!
//! A daemon ends with the **thread** that started it: the kernel's parent-death signal is sent when that thread ends,
//! not the process. So it must be a thread that is dedicated to the daemon. `setpriv` (util-linux, part of every
//! Debian) sets the signal, because setting it between fork and exec would need unsafe code.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::{Command, CommandError};
use crate::drivers::Work;

/// The longest line that is passed on.
const LONGEST_LINE: u64 = 1024;

/// A daemon, owned by the thread that started it. Dropping it kills it.
pub struct Daemon {
    child: Child,
    process: Process,
}

/// A handle of a process, by which it can be observed and killed without affecting another process that reuses its pid.
#[derive(Clone, Debug)]
pub struct Process {
    pid: u32,
    pidfd: Arc<OwnedFd>,
}

impl Daemon {
    /// Starts a daemon, bound to the lifetime of the current thread. `on_line` gets each line that it prints to
    /// standard error.
    ///
    /// # Errors
    /// If it, or `setpriv`, could not be started, or this process does not own the work's storage. If the daemon itself
    /// ends at once, [`Self::wait`] reports it.
    pub fn start(
        command: &Command,
        work: &Work,
        on_line: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, CommandError> {
        let program = command.find()?;
        command.check_owner(work)?;
        let mut bound = Command::new("setpriv", "util-linux")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program);
        bound.args.extend(command.args.iter().cloned());
        bound.env.clone_from(&command.env);
        let mut child = bound
            .prepare()?
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| bound.spawn_error(error))?;
        let pidfd = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        let process = match pidfd {
            Ok(pidfd) => Process {
                pid: child.id(),
                pidfd: Arc::new(pidfd),
            },
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(bound.spawn_error(error.into()));
            }
        };
        if let Some(stderr) = child.stderr.take() {
            let reader = std::thread::Builder::new().name("daemon-log".to_owned());
            if let Err(error) = reader.spawn(move || read_lines(stderr, &on_line)) {
                let _ = child.kill();
                let _ = child.wait();
                return Err(bound.spawn_error(error));
            }
        }
        Ok(Self { child, process })
    }

    /// A handle for other threads.
    pub fn process(&self) -> Process {
        self.process.clone()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both are harmless after its end: `Child` stores that it was collected.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// The process with that pid, if it exists.
    pub fn open(pid: u32) -> Option<Self> {
        let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty()).ok()?;
        Some(Self {
            pid,
            pidfd: Arc::new(pidfd),
        })
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends SIGTERM; harmless if it has ended.
    pub fn terminate(&self) {
        let _ = rustix::process::pidfd_send_signal(&*self.pidfd, Signal::TERM);
    }

    /// Sends SIGKILL; harmless if it has ended.
    pub fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&*self.pidfd, Signal::KILL);
    }

    /// Waits for its end, at most this long. True if it ended.
    pub fn wait_end(&self, limit: Duration) -> bool {
        let timeout = Timespec::try_from(limit).ok();
        let mut fds = [PollFd::new(&*self.pidfd, PollFlags::IN)];
        rustix::event::poll(&mut fds, timeout.as_ref()).is_ok() && !fds[0].revents().is_empty()
    }
}

fn read_lines(source: impl Read, on_line: &dyn Fn(&str)) {
    let mut reader = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => on_line(String::from_utf8_lossy(&line).trim_end()),
        }
    }
}
