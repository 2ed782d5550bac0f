//! Differences between the storage and the catalog.

use super::*;
use crate::drivers::testing::DriverSteps as _;

fn known(volume: &VolumeSpec) -> BackendVolume {
    BackendVolume {
        volume: volume.clone(),
        status: VolumeStatus::Available,
        connectors: Vec::new(),
    }
}

#[actix::test]
async fn orphans_are_reported_and_deleted_only_if_configured() {
    for delete_orphans in [false, true] {
        let driver = FakeDriver::default();
        let work = work();
        let (ours, orphan, snapshot) = (spec(1), spec(1), SnapshotId::new());
        driver.create(&work, &ours).unwrap();
        driver.create(&work, &orphan).unwrap();
        driver.take_snapshot(&work, &orphan, snapshot).unwrap();
        driver.put_unmanaged("somebody's", 1);
        let options = Options {
            delete_orphans,
            ..Options::default()
        };
        let world = world_with(driver, options, vec![known(&ours)]);
        world.is_up().await;
        let difference = world.state.difference().unwrap();
        assert_eq!(
            difference.orphans,
            [StorageName::Volume(orphan.id), StorageName::Snapshot(snapshot)]
        );
        assert_eq!(world.driver.exists(orphan.id), !delete_orphans);
        assert_eq!(world.driver.snapshots().is_empty(), delete_orphans);
        assert!(world.driver.exists(ours.id));
    }
}

#[actix::test]
async fn an_orphan_that_has_a_record_by_now_is_not_deleted() {
    let driver = FakeDriver::default();
    let work = work();
    let (orphan, recorded) = (spec(1), spec(1));
    driver.create(&work, &orphan).unwrap();
    driver.create(&work, &recorded).unwrap();
    let options = Options {
        delete_orphans: true,
        ..Options::default()
    };
    let recorded_since = vec![StorageName::Volume(recorded.id)];
    let world = world_where(driver, Arc::default(), options, Vec::new(), recorded_since);
    world.is_up().await;
    assert!(!world.driver.exists(orphan.id));
    assert!(world.driver.exists(recorded.id));
}

#[actix::test]
async fn a_manager_learns_all_volumes_though_no_page_is_full() {
    let volumes: Vec<VolumeSpec> = (0..9).map(|_| spec(1)).collect();
    let driver = FakeDriver::default();
    let work = work();
    for volume in &volumes {
        driver.create(&work, volume).unwrap();
    }
    let options = Options {
        page_size: 4,
        ..Options::default()
    };
    let world = world_with(driver, options, volumes.iter().map(known).collect());
    world.is_up().await;
    assert_eq!(world.state.inventory().expected(), volumes.len());
    assert_eq!(world.state.difference(), Some(StorageDifference::default()));
}

#[actix::test]
async fn a_storage_with_none_of_many_volumes_is_taken_for_the_wrong_one() {
    let volumes = [spec(1), spec(1), spec(1)];
    let options = Options {
        retry: (Duration::from_millis(20), Duration::from_millis(20)),
        ..Options::default()
    };
    let driver = FakeDriver::default();
    let world = world_with(driver.clone(), options, volumes.iter().map(known).collect());
    let state = world.state.clone();
    until("the backend is down", || {
        matches!(&*state.readiness.borrow(), Readiness::Down(reason) if reason.contains("none of the 3 volumes"))
    })
    .await;
    // The right storage is mounted.
    let work = work();
    driver.create(&work, &volumes[0]).unwrap();
    until("the backend is up", || *state.readiness.borrow() == Readiness::Up).await;
}

#[actix::test]
async fn the_disk_of_another_backend_is_refused_and_nothing_on_it_is_deleted() {
    let options = Options {
        retry: (Duration::from_millis(20), Duration::from_millis(20)),
        delete_orphans: true,
        ..Options::default()
    };
    let driver = FakeDriver::default();
    let (work, stray) = (work(), spec(1));
    let of_another = VolumeSpec {
        id: of_another_backend(),
        ..spec(1)
    };
    driver.create(&work, &stray).unwrap();
    driver.create(&work, &of_another).unwrap();
    let world = world_with(driver.clone(), options, Vec::new());
    let state = world.state.clone();
    until("the backend is down", || {
        matches!(&*state.readiness.borrow(), Readiness::Down(reason) if reason.contains("volumes of h2@fake"))
    })
    .await;
    assert!(driver.exists(stray.id) && driver.exists(of_another.id));
    // The right disk is put in.
    driver.delete(&work, &of_another).unwrap();
    until("the backend is up", || *state.readiness.borrow() == Readiness::Up).await;
}

#[actix::test]
async fn volumes_that_were_being_made_or_deleted_do_not_make_an_empty_storage_the_wrong_one() {
    let with = |status| BackendVolume {
        status,
        ..known(&spec(1))
    };
    let volumes = [
        VolumeStatus::Available,
        VolumeStatus::InUse,
        VolumeStatus::Creating,
        VolumeStatus::Deleting,
        VolumeStatus::Error,
    ];
    let world = world_with(
        FakeDriver::default(),
        Options::default(),
        volumes.map(with).to_vec(),
    );
    world.is_up().await;
}
