//! The store of tests, simulations and read-only copies: a sorted map in a mutex. It fulfils the contract, except for
//! durability.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::changed_keys::{ChangedKeys, Subscriptions};
use super::evaluate::evaluate;
use super::{CommitError, Entry, Key, Revision, Scan, Sink, Store, StoreError, Transaction};

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    subscriptions: Subscriptions,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    revision: u64,
    failures_due: u32,
}

impl MemoryStore {
    /// A copy of another store at one revision; commits to that one continue. Blocks on its disk, so it must not run on
    /// an actor's thread.
    ///
    /// # Errors
    /// Those of the other store.
    pub async fn copy_of(store: &dyn Store) -> Result<Self, StoreError> {
        let mut entries = BTreeMap::new();
        let mut take = |key: Key, entry: Option<Entry>| {
            match entry {
                Some(entry) => entries.insert(key, entry),
                None => entries.remove(&key),
            };
            Ok(())
        };
        let revision = store.dump(&mut take).await?;
        let state = State {
            entries,
            revision: revision.0,
            failures_due: 0,
        };
        Ok(Self {
            state: Mutex::new(state),
            subscriptions: Subscriptions::default(),
        })
    }

    /// Makes the next `times` commits fail like a broken disk, without effect. For tests.
    pub fn fail_next_commits(&self, times: u32) {
        self.state.lock().failures_due = times;
    }

    /// All entries, in key order. For tests.
    pub fn entries(&self) -> Vec<(Key, Entry)> {
        self.state
            .lock()
            .entries
            .iter()
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        Ok(self.state.lock().entries.get(key).cloned())
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        let state = self.state.lock();
        Ok(keys.iter().map(|key| state.entries.get(key).cloned()).collect())
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Key, Entry)>, StoreError> {
        let Some((low, high)) = scan.bounds() else {
            return Ok(Vec::new());
        };
        let state = self.state.lock();
        let range = state.entries.range::<Key, _>((low.as_ref(), high.as_ref()));
        let owned = |(key, entry): (&Key, &Entry)| (key.clone(), entry.clone());
        Ok(if scan.reverse {
            range.rev().take(scan.limit).map(owned).collect()
        } else {
            range.take(scan.limit).map(owned).collect()
        })
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        let mut state = self.state.lock();
        if state.failures_due > 0 {
            state.failures_due -= 1;
            return Err(StoreError::new("a failure that a test requested").into());
        }
        let writes = evaluate(&transaction, |key| Ok(state.entries.get(key).cloned()))?;
        state.revision += 1;
        let revision = Revision(state.revision);
        // Reads wait for the lock, so that they show the changes.
        self.subscriptions.note(writes.keys());
        for (key, value) in writes {
            match value {
                Some(value) => {
                    let value = Bytes::from(value);
                    state.entries.insert(key, Entry { value, revision })
                }
                None => state.entries.remove(&key),
            };
        }
        Ok(revision)
    }

    fn shown_revision(&self) -> Revision {
        Revision(self.state.lock().revision)
    }

    fn changed_keys(&self, prefix: &[u8]) -> Option<Arc<ChangedKeys>> {
        Some(self.subscriptions.subscribe(prefix))
    }

    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError> {
        let (entries, revision) = {
            let state = self.state.lock();
            (state.entries.clone(), Revision(state.revision))
        };
        for (key, entry) in entries {
            sink(key, Some(entry))?;
        }
        Ok(revision)
    }

    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}
