//! A node that takes nothing in delays what is meant for it, and nothing else.

use std::collections::VecDeque;
use std::time::Duration;

use pumice::actors::api::Options;
use pumice::model::VolumeId;
use pumice::transport::{Router, TransportOptions};
use pumice::verbs::volume::CreateVolumeCommand;

use crate::support::{Reaction, World, create, pool, quick};
use crate::transport_support::net::{Wire, connected, listen};

fn commands_for(world: &World, volume: VolumeId) -> usize {
    let creates = world.received::<CreateVolumeCommand>();
    creates.iter().filter(|create| create.volume.id == volume).count()
}

async fn placed(world: &World, volume: VolumeId) {
    world
        .wait("its first command", async || {
            (commands_for(world, volume) > 0).then_some(())
        })
        .await;
}

#[actix::test]
async fn a_node_that_takes_nothing_in_delays_only_its_own_operations() {
    const HUNG: usize = 40;
    let world = World::with(Options {
        patience: Duration::from_millis(50),
        ..quick()
    })
    .await;
    // It is never found to be silent while this runs, and each command to it takes all of the time that it may.
    let options = TransportOptions {
        ping_interval: Duration::from_secs(60),
        accept_timeout: Duration::from_secs(3),
        trusts_every_peer: true,
        ..TransportOptions::default()
    };
    let far = Router::new("far");
    let wire = Wire::to(listen(&far, options.clone()).await).await;
    world.router.join(wire.address.to_string(), options);
    connected(&world.router, "far").await;
    world.start_backend_on(&far, "h2@fake");
    world.always("create_volume", Reaction::Lose);
    let pools = |name: &str| {
        world.script.lock().pools = VecDeque::from([pool(name)]);
    };
    pools("h2@fake#p");
    for _ in 0..HUNG {
        let volume = world.call(create(1)).await.unwrap();
        placed(&world, volume.id).await;
    }
    pools("h1@fake#p");
    let near = world.call(create(1)).await.unwrap();
    placed(&world, near.id).await;

    wire.silence();
    // All that could be due to the silent node is, by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = commands_for(&world, near.id);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let sent = commands_for(&world, near.id) - before;
    assert!(sent >= 5, "sent {sent} times in 1.5 s, where every 65 ms is due");
}
