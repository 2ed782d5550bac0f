//! Several control nodes that share a store: each serves every request, whoever is killed or stands still.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use actix_rt::Arbiter;
use parking_lot::Mutex;
use pumice::actors::api::{ControlNodes, FinishedOperations, endpoint};
use pumice::actors::registry::control_nodes::{ControlNodeOptions, JoinError, Monitor, join, leave};
use pumice::model::control_node::ControlNodeState;
use pumice::model::{AttachmentStatus, ErrorKind, NodeIncarnation, VolumeStatus};
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;
use pumice::verbs::attachment::CreateAttachment;
use pumice::verbs::volume::{DeleteVolume, InitializeConnection};
use uuid::Uuid;

use crate::behind::Behind;
use crate::conflicts::{Trouble, Troubled};
use crate::support::{Reaction, World, connector, create, quick};

/// Where a node is to be found down: longer than a loaded machine lets a thread wait.
const TIMES: ControlNodeOptions = ControlNodeOptions {
    beat_interval: Duration::from_millis(20),
    down_after: Duration::from_millis(1500),
};

/// Where none is.
const PATIENT: ControlNodeOptions = ControlNodeOptions {
    down_after: Duration::from_secs(60),
    ..TIMES
};

fn run_of(node: &str, random: u64) -> NodeIncarnation {
    NodeIncarnation {
        node: node.to_owned(),
        boot: 1,
        random,
    }
}

async fn joined(catalog: &Catalog, node: &str, random: u64) -> (Catalog, ControlNodes) {
    join(catalog, &run_of(node, random), random, TIMES).await.unwrap()
}

/// A control node on a thread of its own, which is killed by stopping that.
struct Node {
    world: World,
    arbiter: Arbiter,
}

impl Node {
    /// Beside the neighbours of a world, with its store.
    async fn start(beside: &World, name: &str) -> Self {
        let joined = joined(&beside.catalog, name, 1).await;
        Self::start_as(beside, name, joined)
    }

    /// As one that has joined through a catalog of its own.
    fn start_as(beside: &World, name: &str, (catalog, nodes): (Catalog, ControlNodes)) -> Self {
        let world = World {
            api: beside.router.server(name),
            catalog,
            nodes,
            router: beside.router.clone(),
            script: beside.script.clone(),
            finished: FinishedOperations::new(),
            options: beside.options.clone(),
        };
        let arbiter = Arbiter::new();
        beside
            .router
            .register(endpoint(world.control()).start_on(&arbiter.handle()));
        Self { world, arbiter }
    }

    /// Says that it runs, and watches the others.
    fn watch(self, times: ControlNodeOptions) -> Self {
        let monitor = Monitor::new(self.world.catalog.clone(), self.world.nodes.clone(), times);
        assert!(self.arbiter.spawn(monitor.run()));
        self
    }

    fn kill(self) {
        self.arbiter.stop();
        self.arbiter.join().unwrap();
    }

    async fn until_down(&self, node: &str) {
        self.world
            .wait("the node to be down", async || {
                let found = self.world.catalog.control_node(node).await.unwrap()?;
                (found.state == ControlNodeState::Down).then_some(())
            })
            .await;
    }
}

/// Attaches a volume, which waits for the backend.
fn attach(volume: Uuid) -> CreateAttachment {
    CreateAttachment {
        volume_id: volume.to_string(),
        instance_uuid: Some(Uuid::new_v4()),
        connector: Some(connector("a")),
        mode: None,
    }
}

#[actix::test]
async fn a_client_that_waits_at_one_node_gets_its_answer_when_the_report_comes_to_another() {
    let world = World::without_api(quick()).await;
    let a = Node::start(&world, "a").await.watch(PATIENT);
    let b = Node::start(&world, "b").await.watch(PATIENT);
    for at in [&a, &b].into_iter().cycle().take(8) {
        let volume = at.world.volume(1).await;
        // Reports are cast to any node of the topic, in turns.
        let attachment = at.world.call(attach(volume.id.0)).await.unwrap();
        assert_eq!(attachment.status, AttachmentStatus::Attaching);
        assert!(attachment.connection_info.is_some());
    }
    world.until_quiet().await;
}

#[actix::test]
async fn an_answer_shows_the_end_of_an_operation_that_another_node_has_ended_before_the_view_does() {
    let memory = Arc::new(MemoryStore::default());
    let world = World::on(memory.clone(), quick()).await;
    let catalog = Catalog::open(Arc::new(Behind::of(memory))).await.unwrap();
    let joined = join(&catalog, &run_of("a", 1), 1, PATIENT).await.unwrap();
    let a = Node::start_as(&world, "a", joined);
    let b = Node::start(&world, "b").await.watch(PATIENT);
    // Reports are cast to both nodes, in turns.
    for _ in 0..4 {
        let volume = b.world.volume(1).await;
        a.world.catalog.wait_current().await.unwrap();
        let attachment = a.world.call(attach(volume.id.0)).await.unwrap();
        assert_eq!(attachment.status, AttachmentStatus::Attaching);
        assert!(attachment.connection_info.is_some());
        // A request that waits for an operation of the other node decides by what that has changed.
        let volume = b.world.volume(1).await;
        a.world.catalog.wait_current().await.unwrap();
        world.will("initialize_connection", [Reaction::Lose]);
        let (first, second) = tokio::join!(
            b.world.call(attach(volume.id.0)),
            a.world.call(attach(volume.id.0))
        );
        let refused: Vec<_> = [first.err(), second.err()].into_iter().flatten().collect();
        assert!(
            matches!(&refused[..], [error] if error.kind == ErrorKind::BadRequest),
            "{refused:?}"
        );
    }
    world.until_quiet().await;
}

#[actix::test]
async fn a_request_waits_for_an_operation_of_another_node() {
    let world = World::without_api(quick()).await;
    let a = Node::start(&world, "a").await.watch(PATIENT);
    let b = Node::start(&world, "b").await.watch(PATIENT);
    let volume = a.world.volume(1).await;
    // The first command is lost, so the first request is under way when the second comes, which waits for it.
    world.will("initialize_connection", [Reaction::Lose]);
    let initialize = || InitializeConnection {
        volume_id: volume.id.to_string(),
        connector: connector("a"),
    };
    let (first, second) = tokio::join!(a.world.call(initialize()), b.world.call(initialize()));
    assert_eq!(first.unwrap().driver_volume_type, "iscsi");
    assert_eq!(second.unwrap().driver_volume_type, "iscsi");
    world.until_quiet().await;
}

#[actix::test]
async fn operations_of_a_node_that_is_killed_are_taken_over() {
    let world = World::without_api(quick()).await;
    let a = Node::start(&world, "a").await.watch(TIMES);
    let b = Node::start(&world, "b").await.watch(TIMES);
    world.always("create_volume", Reaction::Lose);
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(a.world.call(create(1)).await.unwrap());
    }
    world
        .wait("the commands", async || {
            (world.got("create_volume").len() >= 5).then_some(())
        })
        .await;
    a.kill();
    b.until_down("a").await;
    world.always("create_volume", Reaction::Succeed);
    for volume in made {
        world.until(volume.id, VolumeStatus::Available).await;
    }
    world.until_quiet().await;
    drop(b);
}

#[actix::test]
async fn a_node_that_ends_by_itself_leaves_its_operations_at_once() {
    let world = World::without_api(quick()).await;
    let a = Node::start(&world, "a").await.watch(PATIENT);
    let b = Node::start(&world, "b").await.watch(PATIENT);
    // So that it has seen the other.
    let _ = b.world.volume(1).await;
    world.always("create_volume", Reaction::Lose);
    let made = a.world.call(create(1)).await.unwrap();
    leave(&a.world.catalog, &a.world.nodes).await.unwrap();
    a.kill();
    world.always("create_volume", Reaction::Succeed);
    world.until(made.id, VolumeStatus::Available).await;
    let found = world.catalog.control_node("a").await.unwrap().unwrap();
    assert_eq!(found.state, ControlNodeState::Stopped, "it was not found down");
    drop(b);
}

#[actix::test]
async fn the_commits_of_a_node_that_only_stood_still_are_refused() {
    let world = World::without_api(quick()).await;
    // It serves requests, and does not say that it runs.
    let a = Node::start(&world, "a").await;
    let b = Node::start(&world, "b").await.watch(TIMES);
    let volume = a.world.volume(1).await;
    b.until_down("a").await;
    assert!(!a.world.catalog.may_commit().await.unwrap());
    let delete = DeleteVolume {
        volume_id: volume.id.to_string(),
        cascade: false,
        force: false,
    };
    let refused = a.world.call(delete.clone()).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable { retry_after: 1 });
    let kept = world.catalog.volume(volume.id).await.unwrap().unwrap();
    assert_eq!(kept.status, VolumeStatus::Available);
    b.world.call(delete).await.unwrap();
    world.until_gone(volume.id).await;
    // When it looks again, it learns that it must end.
    let a = a.watch(TIMES);
    let why = a.world.nodes.fenced().await;
    assert!(why.contains("silent"), "{why}");
    drop(b);
}

#[actix::test]
async fn nodes_that_could_not_reach_the_store_accuse_no_others_when_it_is_back() {
    // All of them are on one thread: what delays one delays all.
    let down_after = Duration::from_millis(200);
    let store = Arc::new(Troubled {
        memory: Arc::default(),
        next: Mutex::default(),
        may_be_old: AtomicBool::default(),
    });
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let mut joined_ones = Vec::new();
    // The first is the first that reaches the store again.
    for (name, interval) in [("a", 20), ("b", 70), ("c", 90)] {
        let (catalog, nodes) = joined(&catalog, name, 1).await;
        let times = ControlNodeOptions {
            beat_interval: Duration::from_millis(interval),
            down_after,
        };
        actix_rt::spawn(Monitor::new(catalog.clone(), nodes, times).run());
        joined_ones.push(catalog);
    }
    tokio::time::sleep(down_after).await;
    store
        .next
        .lock()
        .extend(std::iter::repeat_n(Trouble::Full, 1_000_000));
    tokio::time::sleep(2 * down_after).await;
    store.next.lock().clear();
    tokio::time::sleep(down_after).await;
    for catalog in joined_ones {
        assert!(catalog.may_commit().await.unwrap());
    }
}

#[actix::test]
async fn two_processes_of_one_name_do_not_run_beside_each_other() {
    let world = World::without_api(quick()).await;
    let a = Node::start(&world, "a").await.watch(TIMES);
    let other = join(&world.catalog, &run_of("a", 2), 2, TIMES).await;
    let error = other.err().unwrap();
    assert!(matches!(error, JoinError::NameTaken { .. }), "{error}");
    assert!(a.world.catalog.may_commit().await.unwrap());
    let (former, nodes) = (a.world.catalog.clone(), a.world.nodes.clone());
    a.kill();
    // It was killed: after its time of silence the name is free, and what is left of it may commit nothing.
    let (catalog, _) = joined(&world.catalog, "a", 2).await;
    assert!(catalog.may_commit().await.unwrap());
    assert!(!former.may_commit().await.unwrap());
    assert!(leave(&former, &nodes).await.is_err());
    // A start with the same data folder has not to wait, and ends the former one.
    let begun = Instant::now();
    let (_, _) = join(&world.catalog, &run_of("a", 3), 2, TIMES).await.unwrap();
    assert!(begun.elapsed() < TIMES.down_after);
    assert!(!catalog.may_commit().await.unwrap());
}

#[actix::test]
async fn a_node_that_cannot_say_that_it_runs_sends_no_commands_until_it_can() {
    let store = Arc::new(Troubled {
        memory: Arc::default(),
        next: Mutex::default(),
        may_be_old: AtomicBool::default(),
    });
    let world = World::on(store.clone(), quick()).await;
    let a = Node::start(&world, "a").await.watch(TIMES);
    world.always("create_volume", Reaction::Lose);
    let made = a.world.call(create(1)).await.unwrap();
    let sent = || world.got("create_volume").len();
    world
        .wait("the command to be sent again", async || {
            (sent() >= 2).then_some(())
        })
        .await;
    store
        .next
        .lock()
        .extend(std::iter::repeat_n(Trouble::Full, 1_000_000));
    world
        .wait("its lease to end", async || {
            (!a.world.nodes.may_send_commands()).then_some(())
        })
        .await;
    // What was decided before is on its way.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = sent();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(sent(), before, "others may have taken its operation over");
    store.next.lock().clear();
    world
        .wait("the command to be sent again", async || {
            (sent() > before).then_some(())
        })
        .await;
    world.always("create_volume", Reaction::Succeed);
    world.until(made.id, VolumeStatus::Available).await;
    world.until_quiet().await;
}
