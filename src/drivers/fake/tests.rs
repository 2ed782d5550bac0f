//! The fake driver refuses and keeps what a real one does.

use std::time::{Duration, Instant};

use super::{FakeDriver, FakeOptions, Fault, Verb};
use crate::drivers::testing::{DriverSteps, fault, volume, work};
use crate::drivers::{DriverError, VolumeDriver};
use crate::model::SnapshotId;

#[test]
fn a_full_backend_says_so_and_keeps_nothing() {
    let driver = FakeDriver::new(FakeOptions {
        capacity_gib: Some(3),
        ..FakeOptions::default()
    });
    let (small, big) = (volume(2), volume(2));
    driver.create(&work(), &small).unwrap();
    driver.create(&work(), &small).unwrap();
    assert_eq!(fault(driver.create(&work(), &big)), "NoSpace");
    assert_eq!(driver.volumes(), [small.id]);
    driver.extend(&work(), &small, 3).unwrap();
    driver.extend(&work(), &small, 3).unwrap();
    assert_eq!(driver.size(small.id), Some(3));
    driver.delete_volume(&work(), &small).unwrap();
    driver.delete_volume(&work(), &small).unwrap();
    assert!(driver.volumes().is_empty());
}

#[test]
fn snapshots_and_clones_need_their_source() {
    let driver = FakeDriver::default();
    let (source, copy) = (volume(1), volume(2));
    let snapshot = SnapshotId::new();
    assert_eq!(
        fault(driver.create_cloned_volume(&work(), &copy, source.id)),
        "NotFound"
    );
    driver.create(&work(), &source).unwrap();
    driver.take_snapshot(&work(), &source, snapshot).unwrap();
    driver
        .create_volume_from_snapshot(&work(), &copy, snapshot)
        .unwrap();
    assert!(driver.exists(copy.id));
}

#[test]
fn content_goes_along_with_snapshots_clones_reverts_and_growth() {
    let driver = FakeDriver::default();
    let (source, clone, copy) = (volume(1), volume(1), volume(2));
    let snapshot = SnapshotId::new();
    driver.create(&work(), &source).unwrap();
    driver.write_volume(source.id, 4000, b"before");
    driver.take_snapshot(&work(), &source, snapshot).unwrap();
    driver.write_volume(source.id, 4000, b"after!");
    driver.extend(&work(), &source, 2).unwrap();
    driver.create_cloned_volume(&work(), &copy, source.id).unwrap();
    driver
        .create_volume_from_snapshot(&work(), &clone, snapshot)
        .unwrap();
    assert_eq!(driver.read_volume(source.id, 4000, 6), b"after!");
    assert_eq!(driver.read_volume(copy.id, 4000, 6), b"after!");
    assert_eq!(driver.read_volume(clone.id, 4000, 6), b"before");
    assert_eq!(driver.content(clone.id), driver.snapshot_content(snapshot));
    driver.revert(&work(), &source, snapshot).unwrap();
    assert_eq!(driver.read_volume(source.id, 4000, 6), b"before");
    assert_eq!(driver.read_volume(copy.id, 4000, 6), b"after!");
}

#[test]
fn scripted_faults_come_in_order_and_once() {
    let driver = FakeDriver::default();
    let volume = volume(1);
    driver.fail_next(Verb::CreateVolume, 2, || DriverError::TimedOut);
    driver.script(Verb::CreateVolume, Fault::FailsAfter(|| DriverError::busy("")));
    assert_eq!(fault(driver.create(&work(), &volume)), "TimedOut");
    assert_eq!(fault(driver.create(&work(), &volume)), "TimedOut");
    assert!(!driver.exists(volume.id));
    assert_eq!(fault(driver.create(&work(), &volume)), "Busy");
    assert!(driver.exists(volume.id));
    driver.create(&work(), &volume).unwrap();
    assert_eq!(driver.calls(Verb::CreateVolume), 4);
}

#[test]
fn a_hanging_verb_ends_when_cancelled() {
    let driver = FakeDriver::default();
    driver.script(Verb::Stats, Fault::Hangs);
    let work = work();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| driver.stats(&work));
        while driver.calls(Verb::Stats) == 0 {
            std::thread::yield_now();
        }
        work.cancel();
        assert!(matches!(hanging.join().unwrap(), Err(DriverError::Cancelled)));
    });
    assert!(begun.elapsed() < Duration::from_secs(5));
}
