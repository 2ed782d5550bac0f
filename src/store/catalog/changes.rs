//! The changes of a commit: records that are inserted, updated and deleted with their index rows and counters
//! ([`Indexed`]), and methods that kinds of records add in their own files.

use std::collections::BTreeSet;
use std::panic::Location;

use super::kinds::{Kind, Rows};
use super::{Catalog, IndexRows, Outbox, Stored};
use crate::failpoint::point;
use crate::model::Notification;
use crate::store::derived::Derivation;
use crate::store::record::{Record, encode};
use crate::store::{
    Ceiling, Change, CommitError, Condition, Key, MAX_COMMIT, MAX_OPERATIONS, Revision, StoreError,
    Transaction,
};

/// A kind of record whose key never changes, and that changes together with its index rows and counters.
pub trait Indexed: Kind {
    /// The key of the record.
    fn key(&self) -> Key;

    /// Adds the changes of counters, and further conditions, for a change of a record. `was` is missing for a new
    /// record, `now` for a deleted one.
    fn count(was: Option<&Self>, now: Option<&Self>, changes: &mut Changes) {
        let _ = (was, now, changes);
    }
}

/// Changes that are committed together.
///
/// Each method returns `self`'s borrow for chaining; nothing happens before [`Changes::commit`].
#[must_use = "nothing happens before `commit`"]
pub struct Changes {
    catalog: Catalog,
    transaction: Transaction,
    /// Index rows that are written, and rows that are deleted. If one record writes a row that another deletes, it is
    /// written.
    written_rows: Rows,
    removed_rows: BTreeSet<Key>,
    fault: Option<StoreError>,
    /// The verb whose commit this is.
    verb: String,
    /// Notifications of the changes.
    notifications: Vec<Notification>,
}

impl Changes {
    pub(super) fn new(catalog: Catalog) -> Self {
        Self {
            catalog,
            transaction: Transaction::default(),
            written_rows: Rows::new(),
            removed_rows: BTreeSet::new(),
            fault: None,
            verb: "-".to_owned(),
            notifications: Vec::new(),
        }
    }

    /// Makes all changes durable atomically.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if something changed since it was read, `OverCeiling` if a limit would be exceeded.
    #[track_caller]
    pub fn commit(mut self) -> impl Future<Output = Result<Revision, CommitError>> + Send {
        let place = Location::caller();
        let fence = self.catalog.fence.clone();
        self.require_fence(fence.as_ref());
        let verb = self.verb;
        let reached = move |when: &str| {
            point(|| format!("commit {verb} {}:{} {when}", place.file(), place.line()));
        };
        let (fault, catalog, mut transaction) = (self.fault, self.catalog, self.transaction);
        let is_written = |key: &Key| self.written_rows.contains_key(key);
        let removed = self.removed_rows.iter().filter(|key| !is_written(key));
        transaction.changes.extend(removed.cloned().map(Change::Delete));
        let written = self.written_rows.into_iter();
        transaction
            .changes
            .extend(written.map(|(key, value)| Change::Put(key, value)));
        // Their positions are drawn here, after all records were read: so those of one resource are in order.
        let outbox = catalog.outbox.clone();
        let added = match &outbox {
            Some(outbox) if !self.notifications.is_empty() => {
                let shown = catalog.store.shown_revision();
                outbox.add_rows(shown, &mut transaction, &self.notifications)
            }
            _ => 0,
        };
        async move {
            if let Some(fault) = fault {
                return Err(fault.into());
            }
            let size = transaction.size();
            if size > MAX_COMMIT {
                return Err(
                    StoreError::too_large(format!("a commit of {size} bytes, over {MAX_COMMIT}")).into(),
                );
            }
            if let Some(operations) = too_many_operations(&transaction) {
                let text = format!(
                    "a commit of {operations} operations, over {MAX_OPERATIONS}: etcd would refuse it"
                );
                // So it is seen in tests of any engine.
                if cfg!(debug_assertions) {
                    return Err(StoreError::too_large(text).into());
                }
                tracing::warn!(text);
            }
            reached("before");
            let revision = catalog.store.commit(transaction).await?;
            if let Some(outbox) = outbox.filter(|_| added > 0) {
                outbox.was_committed(added);
            }
            reached("after");
            Ok(revision)
        }
    }

    /// Inserts a record; a conflict if its key exists.
    pub fn insert<R: Indexed>(&mut self, record: &R) -> &mut Self {
        let key = record.key();
        self.condition(Condition::Absent(key.clone()));
        self.put(key, record);
        self.replace_rows(Rows::new(), record.rows());
        R::count(None, Some(record), self);
        self
    }

    /// Updates a record; a conflict if it changed since it was read. The fields of its key must not change.
    pub fn update<R: Indexed>(&mut self, was: &Stored<R>, now: &R) -> &mut Self {
        let key = was.key();
        if key != now.key() {
            self.fail(StoreError::new(format!(
                "a record has another key after an update: {key:?}"
            )));
        }
        self.unchanged(&key, was.revision);
        self.put(key, now);
        self.replace_rows(was.rows(), now.rows());
        R::count(Some(&was.record), Some(now), self);
        self
    }

    /// Deletes a record; a conflict if it changed since it was read.
    pub fn delete<R: Indexed>(&mut self, was: &Stored<R>) -> &mut Self {
        let key = was.key();
        self.unchanged(&key, was.revision);
        self.delete_key(key);
        self.replace_rows(was.rows(), Rows::new());
        R::count(Some(&was.record), None, self);
        self
    }

    /// Requires that this record has not changed since it was read.
    pub fn require<R: Indexed>(&mut self, was: &Stored<R>) -> &mut Self {
        self.unchanged(&was.key(), was.revision);
        self
    }

    /// The outbox, if there is a sink. Without one, no notification has to be made.
    pub fn outbox(&self) -> Option<&Outbox> {
        self.catalog.outbox.as_deref()
    }

    /// Adds a notification of these changes to the outbox of each sink.
    pub fn notify(&mut self, notification: Notification) -> &mut Self {
        if self.catalog.outbox.is_some() {
            self.notifications.push(notification);
        }
        self
    }

    /// Sets the verb whose commit this is.
    pub(super) fn of(&mut self, verb: &str) {
        verb.clone_into(&mut self.verb);
    }

    pub(super) fn condition(&mut self, condition: Condition) {
        self.transaction.conditions.push(condition);
    }

    /// Requires that the value has not changed since it was read.
    pub(super) fn unchanged(&mut self, key: &Key, revision: Revision) {
        self.condition(Condition::Unchanged(key.clone(), revision));
    }

    /// Requires that the record is as it was read, or still missing.
    pub(super) fn expect_as_read<R>(&mut self, key: &Key, was: Option<&Stored<R>>) {
        match was {
            Some(was) => self.unchanged(key, was.revision),
            None => self.condition(Condition::Absent(key.clone())),
        }
    }

    /// Writes a record. A record that cannot be encoded is reported by [`Changes::commit`].
    pub(super) fn put(&mut self, key: Key, record: &impl Record) {
        match encode(record) {
            Ok(value) => self.transaction.changes.push(Change::Put(key, value)),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Writes bytes that are not a record.
    pub(super) fn put_row(&mut self, key: Key, value: Vec<u8>) {
        self.transaction.changes.push(Change::Put(key, value));
    }

    pub(super) fn delete_key(&mut self, key: Key) {
        self.transaction.changes.push(Change::Delete(key));
    }

    /// Adds to a counter.
    pub(super) fn add(&mut self, key: Key, delta: i64) {
        if delta != 0 {
            self.transaction.changes.push(Change::Add { key, delta });
        }
    }

    /// Bounds a sum of counters after the commit.
    pub(super) fn ceiling(&mut self, ceiling: Ceiling) {
        self.transaction.ceilings.push(ceiling);
    }

    /// Rewrites only those rows of indexes that differ.
    pub(super) fn replace_rows(&mut self, was: Rows, now: Rows) {
        for key in was.keys() {
            if !now.contains_key(key) {
                self.removed_rows.insert(key.clone());
            }
        }
        for (key, value) in now {
            if was.get(&key) != Some(&value) {
                self.written_rows.insert(key, value);
            }
        }
    }

    /// Makes [`Changes::commit`] fail; the first error is kept.
    pub(super) fn fail(&mut self, error: StoreError) {
        self.fault.get_or_insert(error);
    }
}

/// The operations of a commit, if they are more than every engine accepts.
fn too_many_operations(transaction: &Transaction) -> Option<usize> {
    let is_stored = |key: &&Key| !IndexRows.is_derived(key);
    let changed = transaction.changes.iter().map(|change| match change {
        Change::Put(key, _) | Change::Delete(key) | Change::Add { key, .. } => key,
    });
    let counters = transaction.changes.iter().filter_map(|change| match change {
        Change::Add { key, .. } => Some(key),
        Change::Put(..) | Change::Delete(_) => None,
    });
    let conditions = transaction.conditions.iter().map(|condition| match condition {
        Condition::Absent(key) | Condition::Unchanged(key, _) => key,
    });
    let bounded = transaction.ceilings.iter().flat_map(|ceiling| &ceiling.keys);
    let changed: BTreeSet<&Key> = changed.filter(is_stored).collect();
    let read: BTreeSet<&Key> = conditions.chain(counters).chain(bounded).collect();
    Some(changed.len().max(read.len())).filter(|operations| *operations > MAX_OPERATIONS)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::store::catalog::Catalog;
    use crate::store::catalog::kinds::Rows;
    use crate::store::memory::MemoryStore;
    use crate::store::{Key, Store};

    #[actix::test]
    async fn rows_that_two_records_exchange_are_there_whichever_is_changed_first() {
        let rows = |name: &str, value: u8| Rows::from([(Key(name.as_bytes().to_vec()), vec![value])]);
        for first in [0, 1] {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
            let catalog = Catalog::open(Arc::clone(&store)).await.unwrap();
            let mut changes = catalog.change();
            changes.replace_rows(Rows::new(), rows("here", 1));
            changes.replace_rows(Rows::new(), rows("there", 2));
            changes.commit().await.unwrap();
            let mut changes = catalog.change();
            let exchanges = [
                (rows("here", 1), rows("there", 1)),
                (rows("there", 2), rows("here", 2)),
            ];
            for index in [first, 1 - first] {
                let (was, now) = exchanges[index].clone();
                changes.replace_rows(was, now);
            }
            changes.commit().await.unwrap();
            for (name, value) in [("here", 2), ("there", 1)] {
                let found = store.get(&Key(name.as_bytes().to_vec())).await.unwrap();
                assert_eq!(
                    found.map(|found| found.value.to_vec()),
                    Some(vec![value]),
                    "{name}"
                );
            }
        }
    }
}
