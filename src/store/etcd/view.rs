//! The view: all entries of the store in memory, with those that are derived from them. Reads are served from it.
//!
//! It has the state of one revision at any time, and goes from one to the next as the watch reports them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::fence::Fence;
use crate::store::changed_keys::{ChangedKeys, Subscriptions};
use crate::store::derived::Derivation;
use crate::store::{Entry, Key, Revision, Scan, StoreError};

/// The entries, shared by readers and the watch.
pub(super) struct View {
    state: RwLock<State>,
    derivation: Arc<dyn Derivation>,
    subscriptions: Subscriptions,
    /// The revision of the state.
    revision: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    /// Of each node, the last fence and the revision that wrote it.
    fences: BTreeMap<Vec<u8>, (Fence, u64)>,
    revision: u64,
    /// The keys that changed since a dump began, if one is running.
    touched: Option<BTreeSet<Key>>,
    /// How often the view was made anew.
    loads: u64,
}

/// What one revision changed.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) entries: Vec<(Key, Option<Bytes>)>,
    pub(super) fences: Vec<(Vec<u8>, Option<Fence>)>,
}

/// Keys that changed while a dump was running, with their entries now.
pub(super) type Amendments = Vec<(Key, Option<Entry>)>;

/// Why the view cannot follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MissedChanges;

/// A complete state, to begin with.
#[derive(Default)]
pub(super) struct Loaded {
    state: State,
}

impl Loaded {
    pub(super) fn entry(&mut self, derivation: &dyn Derivation, mut key: Key, value: &[u8], revision: u64) {
        key.0.shrink_to_fit();
        let revision = Revision(revision);
        for (mut row, value) in derived(derivation, &key, value) {
            row.0.shrink_to_fit();
            let value = Bytes::from(value);
            self.state.entries.insert(row, Entry { value, revision });
        }
        let value = Bytes::copy_from_slice(value);
        self.state.entries.insert(key, Entry { value, revision });
    }

    pub(super) fn fence(&mut self, node: Vec<u8>, fence: Fence, revision: u64) {
        self.state.fences.insert(node, (fence, revision));
    }

    pub(super) fn at(mut self, revision: u64) -> Self {
        self.state.revision = revision;
        self
    }

    pub(super) fn len(&self) -> usize {
        self.state.entries.len()
    }
}

/// What follows from an entry; nothing from one that cannot be decoded.
fn derived(derivation: &dyn Derivation, key: &Key, value: &[u8]) -> Vec<(Key, Vec<u8>)> {
    derivation.derive(key, value).unwrap_or_else(|error| {
        tracing::error!(?key, %error, "a record cannot be decoded, so it has no index rows");
        Vec::new()
    })
}

impl View {
    pub(super) fn new(loaded: Loaded, derivation: Arc<dyn Derivation>) -> Self {
        let revision = watch::Sender::new(loaded.state.revision);
        Self {
            state: RwLock::new(loaded.state),
            derivation,
            subscriptions: Subscriptions::default(),
            revision,
        }
    }

    pub(super) fn derivation(&self) -> &dyn Derivation {
        self.derivation.as_ref()
    }

    /// The revision of the state.
    pub(super) fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// Waits until the state is at least that of this revision.
    pub(super) async fn reached(&self, revision: u64) {
        let mut current = self.revision.subscribe();
        // The sender is a field of `self`, so it is not gone.
        let _ = current.wait_for(|current| *current >= revision).await;
    }

    /// Puts a newly loaded state in the place of this one.
    pub(super) fn replace(&self, loaded: Loaded) {
        let mut state = self.state.write();
        let loads = state.loads + 1;
        let old = std::mem::replace(&mut *state, loaded.state);
        state.loads = loads;
        self.subscriptions.all_changed();
        self.revision.send_replace(state.revision);
        drop(state);
        drop(old);
    }

    /// Applies what a revision changed. Revisions that the state already has are skipped.
    ///
    /// # Errors
    /// If an earlier transaction of a node is missing; then nothing is applied.
    pub(super) fn apply(&self, revision: u64, changed: Changed) -> Result<(), MissedChanges> {
        let rows = {
            let state = self.state.read();
            if revision <= state.revision {
                return Ok(());
            }
            for (node, fence) in &changed.fences {
                let last = state.fences.get(node).map_or(0, |(fence, _)| fence.number);
                if fence.is_none_or(|fence| last > 0 && fence.number != last + 1) {
                    return Err(MissedChanges);
                }
            }
            self.rows(&state, &changed.entries)
        };
        let revision_of = Revision(revision);
        let mut state = self.state.write();
        let entries = changed.entries.into_iter().map(|(key, value)| {
            // The value is a part of a large message, which must not be kept for it.
            (key, value.map(|value| Bytes::copy_from_slice(&value)))
        });
        let mut keys = Vec::new();
        for (mut key, value) in entries.chain(rows) {
            match value {
                Some(value) => {
                    let entry = Entry {
                        value,
                        revision: revision_of,
                    };
                    key.0.shrink_to_fit();
                    state.entries.insert(key.clone(), entry);
                }
                None => drop(state.entries.remove(&key)),
            }
            keys.push(key);
        }
        for (node, fence) in changed.fences {
            if let Some(fence) = fence {
                state.fences.insert(node, (fence, revision));
            }
        }
        state.revision = revision;
        if let Some(touched) = &mut state.touched {
            touched.extend(keys.iter().cloned());
        }
        self.subscriptions.note(keys.iter());
        self.revision.send_replace(revision);
        Ok(())
    }

    /// The derived entries that change with these entries. If one entry writes a row that another deletes, it is written.
    fn rows(&self, state: &State, changed: &[(Key, Option<Bytes>)]) -> BTreeMap<Key, Option<Bytes>> {
        let mut rows = BTreeMap::new();
        let mut written = Vec::new();
        for (key, value) in changed {
            let old = state.entries.get(key).map(|entry| &entry.value);
            let was = old.map_or_else(Vec::new, |old| derived(self.derivation(), key, old));
            let now = value
                .as_ref()
                .map_or_else(Vec::new, |value| derived(self.derivation(), key, value));
            for (row, _) in &was {
                if !now.iter().any(|(other, _)| other == row) {
                    rows.insert(row.clone(), None);
                }
            }
            written.extend(now.into_iter().filter(|row| !was.contains(row)));
        }
        rows.extend(
            written
                .into_iter()
                .map(|(row, value)| (row, Some(Bytes::from(value)))),
        );
        rows
    }

    pub(super) fn get(&self, key: &Key) -> Option<Entry> {
        self.state.read().entries.get(key).cloned()
    }

    pub(super) fn get_many(&self, keys: &[Key]) -> Vec<Option<Entry>> {
        let state = self.state.read();
        keys.iter().map(|key| state.entries.get(key).cloned()).collect()
    }

    pub(super) fn scan(&self, scan: &Scan) -> Vec<(Key, Entry)> {
        self.state.read().scan(scan)
    }

    pub(super) fn scan_many(&self, scans: &[Scan]) -> Vec<Vec<(Key, Entry)>> {
        let state = self.state.read();
        scans.iter().map(|scan| state.scan(scan)).collect()
    }

    pub(super) fn changed_keys(&self, prefix: &[u8]) -> Arc<ChangedKeys> {
        self.subscriptions.subscribe(prefix)
    }

    /// Begins to record changed keys for a dump; returns a number for [`View::end_dump`].
    pub(super) fn begin_dump(&self) -> u64 {
        let mut state = self.state.write();
        state.touched = Some(BTreeSet::new());
        state.loads
    }

    /// Ends a dump: its revision, and the keys that changed since it began, with their entries.
    ///
    /// # Errors
    /// If the view was made anew meanwhile.
    pub(super) fn end_dump(&self, begun: u64) -> Result<(Revision, Amendments), StoreError> {
        let mut state = self.state.write();
        let touched = state.touched.take();
        let touched = touched.filter(|_| state.loads == begun).ok_or_else(|| {
            StoreError::unavailable("the view of etcd was made anew while it was read; please try again")
        })?;
        let entries = touched.into_iter().map(|key| {
            let entry = state.entries.get(&key).cloned();
            (key, entry)
        });
        let entries = entries.collect();
        Ok((Revision(state.revision), entries))
    }
}

impl State {
    fn scan(&self, scan: &Scan) -> Vec<(Key, Entry)> {
        let Some((low, high)) = scan.bounds() else {
            return Vec::new();
        };
        let range = self.entries.range::<Key, _>((low.as_ref(), high.as_ref()));
        let owned = |(key, entry): (&Key, &Entry)| (key.clone(), entry.clone());
        if scan.reverse {
            range.rev().take(scan.limit).map(owned).collect()
        } else {
            range.take(scan.limit).map(owned).collect()
        }
    }
}
