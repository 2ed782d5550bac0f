//! Ends programs that outlived the process that started them. They are found by the number of that run in their
//! environment.
//!
//! A daemon that such a program started in turn (`dmeventd`) is shared by the machine and must not be ended: it is
//! recognised by its own session.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::daemon::Process;
use crate::rng;

/// The variable in each program's environment.
pub(super) const VARIABLE: &str = "PUMICE_RUN";

static RUN: LazyLock<String> = LazyLock::new(|| rng::id().simple().to_string());

/// How long a program gets to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// The unique number of this run.
pub fn run() -> &'static str {
    &RUN
}

/// The session of this process, and of the programs that it starts. 0 in a session outside of the process's namespace
/// (the first process of a container, and its children without their own session).
pub fn session() -> u32 {
    // Not `getsid`: rustix takes its answer for a process id, and those are never 0.
    let stat = std::fs::read_to_string("/proc/self/stat");
    stat.ok().and_then(|stat| session_in(&stat)).unwrap_or(0)
}

/// Ends the programs that a run left behind. Does nothing for the current run.
///
/// # Errors
/// The pid of a process that does not end within `limit`.
pub fn end(run: &str, session: u32, limit: Duration) -> Result<(), u32> {
    if run == self::run() {
        return Ok(());
    }
    let give_up = Instant::now() + limit;
    for process in find(run, |theirs| theirs == session) {
        tracing::warn!(pid = process.pid(), "ending a program that an earlier run left");
        process.terminate();
        if process.wait_end(GRACE) {
            continue;
        }
        process.kill();
        if !process.wait_end(give_up.saturating_duration_since(Instant::now())) {
            return Err(process.pid());
        }
    }
    Ok(())
}

fn find(run: &str, is_of_session: impl Fn(u32) -> bool) -> Vec<Process> {
    let wanted = format!("{VARIABLE}={run}");
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // The handle is opened first: if another process reuses the pid meanwhile, its environment does not match.
            let process = Process::open(pid)?;
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let is_theirs = environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == wanted.as_bytes());
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            (is_theirs && session_in(&stat).is_some_and(&is_of_session)).then_some(process)
        })
        .collect()
}

/// The session in a line of `/proc/<pid>/stat`: the fourth word after the program's name, which may contain any
/// characters.
fn session_in(stat: &str) -> Option<u32> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{end, find, session, session_in};
    use crate::drivers::Work;
    use crate::drivers::command::Command;

    #[test]
    fn the_session_is_found_behind_any_name() {
        assert_eq!(session_in("12 (a) b) c) S 1 2 345 0 -1"), Some(345));
        assert_eq!(session_in("12 (pumice) S 1 0 0 0 -1"), Some(0));
        assert_eq!(session_in("12"), None);
    }

    #[test]
    fn programs_of_a_run_are_ended_and_those_of_another_or_their_daemons_are_not() {
        // As the successor of a killed process sees it: from another run.
        let of_earlier = |program: &str, package| Command::new(program, package).env("PUMICE_RUN", "earlier");
        let work = Work::within(Duration::from_secs(60));
        // It leads its group, so it forks before it makes a session, and ends.
        let daemon = of_earlier("setsid", "util-linux").args(["sleep", "60"]);
        daemon.run(&work).unwrap();
        std::thread::scope(|scope| {
            let program = scope.spawn(|| of_earlier("sleep", "coreutils").arg("60").output(&work).unwrap());
            while find("earlier", |theirs| theirs == session()).is_empty() {
                std::thread::yield_now();
            }
            end("other", session(), Duration::from_secs(10)).unwrap();
            assert!(!program.is_finished());
            end("earlier", session(), Duration::from_secs(10)).unwrap();
            assert!(!program.join().unwrap().status.success());
        });
        let [daemon] = &find("earlier", |_| true)[..] else {
            panic!("the daemon is gone")
        };
        daemon.kill();
    }
}
