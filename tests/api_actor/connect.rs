//! Attachments, the new way.

use pumice::messages::api::FailureKind;
use pumice::model::{
    AttachMode, AttachStatus, Attachment, AttachmentStatus, ErrorKind, Volume, VolumeId, VolumeStatus,
};
use pumice::verbs::attachment::{CompleteAttachment, CreateAttachment, DeleteAttachment, UpdateAttachment};
use pumice::verbs::volume::{DeleteVolume, ExtendVolume, TerminateConnectionCommand};
use uuid::Uuid;

use crate::support::{Reaction, World, admin, connector, stranger};

fn reserve(volume: &Volume, server: Uuid) -> CreateAttachment {
    CreateAttachment {
        volume_id: volume.id.to_string(),
        instance_uuid: Some(server),
        connector: None,
        mode: None,
    }
}

fn update(attachment: &Attachment, host: &str) -> UpdateAttachment {
    UpdateAttachment {
        attachment_id: attachment.id.to_string(),
        connector: connector(host),
    }
}

fn complete(attachment: &Attachment) -> CompleteAttachment {
    CompleteAttachment {
        attachment_id: attachment.id.to_string(),
    }
}

fn delete(attachment: &Attachment) -> DeleteAttachment {
    DeleteAttachment {
        attachment_id: attachment.id.to_string(),
    }
}

async fn states(world: &World, id: VolumeId) -> (VolumeStatus, AttachStatus) {
    let volume = world.catalog.volume(id).await.unwrap().unwrap();
    (volume.status, volume.attach_status)
}

fn secret(attachment: &Attachment) -> String {
    attachment.connection_info.as_ref().unwrap().data()["auth_password"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[actix::test]
async fn a_volume_is_reserved_connected_used_and_free_again() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let attachment = world.call(reserve(&volume, Uuid::new_v4())).await.unwrap();
    assert_eq!(attachment.status, AttachmentStatus::Reserved);
    assert_eq!(
        states(&world, volume.id).await,
        (VolumeStatus::Reserved, AttachStatus::Reserved)
    );

    let connected = world.call(update(&attachment, "a")).await.unwrap();
    assert_eq!(connected.status, AttachmentStatus::Attaching);
    assert_eq!(
        (connected.mode, connected.attached_host.as_deref()),
        (Some(AttachMode::Rw), Some("a"))
    );
    let now = world.catalog.volume(volume.id).await.unwrap().unwrap().record;
    assert_eq!(
        (now.status, now.attach_status),
        (VolumeStatus::Attaching, AttachStatus::Attaching)
    );
    assert!(now.provider_location.is_some() && now.provider_auth.is_some());

    world.call(complete(&attachment)).await.unwrap();
    assert_eq!(
        states(&world, volume.id).await,
        (VolumeStatus::InUse, AttachStatus::Attached)
    );
    let refused = DeleteVolume {
        volume_id: volume.id.to_string(),
        cascade: false,
        force: true,
    };
    assert_eq!(
        world.call_as(&admin(), refused).await.unwrap_err().client,
        "Invalid volume: Volume  must not be migrating, attached, belong to a group, have snapshots, awaiting a \
         transfer, or be disassociated from snapshots after volume transfer."
    );

    assert_eq!(world.call(delete(&attachment)).await.unwrap(), []);
    let now = world.catalog.volume(volume.id).await.unwrap().unwrap().record;
    assert_eq!(
        (now.status, now.attach_status),
        (VolumeStatus::Available, AttachStatus::Detached)
    );
    assert_eq!(
        (now.provider_location, now.provider_auth, now.operation),
        (None, None, None)
    );

    let again = world.call(reserve(&volume, Uuid::new_v4())).await.unwrap();
    let again = world.call(update(&again, "a")).await.unwrap();
    assert_ne!(
        secret(&again),
        secret(&connected),
        "an initiator with the old secret must not log in"
    );
}

#[actix::test]
async fn a_reservation_is_for_one_server() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let server = Uuid::new_v4();
    let first = world.call(reserve(&volume, server)).await.unwrap();
    let error = world.call(reserve(&volume, Uuid::new_v4())).await.unwrap_err();
    assert_eq!(
        error.client,
        format!(
            "Invalid volume: Volume {} status must be available or downloading to reserve, but the current status is \
             reserved.",
            volume.id
        )
    );
    let second = world.call(reserve(&volume, server)).await.unwrap();
    world.call(update(&first, "a")).await.unwrap();
    let error = world.call(update(&second, "a")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_eq!(
        error.client,
        format!(
            "Resource conflict: duplicate connectors detected on volume {}",
            volume.id
        )
    );
    // To another host: the server is being moved.
    let moved = world.call(update(&second, "b")).await.unwrap();
    world.call(complete(&moved)).await.unwrap();
    let left = world.call(delete(&first)).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(
        states(&world, volume.id).await,
        (VolumeStatus::InUse, AttachStatus::Attached)
    );
    let disconnects = world.received::<TerminateConnectionCommand>();
    let last = disconnects.last().unwrap();
    assert!(last.export_stays && !last.connector_stays);
    world.call(delete(&moved)).await.unwrap();
    let disconnects = world.received::<TerminateConnectionCommand>();
    let last = disconnects.last().unwrap();
    assert!(!last.export_stays);
}

#[actix::test]
async fn of_two_that_leave_at_once_the_later_takes_the_export() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let server = Uuid::new_v4();
    let (a, b) = (
        world.call(reserve(&volume, server)).await.unwrap(),
        world.call(reserve(&volume, server)).await.unwrap(),
    );
    world.call(update(&a, "a")).await.unwrap();
    world.call(update(&b, "b")).await.unwrap();
    let (first, second) = futures_util::future::join(world.call(delete(&a)), world.call(delete(&b))).await;
    first.unwrap();
    second.unwrap();
    let now = world.catalog.volume(volume.id).await.unwrap().unwrap().record;
    assert_eq!(
        (now.status, now.provider_location, now.operation),
        (VolumeStatus::Available, None, None)
    );
}

#[actix::test]
async fn who_connects_while_the_export_goes_waits_for_that() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let server = Uuid::new_v4();
    let old = world.call(reserve(&volume, server)).await.unwrap();
    world.call(update(&old, "a")).await.unwrap();
    let new = world.call(reserve(&volume, server)).await;
    // `attaching` takes no reservation; the server's second one is made before, as compute does.
    assert_eq!(new.unwrap_err().kind, ErrorKind::BadRequest);
    world.call(complete(&old)).await.unwrap();
    let new = world.call(reserve(&volume, server)).await.unwrap();
    world.will("terminate_connection", [Reaction::Lose]);
    let (left, connected) =
        futures_util::future::join(world.call(delete(&old)), world.call(update(&new, "b"))).await;
    left.unwrap();
    connected.unwrap();
    let now = world.catalog.volume(volume.id).await.unwrap().unwrap().record;
    assert!(
        now.provider_location.is_some(),
        "the export is there for the new one"
    );
    let order: Vec<_> = world.script.lock().received.iter().map(|got| got.name).collect();
    assert_eq!(order.last(), Some(&"initialize_connection"), "{order:?}");
}

#[actix::test]
async fn a_failed_connection_is_error_attaching_and_the_volume_is_free() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let attachment = world.call(reserve(&volume, Uuid::new_v4())).await.unwrap();
    world.will("initialize_connection", [Reaction::Fail(FailureKind::Backend)]);
    let error = world.call(update(&attachment, "a")).await.unwrap_err();
    assert_eq!(
        (error.kind, error.client.as_str()),
        (ErrorKind::Backend, "Unable to update the attachment.")
    );
    let now = world.catalog.attachment(attachment.id).await.unwrap().unwrap();
    assert_eq!(now.status, AttachmentStatus::ErrorAttaching);
    assert_eq!(
        states(&world, volume.id).await,
        (VolumeStatus::Available, AttachStatus::Detached)
    );
    // It may be tried again, or deleted.
    world.call(update(&attachment, "a")).await.unwrap();
    world.will("terminate_connection", [Reaction::Fail(FailureKind::Backend)]);
    world.call(delete(&attachment)).await.unwrap_err();
    let now = world.catalog.attachment(attachment.id).await.unwrap().unwrap();
    assert_eq!(now.status, AttachmentStatus::ErrorDetaching);
    assert_eq!(
        states(&world, volume.id).await,
        (VolumeStatus::InUse, AttachStatus::Attached)
    );
    world.call(delete(&attachment)).await.unwrap();
    assert_eq!(
        states(&world, volume.id).await,
        (VolumeStatus::Available, AttachStatus::Detached)
    );
}

#[actix::test]
async fn the_same_connection_asked_for_twice_is_made_once() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let attachment = world.call(reserve(&volume, Uuid::new_v4())).await.unwrap();
    world.will("initialize_connection", [Reaction::Lose]);
    let (first, second) = futures_util::future::join(
        world.call(update(&attachment, "a")),
        world.call(update(&attachment, "a")),
    )
    .await;
    assert_eq!(first.unwrap(), second.unwrap());
    world.will("initialize_connection", [Reaction::Lose]);
    let (first, other) = futures_util::future::join(
        world.call(update(&attachment, "a")),
        world.call(update(&attachment, "b")),
    )
    .await;
    first.unwrap();
    assert_eq!(other.unwrap_err().kind, ErrorKind::Conflict);
}

#[actix::test]
async fn a_delete_overtakes_a_connection_that_hangs() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let attachment = world.call(reserve(&volume, Uuid::new_v4())).await.unwrap();
    world.always("initialize_connection", Reaction::Lose);
    let (connected, deleted) = futures_util::future::join(world.call(update(&attachment, "a")), async {
        world
            .wait("a connection under way", async || {
                world.catalog.attachment(attachment.id).await.unwrap()?.operation
            })
            .await;
        world.call(delete(&attachment)).await
    })
    .await;
    assert_eq!(connected.unwrap_err().kind, ErrorKind::Conflict);
    deleted.unwrap();
    assert!(world.catalog.attachment(attachment.id).await.unwrap().is_none());
    world.until(volume.id, VolumeStatus::Available).await;
    world.until_quiet().await;
}

#[actix::test]
async fn a_multiattach_volume_has_several_servers() {
    let world = World::new().await;
    world.new_type("multi", &[("multiattach", "<is> True")]).await;
    let request = pumice::verbs::volume::CreateVolume {
        volume_type: Some("multi".into()),
        ..crate::support::create(1)
    };
    let volume = world.call(request).await.unwrap();
    let volume = world.until(volume.id, VolumeStatus::Available).await;
    let with = |host: &str| CreateAttachment {
        connector: Some(connector(host)),
        ..reserve(&volume, Uuid::new_v4())
    };
    let a = world.call(with("a")).await.unwrap();
    assert_eq!(a.status, AttachmentStatus::Attaching);
    world.call(complete(&a)).await.unwrap();
    let b = world.call(with("b")).await.unwrap();
    assert_eq!(secret(&a), secret(&b), "one export, one secret");
    world.call(complete(&b)).await.unwrap();
    world.call(delete(&a)).await.unwrap();
    assert_eq!(
        states(&world, volume.id).await,
        (VolumeStatus::InUse, AttachStatus::Attached)
    );
    world.call(delete(&b)).await.unwrap();
    assert_eq!(
        states(&world, volume.id).await,
        (VolumeStatus::Available, AttachStatus::Detached)
    );
}

#[actix::test]
async fn an_attached_volume_grows_and_detaching_meanwhile_makes_it_available_after() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let attachment = world.call(reserve(&volume, Uuid::new_v4())).await.unwrap();
    world.call(update(&attachment, "a")).await.unwrap();
    world.call(complete(&attachment)).await.unwrap();
    world.always("extend_volume", Reaction::Lose);
    let grow = ExtendVolume {
        volume_id: volume.id.to_string(),
        new_size: 2,
        attached_too: true,
    };
    world.call(grow).await.unwrap();
    world.call(delete(&attachment)).await.unwrap();
    assert_eq!(
        states(&world, volume.id).await,
        (VolumeStatus::Extending, AttachStatus::Detached)
    );
    world.always("extend_volume", Reaction::Succeed);
    let now = world.until(volume.id, VolumeStatus::Available).await;
    assert_eq!(now.size, 2);
}

#[actix::test]
async fn attachments_of_others_and_unknown_ones_are_not_found() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let attachment = world.call(reserve(&volume, Uuid::new_v4())).await.unwrap();
    let error = world.call_as(&stranger(), delete(&attachment)).await.unwrap_err();
    assert_eq!(
        error.client,
        format!(
            "Volume attachment could not be found with filter: attachment_id = {}.",
            attachment.id
        )
    );
    let unknown = CompleteAttachment {
        attachment_id: "nope".into(),
    };
    assert_eq!(world.call(unknown).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[actix::test]
async fn a_forced_delete_that_fails_leaves_no_attachment_to_an_ended_operation() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let attachment = world.call(reserve(&volume, Uuid::new_v4())).await.unwrap();
    world.call(update(&attachment, "a")).await.unwrap();
    world.always("terminate_connection", Reaction::Lose);
    world.will("delete_volume", [Reaction::Fail(FailureKind::Backend)]);
    let (left, forced) = futures_util::future::join(world.call(delete(&attachment)), async {
        world
            .wait("a disconnection under way", async || {
                world.catalog.volume(volume.id).await.unwrap()?.operation
            })
            .await;
        let forced = DeleteVolume {
            volume_id: volume.id.to_string(),
            cascade: false,
            force: true,
        };
        world.call_as(&admin(), forced).await
    })
    .await;
    forced.unwrap();
    assert_eq!(left.unwrap_err().kind, ErrorKind::Conflict);
    world.until(volume.id, VolumeStatus::ErrorDeleting).await;
    let kept = world.catalog.attachment(attachment.id).await.unwrap().unwrap();
    assert_eq!(
        (kept.operation, kept.status),
        (None, AttachmentStatus::ErrorDetaching)
    );
}
