//! A node that takes nothing in delays what is meant for it, and nothing else.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pumice::actors::api::Options;
use pumice::messages::scheduler::SchedulerTopic;
use pumice::model::{Context, Error, OperationId, VolumeId};
use pumice::transport::serve::EndpointBuilder;
use pumice::transport::{Actor, Router, Serve, TransportOptions};
use pumice::verbs::volume::{CreateVolumeCommand, ScheduleVolume};
use tokio::sync::Semaphore;

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

/// A scheduler with a mailbox for one command, which it takes out when it may.
#[derive(Clone)]
struct Full {
    may_go_on: Arc<Semaphore>,
    received: Arc<Mutex<BTreeSet<OperationId>>>,
}

impl Actor for Full {
    type Topic = SchedulerTopic;
}

impl Serve<ScheduleVolume> for Full {
    async fn serve(self: Rc<Self>, _context: Context, message: ScheduleVolume) -> Result<(), Error> {
        drop(self.may_go_on.acquire().await);
        self.received.lock().insert(message.operation);
        Ok(())
    }
}

#[actix::test]
async fn what_waits_for_a_full_mailbox_is_sent_soon_after_it_has_room() {
    const COUNT: usize = 8;
    let retry = Duration::from_millis(5);
    let world = World::with(Options {
        retry_initial: retry,
        retry_max: Duration::from_secs(60),
        patience: Duration::from_secs(60),
        ..quick()
    })
    .await;
    let full = Full {
        may_go_on: Arc::new(Semaphore::new(0)),
        received: Arc::default(),
    };
    let scheduler = full.clone();
    let endpoint = EndpointBuilder::new(None, 1, move || Rc::new(scheduler.clone()));
    world.router.register(endpoint.serves::<ScheduleVolume>().start());
    for _ in 0..COUNT {
        world.call(create(1)).await.unwrap();
    }
    // With pauses that double, the next of most would be a second away.
    tokio::time::sleep(retry * 500).await;
    assert!(full.received.lock().is_empty());
    full.may_go_on.add_permits(1);
    let begun = Instant::now();
    world
        .wait("all commands", async || {
            (full.received.lock().len() == COUNT).then_some(())
        })
        .await;
    let taken = begun.elapsed();
    assert!(taken < Duration::from_millis(400), "{taken:?}");
}
