//! Keeps a tgtd of our own alive: starts it, notices its end at once, starts it again with growing pauses, ends it with us.
//!
//! One thread does nothing else, for the daemon dies with the thread that started it ([`crate::drivers::command::daemon`]): so a
//! killed Pumice leaves no tgtd behind. Should one be left all the same (a kernel that lost the signal, a machine out of memory),
//! it is found by its command line, which names our folder, and ended before a new one is started. A lock on the folder keeps two
//! of us from ending each other's.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::admin::Admin;
use super::{CONTROL_PORT, control};
use crate::backoff::Backoff;
use crate::drivers::command::Command;
use crate::drivers::command::daemon::{Daemon, Process};
use crate::drivers::ownership::{Ownership, Place};
use crate::drivers::targets::DaemonState;
use crate::drivers::{DriverError, DriverResult, Work};
use crate::private_files;

/// How long a start may take. It takes 10 ms.
const START_LIMIT: Duration = Duration::from_secs(15);

/// How often a starting daemon is asked whether it is ready.
const ASK: Duration = Duration::from_millis(3);

/// The pause before a restart: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// The longest one while a verb waits for the daemon: well within its patience, and no storm of starts.
const WAITED_FOR: Duration = Duration::from_secs(1);

/// A daemon that lived this long was well: the pauses begin anew.
const WELL: Duration = Duration::from_secs(60);

/// How long the whole orderly end may take before it is a hard one.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Within this the keeper's thread has seen that its daemon is dead.
const NOTICE: Duration = Duration::from_secs(1);

/// What the daemon said last is told when it does not start.
const LAST_WORDS: usize = 8;

/// What to keep.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) folder: PathBuf,
    pub(super) tgtd: OsString,
    pub(super) portals: Vec<SocketAddr>,
    pub(super) io_threads: u32,
    pub(super) admin: Admin,
}

impl Plan {
    /// Makes the folder, and locks it.
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

/// A daemon that answers.
#[derive(Clone, Debug)]
pub(super) struct Up {
    /// Differs for each start.
    pub(super) generation: u64,
    /// Whether it understands us without tgtadm.
    pub(super) direct: bool,
    pub(super) process: Process,
}

struct State {
    up: Option<Up>,
    /// Why it is not up.
    reason: String,
    starts: u64,
    failures: u64,
    stop: bool,
    /// Somebody asked for a start now.
    hurry: bool,
    /// How many verbs wait for it.
    waiting: u32,
    /// The work of the start under way.
    starting: Option<Work>,
    /// Whether the folder was taken, and not let go yet.
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
            up: None,
            reason: "it was not started yet".to_owned(),
            starts: 0,
            failures: 0,
            stop: false,
            hurry: false,
            waiting: 0,
            starting: None,
            is_owned: false,
            thread: None,
        };
        Self {
            shared: Arc::new(Shared {
                plan,
                state: Mutex::new(state),
                changed: Condvar::new(),
            }),
        }
    }

    /// Starts keeping, or hurries a start that waits, and waits for the daemon to answer.
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

    /// Whether the folder is still ours. If not, the daemon that answers there is another process's.
    pub(super) fn check_owner(&self) -> DriverResult<()> {
        self.shared.check_owner()
    }

    /// The daemon, if it answers now.
    pub(super) fn up(&self) -> DriverResult<Up> {
        let state = self.shared.state();
        state.up.clone().ok_or_else(|| down(&state.reason))
    }

    /// The daemon that is up, or was last.
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
            // Who comes next shall not be sent to the dead: our thread is about to see it, too.
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

    /// The daemon; one that is being restarted is waited for a little.
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

    /// Ends the daemon, after `tidy` was given the time to take its targets away. Does nothing if it was done.
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
            // What answers in the folder is another's. Ours is of no use any more.
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
        // Somebody may have taken the folder while the daemon ended.
        if self.shared.check_owner().is_ok() {
            let _ = std::fs::remove_file(self.shared.plan.admin.socket_path());
        }
        self.shared.plan.admin.folder.release();
        self.shared.state().is_owned = false;
    }
}

impl Shared {
    /// Why the folder is not ours any more.
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

    /// Waits until `done`, or for `patience` (which is no error), or as long as the work may take (which is one).
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

/// Tells that the daemon is up, and waits for its end; says how it ended.
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
            // The shutdown looked before we were up.
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

/// Starts the daemon and waits until it answers. `Err` says why it does not.
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
        // In the foreground tgtd writes no such file, but it is how a leftover is known to be ours.
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
        // The socket of an earlier daemon may still lie there, so that it exists says nothing.
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

/// What the daemon says. Failed reads and writes of guests are the operator's business (most likely the disk is full), but one that
/// fails often must not fill the log as well.
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

/// By this argument a tgtd is known to be ours.
fn mark(folder: &Path) -> PathBuf {
    folder.join("tgtd.pid")
}

/// Ends each tgtd that an earlier run left. One who woke up late would end the daemon of whoever has the folder now.
fn end_leftovers(mark: &Path, work: &Work) -> Result<(), String> {
    let processes = std::fs::read_dir("/proc").map_err(|error| format!("cannot list processes: {error}"))?;
    for entry in processes.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The handle comes first: should the number go to another process meanwhile, its command line is not ours.
        let Some(process) = Process::open(pid) else {
            continue;
        };
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        if is_ours(&line, mark) {
            work.check_owner().map_err(|error| error.to_string())?;
            tracing::warn!(pid, "ending the tgtd of an earlier run");
            process.kill();
            if !process.wait_end(END_LIMIT) {
                return Err(format!("the tgtd of an earlier run, process {pid}, does not die"));
            }
        }
    }
    Ok(())
}

/// Whether a command line is that of a tgtd of this folder.
fn is_ours(command_line: &[u8], mark: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let mut words = command_line.split(|byte| *byte == 0);
    let program = words.next().unwrap_or_default();
    let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name == b"tgtd" && words.any(|word| word == mark.as_os_str().as_bytes())
}

/// Who may use a daemon's folder.
pub(super) fn ownership(folder: &Path) -> Ownership {
    let what = format!("target's folder {}", folder.display());
    Ownership::of(vec![Place::file(folder.join("lock"), what)])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_ours;

    #[test]
    fn only_a_tgtd_of_our_folder_is_ours() {
        let mark = Path::new("/srv/a/tgtd.pid");
        for (line, ours) in [
            ("/usr/sbin/tgtd\0-f\0-p\0/srv/a/tgtd.pid\0", true),
            ("tgtd\0-p\0/srv/a/tgtd.pid\0--iscsi\0portal=x\0", true),
            ("tgtd\0-p\0/srv/b/tgtd.pid\0", false),
            ("tgtd\0-f\0", false),
            ("vi\0/srv/a/tgtd.pid\0", false),
            ("tgtd\0-p/srv/a/tgtd.pid2\0", false),
            ("", false),
        ] {
            assert_eq!(is_ours(line.as_bytes(), mark), ours, "{line:?}");
        }
    }
}
