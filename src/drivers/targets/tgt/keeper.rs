//! Supervises this process's tgtd: starts it, detects its end at once, restarts it with increasing pauses, stops it at
//! shutdown.
//!
//! A dedicated thread does this, because the daemon ends with the thread that started it
//! ([`crate::drivers::command::daemon`]): so a killed Pumice leaves no tgtd behind. If one is left nevertheless (a lost
//! signal, a machine out of memory), it is found by its command line, which contains the folder, and ended before a new
//! one is started. A lock on the folder prevents two processes from ending each other's daemon.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::admin::Admin;
use super::leftovers::{END_LIMIT, end_leftovers, mark};
use super::{CONTROL_PORT, control};
use crate::backoff::Backoff;
use crate::drivers::command::Command;
use crate::drivers::command::daemon::{Daemon, Process};
use crate::drivers::ownership::{Ownership, Place};
use crate::drivers::targets::DaemonState;
use crate::drivers::{DriverError, DriverResult, Work};
use crate::private_files;

/// The time limit of a start, which usually takes 10 ms.
const START_LIMIT: Duration = Duration::from_secs(15);

/// How often it is checked whether a starting daemon is ready.
const ASK: Duration = Duration::from_millis(3);

/// The pause before a restart: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// The longest pause while a verb waits for the daemon: well below its timeout.
const WAITED_FOR: Duration = Duration::from_secs(1);

/// After a daemon ran this long the pauses are reset.
const WELL: Duration = Duration::from_secs(60);

/// The time within which the keeper's thread detects the end of its daemon.
const NOTICE: Duration = Duration::from_secs(1);

/// The number of the daemon's last lines that are reported if it does not start.
const LAST_WORDS: usize = 8;

/// The parameters of the daemon.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) folder: PathBuf,
    pub(super) tgtd: OsString,
    pub(super) portals: Vec<SocketAddr>,
    pub(super) io_threads: u32,
    pub(super) admin: Admin,
}

impl Plan {
    /// Creates the folder, and locks it.
    fn take_folder(&self) -> DriverResult<()> {
        private_files::create_dir(&self.folder).map_err(|error| {
            DriverError::target_unavailable(format!(
                "cannot make the target's folder {}: {error}",
                self.folder.display()
            ))
        })?;
        let taken = self.admin.folder.take();
        taken.map_err(|error| DriverError::target_unavailable(error.to_string()))
    }
}

/// A running daemon.
#[derive(Clone, Debug)]
pub(super) struct Up {
    /// Different for each start.
    pub(super) generation: u64,
    /// Whether it supports the control socket.
    pub(super) direct: bool,
    pub(super) process: Process,
}

#[derive(Default)]
struct State {
    up: Option<Up>,
    /// Why it does not run.
    reason: String,
    starts: u64,
    failures: u64,
    stop: bool,
    /// Whether an immediate start was requested.
    hurry: bool,
    /// The number of waiting verbs.
    waiting: u32,
    /// The work of the current start.
    starting: Option<Work>,
    /// Whether the folder is locked.
    is_owned: bool,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    plan: Plan,
    state: Mutex<State>,
    changed: Condvar,
}

/// See the module.
pub(super) struct Keeper {
    shared: Arc<Shared>,
}

impl Keeper {
    pub(super) fn new(plan: Plan) -> Self {
        let state = State {
            reason: "it was not started yet".to_owned(),
            ..State::default()
        };
        Self {
            shared: Arc::new(Shared {
                plan,
                state: Mutex::new(state),
                changed: Condvar::new(),
            }),
        }
    }

    /// Starts the supervision, or ends a pause before a restart, and waits until the daemon answers.
    pub(super) fn start(&self, work: &Work) -> DriverResult<()> {
        let mut state = self.shared.state();
        if state.stop {
            return Err(down("it was shut down"));
        }
        if state.up.is_some() {
            return Ok(());
        }
        let failures = state.failures;
        if state.thread.is_none() {
            if !state.is_owned {
                self.shared.plan.take_folder()?;
                state.is_owned = true;
            }
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new()
                .name("tgtd-keeper".to_owned())
                .spawn(move || keep(&shared))
                .map_err(|error| down(&format!("no thread for it: {error}")))?;
            state.thread = Some(thread);
        }
        state.hurry = true;
        self.shared.changed.notify_all();
        self.shared.wait(state, work, Duration::MAX, |state| {
            state.up.is_some() || state.failures > failures
        })?;
        self.up().map(drop)
    }

    /// Checks that this process still owns the folder. If not, the daemon there belongs to another process.
    pub(super) fn check_owner(&self) -> DriverResult<()> {
        self.shared.check_owner()
    }

    /// The daemon, if it runs now.
    pub(super) fn up(&self) -> DriverResult<Up> {
        let state = self.shared.state();
        state.up.clone().ok_or_else(|| down(&state.reason))
    }

    /// The present or last daemon.
    pub(super) fn daemon_state(&self, patience: Duration) -> DaemonState {
        let state = self.shared.state();
        let generation = state.starts;
        let Some(up) = state.up.clone() else {
            return DaemonState {
                generation,
                running: false,
            };
        };
        drop(state);
        let running = !up.process.wait_end(patience);
        if !running {
            // The next verb must not use an ended daemon: the keeper's thread is about to detect its end, too.
            let is_thought_up = |state: &mut State| {
                let now = state.up.as_ref();
                now.is_some_and(|now| now.generation == up.generation)
            };
            let mut state = self.shared.state();
            self.shared
                .changed
                .wait_while_for(&mut state, is_thought_up, NOTICE);
        }
        DaemonState {
            generation: up.generation,
            running,
        }
    }

    /// The daemon; waits briefly for one that is being restarted.
    pub(super) fn soon_up(&self, work: &Work, patience: Duration) -> DriverResult<Up> {
        let mut state = self.shared.state();
        if state.thread.is_some() && state.up.is_none() {
            state.waiting += 1;
            self.shared.changed.notify_all();
            let waited = self
                .shared
                .wait(state, work, patience, |state| state.up.is_some() || state.stop);
            self.shared.state().waiting -= 1;
            waited?;
        } else {
            drop(state);
        }
        self.up()
    }

    /// Stops the daemon, after `tidy` has removed its targets. Does nothing if it is already stopped.
    pub(super) fn stop(&self, tidy: impl FnOnce(&Work)) {
        let (thread, up) = {
            let mut state = self.shared.state();
            state.stop = true;
            if let Some(work) = &state.starting {
                work.cancel();
            }
            self.shared.changed.notify_all();
            (state.thread.take(), state.up.clone())
        };
        let is_ours = self.shared.check_owner().is_ok();
        if let Some(up) = up.as_ref().filter(|_| !is_ours) {
            // The daemon in the folder belongs to another process. This process's one is useless.
            up.process.kill();
        }
        if let Some(up) = up.filter(|_| is_ours) {
            let work = Work::within(END_LIMIT);
            tidy(&work);
            let asked = self.shared.plan.admin.end(&work);
            if asked.is_err() || !up.process.wait_end(work.remaining()) {
                tracing::warn!(
                    pid = up.process.pid(),
                    "tgtd did not end when asked, and is killed"
                );
                up.process.kill();
            }
        }
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread that kept tgtd had panicked");
        }
        // Another process may have taken the folder while the daemon ended.
        if self.shared.check_owner().is_ok() {
            let _ = std::fs::remove_file(self.shared.plan.admin.socket_path());
        }
        self.shared.plan.admin.folder.release();
        self.shared.state().is_owned = false;
    }
}

impl Shared {
    /// Checks the ownership of the folder.
    fn check_owner(&self) -> DriverResult<()> {
        if self.state().is_owned {
            self.plan.admin.folder.check()
        } else {
            Ok(())
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits until `done`, at most `patience` (which is no error), or until the work's deadline (which is one).
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        work: &Work,
        patience: Duration,
        done: impl Fn(&State) -> bool,
    ) -> DriverResult<()> {
        const LOOK: Duration = Duration::from_millis(50);
        let begun = Instant::now();
        while !done(&state) && begun.elapsed() < patience {
            work.check()?;
            let limit = LOOK.min(work.remaining()).min(patience);
            self.changed.wait_for(&mut state, limit);
        }
        Ok(())
    }
}

fn down(reason: &str) -> DriverError {
    DriverError::target_unavailable(format!("tgtd is not running: {reason}"))
}

/// The keeper's thread.
fn keep(shared: &Shared) {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        let work = Work::within(START_LIMIT);
        {
            let mut state = shared.state();
            if state.stop {
                return;
            }
            state.hurry = false;
            state.starting = Some(work.clone());
        }
        let begun = Instant::now();
        let reason = match start(&shared.plan, &work.and_on(&shared.plan.admin.folder)) {
            Ok((daemon, direct)) => watch(shared, daemon, direct),
            Err(reason) => reason,
        };
        if begun.elapsed() >= WELL {
            backoff.reset();
        }
        let pause = backoff.next_pause();
        let mut state = shared.state();
        state.starting = None;
        state.up = None;
        state.failures += 1;
        if !state.stop {
            tracing::warn!(reason, retry_in = ?pause, "tgtd is not running");
        }
        state.reason = reason;
        shared.changed.notify_all();
        let died = Instant::now();
        while !state.stop && !state.hurry {
            let pause = if state.waiting == 0 {
                pause
            } else {
                pause.min(WAITED_FOR)
            };
            let left = pause.saturating_sub(died.elapsed());
            if left.is_zero() {
                break;
            }
            shared.changed.wait_for(&mut state, left);
        }
    }
}

/// Records that the daemon runs, and waits for its end; returns the reason.
fn watch(shared: &Shared, mut daemon: Daemon, direct: bool) -> String {
    {
        let mut state = shared.state();
        state.starting = None;
        state.starts += 1;
        let up = Up {
            generation: state.starts,
            direct,
            process: daemon.process(),
        };
        tracing::info!(pid = up.process.pid(), generation = up.generation, portals = ?shared.plan.portals, "tgtd is up");
        if state.stop {
            // The shutdown was requested before the daemon ran.
            up.process.kill();
        }
        state.up = Some(up);
        shared.changed.notify_all();
    }
    match daemon.wait() {
        Ok(status) => format!("it ended: {status}"),
        Err(error) => format!("it could not be waited for: {error}"),
    }
}

/// Starts the daemon and waits until it answers. `Err` is the reason of a failure.
fn start(plan: &Plan, work: &Work) -> Result<(Daemon, bool), String> {
    let tgtd = Command::new(plan.tgtd.clone(), "tgt");
    tgtd.find().map_err(|error| error.to_string())?;
    plan.admin.command().find().map_err(|error| error.to_string())?;
    end_leftovers(&mark(&plan.folder), work)?;
    let portals: Vec<String> = plan
        .portals
        .iter()
        .map(|portal| format!("portal={portal}"))
        .collect();
    let tgtd = tgtd
        .env("TGT_IPC_SOCKET", plan.admin.socket.clone())
        .args(["-f", "-C", CONTROL_PORT, "-t", &plan.io_threads.to_string()])
        // In the foreground tgtd writes no such file, but the argument identifies a leftover.
        .arg("-p")
        .arg(mark(&plan.folder))
        .args(["--iscsi", &portals.join(",")]);
    let words = Arc::new(Words::default());
    let heard = Arc::clone(&words);
    let mut daemon =
        Daemon::start(&tgtd, work, move |line| heard.hear(line)).map_err(|error| error.to_string())?;
    let socket = plan.admin.socket_path();
    loop {
        work.check()
            .map_err(|error| format!("it does not answer ({error}): {}", words.last()))?;
        if let Some(status) = daemon.ended() {
            return Err(format!("it ended at once ({status}): {}", words.last()));
        }
        // The socket of an earlier daemon may still exist, so its existence is not sufficient.
        if std::os::unix::net::UnixStream::connect(&socket).is_ok()
            && let Ok(open) = plan.admin.portals(work)
        {
            let missing: Vec<&SocketAddr> = plan
                .portals
                .iter()
                .filter(|portal| !open.contains(portal))
                .collect();
            if missing.is_empty() {
                break;
            }
            return Err(format!("it cannot listen on {missing:?}: {}", words.last()));
        }
        std::thread::sleep(ASK);
    }
    let direct = control::speaks(&socket);
    if !direct {
        tracing::warn!(
            "this tgtd takes CHAP passwords through tgtadm only, where local users can see them for a moment"
        );
    }
    Ok((daemon, direct))
}

/// The daemon's output. Failed reads and writes of guests are logged (most likely the disk is full), but frequent
/// failures must not fill the log.
#[derive(Default)]
struct Words {
    last: Mutex<VecDeque<String>>,
    complained: Mutex<Option<Instant>>,
}

impl Words {
    fn hear(&self, line: &str) {
        const QUIET: Duration = Duration::from_secs(10);
        if line.contains("io error") {
            let mut complained = self.complained.lock();
            if complained.is_none_or(|at| at.elapsed() >= QUIET) {
                *complained = Some(Instant::now());
                tracing::warn!(line, "tgtd could not read or write a volume");
            }
        }
        tracing::debug!(line, "tgtd says");
        let mut last = self.last.lock();
        if last.len() == LAST_WORDS {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    }

    fn last(&self) -> String {
        let last = self.last.lock();
        last.iter().cloned().collect::<Vec<_>>().join("; ")
    }
}

/// The ownership of a daemon's folder.
pub(super) fn ownership(folder: &Path) -> Ownership {
    let what = format!("target's folder {}", folder.display());
    Ownership::of(vec![Place::file(folder.join("lock"), what)])
}
