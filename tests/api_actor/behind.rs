//! A store whose reads are old, as the view of a control node whose watch is slow.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use pumice::store::memory::MemoryStore;
use pumice::store::{CommitError, Entry, Key, Revision, Scan, Sink, Store, StoreError, Transaction};

/// Reads show what was there at the last commit or question of this node; commits compare with what is there.
pub struct Behind {
    truth: Arc<MemoryStore>,
    shown: Mutex<Arc<MemoryStore>>,
}

impl Behind {
    pub fn of(truth: Arc<MemoryStore>) -> Self {
        Self {
            truth,
            shown: Mutex::default(),
        }
    }

    fn shown(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.shown.lock())
    }

    async fn catch_up(&self) -> Result<(), StoreError> {
        let copy = MemoryStore::copy_of(&*self.truth).await?;
        *self.shown.lock() = Arc::new(copy);
        Ok(())
    }
}

#[async_trait]
impl Store for Behind {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.shown().get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.shown().get_many(keys).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Key, Entry)>, StoreError> {
        self.shown().scan(scan).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        let committed = self.truth.commit(transaction).await;
        self.catch_up().await?;
        committed
    }

    fn shown_revision(&self) -> Revision {
        self.shown().shown_revision()
    }

    async fn wait_current(&self) -> Result<(), StoreError> {
        self.catch_up().await
    }

    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError> {
        self.shown().dump(sink).await
    }

    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError> {
        self.shown().size_on_disk().await
    }
}
