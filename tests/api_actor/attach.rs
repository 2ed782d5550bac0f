//! The old way: reserve, initialize, attach, begin detaching, terminate, detach.

use pumice::messages::api::FailureKind;
use pumice::model::{AttachMode, AttachStatus, Connector, ErrorKind, Volume, VolumeStatus};
use pumice::verbs::volume::{
    ChangeVolume, InitializeConnection, TerminateConnection, TerminateConnectionCommand, VolumeChange,
};
use uuid::Uuid;

use crate::support::{Reaction, World, connector, create};

async fn change(
    world: &World,
    volume: &Volume,
    change: VolumeChange,
) -> Result<Volume, pumice::model::Error> {
    world
        .call(ChangeVolume {
            volume_id: volume.id.to_string(),
            change,
        })
        .await
}

fn attach(server: Uuid) -> VolumeChange {
    VolumeChange::Attach {
        instance_uuid: Some(server),
        host_name: None,
        mountpoint: "/dev/vdb".into(),
        mode: AttachMode::Rw,
    }
}

fn initialize(volume: &Volume) -> InitializeConnection {
    InitializeConnection {
        volume_id: volume.id.to_string(),
        connector: connector("a"),
    }
}

fn terminate(volume: &Volume, connector: Option<Connector>) -> TerminateConnection {
    TerminateConnection {
        volume_id: volume.id.to_string(),
        connector,
    }
}

#[actix::test]
async fn the_old_way_round_ends_with_no_export_left() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let status = |volume: Volume| volume.status;
    assert_eq!(
        change(&world, &volume, VolumeChange::Reserve).await.map(status),
        Ok(VolumeStatus::Attaching)
    );
    let info = world.call(initialize(&volume)).await.unwrap();
    assert_eq!(info.driver_volume_type, "iscsi");
    let server = Uuid::new_v4();
    let attached = change(&world, &volume, attach(server)).await.unwrap();
    assert_eq!(
        (attached.status, attached.attach_status),
        (VolumeStatus::InUse, AttachStatus::Attached)
    );
    assert_eq!(attached.admin_metadata["attached_mode"], "rw");
    // Said twice.
    let attached = change(&world, &volume, attach(server)).await.unwrap();
    assert_eq!(attached.status, VolumeStatus::InUse);
    assert_eq!(
        world.catalog.volume_attachments(volume.id).await.unwrap().len(),
        1
    );
    let error = change(&world, &volume, attach(Uuid::new_v4())).await.unwrap_err();
    assert!(
        error
            .client
            .contains("volume is already attached and multiple attachments are not enabled")
    );
    let detaching = change(&world, &volume, VolumeChange::BeginDetaching)
        .await
        .unwrap();
    assert_eq!(detaching.status, VolumeStatus::Detaching);
    let rolled = change(&world, &volume, VolumeChange::RollDetaching)
        .await
        .unwrap();
    assert_eq!(rolled.status, VolumeStatus::InUse);
    change(&world, &volume, VolumeChange::BeginDetaching)
        .await
        .unwrap();
    world
        .call(terminate(&volume, Some(connector("a"))))
        .await
        .unwrap();
    let detached = change(&world, &volume, VolumeChange::Detach { attachment_id: None })
        .await
        .unwrap();
    assert_eq!(
        (detached.status, detached.attach_status),
        (VolumeStatus::Available, AttachStatus::Detached)
    );
    world.until_quiet().await;
    let now = world.until(volume.id, VolumeStatus::Available).await;
    assert_eq!((now.provider_location, now.operation), (None, None));
    let disconnects = world.received::<TerminateConnectionCommand>();
    let last = disconnects.last().unwrap();
    assert!(last.connector.is_none() && !last.export_stays);
}

#[actix::test]
async fn terminating_before_attaching_frees_the_volume() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    change(&world, &volume, VolumeChange::Reserve).await.unwrap();
    world.call(initialize(&volume)).await.unwrap();
    world
        .call(terminate(&volume, Some(connector("a"))))
        .await
        .unwrap();
    let now = world.until(volume.id, VolumeStatus::Available).await;
    assert_eq!(
        (now.provider_location, now.operation),
        (None, None),
        "no initiator is left"
    );
    // Nothing was exported here: nothing to ask of the backend.
    let other = world.volume(1).await;
    let before = world.got("terminate_connection").len();
    world.call(terminate(&other, None)).await.unwrap();
    assert_eq!(world.got("terminate_connection").len(), before);
}

#[actix::test]
async fn what_has_no_storage_cannot_be_connected_and_failures_are_told() {
    let world = World::new().await;
    world.will("create_volume", [Reaction::Lose]);
    let making = world.call(create(1)).await.unwrap();
    let error = world.call(initialize(&making)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadRequest);
    let volume = world.volume(1).await;
    world.will(
        "initialize_connection",
        [
            Reaction::Fail(FailureKind::Backend),
            Reaction::Fail(FailureKind::Request),
        ],
    );
    let error = world.call(initialize(&volume)).await.unwrap_err();
    assert_eq!(
        (error.kind, error.client.as_str()),
        (
            ErrorKind::Backend,
            "Unable to fetch connection information from backend."
        )
    );
    let error = world.call(initialize(&volume)).await.unwrap_err();
    assert_eq!(
        (error.kind, error.client.as_str()),
        (ErrorKind::BadRequest, "Invalid input received: It broke.")
    );
}

#[actix::test]
async fn a_read_only_volume_is_attached_read_only() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    change(
        &world,
        &volume,
        VolumeChange::UpdateReadonlyFlag { readonly: true },
    )
    .await
    .unwrap();
    let error = change(&world, &volume, attach(Uuid::new_v4())).await.unwrap_err();
    assert_eq!(
        error.client,
        format!("Invalid attaching mode 'rw' for volume {}.", volume.id)
    );
}

#[actix::test]
async fn requests_that_wait_for_a_backend_are_bounded() {
    let options = pumice::actors::api::Options {
        max_waiting: 2,
        ..crate::support::quick()
    };
    let world = World::with(options).await;
    let volume = world.volume(1).await;
    world.always("initialize_connection", Reaction::Lose);
    let calls = (0..5).map(|_| world.call(initialize(&volume)));
    let freed = async {
        world
            .wait("two to wait", async || {
                (world.got("initialize_connection").len() >= 2).then_some(())
            })
            .await;
        world.always("initialize_connection", Reaction::Succeed);
    };
    let (answers, ()) = futures_util::future::join(futures_util::future::join_all(calls), freed).await;
    let refused = answers
        .iter()
        .filter(|answer| matches!(answer, Err(error) if matches!(error.kind, ErrorKind::Unavailable { .. })));
    assert_eq!(refused.count(), 3);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
}

#[actix::test]
async fn an_export_stays_until_the_last_initiator_leaves_and_a_new_backend_knows_them() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let of = |host: &str| InitializeConnection {
        volume_id: volume.id.to_string(),
        connector: connector(host),
    };
    world.call(of("a")).await.unwrap();
    world.call(of("b")).await.unwrap();
    let list = pumice::messages::api::ListBackendVolumes {
        backend: "h1@fake".parse().unwrap(),
        after: None,
        limit: 10,
    };
    let listed = world.call(list).await.unwrap();
    assert_eq!(listed[0].connectors, [connector("a"), connector("b")]);
    world
        .call(terminate(&volume, Some(connector("a"))))
        .await
        .unwrap();
    let now = world.catalog.volume(volume.id).await.unwrap().unwrap().record;
    assert!(now.provider_location.is_some());
    world
        .call(terminate(&volume, Some(connector("b"))))
        .await
        .unwrap();
    let now = world.catalog.volume(volume.id).await.unwrap().unwrap().record;
    assert!(now.provider_location.is_none());
    assert!(now.admin_metadata.is_empty(), "{:?}", now.admin_metadata);
}
