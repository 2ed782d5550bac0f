//! The control node's disk: the store in memory, which outlives the node, behind reads and commits that take their time and
//! fail now and then.
//!
//! A node that dies in a commit has made it or not; both happen here, for there is time before the commit and after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pumice::sim;
use pumice::store::memory::MemoryStore;
use pumice::store::{CommitError, Entry, Key, Revision, Scan, Sink, Store, StoreError, Transaction};
use rand::RngExt;

/// Clones are one.
#[derive(Clone, Default)]
pub struct Disk {
    pub memory: Arc<MemoryStore>,
    /// Of a thousand commits, so many fail.
    pub fails_per_mille: Arc<AtomicU32>,
    pub failed: Arc<AtomicU64>,
}

impl Disk {
    async fn pause(&self, often: f64) {
        let pause = {
            let mut rng = sim::seeded().expect("a simulation is seeded");
            rng.random_bool(often).then(|| rng.random_range(0..4))
        };
        if let Some(millis) = pause {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }

    fn fails(&self) -> bool {
        let per_mille = self.fails_per_mille.load(Ordering::Relaxed);
        per_mille > 0
            && sim::seeded()
                .expect("a simulation is seeded")
                .random_range(0..1000)
                < per_mille
    }
}

#[async_trait]
impl Store for Disk {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.pause(0.1).await;
        let found = self.memory.get(key).await;
        tracing::trace!(?key, ?found, "get");
        found
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.pause(0.1).await;
        let found = self.memory.get_many(keys).await;
        tracing::trace!(?keys, ?found, "get many");
        found
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Key, Entry)>, StoreError> {
        self.pause(0.1).await;
        tracing::trace!(?scan, "scan");
        let found = self.memory.scan(scan).await;
        tracing::trace!(?found, "found");
        found
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        tracing::trace!(?transaction, "commit");
        self.pause(0.5).await;
        if self.fails() {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return Err(StoreError::new("the disk failed, as the simulation wants it").into());
        }
        let made = self.memory.commit(transaction).await;
        tracing::trace!(?made, "committed");
        self.pause(0.5).await;
        made
    }

    fn shown_revision(&self) -> Revision {
        self.memory.shown_revision()
    }

    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError> {
        self.memory.dump(sink).await
    }

    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}
