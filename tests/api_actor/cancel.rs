//! Ending what takes long, before it is done.

use std::time::Duration;

use pumice::actors::api::Options;
use pumice::messages::api::{CancelOperation, FailureKind, Progress};
use pumice::messages::volume::{CancelOperation as CancelCommand, CommandId};
use pumice::model::{ErrorKind, Operation, OperationId, VolumeId, VolumeStatus};
use pumice::verbs::volume::{ChangeVolume, DeleteVolume, ExtendVolume, VolumeChange};

use crate::support::{Reaction, World, admin, create, pool, quick, reader, stranger};

fn cancel(operation: &Operation) -> CancelOperation {
    CancelOperation {
        operation: operation.id,
    }
}

async fn open(world: &World, verb: &str) -> Operation {
    world
        .wait("the command", async || world.got(verb).first().cloned())
        .await;
    world.operations().await.remove(0)
}

fn delete(volume: VolumeId) -> DeleteVolume {
    DeleteVolume {
        volume_id: volume.to_string(),
        cascade: false,
        force: false,
    }
}

#[actix::test]
async fn a_cancelled_create_is_told_to_its_backend_and_tried_nowhere_else() {
    let world = World::new().await;
    world.always("create_volume", Reaction::Lose);
    let volume = world.call(create(2)).await.unwrap();
    let operation = open(&world, "create_volume").await;
    world.call(cancel(&operation)).await.unwrap();
    let volume = world.until(volume.id, VolumeStatus::Error).await;
    assert_eq!(volume.operation, None);
    let command = CommandId {
        operation: operation.id,
        attempt: 1,
    };
    let cancels = world.received::<CancelCommand>();
    assert!(cancels.iter().all(|cancel| cancel.command == command));
    assert_eq!(world.got("schedule").len(), 1);
    assert_eq!(world.messages().await[0].cause.as_deref(), Some("It broke."));
    // It counts until it is deleted, as whatever failed does.
    let usage = world.usage("gigabytes").await;
    assert_eq!((usage.in_use, usage.reserved), (2, 0));
    let again = world.call(cancel(&operation)).await.unwrap_err();
    assert_eq!(again.client, format!("Operation {} has ended.", operation.id));
}

#[actix::test]
async fn a_backend_that_fails_because_it_was_cancelled_is_not_followed_by_another() {
    let world = World::new().await;
    world.always("create_volume", Reaction::Lose);
    world.always("cancel_operation", Reaction::Fail(FailureKind::Backend));
    let volume = world.call(create(1)).await.unwrap();
    let operation = open(&world, "create_volume").await;
    world.call(cancel(&operation)).await.unwrap();
    world.until(volume.id, VolumeStatus::Error).await;
    assert_eq!(world.got("schedule").len(), 1);
}

#[actix::test]
async fn a_cancelled_operation_ends_without_a_backend_that_says_nothing() {
    let world = World::with(Options {
        cancel_grace: Duration::from_millis(200),
        ..quick()
    })
    .await;
    world.always("create_volume", Reaction::Lose);
    world.always("cancel_operation", Reaction::Lose);
    let volume = world.call(create(1)).await.unwrap();
    let operation = open(&world, "create_volume").await;
    world.call(cancel(&operation)).await.unwrap();
    let volume = world.until(volume.id, VolumeStatus::Error).await;
    assert_eq!(
        volume.host,
        Some(pool("h1@fake#p")),
        "for the delete to clean up there"
    );
    assert_eq!(
        world.messages().await[0].cause.as_deref(),
        Some("The operation was cancelled.")
    );
}

#[actix::test]
async fn that_it_is_cancelled_is_known_after_a_restart() {
    let world = World::new().await;
    world.always("create_volume", Reaction::Lose);
    world.always("cancel_operation", Reaction::Lose);
    let made = world.call(create(1)).await.unwrap();
    let operation = open(&world, "create_volume").await;
    world.call(cancel(&operation)).await.unwrap();
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
    second.always("cancel_operation", Reaction::Succeed);
    second.start_api();
    second.until(made.id, VolumeStatus::Error).await;
}

#[actix::test]
async fn what_no_backend_has_heard_of_ends_at_once() {
    let world = World::new().await;
    world.always("schedule", Reaction::Lose);
    let volume = world.call(create(1)).await.unwrap();
    let operation = open(&world, "schedule").await;
    world.call(cancel(&operation)).await.unwrap();
    world.until(volume.id, VolumeStatus::Error).await;
    assert!(world.got("cancel_operation").is_empty());
}

#[actix::test]
async fn a_volume_whose_delete_was_cancelled_is_deleted_by_force() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    world.always("delete_volume", Reaction::Lose);
    world.call(delete(volume.id)).await.unwrap();
    let operation = open(&world, "delete_volume").await;
    world.call(cancel(&operation)).await.unwrap();
    world.until(volume.id, VolumeStatus::ErrorDeleting).await;
    world.always("delete_volume", Reaction::Succeed);
    let by_force = DeleteVolume {
        force: true,
        ..delete(volume.id)
    };
    world.call_as(&admin(), by_force).await.unwrap();
    world.until_gone(volume.id).await;
}

#[actix::test]
async fn a_delete_that_has_not_begun_leaves_the_volume_as_it_was() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    world.always("create_volume", Reaction::Lose);
    let mut clone = create(1);
    clone.source_volid = Some(volume.id.0);
    world.call(clone).await.unwrap();
    let deleted = world.call(delete(volume.id)).await;
    deleted.unwrap();
    let operation = world
        .operations()
        .await
        .into_iter()
        .find(|operation| operation.volume_id == Some(volume.id))
        .unwrap();
    world.call(cancel(&operation)).await.unwrap();
    world.until(volume.id, VolumeStatus::Available).await;
    assert!(world.got("delete_volume").is_empty());
}

#[actix::test]
async fn only_its_project_and_administrators_cancel_and_only_what_takes_long() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let unknown = CancelOperation {
        operation: OperationId::new(),
    };
    let error = world.call(unknown.clone()).await.unwrap_err();
    assert_eq!(
        error.client,
        format!("Operation {} could not be found.", unknown.operation)
    );
    world.always("extend_volume", Reaction::Lose);
    let grow = ExtendVolume {
        volume_id: volume.id.to_string(),
        new_size: 2,
        attached_too: false,
    };
    world.call(grow).await.unwrap();
    let operation = open(&world, "extend_volume").await;
    let error = world.call_as(&stranger(), cancel(&operation)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    let error = world.call_as(&admin(), cancel(&operation)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    world.always("extend_volume", Reaction::Succeed);
    world.until(volume.id, VolumeStatus::Available).await;
}

#[actix::test]
async fn progress_is_known_while_the_operation_is_open_and_not_after_it() {
    let world = World::new().await;
    world.always("create_volume", Reaction::Lose);
    let volume = world.call(create(1)).await.unwrap();
    let operation = open(&world, "create_volume").await;
    let progress = Progress {
        command: CommandId {
            operation: operation.id,
            attempt: 1,
        },
        done: 1,
        total: 4,
    };
    world.api.cast(&admin(), progress.clone()).await.unwrap();
    let advance = world
        .wait("the progress", async || world.finished.advance(operation.id))
        .await;
    assert_eq!((advance.done, advance.total), (1, 4));
    world.always("create_volume", Reaction::Succeed);
    world.until(volume.id, VolumeStatus::Available).await;
    world.until_quiet().await;
    world.api.cast(&admin(), progress).await.unwrap();
    // A call after it: the cast has been served by then.
    world.call(cancel(&operation)).await.unwrap_err();
    assert_eq!(world.finished.advance(operation.id), None);
}

#[actix::test]
async fn what_a_reader_or_a_member_may_not_do_is_refused_behind_the_gate_too() {
    let world = World::new().await;
    world.always("create_volume", Reaction::Lose);
    let volume = world.call(create(2)).await.unwrap();
    let operation = open(&world, "create_volume").await;
    let refused = |answer: Result<(), pumice::model::Error>| {
        let error = answer.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Forbidden, "{error:?}");
        error.client
    };
    let refusal = refused(world.call_as(&reader(), cancel(&operation)).await);
    assert_eq!(refusal, "Policy doesn't allow cancel_operation to be performed.");
    refused(world.call_as(&reader(), delete(volume.id)).await);
    refused(world.call_as(&reader(), create(1)).await.map(drop));
    let nobody = pumice::model::Context {
        roles: vec!["heat_stack_owner".to_owned()],
        ..reader()
    };
    refused(world.call_as(&nobody, cancel(&operation)).await);
    // A member of the project, in what is for administrators.
    let force = DeleteVolume {
        force: true,
        ..delete(volume.id)
    };
    refused(world.call(force).await);
    let reset = ChangeVolume {
        volume_id: volume.id.to_string(),
        change: VolumeChange::ResetStatus {
            status: Some(VolumeStatus::Available),
            attach_status: None,
            migration_status: None,
        },
    };
    refused(world.call(reset).await.map(drop));
    assert!(!world.operations().await.remove(0).is_cancelled());
    world.call(cancel(&operation)).await.unwrap();
}
