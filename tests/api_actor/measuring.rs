//! A store that remembers the largest value and commit that it was given.

use async_trait::async_trait;
use parking_lot::Mutex;
use pumice::store::memory::MemoryStore;
use pumice::store::{Change, CommitError, Entry, Key, Revision, Scan, Sink, Store, StoreError, Transaction};

/// The most that was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Most {
    /// Bytes of a value.
    pub value: usize,
    /// Bytes of a commit.
    pub commit: usize,
    /// Records (values that begin with a record's kind and are no index rows) that a commit writes or takes away.
    pub records: usize,
}

#[derive(Default)]
pub struct Measuring {
    inner: MemoryStore,
    most: Mutex<Most>,
}

impl Measuring {
    /// Measures from here on.
    pub fn begin(&self) {
        *self.most.lock() = Most::default();
    }

    pub fn most(&self) -> Most {
        *self.most.lock()
    }
}

fn is_record(key: &Key) -> bool {
    [b"V.", b"A.", b"N.", b"O.", b"M.", b"T."]
        .iter()
        .any(|table| key.0.starts_with(*table))
}

#[async_trait]
impl Store for Measuring {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.inner.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.inner.get_many(keys).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Key, Entry)>, StoreError> {
        self.inner.scan(scan).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        {
            let mut most = self.most.lock();
            most.commit = most.commit.max(transaction.size());
            let keys = transaction.changes.iter().map(|change| match change {
                Change::Put(key, value) => {
                    most.value = most.value.max(value.len());
                    key
                }
                Change::Delete(key) | Change::Add { key, .. } => key,
            });
            let records = keys.filter(|key| is_record(key)).count();
            most.records = most.records.max(records);
        }
        self.inner.commit(transaction).await
    }

    fn shown_revision(&self) -> Revision {
        self.inner.shown_revision()
    }

    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError> {
        self.inner.dump(sink).await
    }

    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError> {
        self.inner.size_on_disk().await
    }
}
