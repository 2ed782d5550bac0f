//! Deleting volumes.

use pumice::messages::api::FailureKind;
use pumice::model::user_message::Action;
use pumice::model::{ErrorKind, VolumeStatus};
use pumice::verbs::message::DeleteMessage;
use pumice::verbs::volume::DeleteVolume;

use crate::support::{Reaction, World, admin, create, stranger};

fn delete(id: impl ToString) -> DeleteVolume {
    DeleteVolume {
        volume_id: id.to_string(),
        cascade: false,
        force: false,
    }
}

#[actix::test]
async fn a_deleted_volume_is_gone_with_its_usage() {
    let world = World::new().await;
    let volume = world.volume(2).await;
    world.always("delete_volume", Reaction::Lose);
    world.call(delete(volume.id)).await.unwrap();
    world.until(volume.id, VolumeStatus::Deleting).await;
    assert_eq!(world.usage("gigabytes").await.in_use, 2, "it is still there");
    let error = world.call(delete(volume.id)).await.unwrap_err();
    assert_eq!(
        error.client,
        "Invalid volume: Volume status must be available or error or error_restoring or error_extending or \
         error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, \
         or be disassociated from snapshots after volume transfer."
    );
    world.always("delete_volume", Reaction::Succeed);
    world.until_gone(volume.id).await;
    world.until_quiet().await;
    for resource in [
        "volumes",
        "gigabytes",
        "volumes___DEFAULT__",
        "gigabytes___DEFAULT__",
    ] {
        assert_eq!(world.usage(resource).await.in_use, 0, "{resource}");
    }
}

#[actix::test]
async fn what_is_not_there_or_not_ones_own_is_not_found() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let error = world.call(delete("xyz")).await.unwrap_err();
    assert_eq!(
        (error.kind, error.client.as_str()),
        (ErrorKind::NotFound, "Volume xyz could not be found.")
    );
    let error = world.call_as(&stranger(), delete(volume.id)).await.unwrap_err();
    assert_eq!(error.client, format!("Volume {} could not be found.", volume.id));
}

#[actix::test]
async fn a_failed_delete_says_so_and_can_be_forced() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    world.will("delete_volume", [Reaction::Fail(FailureKind::Backend)]);
    world.call(delete(volume.id)).await.unwrap();
    world.until(volume.id, VolumeStatus::ErrorDeleting).await;
    let messages = world.messages().await;
    assert_eq!(messages[0].action, Action::DeleteVolume);
    let forced = DeleteVolume {
        force: true,
        ..delete(volume.id)
    };
    world.call_as(&admin(), forced).await.unwrap();
    world.until_gone(volume.id).await;
    assert_eq!(world.usage("volumes").await.in_use, 0);
    let message = DeleteMessage {
        message_id: messages[0].id.to_string(),
    };
    assert_eq!(
        world
            .call_as(&stranger(), message.clone())
            .await
            .unwrap_err()
            .kind,
        ErrorKind::NotFound
    );
    world.call(message.clone()).await.unwrap();
    assert_eq!(
        world.call(message.clone()).await.unwrap_err().client,
        format!("Message {} could not be found.", message.message_id)
    );
}

#[actix::test]
async fn a_busy_volume_stays_available() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    world.will("delete_volume", [Reaction::Fail(FailureKind::Busy)]);
    world.call(delete(volume.id)).await.unwrap();
    world.until_quiet().await;
    world.until(volume.id, VolumeStatus::Available).await;
}

#[actix::test]
async fn a_forced_delete_overtakes_a_create_that_hangs() {
    let world = World::new().await;
    world.always("create_volume", Reaction::Lose);
    let volume = world.call(create(1)).await.unwrap();
    world
        .wait("a host", async || {
            world.catalog.volume(volume.id).await.unwrap()?.host.clone()
        })
        .await;
    assert_eq!(
        world.call(delete(volume.id)).await.unwrap_err().kind,
        ErrorKind::BadRequest
    );
    world
        .call_as(
            &admin(),
            DeleteVolume {
                force: true,
                ..delete(volume.id)
            },
        )
        .await
        .unwrap();
    world.until_gone(volume.id).await;
    world.until_quiet().await;
    assert_eq!(world.usage("volumes").await.in_use, 0);
}

#[actix::test]
async fn a_volume_that_waits_for_a_host_goes_at_once() {
    let world = World::new().await;
    world.always("schedule", Reaction::Lose);
    let volume = world.call(create(1)).await.unwrap();
    world.call(delete(volume.id)).await.unwrap();
    assert!(world.volumes().await.is_empty());
    assert!(world.operations().await.is_empty());
    assert_eq!(world.usage("volumes").await.in_use, 0);
}

#[actix::test]
async fn two_deletes_at_once_give_back_once() {
    let world = World::new().await;
    let keep = world.volume(1).await;
    let volume = world.volume(1).await;
    let (first, second) = futures_util::future::join(
        world.call_as(
            &admin(),
            DeleteVolume {
                force: true,
                ..delete(volume.id)
            },
        ),
        world.call_as(
            &admin(),
            DeleteVolume {
                force: true,
                ..delete(volume.id)
            },
        ),
    )
    .await;
    assert!(first.is_ok() || second.is_ok());
    world.until_gone(volume.id).await;
    world.until_quiet().await;
    assert_eq!(world.usage("volumes").await.in_use, 1);
    world.until(keep.id, VolumeStatus::Available).await;
}
