//! Reports that arrive when no operation waits for them any more: of an earlier attempt, of a backend that has lost the
//! operation, of one that has ended.

use pumice::messages::api::{FailureKind, Outcome};
use pumice::messages::volume::CommandId;
use pumice::model::{BackendName, VolumeStatus};
use pumice::verbs::volume::{CreateVolumeCommand, DeleteVolume};

use crate::support::{Reaction, World, create, failed, member, pool, send_report};

const CREATED: Outcome = Outcome::Created { provider_id: None };

fn backend(name: &str) -> Option<BackendName> {
    Some(name.parse().unwrap())
}

#[actix::test]
async fn a_report_counts_only_of_this_attempt_by_this_backend_while_it_is_open() {
    let world = World::new().await;
    world.start_backend("h2@fake");
    world.script.lock().pools.push_back(pool("h2@fake#p"));
    world.will("create_volume", [Reaction::Fail(FailureKind::Backend)]);
    world.always("create_volume", Reaction::Lose);
    let volume = world.call(create(1)).await.unwrap();
    let [first, second] = world
        .wait("the second attempt", async || {
            let creates = world.received::<CreateVolumeCommand>();
            let mut commands: Vec<CommandId> = creates.iter().map(|create| create.command).collect();
            commands.dedup();
            commands.try_into().ok()
        })
        .await;
    assert_eq!(
        (first.operation, first.attempt + 1),
        (second.operation, second.attempt)
    );

    let report =
        async |command, from, outcome| send_report(&world.router, &member(), command, from, outcome).await;
    report(first, backend("h1@fake"), CREATED).await;
    report(first, backend("h1@fake"), failed(FailureKind::Request)).await;
    report(second, backend("h1@fake"), CREATED).await;
    report(second, backend("h1@fake"), failed(FailureKind::Request)).await;
    report(second, None, CREATED).await;
    // What is asked after them is answered after them.
    let other = world.call(create(1)).await.unwrap();
    let now = world.catalog.volume(volume.id).await.unwrap().unwrap();
    assert_eq!(now.status, VolumeStatus::Creating);
    assert_eq!(now.host, Some(pool("h2@fake#p")));
    let open = world.operations().await;
    assert!(open.iter().any(|operation| operation.id == second.operation));

    report(second, backend("h2@fake"), CREATED).await;
    world.until(volume.id, VolumeStatus::Available).await;
    report(second, backend("h2@fake"), failed(FailureKind::Backend)).await;
    report(first, backend("h1@fake"), failed(FailureKind::NoSpace)).await;
    world.always("create_volume", Reaction::Succeed);
    world.until(other.id, VolumeStatus::Available).await;
    world.until_quiet().await;
    let now = world.catalog.volume(volume.id).await.unwrap().unwrap();
    assert_eq!(now.status, VolumeStatus::Available);
    assert_eq!(now.host, Some(pool("h2@fake#p")));
    assert!(world.messages().await.is_empty());
    assert_eq!(world.usage("volumes").await.in_use, 2);
}

#[actix::test]
async fn a_report_does_not_bring_back_what_was_deleted() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let made = world.received::<CreateVolumeCommand>().pop().unwrap();
    let delete = DeleteVolume {
        volume_id: volume.id.to_string(),
        cascade: false,
        force: false,
    };
    world.call(delete).await.unwrap();
    world.until_gone(volume.id).await;
    send_report(
        &world.router,
        &member(),
        made.command,
        backend("h1@fake"),
        CREATED,
    )
    .await;
    world.volume(1).await;
    world.until_quiet().await;
    assert!(world.catalog.volume(volume.id).await.unwrap().is_none());
    assert_eq!(world.usage("volumes").await.in_use, 1);
}
