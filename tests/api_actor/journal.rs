//! Restarts, deadlines, repetition: nothing is ever stuck.

use std::time::Duration;

use pumice::actors::api::{Deadlines, Options};
use pumice::messages::api::{BackendStarted, ListBackendVolumes};
use pumice::model::{AttachmentStatus, BackendName, Context, Timestamp, VolumeStatus};
use pumice::verbs::attachment::{CreateAttachment, UpdateAttachment};
use pumice::verbs::volume::{CreateVolumeCommand, DeleteVolume};
use uuid::Uuid;

use crate::support::{Reaction, World, admin, connector, create, pool, quick};

fn hasty() -> Options {
    let soon = Duration::from_millis(300);
    Options {
        deadlines: Deadlines {
            create: soon,
            delete: soon,
            extend: soon,
            attachment: soon,
            per_gib: Duration::ZERO,
            ..Deadlines::default()
        },
        ..quick()
    }
}

#[actix::test]
async fn what_was_open_before_a_restart_goes_on_after_it() {
    let world = World::new().await;
    world.always("create_volume", Reaction::Lose);
    world.always("delete_volume", Reaction::Lose);
    let made = world.call(create(1)).await.unwrap();
    world
        .wait("the command", async || {
            world.got("create_volume").first().cloned()
        })
        .await;
    // Another process over the same store.
    let router = pumice::transport::Router::new("second");
    let second = World {
        router: router.clone(),
        api: router.any(),
        options: quick(),
        ..world
    };
    second.start_quota();
    second.start_scheduler();
    second.start_backend("h1@fake");
    second.always("create_volume", Reaction::Succeed);
    second.start_api();
    second.until(made.id, VolumeStatus::Available).await;
}

#[actix::test]
async fn an_operation_past_its_deadline_ends_in_error_and_says_so() {
    let world = World::with(hasty()).await;
    world.always("create_volume", Reaction::Lose);
    let volume = world.call(create(1)).await.unwrap();
    let volume = world.until(volume.id, VolumeStatus::Error).await;
    assert_eq!(
        volume.host,
        Some(pool("h1@fake#p")),
        "for the delete to clean up there"
    );
    assert_eq!(
        world.messages().await[0].cause.as_deref(),
        Some("The operation timed out.")
    );
    world.always("delete_volume", Reaction::Lose);
    let delete = DeleteVolume {
        volume_id: volume.id.to_string(),
        cascade: false,
        force: true,
    };
    world.call_as(&admin(), delete.clone()).await.unwrap();
    world.until(volume.id, VolumeStatus::ErrorDeleting).await;
    world.always("delete_volume", Reaction::Succeed);
    world.call_as(&admin(), delete).await.unwrap();
    world.until_gone(volume.id).await;
}

#[actix::test]
async fn a_connection_past_its_deadline_is_error_attaching() {
    let world = World::with(hasty()).await;
    let volume = world.volume(1).await;
    let reserve = CreateAttachment {
        volume_id: volume.id.to_string(),
        instance_uuid: Some(Uuid::new_v4()),
        connector: None,
        mode: None,
    };
    let attachment = world.call(reserve).await.unwrap();
    world.always("initialize_connection", Reaction::Lose);
    let update = UpdateAttachment {
        attachment_id: attachment.id.to_string(),
        connector: connector("a"),
    };
    world.call(update).await.unwrap_err();
    let now = world.catalog.attachment(attachment.id).await.unwrap().unwrap();
    assert_eq!(
        (now.status, now.operation),
        (AttachmentStatus::ErrorAttaching, None)
    );
    world.until(volume.id, VolumeStatus::Available).await;
}

#[actix::test]
async fn a_command_that_is_refused_at_the_door_comes_again() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    // It lives on a host that is not there yet.
    let mut moved = volume.clone();
    moved.host = Some(pool("h9@fake#p"));
    world.put(&moved).await;
    let delete = DeleteVolume {
        volume_id: volume.id.to_string(),
        cascade: false,
        force: false,
    };
    world.call(delete).await.unwrap();
    world.until(volume.id, VolumeStatus::Deleting).await;
    world.start_backend("h9@fake");
    world.until_gone(volume.id).await;
}

#[actix::test]
async fn an_accepted_command_is_left_alone_until_its_backend_is_started_anew() {
    let options = Options {
        patience: Duration::from_secs(600),
        retry_max: Duration::from_secs(600),
        ..quick()
    };
    let world = World::with(options).await;
    world.will("create_volume", [Reaction::Lose]);
    let volume = world.call(create(1)).await.unwrap();
    world
        .wait("the command", async || {
            world.got("create_volume").first().cloned()
        })
        .await;
    assert_eq!(world.got("schedule").len(), 1);
    let backend = BackendName::new("h1", "fake");
    let started = BackendStarted {
        backend: backend.clone(),
        at: Timestamp::now(),
    };
    world.api.cast(&Context::internal("test"), started).await.unwrap();
    let volume = world.until(volume.id, VolumeStatus::Available).await;
    assert_eq!(
        (world.got("create_volume").len(), world.got("schedule").len()),
        (2, 1)
    );
    let list = ListBackendVolumes {
        backend,
        after: None,
        limit: 10,
    };
    let listed = world.call(list).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].volume.id, listed[0].status),
        (volume.id, VolumeStatus::Available)
    );
    assert_eq!(Some(&listed[0].volume.pool), volume.host.as_ref());
}

#[actix::test]
async fn a_report_of_another_host_or_attempt_is_dropped() {
    let world = World::new().await;
    world.always("create_volume", Reaction::Lose);
    let volume = world.call(create(1)).await.unwrap();
    let create = world
        .wait("the command", async || {
            world.received::<CreateVolumeCommand>().first().cloned()
        })
        .await;
    let done = pumice::messages::api::Outcome::Created { provider_id: None };
    let context = Context::internal("test");
    let other_host = "h2@fake".parse().unwrap();
    crate::support::send_report(
        &world.router,
        &context,
        create.command,
        Some(other_host),
        done.clone(),
    )
    .await;
    crate::support::send_report(&world.router, &context, create.command, None, done.clone()).await;
    let mut old = create.command;
    old.attempt = 7;
    crate::support::send_report(
        &world.router,
        &context,
        old,
        Some("h1@fake".parse().unwrap()),
        done,
    )
    .await;
    // Answered behind the reports, in the order they came.
    let update = pumice::verbs::volume::UpdateVolume {
        volume_id: volume.id.to_string(),
        ..Default::default()
    };
    assert_eq!(world.call(update).await.unwrap().status, VolumeStatus::Creating);
}

#[actix::test]
async fn old_messages_are_forgotten() {
    let world = World::without_api(quick()).await;
    let message = |expires_at| pumice::model::UserMessage {
        id: pumice::model::MessageId::new(),
        project_id: crate::support::project(),
        request_id: "req-1".into(),
        resource_type: "VOLUME".into(),
        resource_uuid: None,
        action: pumice::model::user_message::Action::ExtendVolume,
        detail: pumice::model::user_message::Detail::UnknownError,
        cause: None,
        created_at: Timestamp(1),
        expires_at,
    };
    let (old, young) = (
        message(Timestamp(2)),
        message(Timestamp::now().plus(Duration::from_secs(60))),
    );
    let mut changes = world.catalog.change();
    changes.insert(&old).insert(&young);
    changes.commit().await.unwrap();
    world.start_api();
    world
        .wait("the old one to go", async || {
            (world.messages().await == [young.clone()]).then_some(())
        })
        .await;
}
