//! The store on etcd, beside what etcd itself does with as many conditional puts, and reads of the view beside those of sled.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pumice::model::{Timestamp, Volume, VolumeStatus};
use pumice::store::catalog::{Catalog, IndexRows};
use pumice::store::derived::{Derivation, NothingDerived};
use pumice::store::etcd::{EtcdOptions, EtcdStore};
use pumice::store::sled::{SledOptions, SledStore};
use pumice::store::{Change, Condition, Key, Revision, Scan, Store, StoreError, Transaction};

use super::bare;
use crate::cluster::Cluster;

/// How many clients put by themselves: each waits for its own, as a client without merging does.
const CLIENTS: usize = 32;

/// The rows that [`bare::commits`] writes are derived, as index rows are.
struct Rows;

impl Derivation for Rows {
    fn is_derived(&self, key: &Key) -> bool {
        key.0.starts_with(b"bench/row/")
    }

    fn derive(&self, _key: &Key, _value: &[u8]) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        Ok(Vec::new())
    }
}

/// A node of a store of its own, or of a common one.
async fn open(
    cluster: &Cluster,
    store: &str,
    node: &str,
    derivation: Arc<dyn Derivation>,
) -> Result<EtcdStore> {
    let options = EtcdOptions {
        endpoints: cluster.endpoints(),
        prefix: format!("/{store}/"),
        node: node.to_owned(),
        ..EtcdOptions::default()
    };
    Ok(EtcdStore::open(options, derivation).await?)
}

/// Conditional puts per second that etcd does for clients that wait for each of theirs: one transaction is one put.
pub async fn conditional_puts(cluster: &Cluster, count: usize) -> Result<f64> {
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        clients.push(
            open(
                cluster,
                "puts",
                &format!("client-{client}"),
                Arc::new(NothingDerived),
            )
            .await?,
        );
    }
    let started = Instant::now();
    let each = count / CLIENTS;
    let puts = clients.iter().enumerate().map(|(client, store)| async move {
        let key = Key(format!("put/{client}").into_bytes());
        let mut was: Option<Revision> = None;
        for _ in 0..each {
            let condition = match was {
                Some(revision) => Condition::Unchanged(key.clone(), revision),
                None => Condition::Absent(key.clone()),
            };
            let transaction = Transaction {
                conditions: vec![condition],
                changes: vec![Change::Put(key.clone(), vec![7; 400])],
                ..Transaction::default()
            };
            was = Some(store.commit(transaction).await?);
        }
        Ok::<_, anyhow::Error>(())
    });
    for result in futures_util::future::join_all(puts).await {
        result?;
    }
    Ok((each * CLIENTS) as f64 / started.elapsed().as_secs_f64())
}

/// Commits per second, each as large as a create, of one node with so many at once.
pub async fn commits(cluster: &Cluster, at_once: usize, count: usize) -> Result<f64> {
    let store = open(cluster, &format!("commits-{at_once}"), "node", Arc::new(Rows)).await?;
    bare::commits(Arc::new(store), at_once, count).await
}

/// A view of many volumes.
pub struct View {
    /// From the begin of opening until it can be read.
    pub loaded_in: Duration,
    /// Bytes of memory that it takes, per volume.
    pub per_volume: f64,
    /// Nanoseconds of a read by id, and of a page of 1,000 rows, of the view and of sled.
    pub get: [f64; 2],
    pub scan: [f64; 2],
}

/// Measures a view of so many volumes.
pub async fn view(cluster: &Cluster, folder: &Path, count: usize) -> Result<View> {
    let sled: Arc<dyn Store> = Arc::new(SledStore::open(&folder.join("sled"), &SledOptions::default())?);
    let filled = open(cluster, "view", "filler", Arc::new(IndexRows)).await?;
    let etcd: Arc<dyn Store> = Arc::new(filled);
    for store in [&sled, &etcd] {
        let catalog = Catalog::open(Arc::clone(store)).await?;
        let some = (0..count).step_by(30).map(|first| {
            let mut changes = catalog.change();
            for index in first..count.min(first + 30) {
                changes.insert(&Volume {
                    name: Some(format!("bench-{index}")),
                    ..Volume::new(
                        "p".into(),
                        "u".into(),
                        1,
                        VolumeStatus::Available,
                        "nova".into(),
                        Timestamp(1_700_000_000_000_000 + i64::try_from(index).unwrap_or(0)),
                    )
                });
            }
            changes.commit()
        });
        for result in futures_util::future::join_all(some).await {
            result?;
        }
    }
    drop(etcd);
    let (before, begun) = (resident()?, Instant::now());
    let etcd: Arc<dyn Store> = Arc::new(open(cluster, "view", "reader", Arc::new(IndexRows)).await?);
    let loaded_in = begun.elapsed();
    let per_volume = (resident()? - before) / count as f64;
    let mut measured = View {
        loaded_in,
        per_volume,
        get: [0.0; 2],
        scan: [0.0; 2],
    };
    for (index, store) in [&etcd, &sled].into_iter().enumerate() {
        let page = |limit| Scan {
            prefix: b"V.".to_vec(),
            after: None,
            reverse: false,
            limit,
        };
        let keys: Vec<Key> = store
            .scan(page(count))
            .await?
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        let begun = Instant::now();
        for number in 0..50_000 {
            store
                .get(&keys[number * 7919 % keys.len()])
                .await?
                .context("gone")?;
        }
        measured.get[index] = begun.elapsed().as_nanos() as f64 / 50_000.0;
        let begun = Instant::now();
        for number in 0..200 {
            let after = Some(keys[number * 7919 % keys.len()].clone());
            store.scan(Scan { after, ..page(1000) }).await?;
        }
        measured.scan[index] = begun.elapsed().as_nanos() as f64 / 200.0;
    }
    Ok(measured)
}

/// Bytes of memory of this process.
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024.0)
}
