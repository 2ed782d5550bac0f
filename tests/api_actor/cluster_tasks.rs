//! Tasks that are done once in the cluster.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pumice::actors::api::ControlNodes;
use pumice::actors::registry::control_nodes::{ControlNodeOptions, join, leave};
use pumice::control::periodic_task::PeriodicTask;
use pumice::model::NodeIncarnation;
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;

const EVERY: Duration = Duration::from_millis(500);

/// A time that the task was done: by which node, from when until when.
type Done = (usize, Instant, Instant);

struct Node {
    catalog: Catalog,
    nodes: ControlNodes,
}

impl Node {
    async fn join(catalog: &Catalog, number: usize) -> Self {
        let run = NodeIncarnation {
            node: format!("c{number}"),
            boot: 1,
            random: 1,
        };
        let joined = join(catalog, &run, 1, ControlNodeOptions::default()).await;
        let (catalog, nodes) = joined.unwrap();
        Self { catalog, nodes }
    }

    fn task(&self) -> PeriodicTask {
        PeriodicTask::new(self.catalog.clone(), self.nodes.clone(), "task", EVERY)
    }
}

async fn three() -> Vec<Node> {
    let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
    let mut nodes = Vec::new();
    for number in 0..3 {
        nodes.push(Node::join(&catalog, number).await);
    }
    nodes
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

#[actix::test]
async fn a_task_is_done_once_in_each_interval_by_nodes_in_turns() {
    let nodes = three().await;
    let done: Rc<RefCell<Vec<Done>>> = Rc::default();
    for (number, node) in nodes.iter().enumerate() {
        let (mut task, done) = (node.task(), Rc::clone(&done));
        tokio::task::spawn_local(async move {
            loop {
                let turn = task.turn().await;
                let begun = Instant::now();
                tokio::time::sleep(EVERY / 4).await;
                done.borrow_mut().push((number, begun, Instant::now()));
                task.end(turn, true).await;
            }
        });
    }
    until("five times", || done.borrow().len() >= 5).await;
    for pair in done.borrow().windows(2) {
        let [(_, _, ended), (_, begun, _)] = pair else {
            unreachable!("pairs")
        };
        assert!(*begun >= *ended + EVERY * 9 / 10, "too early: {pair:?}");
    }
    let by: BTreeSet<usize> = done.borrow().iter().map(|(number, _, _)| *number).collect();
    assert!(by.len() > 1, "always by the same node");
    let record = nodes[0].catalog.cluster_task("task").await.unwrap().unwrap();
    assert!(record.number >= 5);
}

#[actix::test]
async fn a_task_that_fails_or_whose_node_ends_is_done_by_another_at_once() {
    let nodes = three().await;
    let mut first = nodes[0].task();
    let turn = first.turn().await;
    assert_eq!(turn.number(), Some(1));
    // While it is being done, it is not done elsewhere, however long it takes.
    let mut second = nodes[1].task();
    let too_early = tokio::time::timeout(3 * EVERY, second.turn()).await;
    assert!(too_early.is_err(), "done by two nodes at once");
    first.end(turn, false).await;
    let begun = Instant::now();
    let turn = second.turn().await;
    assert!(begun.elapsed() < EVERY, "{:?}", begun.elapsed());
    assert_eq!(turn.number(), Some(1), "it was not done yet");
    // The one that failed waits.
    let too_early = tokio::time::timeout(EVERY / 2, first.turn()).await;
    assert!(too_early.is_err(), "tried again at once");
    // It ends meanwhile.
    leave(&nodes[1].catalog, &nodes[1].nodes).await.unwrap();
    let mut third = nodes[2].task();
    let begun = Instant::now();
    let number = third.turn().await.number();
    assert!(begun.elapsed() < EVERY, "{:?}", begun.elapsed());
    assert_eq!(number, Some(1));
    // What the former one says is not accepted any more.
    second.end(turn, true).await;
    let record = nodes[2].catalog.cluster_task("task").await.unwrap().unwrap();
    assert_eq!((record.owner.node.as_str(), record.is_running), ("c2", true));
}

#[actix::test]
async fn on_a_store_that_is_not_shared_each_interval_is_a_turn() {
    let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
    let mut task = PeriodicTask::new(catalog.clone(), ControlNodes::alone(), "task", EVERY);
    let begun = Instant::now();
    for _ in 0..2 {
        let turn = task.turn().await;
        assert_eq!(turn.number(), None);
        task.end(turn, true).await;
    }
    assert!(begun.elapsed() >= 2 * EVERY);
    assert!(catalog.cluster_task("task").await.unwrap().is_none());
}
