use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::{FileDriver, FileOptions};
use crate::drivers::testing::{DriverSteps as _, fault, volume, work};
use crate::drivers::{DriverError, GIB, VolumeDriver};
use crate::model::service::Capacity;
use crate::model::{Reference, SnapshotId, VolumeSpec};

fn backend(folder: &Path) -> FileDriver {
    let driver = FileDriver::new(FileOptions::new(folder, "file"));
    driver.setup(&work()).unwrap();
    driver
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn write(driver: &FileDriver, volume: &VolumeSpec, text: &[u8], at: u64) {
    let path = driver.backing_store(volume).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .write_all_at(text, at)
        .unwrap();
}

fn read(driver: &FileDriver, volume: &VolumeSpec, length: usize, at: u64) -> Vec<u8> {
    let mut text = vec![0; length];
    fs::File::open(driver.backing_store(volume).unwrap())
        .unwrap()
        .read_exact_at(&mut text, at)
        .unwrap();
    text
}

#[test]
fn a_volume_is_a_sparse_private_file_and_twice_is_once() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("a/b");
    let driver = backend(&folder);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let volume = volume(5);
    for _ in 0..2 {
        driver.create(&work(), &volume).unwrap();
    }
    let made = fs::metadata(driver.backing_store(&volume).unwrap()).unwrap();
    assert_eq!((made.len(), made.permissions().mode() & 0o777), (5 * GIB, 0o600));
    assert!(made.blocks() < 100);
    assert_eq!(names(&folder), [volume.storage_name()]);
    for _ in 0..2 {
        driver.delete(&work(), &volume).unwrap();
    }
    assert!(names(&folder).is_empty());
}

#[test]
fn a_volume_of_another_size_is_not_taken_for_ours() {
    let home = tempfile::tempdir().unwrap();
    let driver = backend(home.path());
    let mut volume = volume(1);
    driver.create(&work(), &volume).unwrap();
    volume.size = 2;
    assert_eq!(fault(driver.create(&work(), &volume)), "Failed");
}

#[test]
fn extending_keeps_the_content_and_never_shrinks() {
    let home = tempfile::tempdir().unwrap();
    let driver = backend(home.path());
    let volume = volume(1);
    assert_eq!(fault(driver.extend(&work(), &volume, 2)), "NotFound");
    driver.create(&work(), &volume).unwrap();
    write(&driver, &volume, b"hello", GIB - 5);
    for _ in 0..2 {
        driver.extend(&work(), &volume, 3).unwrap();
    }
    assert_eq!(read(&driver, &volume, 7, GIB - 5), b"hello\0\0");
    assert_eq!(fault(driver.extend(&work(), &volume, 2)), "Refused");
    assert_eq!(driver.list_existing(&work()).unwrap()[0].bytes, 3 * GIB);
}

#[test]
fn snapshots_and_clones_have_the_content_of_their_time() {
    let home = tempfile::tempdir().unwrap();
    let driver = backend(home.path());
    let (source, from_snapshot, clone) = (volume(1), volume(2), volume(1));
    let snapshot = SnapshotId::new();
    driver.create(&work(), &source).unwrap();
    write(&driver, &source, b"old", 123_456);
    driver.take_snapshot(&work(), &source, snapshot).unwrap();
    write(&driver, &source, b"new", 123_456);
    // Repeated, as after a lost reply: the snapshot must not be replaced by a newer one.
    driver.take_snapshot(&work(), &source, snapshot).unwrap();
    for _ in 0..2 {
        driver
            .create_volume_from_snapshot(&work(), &from_snapshot, snapshot)
            .unwrap();
        driver.create_cloned_volume(&work(), &clone, source.id).unwrap();
    }
    assert_eq!(read(&driver, &from_snapshot, 3, 123_456), b"old");
    assert_eq!(read(&driver, &clone, 3, 123_456), b"new");
    let grown = fs::metadata(driver.backing_store(&from_snapshot).unwrap()).unwrap();
    assert_eq!(grown.len(), 2 * GIB);
    assert!(grown.blocks() < 100, "the copy is sparse");
    let too_small = VolumeSpec { size: 0, ..volume(1) };
    assert_eq!(
        fault(driver.create_cloned_volume(&work(), &too_small, source.id)),
        "Refused"
    );
    assert_eq!(
        fault(driver.create_volume_from_snapshot(&work(), &volume(1), SnapshotId::new())),
        "NotFound"
    );
    driver.drop_snapshot(&work(), &source, snapshot).unwrap();
    driver.drop_snapshot(&work(), &source, snapshot).unwrap();
    assert_eq!(driver.list_existing(&work()).unwrap().len(), 3);
}

#[test]
fn what_a_killed_run_left_half_made_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let (left, kept, removed) = (volume(1), volume(1), volume(1));
    let draft = |volume: &VolumeSpec| home.path().join(format!(".new-{}", volume.storage_name()));
    fs::write(draft(&left), "half").unwrap();
    fs::write(home.path().join(".new-mine"), "somebody's own").unwrap();
    let driver = backend(home.path());
    assert_eq!(names(home.path()), [".new-mine"]);
    fs::write(draft(&kept), "half").unwrap();
    driver.create(&work(), &kept).unwrap();
    fs::write(draft(&removed), "half").unwrap();
    driver.delete(&work(), &removed).unwrap();
    assert_eq!(names(home.path()), [".new-mine", &kept.storage_name()]);
    assert_eq!(read(&driver, &kept, 4, 0), b"\0\0\0\0");
}

#[test]
fn a_cancelled_copy_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let driver = backend(home.path());
    let (source, clone) = (volume(1), volume(1));
    driver.create(&work(), &source).unwrap();
    let cancelled = work();
    let failed = driver.make(&cancelled, super::Name::Volume(clone.id), GIB, |_| {
        cancelled.cancel();
        Ok(())
    });
    assert!(matches!(failed, Err(DriverError::Cancelled)));
    assert_eq!(names(home.path()), [source.storage_name()]);
}

#[test]
fn a_folder_that_vanished_is_no_empty_folder() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("volumes");
    let driver = backend(&folder);
    let volume = volume(1);
    driver.create(&work(), &volume).unwrap();
    fs::rename(&folder, home.path().join("elsewhere")).unwrap();
    for replaced in [false, true] {
        if replaced {
            fs::create_dir(&folder).unwrap();
        }
        assert_eq!(fault(driver.create(&work(), &volume)), "Failed");
        assert!(driver.delete(&work(), &volume).is_err(), "it would look deleted");
        assert!(driver.stats(&work()).is_err());
    }
    fs::remove_dir(&folder).unwrap();
    assert!(
        driver.setup(&work()).is_err(),
        "a later setup does not create the folder"
    );
    fs::rename(home.path().join("elsewhere"), &folder).unwrap();
    driver.setup(&work()).unwrap();
    driver.delete(&work(), &volume).unwrap();
}

#[test]
fn a_driver_built_anew_works_without_setup() {
    let home = tempfile::tempdir().unwrap();
    let driver = FileDriver::new(FileOptions::new(home.path(), "file"));
    driver.create(&work(), &volume(1)).unwrap();
    assert_eq!(driver.stats(&work()).unwrap()[0].total_volumes, 1);
}

#[test]
fn stats_follow_what_is_done() {
    let home = tempfile::tempdir().unwrap();
    let driver = backend(home.path());
    let pool = || driver.stats(&work()).unwrap().remove(0);
    assert_eq!((pool().pool_name.as_str(), pool().total_volumes), ("file", 0));
    let (first, second) = (volume(2), volume(3));
    let snapshot = SnapshotId::new();
    driver.create(&work(), &first).unwrap();
    driver.create(&work(), &first).unwrap();
    driver.create(&work(), &second).unwrap();
    driver.extend(&work(), &second, 5).unwrap();
    driver.take_snapshot(&work(), &first, snapshot).unwrap();
    assert!((pool().provisioned_capacity_gb - 9.0).abs() < 0.001);
    assert_eq!(pool().total_volumes, 3);
    driver.delete(&work(), &second).unwrap();
    driver.delete(&work(), &second).unwrap();
    driver.drop_snapshot(&work(), &first, snapshot).unwrap();
    assert!((pool().provisioned_capacity_gb - 2.0).abs() < 0.001);
    let (Capacity::Gib(total), Capacity::Gib(free)) = (pool().total_capacity_gb, pool().free_capacity_gb)
    else {
        panic!("capacity is known");
    };
    assert!(total >= free && free > 0.0);
    assert!(pool().thin_provisioning_support && pool().multiattach && pool().online_extend_support);
}

#[test]
fn strangers_in_the_folder_are_listed_but_not_counted_as_ours() {
    let home = tempfile::tempdir().unwrap();
    let driver = backend(home.path());
    let volume = volume(1);
    driver.create(&work(), &volume).unwrap();
    for stranger in ["lost+found", "volume-", "volume-x", "_snapshot-1", ".hidden"] {
        fs::write(home.path().join(stranger), "").unwrap();
    }
    let folder = crate::drivers::testing::volume(1).storage_name();
    fs::create_dir(home.path().join(folder)).unwrap();
    driver.setup(&work()).unwrap();
    assert_eq!(driver.stats(&work()).unwrap()[0].total_volumes, 1);
    let listed: Vec<String> = driver
        .list_existing(&work())
        .unwrap()
        .into_iter()
        .map(|found| found.name)
        .collect();
    let mut expected = ["_snapshot-1", "lost+found", "volume-", "volume-x"]
        .map(str::to_owned)
        .to_vec();
    expected.push(volume.storage_name());
    expected.sort();
    assert_eq!(listed, expected);
}

#[test]
fn a_volume_goes_back_to_its_snapshot_which_stays() {
    let home = tempfile::tempdir().unwrap();
    let driver = backend(home.path());
    let volume = volume(1);
    let snapshot = SnapshotId::new();
    driver.create(&work(), &volume).unwrap();
    write(&driver, &volume, b"old", 4096);
    driver.take_snapshot(&work(), &volume, snapshot).unwrap();
    driver.extend(&work(), &volume, 2).unwrap();
    write(&driver, &volume, b"new", 4096);
    for _ in 0..2 {
        driver.revert(&work(), &volume, snapshot).unwrap();
        assert_eq!(read(&driver, &volume, 3, 4096), b"old");
    }
    let bytes: Vec<u64> = driver
        .list_existing(&work())
        .unwrap()
        .iter()
        .map(|found| found.bytes)
        .collect();
    assert_eq!(bytes, [GIB, GIB]);
    assert!((driver.stats(&work()).unwrap()[0].provisioned_capacity_gb - 2.0).abs() < 0.001);
    assert_eq!(
        fault(driver.revert(&work(), &volume, SnapshotId::new())),
        "NotFound"
    );
}

#[test]
fn a_file_is_adopted_once_and_never_over_another() {
    let home = tempfile::tempdir().unwrap();
    let driver = backend(home.path());
    fs::write(home.path().join("found"), [7; 1000]).unwrap();
    let volume = volume(1);
    for _ in 0..2 {
        let managed = driver
            .manage(&work(), &volume, &Reference::named("found"))
            .unwrap();
        assert_eq!(managed.size, 1);
    }
    assert_eq!(names(home.path()), [volume.storage_name()]);
    assert_eq!(read(&driver, &volume, 1, 999), [7]);
    fs::write(home.path().join("other"), "").unwrap();
    for bad in ["other", "", "none", "../found", ".", "a/b"] {
        let mut spec = crate::drivers::testing::volume(1);
        if bad == "other" {
            spec.id = volume.id;
        }
        assert_eq!(
            fault(driver.manage(&work(), &spec, &Reference::named(bad))),
            "Refused",
            "{bad}"
        );
    }
    let snapshot = SnapshotId::new();
    driver
        .manage_snapshot(&work(), &volume, snapshot, &Reference::named("other"))
        .unwrap();
    assert_eq!(driver.stats(&work()).unwrap()[0].total_volumes, 2);
}

#[test]
fn a_volume_beyond_the_file_system_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let driver = backend(home.path());
    // 4 EiB: more than ext4, XFS's usual limits or tmpfs allow is not certain everywhere, so either answer is right, but the
    // folder must be clean after a refusal.
    let huge = volume(u32::MAX);
    match driver.create(&work(), &huge) {
        Ok(_) => {}
        Err(DriverError::Refused { client }) => {
            assert_eq!(client, "The volume is larger than the storage backend can hold.");
            assert!(names(home.path()).is_empty());
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_driver_made_anew_leaves_drafts_alone_and_takes_no_other_folder_for_its_own() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("volumes");
    let options = FileOptions::new(&path, "file");
    let work = work();
    FileDriver::new(options.clone()).setup(&work).unwrap();
    // The draft of a verb that runs in another thread.
    let draft = path.join(format!(".new-{}", volume(1).storage_name()));
    std::fs::write(&draft, "half").unwrap();
    let anew = FileDriver::new(options);
    anew.setup(&work).unwrap();
    assert!(draft.exists());
    std::fs::rename(&path, home.path().join("unmounted")).unwrap();
    anew.setup(&work).unwrap_err();
    std::fs::create_dir(&path).unwrap();
    anew.setup(&work).unwrap_err();
}
