use std::time::{Duration, Instant};

use super::daemon::{Daemon, Process};
use super::{Command, CommandError, Talk};
use crate::drivers::testing::work;
use crate::drivers::{DriverError, Work};

fn sh(script: &str) -> Command {
    Command::new("sh", "dash").args(["-c", script])
}

/// Waits until `done` holds; fails after a timeout.
fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process runs; a zombie does not.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    })
}

#[test]
fn a_program_answers_with_all_it_has() {
    let output = sh("cat; echo to-error >&2; exit 3")
        .stdin("hello")
        .output(&work())
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout.text(), "hello");
    assert_eq!(output.stderr.text(), "to-error\n");
}

#[test]
fn a_short_program_is_not_waited_for_longer_than_it_takes() {
    let begun = Instant::now();
    for _ in 0..50 {
        Command::new("true", "coreutils").run(&work()).unwrap();
    }
    assert!(
        begun.elapsed() < Duration::from_millis(50 * 40),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn much_output_neither_blocks_nor_is_kept() {
    let output = sh("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2")
        .keep(1000)
        .run(&work())
        .unwrap();
    assert_eq!((output.stdout.bytes.len(), output.stdout.truncated), (1000, true));
    assert_eq!((output.stderr.bytes.len(), output.stderr.truncated), (1000, true));
}

#[test]
fn much_input_to_one_that_does_not_read_is_no_trouble() {
    let big = vec![b'x'; 4 << 20];
    let counted = Command::new("wc", "coreutils")
        .arg("-c")
        .stdin(big.clone())
        .run(&work())
        .unwrap();
    assert_eq!(counted.stdout.text().trim(), (4 << 20).to_string());
    Command::new("true", "coreutils").stdin(big).run(&work()).unwrap();
}

#[test]
fn the_environment_is_ours() {
    let text = Command::new("env", "coreutils")
        .env("GIVEN", "yes")
        .run(&work())
        .unwrap()
        .stdout
        .text();
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["GIVEN", "HOME", "LC_ALL", "PATH", "PUMICE_RUN"]);
}

#[test]
fn an_argument_is_never_read_by_a_shell() {
    let nasty = "$(touch /tmp/pwned); `id` * \"'";
    let output = Command::new("printf", "coreutils")
        .args(["%s", nasty])
        .run(&work())
        .unwrap();
    assert_eq!(output.stdout.text(), nasty);
}

#[test]
fn secrets_are_in_no_error() {
    let command = sh("echo \"bad password $0\" >&2; exit 5").secret_arg("hunter2");
    let error = command.run(&work()).unwrap_err();
    let shown = format!(
        "{error} {error:?} {command} {command:?} {:?}",
        DriverError::from(command.run(&work()).unwrap_err())
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("bad password ***"), "{shown}");
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    for program in ["no-such-program", "/no/such/program"] {
        let command = Command::new(program, "some-package");
        for error in [command.run(&work()).unwrap_err(), command.find().unwrap_err()] {
            assert!(matches!(error, CommandError::Missing { .. }));
            let text = error.to_string();
            assert!(text.contains(program) && text.contains("some-package"), "{text}");
        }
    }
}

#[test]
fn one_that_takes_too_long_is_ended_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("pids");
    // The grandchild ignores SIGTERM.
    let script = format!(
        "(trap '' TERM; echo $$ >{0}.a; sh -c 'trap \"\" TERM; echo $$ >{0}; while :; do sleep 1; done') & while :; do sleep 1; done",
        note.display()
    );
    let begun = Instant::now();
    let error = sh(&script)
        .limit(Duration::from_secs(1))
        .run(&work())
        .unwrap_err();
    assert!(matches!(error, CommandError::TimedOut { .. }));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let grandchild: u32 = std::fs::read_to_string(&note).unwrap().trim().parse().unwrap();
    until("the grandchild is dead", || !runs(grandchild));
}

#[test]
fn one_that_prints_for_ever_is_ended_too() {
    let error = Command::new("yes", "coreutils")
        .limit(Duration::from_millis(200))
        .run(&work())
        .unwrap_err();
    assert!(matches!(error, CommandError::TimedOut { .. }));
}

#[test]
fn work_without_end_is_possible() {
    assert!(Work::within(Duration::MAX).check().is_ok());
}

#[test]
fn a_cancelled_program_is_ended_soon() {
    let work = work();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| Command::new("sleep", "coreutils").arg("100").run(&work));
        std::thread::sleep(Duration::from_millis(20));
        work.cancel();
        assert!(matches!(
            running.join().unwrap(),
            Err(CommandError::Cancelled { .. })
        ));
    });
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(
        Command::new("true", "coreutils").run(&work).is_err(),
        "cancelled work starts nothing more"
    );
}

#[test]
fn one_that_leaves_a_child_behind_is_not_waited_for() {
    let begun = Instant::now();
    let output = sh("sleep 5 & echo done").run(&work()).unwrap();
    assert_eq!(output.stdout.text(), "done\n");
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_daemon_dies_with_its_thread_and_its_end_is_seen_at_once() {
    let (send, receive) = std::sync::mpsc::channel();
    let keeper = std::thread::spawn(move || {
        let daemon = Daemon::start(
            &sh("echo ready >&2; while :; do sleep 1; done"),
            &Work::within(Duration::from_secs(20)),
            move |line| {
                let _ = send.send(line.to_owned());
            },
        )
        .unwrap();
        let process = daemon.process();
        // Neither dropped nor waited for: the thread just ends.
        std::mem::forget(daemon);
        assert_eq!(receive.recv_timeout(Duration::from_secs(10)).unwrap(), "ready");
        process
    });
    let process: Process = keeper.join().unwrap();
    assert!(
        process.wait_end(Duration::from_secs(10)),
        "it outlived its thread"
    );
    assert!(process.wait_end(Duration::ZERO));
}

/// Sends one line at a time, and the next one after the answer to the last.
struct Dialogue {
    to_say: Vec<&'static str>,
    heard: Vec<String>,
    asked: usize,
}

impl Talk for Dialogue {
    fn heard(&mut self, line: &str) {
        self.heard.push(line.to_owned());
    }

    fn say(&mut self) -> Option<String> {
        (self.heard.len() == self.asked && !self.to_say.is_empty()).then(|| {
            self.asked += 1;
            format!("{}\n", self.to_say.remove(0))
        })
    }
}

#[test]
fn one_can_talk_with_a_program_that_runs() {
    let mut dialogue = Dialogue {
        to_say: vec!["one", "two", "three"],
        heard: Vec::new(),
        asked: 0,
    };
    let output = sh("while read word; do echo got $word; test $word = three && exit 4; done")
        .converse(&work(), &mut dialogue)
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(dialogue.heard, ["got one", "got two", "got three"]);
}

#[test]
fn a_program_that_listens_is_not_left_alone_by_itself() {
    let mut silent = Dialogue {
        to_say: Vec::new(),
        heard: Vec::new(),
        asked: 0,
    };
    let error = sh("cat; echo the end of its input came")
        .limit(Duration::from_millis(300))
        .converse(&work(), &mut silent)
        .unwrap_err();
    assert!(matches!(error, CommandError::TimedOut { .. }));
    assert!(silent.heard.is_empty());
}
