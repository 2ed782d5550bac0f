//! Commands, one or several, and their reports.

use super::*;
use crate::verbs::snapshot::{CreateSnapshotCommand, DeleteSnapshotCommand};
use crate::verbs::volume::{
    DeleteVolumeCascadeCommand, ManageVolumeCommand, RevertToSnapshotCommand, UnmanageVolumeCommand,
};

#[actix::test]
async fn a_repeated_command_is_done_once_and_reported_alike() {
    let mut world = world();
    let (command, volume) = (first(), spec(1));
    world.create(command, &volume).await;
    let report = next(&mut world).await;
    assert_eq!(report.outcome, Outcome::Created { provider_id: None });
    world.create(command, &volume).await;
    let again = next(&mut world).await;
    assert_eq!((again.command, again.outcome), (report.command, report.outcome));
    assert_eq!(world.driver.calls(Verb::CreateVolume), 1);
}

#[actix::test]
async fn a_cancelled_command_is_ended_taken_back_and_reported() {
    let mut world = world();
    world.driver.script(Verb::CreateVolume, Fault::Hangs);
    let (command, volume) = (first(), spec(1));
    world.create(command, &volume).await;
    let cancel = |command| CancelOperation { command };
    // An unknown command is not reported.
    world.manager.cast(&world.context, cancel(first())).await.unwrap();
    world.send(cancel(command)).await;
    let report = next(&mut world).await;
    assert_eq!(report.command, command);
    assert_failed(&report.outcome, FailureKind::Cancelled);
    assert!(!world.driver.exists(volume.id));
    assert!(world.state.inventory().allocated("fake") < 0.5);
    // A repeated command has the same answer.
    world.create(command, &volume).await;
    let again = next(&mut world).await;
    assert_failed(&again.outcome, FailureKind::Cancelled);
}

#[actix::test]
async fn a_failed_create_leaves_nothing_even_if_the_driver_did_its_work() {
    for fault in [
        Fault::broken(),
        Fault::FailsAfter(|| DriverError::no_space("late")),
        Fault::Panics,
        Fault::PanicsAfter,
    ] {
        let mut world = world();
        world.driver.script(Verb::CreateVolume, fault);
        if matches!(fault, Fault::Panics | Fault::PanicsAfter) {
            // After one panic the verb is retried on a rebuilt driver.
            world.driver.script(Verb::CreateVolume, fault);
        }
        let volume = spec(1);
        world.create(first(), &volume).await;
        let report = next(&mut world).await;
        assert!(
            matches!(report.outcome, Outcome::Failed(_)),
            "{fault:?}: {report:?}"
        );
        assert!(!world.driver.exists(volume.id), "{fault:?} left the volume");
        // The manager still works.
        world.volume(1).await;
    }
}

#[actix::test]
async fn a_volume_that_has_grown_has_grown_whatever_the_command_said() {
    let mut world = world();
    let volume = world.volume(1).await;
    let no_space = || DriverError::no_space("scripted");
    for (fault, new_size) in [(Fault::FailsAfter(no_space), 2), (Fault::Fails(no_space), 3)] {
        world.driver.script(Verb::ExtendVolume, fault);
        let outcome = world.outcome(extend(&volume, new_size)).await;
        match new_size {
            2 => assert_eq!(outcome, Outcome::Extended),
            // The volume has two GiB where one was requested: the result is unknown.
            _ => assert_failed(&outcome, FailureKind::Backend),
        }
    }
    world.driver.lose(volume.id);
    world.create(first(), &volume).await;
    next(&mut world).await;
    world.driver.script(Verb::ExtendVolume, Fault::Fails(no_space));
    assert_failed(&world.outcome(extend(&volume, 4)).await, FailureKind::NoSpace);
}

#[actix::test]
async fn a_verb_whose_driver_panicked_once_succeeds_on_a_driver_built_anew() {
    for fault in [Fault::Panics, Fault::PanicsAfter] {
        let mut world = world();
        world.driver.script(Verb::CreateVolume, fault);
        let volume = spec(1);
        world.create(first(), &volume).await;
        assert!(matches!(next(&mut world).await.outcome, Outcome::Created { .. }));
        assert!(world.driver.exists(volume.id));
    }
}

#[actix::test]
async fn a_failed_create_that_cannot_be_taken_back_says_that_it_does_not_know() {
    let mut world = world();
    let late = Fault::FailsAfter(|| DriverError::busy("late"));
    world.driver.script(Verb::CreateVolume, late);
    world.driver.script(Verb::DeleteVolume, Fault::broken());
    world.create(first(), &spec(1)).await;
    let report = next(&mut world).await;
    assert_failed(&report.outcome, FailureKind::TimedOut);
}

#[actix::test]
async fn a_panicking_driver_is_built_anew_and_looks_at_what_it_did() {
    for fault in [Fault::Panics, Fault::PanicsAfter] {
        let mut world = world();
        world.driver.script(Verb::ExtendVolume, fault);
        let volume = world.volume(1).await;
        assert_eq!(world.outcome(extend(&volume, 2)).await, Outcome::Extended);
        assert_eq!(world.driver.size(volume.id), Some(2));
        assert_eq!(world.state.driver.rebuilt(), 1);
    }
}

#[actix::test]
async fn a_driver_that_panics_again_has_failed() {
    let mut world = world();
    let volume = world.volume(1).await;
    for _ in 0..2 {
        world.driver.script(Verb::ExtendVolume, Fault::Panics);
    }
    assert_failed(&world.outcome(extend(&volume, 2)).await, FailureKind::Backend);
    assert_eq!(world.state.driver.rebuilt(), 2);
}

#[actix::test]
async fn a_driver_that_was_built_anew_is_used_only_when_it_is_ready() {
    let options = Options {
        retry: (Duration::from_millis(20), Duration::from_millis(20)),
        ..Options::default()
    };
    let mut world = world_by(options);
    let volume = world.volume(1).await;
    assert_eq!(world.driver.calls(Verb::Setup), 1);
    world.driver.fail_next(Verb::Setup, 2, || {
        DriverError::not_found("The backend is not there.", "the disk is not mounted")
    });
    world.driver.script(Verb::DeleteVolume, Fault::Panics);
    world.delete(first(), &volume).await;
    // The verb is not run again by a driver that has not seen its storage.
    let report = next(&mut world).await;
    assert_failed(&report.outcome, FailureKind::Backend);
    assert_eq!(world.driver.calls(Verb::DeleteVolume), 1);
    world.is_up().await;
    assert_eq!(world.driver.calls(Verb::Setup), 4);
    world.deleted(&volume).await;
}

#[actix::test]
async fn an_actor_that_was_built_anew_neither_learns_nor_takes_exports_away_beside_commands() {
    let volume = spec(3);
    let has = BackendVolume {
        volume: volume.clone(),
        status: VolumeStatus::Available,
        connectors: Vec::new(),
    };
    let mut world = world_with(FakeDriver::default(), Options::default(), vec![has]);
    let listed = |world: &World| world.target.calls(TargetVerb::ListExports);
    until("exports were looked at", || listed(&world) == 1).await;
    world.deleted(&volume).await;
    // As its supervisor does after a panic: the inventory from before the delete is outdated.
    let anew = Rc::new(super::super::VolumeManager::new(
        world.state.clone(),
        world.router.clone(),
        Rc::new(Unobserved),
    ));
    let life = tokio::task::spawn_local(super::super::lifecycle::run(anew));
    let other = spec(1);
    world.create(first(), &other).await;
    assert!(matches!(next(&mut world).await.outcome, Outcome::Created { .. }));
    assert!((world.state.inventory().allocated("fake") - 1.0).abs() < f64::EPSILON);
    assert_eq!(listed(&world), 1);
    life.abort();
}

#[actix::test]
async fn a_hung_verb_holds_up_no_other_volume() {
    let options = Options {
        max_workers: 2,
        ..Options::default()
    };
    let mut world = world_by(options);
    world.driver.script(Verb::CreateVolume, Fault::Hangs);
    let (hung, other) = (spec(1), spec(1));
    world.create(first(), &hung).await;
    let driver = world.driver.clone();
    until("the first create hangs", || driver.calls(Verb::CreateVolume) == 1).await;
    world.create(first(), &other).await;
    assert!(matches!(next(&mut world).await.outcome, Outcome::Created { .. }));
    assert!(world.driver.exists(other.id) && !world.driver.exists(hung.id));
    world.state.workers.stop();
}

#[actix::test]
async fn a_create_whose_time_is_up_ends_and_leaves_nothing() {
    let mut world = world();
    world.driver.script(Verb::CreateVolume, Fault::Hangs);
    let volume = spec(1);
    let message = CreateVolumeCommand {
        command: first(),
        volume: volume.clone(),
        remaining_ms: 50,
    };
    assert_failed(&world.outcome(message).await, FailureKind::TimedOut);
    assert!(!world.driver.exists(volume.id));
}

#[actix::test]
async fn a_delete_goes_through_twice_and_a_late_create_does_not_undo_it() {
    let mut world = world();
    let (create, volume) = (first(), spec(1));
    let delete = first();
    world.delete(delete, &volume).await;
    assert_eq!(next(&mut world).await.outcome, Outcome::Deleted);
    world.deleted(&volume).await;
    // Whether or not its id is older than the delete's: the control node's clock may have been set back in between.
    for late in [create, first()] {
        world.create(late, &volume).await;
        assert_failed(&next(&mut world).await.outcome, FailureKind::Request);
        assert!(!world.driver.exists(volume.id));
    }
}

#[actix::test]
async fn a_volume_whose_delete_failed_is_connected_again_and_a_deleted_one_is_not() {
    let mut world = world();
    let volume = world.volume(1).await;
    world
        .driver
        .fail_next(Verb::DeleteVolume, 1, || DriverError::busy("in use"));
    world.delete(first(), &volume).await;
    assert!(matches!(next(&mut world).await.outcome, Outcome::Failed(_)));
    connect_well(&mut world, &volume).await;
    world.deleted(&volume).await;
    assert!(matches!(connect(&mut world, &volume).await, Outcome::Failed(_)));
}

#[actix::test]
async fn a_backend_whose_driver_does_not_start_refuses_creates_and_comes_up_by_itself() {
    let driver = FakeDriver::default();
    driver.fail_next(Verb::Setup, 3, || {
        DriverError::not_found("The backend is not there.", "no volume group")
    });
    let options = Options {
        retry: (Duration::from_millis(200), Duration::from_millis(200)),
        ..Options::default()
    };
    let mut world = world_with(driver, options, Vec::new());
    world.create(first(), &spec(1)).await;
    let report = next(&mut world).await;
    assert_failed(&report.outcome, FailureKind::Backend);
    world.is_up().await;
    world.volume(1).await;
}

#[actix::test]
async fn a_connection_that_fails_leaves_those_that_were_there() {
    let mut world = world();
    let volume = world.volume(1).await;
    connect(&mut world, &volume).await;
    let there = world.target.initiators(&volume);
    // Another host, and the first one again, with a second attachment.
    for host in ["b", "a"] {
        world
            .target
            .script(TargetVerb::InitializeConnection, Fault::broken());
        let outcome = connect_from(&mut world, &volume, connector_of(host)).await;
        assert_failed(&outcome, FailureKind::Backend);
        assert_eq!(world.target.initiators(&volume), there, "{host}");
        let inventory = world.state.inventory();
        assert!(inventory.is_connected(volume.id, &connector()), "{host}");
        assert!(!inventory.is_connected(volume.id, &connector_of("b")));
    }
}

#[actix::test]
async fn a_target_that_did_not_start_is_tried_again() {
    let mut world = world();
    let fault = Fault::Fails(|| DriverError::TimedOut);
    world.target.script(TargetVerb::Setup, fault);
    let volume = world.volume(1).await;
    assert_failed(&connect(&mut world, &volume).await, FailureKind::Backend);
    until("the target", || world.target.generation().is_some()).await;
    connect_well(&mut world, &volume).await;
}

#[actix::test]
async fn a_snapshot_that_was_deleted_does_not_come_back_with_a_late_command() {
    let mut world = world();
    let (volume, snapshot_id) = (world.volume(1).await, SnapshotId::new());
    let (create, delete) = (first(), first());
    let message = DeleteSnapshotCommand {
        command: delete,
        volume: volume.clone(),
        snapshot_id,
        remaining_ms: LONG_MS,
    };
    assert_eq!(world.outcome(message).await, Outcome::SnapshotDeleted);
    for command in [create, first()] {
        let message = CreateSnapshotCommand {
            command,
            volume: volume.clone(),
            snapshot_id,
            remaining_ms: LONG_MS,
        };
        assert_failed(&world.outcome(message).await, FailureKind::Request);
    }
    assert!(world.driver.snapshots().is_empty());
}

#[actix::test]
async fn a_volume_goes_with_its_snapshots_and_what_exists_is_listed() {
    let mut world = world();
    let (volume, other, kept) = (world.volume(1).await, world.volume(2).await, SnapshotId::new());
    for (snapshot_id, of) in [
        (SnapshotId::new(), &volume),
        (SnapshotId::new(), &volume),
        (kept, &other),
    ] {
        let outcome = world.outcome(take_snapshot(of, snapshot_id)).await;
        assert_eq!(outcome, Outcome::SnapshotCreated { provider_id: None });
    }
    let mut snapshots = world.driver.snapshots();
    snapshots.retain(|snapshot| *snapshot != kept);
    let message = DeleteVolumeCascadeCommand {
        command: first(),
        volume: volume.clone(),
        snapshots,
        remaining_ms: LONG_MS,
    };
    assert_eq!(world.outcome(message).await, Outcome::Deleted);
    let mut seen = Vec::new();
    loop {
        let question = ListExisting {
            after: seen.last().cloned(),
            limit: 1,
        };
        let limit = Duration::from_secs(20);
        let page = world.manager.call(&world.context, question, limit).await;
        match page.unwrap().as_slice() {
            [found] => seen.push(found.name.clone()),
            _ => break,
        }
    }
    assert_eq!(seen, [format!("_snapshot-{kept}"), other.storage_name()]);
}

#[actix::test]
async fn a_volume_is_reverted_adopted_and_forgotten_by_command() {
    let mut world = world();
    let (volume, snapshot_id) = (world.volume(2).await, SnapshotId::new());
    world.send(take_snapshot(&volume, snapshot_id)).await;
    next(&mut world).await;
    let message = RevertToSnapshotCommand {
        command: first(),
        volume: volume.clone(),
        snapshot_id,
        size: 2,
        remaining_ms: LONG_MS,
    };
    assert_eq!(world.outcome(message).await, Outcome::Reverted);
    let message = UnmanageVolumeCommand {
        command: first(),
        volume: volume.clone(),
        remaining_ms: LONG_MS,
    };
    assert_eq!(world.outcome(message).await, Outcome::Unmanaged);
    assert!(world.driver.exists(volume.id));
    assert!(world.state.inventory().allocated("fake") == 0.0);
    let again = VolumeSpec {
        id: VolumeId::new(),
        size: 0,
        ..volume.clone()
    };
    let message = ManageVolumeCommand {
        command: first(),
        volume: again.clone(),
        reference: Reference::named(&volume.storage_name()),
        remaining_ms: LONG_MS,
    };
    let managed = world.outcome(message).await;
    assert!(
        matches!(
            managed,
            Outcome::Managed {
                size: 2,
                provider_id: None
            }
        ),
        "{managed:?}"
    );
    assert!((world.state.inventory().allocated("fake") - 2.0).abs() < f64::EPSILON);
}
