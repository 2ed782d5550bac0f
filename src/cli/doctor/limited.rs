//! Concurrent checks, each with a time limit: one that waits for a dead disk is a finding, and does not delay the
//! others.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::finding::{Finding, Reporter};
use crate::drivers::Work;

/// How long the programs of one check may take together.
pub const WORK: Duration = Duration::from_secs(10);

/// The time limit of a check, including the termination of a program.
const WHOLE: Duration = Duration::from_secs(18);

/// The correction for a hanging check.
pub const HANGS: &str = "find the disk or network file system that does not answer: ps -eo pid,stat,wchan,args | grep ' D'; dmesg | tail";

/// The correction for a bug in a check.
const REPORT: &str = "run it again with RUST_BACKTRACE=1 and report what it prints";

/// A running check.
pub struct Running {
    name: &'static str,
    backend: Option<String>,
    findings: Receiver<Finding>,
    thread: Option<JoinHandle<()>>,
    begun: Instant,
    whole: Duration,
}

/// Starts a check of this backend, or of the node.
pub fn start(
    name: &'static str,
    backend: Option<&str>,
    check: impl FnOnce(&Work, &Reporter) + Send + 'static,
) -> Running {
    start_within(name, backend, (WORK, WHOLE), check)
}

fn start_within(
    name: &'static str,
    backend: Option<&str>,
    (work, whole): (Duration, Duration),
    check: impl FnOnce(&Work, &Reporter) + Send + 'static,
) -> Running {
    let (reporter, findings) = Reporter::new(backend);
    let thread = std::thread::Builder::new().name(name.to_owned());
    Running {
        name,
        backend: backend.map(str::to_owned),
        findings,
        // A check that never ends is ended with this process.
        thread: thread.spawn(move || check(&Work::within(work), &reporter)).ok(),
        begun: Instant::now(),
        whole,
    }
}

impl Running {
    /// Its findings.
    pub fn wait(self) -> Vec<Finding> {
        let mut found = Vec::new();
        let trouble = loop {
            let left = self.whole.saturating_sub(self.begun.elapsed());
            match self.findings.recv_timeout(left) {
                Ok(finding) => found.push(finding),
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = self.whole.as_secs();
                    break Some((format!("no answer within {seconds} s"), HANGS));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let ended_well = self.thread.is_some_and(|thread| thread.join().is_ok());
                    break (!ended_well).then(|| ("this check broke off".to_owned(), REPORT));
                }
            }
        };
        if let Some((what, mend)) = trouble {
            let findings = Reporter::collect(self.backend.as_deref(), |reporter| {
                reporter.fault(self.name, what, mend)
            });
            found.extend(findings);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{start, start_within};
    use crate::cli::doctor::finding::Outcome;

    #[test]
    fn a_hanging_check_is_a_finding_and_its_earlier_findings_are_kept() {
        let (never, waits) = std::sync::mpsc::channel::<()>();
        let limits = (Duration::from_millis(1), Duration::from_millis(50));
        let running = start_within("lvm", Some("a"), limits, move |_, reporter| {
            reporter.ok("programs", "there");
            let _ = waits.recv();
        });
        let begun = Instant::now();
        let found = running.wait();
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(found[0].outcome, Outcome::Ok);
        assert_eq!(found[1].outcome, Outcome::Fault);
        assert_eq!(found[1].backend.as_deref(), Some("a"));
        assert!(found[1].mend.is_some());
        drop(never);
    }

    #[test]
    fn a_check_that_breaks_off_is_a_finding() {
        let found = start("node", None, |_, _| panic!("on purpose")).wait();
        assert_eq!(found[0].outcome, Outcome::Fault);
        assert!(start("node", None, |_, _| ()).wait().is_empty());
    }
}
