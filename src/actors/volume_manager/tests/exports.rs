//! Exports: created, restored and removed.

use super::*;
use crate::verbs::volume::TerminateConnectionCommand;

#[actix::test]
async fn a_connection_is_made_and_taken_away_with_its_export() {
    let mut world = world();
    let volume = world.volume(1).await;
    let connected = connect(&mut world, &volume).await;
    let Outcome::Connected {
        connection_info,
        provider_auth,
        ..
    } = connected
    else {
        panic!("{connected:?}")
    };
    assert_eq!(connection_info.driver_volume_type, "iscsi");
    assert!(provider_auth.is_some());
    assert_eq!(world.target.initiators(&volume), ["iqn.1993-08.org.debian:01:a"]);
    let message = TerminateConnectionCommand {
        command: first(),
        volume: volume.clone(),
        connector: Some(connector()),
        connector_stays: false,
        export_stays: false,
        remaining_ms: LONG_MS,
    };
    assert_eq!(
        world.outcome(message).await,
        Outcome::Disconnected { export_removed: true }
    );
    assert!(world.target.exports().is_empty());
}

#[actix::test]
async fn a_connection_that_fails_leaves_no_export() {
    let mut world = world();
    let volume = world.volume(1).await;
    world
        .target
        .script(TargetVerb::InitializeConnection, Fault::broken());
    assert_failed(&connect(&mut world, &volume).await, FailureKind::Backend);
    assert!(world.target.exports().is_empty());
}

#[actix::test]
async fn exports_are_restored_after_the_target_daemon_was_killed() {
    let mut world = world();
    let volume = world.volume(1).await;
    connect(&mut world, &volume).await;
    world.target.kill();
    world.target.revive();
    let target = world.target.clone();
    until("the export is back", || !target.initiators(&volume).is_empty()).await;
}

#[actix::test]
async fn what_is_being_connected_while_the_target_daemon_is_started_anew_is_exported() {
    let mut world = world();
    let volume = world.volume(1).await;
    world.target.restart_after_next_connection();
    connect_well(&mut world, &volume).await;
    assert_eq!(world.target.exports(), [volume.storage_name()]);
    assert_eq!(world.target.initiators(&volume).len(), 1);
}

#[actix::test]
async fn a_delete_takes_the_export_that_was_being_made_and_no_later_one_is_made() {
    let mut world = world();
    let (volume, connect) = (world.volume(1).await, first());
    let message = InitializeConnectionCommand {
        command: connect,
        ..connection(&volume, connector())
    };
    // Both are sent before either has begun: the delete looks for an export when there is none yet.
    world.send(message.clone()).await;
    world.delete(first(), &volume).await;
    next(&mut world).await;
    next(&mut world).await;
    assert!(world.target.exports().is_empty());
    let late = InitializeConnectionCommand {
        command: CommandId {
            attempt: connect.attempt + 1,
            ..connect
        },
        ..message
    };
    world.send(late).await;
    assert_failed(&next(&mut world).await.outcome, FailureKind::Request);
    assert!(world.target.exports().is_empty());
}

#[actix::test]
async fn an_export_that_could_not_be_restored_is_restored_later() {
    let mut world = world();
    let volume = world.volume(1).await;
    connect(&mut world, &volume).await;
    let fault = || DriverError::busy("a moment");
    world.target.script(TargetVerb::EnsureExport, Fault::Fails(fault));
    world.target.revive();
    until("the export", || world.target.exports() == [volume.storage_name()]).await;
}

#[actix::test]
async fn exports_known_to_the_catalog_are_restored_at_start() {
    let driver = FakeDriver::new(FakeOptions::default());
    let volume = spec(2);
    let has = in_use(&volume);
    let world = world_with(driver, Options::default(), vec![has]);
    let target = world.target.clone();
    until("the export is there", || !target.initiators(&volume).is_empty()).await;
    assert!((world.state.inventory().allocated("fake") - 2.0).abs() < f64::EPSILON);
}

#[actix::test]
async fn an_export_of_an_earlier_process_without_a_record_is_removed_at_start() {
    let (target, owed, stray) = (Arc::new(FakeTarget::default()), spec(1), spec(1));
    let work = work();
    target.setup(&work).unwrap();
    for volume in [&owed, &stray] {
        target
            .ensure_export(&work, volume, std::path::Path::new("/dev/null"))
            .unwrap();
    }
    let has = in_use(&owed);
    let _world = world_on(
        FakeDriver::default(),
        target.clone(),
        Options::default(),
        vec![has],
    );
    until("the stray is gone", || target.exports() == [owed.storage_name()]).await;
}

#[actix::test]
async fn a_delete_removes_an_export_without_a_record() {
    let mut world = world();
    let volume = world.volume(1).await;
    let work = work();
    let export = world
        .target
        .ensure_export(&work, &volume, std::path::Path::new("/dev/null"));
    export.unwrap();
    world.deleted(&volume).await;
    assert!(world.target.exports().is_empty());
}

#[actix::test]
async fn a_first_connector_that_fails_takes_nothing_from_one_that_came_beside_it() {
    // The second is received while the first is the only one on the volume, and ends before the first is reverted.
    for second in ["a", "b"] {
        let mut world = world();
        let volume = world.volume(1).await;
        world
            .target
            .script(TargetVerb::InitializeConnection, Fault::broken());
        for host in ["a", second] {
            let message = connection(&volume, connector_of(host));
            world.send(message).await;
        }
        let outcomes = [next(&mut world).await.outcome, next(&mut world).await.outcome];
        let connected = |outcome: &&Outcome| matches!(outcome, Outcome::Connected { .. });
        assert_eq!(outcomes.iter().filter(connected).count(), 1, "{outcomes:?}");
        let initiator = format!("iqn.1993-08.org.debian:01:{second}");
        assert_eq!(world.target.initiators(&volume), [initiator]);
        assert!(
            world
                .state
                .inventory()
                .is_connected(volume.id, &connector_of(second))
        );
    }
}

#[actix::test]
async fn nothing_is_exported_for_a_connector_that_cannot_be_let_in() {
    let mut world = world();
    let volume = world.volume(1).await;
    for (connector, message) in [
        (
            serde_json::json!({"host": "a"}),
            "Connector doesn't have required information: initiator",
        ),
        (
            serde_json::json!({"initiator": "iqn.bad=1"}),
            "The connector's initiator is not an iSCSI name.",
        ),
    ] {
        let connector = Connector::from_json(connector.as_object().unwrap());
        let Outcome::Failed(failure) = connect_from(&mut world, &volume, connector).await else {
            panic!("connected")
        };
        assert_eq!(
            (failure.kind, failure.client.as_str()),
            (FailureKind::Request, message)
        );
    }
    assert_eq!(world.target.calls(TargetVerb::EnsureExport), 0);
    assert_eq!(world.target.calls(TargetVerb::RemoveExport), 0);
}
