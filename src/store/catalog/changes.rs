//! What a commit collects. Each kind of record adds its own methods in its own file.

use std::collections::BTreeMap;
use std::panic::Location;

use super::Catalog;
use crate::failpoint::point;
use crate::store::record::{Record, encode};
use crate::store::{
    Ceiling, Change, CommitError, Condition, Key, MAX_COMMIT, Revision, StoreError, Transaction,
};

/// Rows of indexes: where they are and what they hold.
pub(super) type Rows = BTreeMap<Key, Vec<u8>>;

/// Changes that are committed together.
///
/// Each method returns `self`'s borrow for chaining; nothing happens before [`Changes::commit`].
#[must_use = "nothing happens before `commit`"]
pub struct Changes {
    catalog: Catalog,
    transaction: Transaction,
    fault: Option<StoreError>,
    /// Whose commit this is, if it is an operation's.
    verb: String,
}

impl Changes {
    pub(super) fn new(catalog: Catalog) -> Self {
        Self {
            catalog,
            transaction: Transaction::default(),
            fault: None,
            verb: "-".to_owned(),
        }
    }

    /// Makes all of it durable at once, or nothing of it.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when something changed since it was read, `OverCeiling` when a limit would be exceeded.
    #[track_caller]
    pub fn commit(self) -> impl Future<Output = Result<Revision, CommitError>> + Send {
        let place = Location::caller();
        let verb = self.verb;
        let reached = move |when: &str| {
            point(|| format!("commit {verb} {}:{} {when}", place.file(), place.line()));
        };
        let (fault, transaction, catalog) = (self.fault, self.transaction, self.catalog);
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
            reached("before");
            let revision = catalog.store.commit(transaction).await?;
            reached("after");
            Ok(revision)
        }
    }

    /// Whose commit this is.
    pub(super) fn of(&mut self, verb: &str) {
        verb.clone_into(&mut self.verb);
    }

    /// Demands that this holds.
    pub(super) fn condition(&mut self, condition: Condition) {
        self.transaction.conditions.push(condition);
    }

    /// Demands that what is stored there is what was read.
    pub(super) fn unchanged(&mut self, key: &Key, revision: Revision) {
        self.condition(Condition::Unchanged(key.clone(), revision));
    }

    /// Writes a record. A record that cannot be written is reported by [`Changes::commit`].
    pub(super) fn put(&mut self, key: Key, record: &impl Record) {
        match encode(record) {
            Ok(value) => self.transaction.changes.push(Change::Put(key, value)),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Writes bytes that are no record.
    pub(super) fn put_row(&mut self, key: Key, value: Vec<u8>) {
        self.transaction.changes.push(Change::Put(key, value));
    }

    /// Leaves nothing there.
    pub(super) fn delete(&mut self, key: Key) {
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
                self.delete(key.clone());
            }
        }
        for (key, value) in now {
            if was.get(&key) != Some(&value) {
                self.put_row(key, value);
            }
        }
    }

    /// Lets [`Changes::commit`] fail; the first reason counts.
    pub(super) fn fail(&mut self, error: StoreError) {
        self.fault.get_or_insert(error);
    }
}
