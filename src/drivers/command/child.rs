//! One run of a program: writes its input, reads its output, waits for it, and ends it at its time limit.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::{Captured, Command, CommandError, GRACE, LOOK, Output, TALK, Talk};
use crate::drivers::{DriverError, Work};

/// How long a program may take to end after SIGKILL before a warning is logged: one in uninterruptible sleep waits for
/// its disk.
const DYING: Duration = Duration::from_secs(5);

/// How often one drain reads: 1 MiB, the most that a pipe can hold.
const READS: usize = 64;

/// The longest line that is passed on; a longer one is passed on in pieces.
const LONGEST_LINE: usize = 1024;

/// Runs it, with a conversation meanwhile if `talk` is there.
pub(super) fn run(
    command: &Command,
    work: &Work,
    mut talk: Option<&mut dyn Talk>,
) -> Result<Output, CommandError> {
    command.check_owner(work)?;
    let mut running = Running::start(command, talk.is_some())?;
    let deadline = Instant::now().checked_add(command.limit);
    let look = if talk.is_some() { TALK } else { LOOK };
    loop {
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let checked = work.check();
        if let Err(error) = checked.and(if is_late {
            Err(DriverError::TimedOut)
        } else {
            Ok(())
        }) {
            running.end();
            return Err(command.ended_with(&error));
        }
        let left = deadline.map_or(look, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        if let Some(talk) = &mut talk
            && let Some(words) = talk.say()
        {
            running.say(&words);
        }
        let ended = running.serve(left.min(work.remaining()).min(look));
        if ended {
            running.stdout.drain();
        }
        if let Some(talk) = &mut talk {
            hand_on(&mut running.stdout.captured.bytes, ended, *talk);
        }
        if ended {
            return running.finish().map_err(|source| CommandError::Start {
                command: command.to_string(),
                source,
            });
        }
    }
}

/// Passes on and removes the received lines. An incomplete line waits for its rest, unless this is the end.
fn hand_on(bytes: &mut Vec<u8>, ended: bool, talk: &mut dyn Talk) {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let (line, taken) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&rest[..end], end + 1),
            None if ended || rest.len() >= LONGEST_LINE => (rest, rest.len()),
            None => break,
        };
        talk.heard(String::from_utf8_lossy(line).trim_end());
        at += taken;
    }
    bytes.drain(..at);
}

/// A running program. Dropping it before its end kills it.
struct Running {
    /// `None` once its exit status was collected.
    child: Option<Child>,
    group: Pid,
    pidfd: OwnedFd,
    stdin: Option<(ChildStdin, Vec<u8>)>,
    /// Whether its standard input stays open after everything was written.
    talking: bool,
    stdout: Stream<ChildStdout>,
    stderr: Stream<ChildStderr>,
}

struct Stream<S> {
    source: Option<S>,
    captured: Captured,
    keep: usize,
}

impl Running {
    fn start(command: &Command, talking: bool) -> Result<Self, CommandError> {
        let mut child = command
            .prepare()?
            .stdin(if talking || command.stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| command.spawn_error(error))?;
        let group = Pid::from_child(&child);
        let opened = rustix::process::pidfd_open(group, PidfdFlags::empty());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let words = command.stdin.clone().unwrap_or_default();
        let stdin = child.stdin.take().map(|pipe| (pipe, words));
        let ends = [
            stdin.as_ref().map(|(pipe, _)| pipe.as_fd()),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ];
        let prepared = opened.and_then(|pidfd| {
            for end in ends.into_iter().flatten() {
                rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK)?;
            }
            Ok(pidfd)
        });
        match prepared {
            Ok(pidfd) => Ok(Self {
                child: Some(child),
                group,
                pidfd,
                stdin,
                talking,
                stdout: Stream::new(stdout, command.keep),
                stderr: Stream::new(stderr, command.keep),
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(command.spawn_error(error.into()))
            }
        }
    }

    /// Waits for events, at most `limit`, and handles them. True once the program has ended.
    fn serve(&mut self, limit: Duration) -> bool {
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        // If everything was written, the pipe is not polled: it would always be writable.
        if let Some((pipe, words)) = &self.stdin
            && !(self.talking && words.is_empty())
        {
            fds.push(PollFd::new(pipe, PollFlags::OUT));
        }
        if let Some(pipe) = &self.stdout.source {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        if let Some(pipe) = &self.stderr.source {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        let timeout = Timespec::try_from(limit).unwrap_or(Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        });
        // An interrupted or failed poll is treated like a timeout: the caller checks again.
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
        let ended = !fds[0].revents().is_empty();
        self.feed();
        self.stdout.drain();
        self.stderr.drain();
        ended
    }

    fn say(&mut self, words: &str) {
        if let Some((_, waiting)) = &mut self.stdin {
            waiting.extend_from_slice(words.as_bytes());
            self.feed();
        }
    }

    fn feed(&mut self) {
        let Some((pipe, bytes)) = &mut self.stdin else {
            return;
        };
        while !bytes.is_empty() {
            match pipe.write(bytes) {
                Ok(count) => {
                    bytes.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It need not read all of its input.
                Err(_) => {
                    self.stdin = None;
                    return;
                }
            }
        }
        if !self.talking {
            self.stdin = None;
        }
    }

    /// The result of a program that ended by itself. Later output of grandchildren is not awaited.
    fn finish(mut self) -> std::io::Result<Output> {
        self.stdout.drain();
        self.stderr.drain();
        let mut child = self.child.take().ok_or(ErrorKind::NotFound)?;
        let status = child.wait()?;
        Ok(Output {
            status,
            stdout: std::mem::take(&mut self.stdout.captured),
            stderr: std::mem::take(&mut self.stderr.captured),
        })
    }

    /// Ends the whole group: SIGTERM, a grace period, SIGKILL.
    fn end(&mut self) {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < GRACE && !self.serve(LOOK) {}
        self.kill();
    }

    /// Kills the group and collects the child, however long that takes: while the child exists, it may still change its
    /// volume, so nothing else may begin on that. A caller that cannot wait abandons this thread, and counts it. The
    /// child is not collected before, so its group id cannot be reused.
    fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        self.signal(Signal::KILL);
        let killed = Instant::now();
        let mut is_reported = false;
        while !self.serve(LOOK) {
            if !is_reported && killed.elapsed() >= DYING {
                is_reported = true;
                tracing::error!(
                    pid = child.id(),
                    "a killed program does not die: it waits for its disk"
                );
            }
        }
        let _ = child.wait();
    }

    fn signal(&self, signal: Signal) {
        // It may have ended by itself: then there is no process to signal.
        let _ = rustix::process::kill_process_group(self.group, signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl<S: Read> Stream<S> {
    fn new(source: Option<S>, keep: usize) -> Self {
        Self {
            source,
            captured: Captured::default(),
            keep,
        }
    }

    /// Reads the available output, and stores it up to the bound. The amount per call is limited: endless output must
    /// not keep the reader from checking the clock.
    fn drain(&mut self) {
        let mut buffer = [0; 16 << 10];
        for _ in 0..READS {
            let Some(source) = &mut self.source else {
                return;
            };
            match source.read(&mut buffer) {
                Ok(0) => self.source = None,
                Ok(count) => {
                    let room = self.keep - self.captured.bytes.len();
                    self.captured.bytes.extend_from_slice(&buffer[..count.min(room)]);
                    self.captured.truncated |= count > room;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.source = None,
            }
        }
    }
}
