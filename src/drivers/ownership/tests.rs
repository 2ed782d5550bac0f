//! Taking, losing and checking the ownership of a storage.

use std::path::{Path, PathBuf};

use super::{LockError, Ownership, Place};
use crate::drivers::command::{Command, CommandError};
use crate::drivers::file::{FileDriver, FileOptions};
use crate::drivers::testing::{DriverSteps as _, volume, work};
use crate::drivers::{DriverError, DriverResult, VolumeDriver};
use crate::model::{Reference, SnapshotId};

fn place(home: &Path) -> Place {
    Place::of_machine(&home.join("locks"), "lvm", "volume group a/b", "a/b")
}

fn owned(home: &Path) -> Ownership {
    let ownership = Ownership::of(vec![place(home)]);
    ownership.take().unwrap();
    ownership
}

#[test]
fn a_second_owner_is_refused_by_name_until_the_first_has_ended() {
    let home = tempfile::tempdir().unwrap();
    let first = owned(home.path());
    first.check().unwrap();
    first.take().unwrap();
    let second = Ownership::of(vec![place(home.path())]);
    let refused = second.take().unwrap_err().to_string();
    assert!(
        refused.starts_with(&format!(
            "the volume group a/b is in use by another process (pid {} on ",
            std::process::id()
        )),
        "{refused}"
    );
    second.check().unwrap_err();
    drop(first);
    second.take().unwrap();
    second.check().unwrap();
    assert!(home.path().join("locks/lvm-a%2fb.lock").exists());
}

/// How a lock can be lost while its process is paused.
const LOSSES: [fn(&Path); 3] = [
    |lock| std::fs::remove_file(lock).unwrap(),
    |lock| {
        std::fs::remove_file(lock).unwrap();
        std::fs::write(lock, "").unwrap();
    },
    // The lock was lost, and another process took the same file.
    |lock| std::fs::write(lock, "pumice 1\nrun other\n").unwrap(),
];

#[test]
fn an_owner_finds_out_whichever_way_it_lost_the_lock_and_stays_superseded() {
    for lose in LOSSES {
        let home = tempfile::tempdir().unwrap();
        let lock = home.path().join("locks/lvm-a%2fb.lock");
        let first = owned(home.path());
        let before = std::fs::read(&lock).unwrap();
        lose(&lock);
        assert!(matches!(first.check(), Err(DriverError::Superseded { .. })));
        // Restored, but anything may have happened meanwhile.
        std::fs::write(&lock, before).unwrap();
        assert!(matches!(first.check(), Err(DriverError::Superseded { .. })));
        assert!(first.superseded().is_some());
    }
}

#[test]
fn a_lock_folder_that_others_can_write_to_is_made_private_and_a_link_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("locks");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let first = owned(home.path());
    assert_eq!(mode(&folder), 0o700);
    drop(first);
    let lock = folder.join("lvm-a%2fb.lock");
    assert_eq!(mode(&lock), 0o600);
    std::fs::remove_file(&lock).unwrap();
    let target = home.path().join("precious");
    std::fs::write(&target, "kept").unwrap();
    std::os::unix::fs::symlink(&target, &lock).unwrap();
    let refused = Ownership::of(vec![place(home.path())]).take();
    assert!(matches!(refused, Err(LockError::Io { .. })), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "kept");
}

#[test]
fn a_process_that_was_superseded_starts_no_program() {
    let home = tempfile::tempdir().unwrap();
    let ownership = owned(home.path());
    let work = work().on(&ownership);
    Command::new("true", "coreutils").run(&work).unwrap();
    std::fs::remove_file(home.path().join("locks/lvm-a%2fb.lock")).unwrap();
    let refused = Command::new("true", "coreutils").run(&work);
    assert!(matches!(refused, Err(CommandError::Superseded { .. })));
}

#[test]
fn while_the_lock_is_inaccessible_no_program_starts_and_no_owner_is_superseded() {
    let home = tempfile::tempdir().unwrap();
    let ownership = owned(home.path());
    let work = work().on(&ownership);
    let (folder, elsewhere) = (home.path().join("locks"), home.path().join("elsewhere"));
    std::fs::rename(&folder, &elsewhere).unwrap();
    let refused = Command::new("true", "coreutils").run(&work);
    assert!(
        matches!(refused, Err(CommandError::NotOwned { .. })),
        "{refused:?}"
    );
    let refused = DriverError::from(refused.unwrap_err());
    assert!(matches!(refused, DriverError::Failed { .. }), "{refused}");
    assert_eq!(ownership.superseded(), None);
    std::fs::rename(&elsewhere, &folder).unwrap();
    Command::new("true", "coreutils").run(&work).unwrap();
}

/// All files of a folder with their contents.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn no_verb_of_a_superseded_process_changes_what_its_successor_has() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("volumes");
    let (ours, snapshot) = (volume(0), SnapshotId::new());
    let named = |name: &str| path.join(name);
    let ownership = Ownership::of(vec![Place::folder(&path)]);
    let work = work().on(&ownership);
    let driver = FileDriver::new(FileOptions::new(&path, "file"));
    driver.setup(&work).unwrap();
    driver.create(&work, &ours).unwrap();
    driver.take_snapshot(&work, &ours, snapshot).unwrap();
    // The successor took the folder, removed the incomplete file, and is creating the same.
    std::fs::remove_file(named(".pumice.lock")).unwrap();
    let successor = Ownership::of(vec![Place::folder(&path)]);
    successor.take().unwrap();
    std::fs::write(named(&format!(".new-{}", ours.storage_name())), "theirs").unwrap();
    std::fs::write(named("stranger"), "").unwrap();
    let before = contents(&path);
    let reference = Reference::named("stranger");
    let verbs: [Box<dyn Fn() -> DriverResult<()>>; 7] = [
        Box::new(|| driver.create(&work, &volume(0)).map(drop)),
        Box::new(|| driver.create_cloned_volume(&work, &volume(0), ours.id).map(drop)),
        Box::new(|| driver.delete(&work, &ours)),
        Box::new(|| driver.extend(&work, &ours, 1)),
        Box::new(|| driver.drop_snapshot(&work, &ours, snapshot)),
        Box::new(|| driver.revert(&work, &ours, snapshot)),
        Box::new(|| driver.manage(&work, &volume(0), &reference).map(drop)),
    ];
    for (index, verb) in verbs.iter().enumerate() {
        let answer = verb();
        assert!(
            matches!(answer, Err(DriverError::Superseded { .. })),
            "{index}: {answer:?}"
        );
        assert_eq!(contents(&path), before, "verb {index}");
    }
}
