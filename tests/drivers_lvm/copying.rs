//! `pumice copy` and `pumice wipe`, and the parent that starts them.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pumice::drivers::copy::Target;
use pumice::drivers::copy::process::{Copier, CopyOptions};
use pumice::drivers::copy::program::EXIT_ALONE;
use pumice::drivers::{DriverError, Work};

use super::group::work;

const MIB: u64 = 1 << 20;

fn copier(limit: u64) -> Copier {
    Copier::new(CopyOptions {
        pumice: Some(env!("CARGO_BIN_EXE_pumice").into()),
        limit,
        ..CopyOptions::default()
    })
}

/// Two names in a folder; the first has so many bytes, of which every other MiB is zeros.
fn files(length: u64) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let file = File::create(&from).unwrap();
    for at in (0..length).step_by(2 << 20) {
        let size = usize::try_from(MIB.min(length - at)).unwrap();
        file.write_all_at(&vec![5; size], at).unwrap();
    }
    file.set_len(length).unwrap();
    (folder, from, to)
}

fn same(one: &Path, other: &Path) -> bool {
    std::fs::read(one).unwrap() == std::fs::read(other).unwrap()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_copy_is_equal_and_its_progress_is_told() {
    let (_folder, from, to) = files(9 * MIB + 12_345);
    for target in [Target::Anything, Target::Alike] {
        let work = work();
        copier(0)
            .copy(&work, &from, &to, 9 * MIB + 12_345, target)
            .unwrap();
        assert!(same(&from, &to), "{target:?}");
        assert_eq!(work.progress(), (9 * MIB + 12_345, 9 * MIB + 12_345));
    }
    std::fs::remove_file(&to).unwrap();
    copier(0)
        .copy(&work(), &from, &to, 9 * MIB + 12_345, Target::Zeros)
        .unwrap();
    assert!(same(&from, &to));
    assert!(
        std::fs::metadata(&to).unwrap().blocks() * 512 < 6 * MIB,
        "it is sparse"
    );
}

#[test]
fn a_wipe_leaves_zeros() {
    let (_folder, from, _) = files(5 * MIB);
    copier(0).wipe(&work(), &from, 2 * MIB..4 * MIB, None).unwrap();
    let bytes = std::fs::read(&from).unwrap();
    let (before, from_there_on) = bytes.split_at(2 << 20);
    let (wiped, after) = from_there_on.split_at(2 << 20);
    assert!(wiped.iter().all(|byte| *byte == 0));
    assert!(before.contains(&5) && after.contains(&5));
}

#[test]
fn a_limit_is_kept_by_all_copies_together() {
    let (_folder, from, to) = files(4 * MIB);
    let other = to.with_extension("other");
    let copier = copier(8 * MIB);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for to in [&to, &other] {
            let (copier, from) = (&copier, &from);
            scope.spawn(move || {
                copier.copy(&work(), from, to, 4 * MIB, Target::Anything).unwrap();
            });
        }
    });
    // 8 MiB at 8 MiB a second; the first chunk of each is free, and the one that ends first leaves its share to the other.
    assert!(
        begun.elapsed() >= Duration::from_millis(600),
        "{:?}",
        begun.elapsed()
    );
    assert!(same(&from, &to) && same(&from, &other));
}

#[test]
fn a_cancelled_copy_ends() {
    let (_folder, from, to) = files(64 * MIB);
    let copier = copier(MIB);
    let work = Work::within(Duration::from_secs(60));
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| copier.copy(&work, &from, &to, 64 * MIB, Target::Anything));
        until("it is under way", || work.progress().0 > 0);
        work.cancel();
        assert!(matches!(copying.join().unwrap(), Err(DriverError::Cancelled)));
    });
}

#[test]
fn a_source_that_is_missing_or_short_is_told() {
    let (_folder, from, to) = files(MIB);
    let copier = copier(0);
    let missing = copier.copy(&work(), Path::new("/no/such"), &to, 1, Target::Anything);
    assert!(
        matches!(missing, Err(DriverError::NotFound { .. })),
        "{missing:?}"
    );
    let short = copier.copy(&work(), &from, &to, 2 * MIB, Target::Anything);
    assert!(matches!(short, Err(DriverError::Failed { .. })), "{short:?}");
}

#[test]
fn a_full_target_is_no_space() {
    let (_folder, from, _) = files(MIB);
    let full = copier(0).copy(&work(), &from, Path::new("/dev/full"), MIB, Target::Anything);
    assert!(matches!(full, Err(DriverError::NoSpace { .. })), "{full:?}");
}

fn start(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pumice"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_copy_does_not_outlive_its_parent() {
    let (_folder, from, to) = files(64 * MIB);
    let length = (64 * MIB).to_string();
    let paths = [from.to_str().unwrap(), to.to_str().unwrap()];
    let mut copy = start(&["copy", paths[0], paths[1], "--length", &length]);
    let mut input = copy.stdin.take().unwrap();
    input.write_all(b"limit 100000\n").unwrap();
    let mut progress = [0; 5];
    copy.stdout.as_mut().unwrap().read_exact(&mut progress).unwrap();
    assert_eq!(&progress, b"done ");
    drop(input);
    assert_eq!(copy.wait().unwrap().code(), Some(i32::from(EXIT_ALONE)));
    // One that never receives its limit does nothing.
    let mut copy = start(&["copy", paths[0], "/no/such/file", "--length", &length]);
    drop(copy.stdin.take());
    assert_eq!(copy.wait().unwrap().code(), Some(i32::from(EXIT_ALONE)));
}
