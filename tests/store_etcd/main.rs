//! The engine on etcd, with a real etcd: two control nodes on one, and all that etcd can do to them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "no run of these is replayed")]

#[path = "../linearizability/checker.rs"]
mod checker;
#[path = "../etcd_support/cluster.rs"]
mod cluster;

mod access;
mod catalog;
#[path = "../process_support/child.rs"]
mod child;
#[path = "../process_support/client.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod client;
mod cluster_tasks;
mod control_nodes;
mod cut_link;
mod faults;
mod nodes;
mod proxy;
mod register;
mod rolling_upgrade;
mod service;
mod swapped_disks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::Cluster;
use pumice::store::derived::NothingDerived;
use pumice::store::etcd::{EtcdOptions, EtcdStore};
use pumice::store::{Change, Condition, Key, Revision, Store, StoreError, Transaction};

/// The options of a node.
fn options(cluster: &Cluster, node: &str) -> EtcdOptions {
    EtcdOptions {
        endpoints: cluster.endpoints(),
        node: node.to_owned(),
        timeout: Duration::from_secs(8),
        ..EtcdOptions::default()
    }
}

async fn try_open(options: EtcdOptions) -> Result<EtcdStore, StoreError> {
    EtcdStore::open(options, Arc::new(NothingDerived)).await
}

async fn open(cluster: &Cluster, node: &str) -> EtcdStore {
    try_open(options(cluster, node)).await.unwrap()
}

fn key(text: &str) -> Key {
    Key(text.as_bytes().to_vec())
}

fn put(at: &str, value: &str) -> Transaction {
    changes(vec![Change::Put(key(at), value.as_bytes().to_vec())])
}

fn changes(changes: Vec<Change>) -> Transaction {
    Transaction {
        changes,
        ..Transaction::default()
    }
}

/// A put that requires the value to be as it was read.
fn replace(at: &str, was: Option<Revision>, value: &str) -> Transaction {
    let condition = match was {
        Some(revision) => Condition::Unchanged(key(at), revision),
        None => Condition::Absent(key(at)),
    };
    Transaction {
        conditions: vec![condition],
        ..put(at, value)
    }
}

/// The text at a key, and the revision that wrote it.
async fn read(store: &EtcdStore, at: &str) -> Option<(String, Revision)> {
    let entry = store.get(&key(at)).await.unwrap()?;
    Some((String::from_utf8(entry.value.to_vec()).unwrap(), entry.revision))
}

/// Waits for a condition.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < limit, "not after 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
