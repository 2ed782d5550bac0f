//! The tables of all kinds of records that are listed, and their bounds. What is done with them is in [`super::list_tables`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::columns::Table;
use crate::model::{Attachment, ProjectId, Snapshot, Transfer, UserMessage, Volume};
use crate::store::Key;
use crate::store::changed_keys::ChangedKeys;

/// How long a table is kept after its last use.
pub(super) const KEPT: Duration = Duration::from_secs(300);

/// Bounds of the tables.
#[derive(Clone, Copy, Debug)]
pub struct ListOptions {
    /// Bytes of memory for the tables of each kind of record.
    pub memory: usize,
    /// The rows of an index that a list may skip before it needs a table.
    pub skipped_rows: usize,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self {
            memory: 128 * 1024 * 1024,
            skipped_rows: 256,
        }
    }
}

impl ListOptions {
    /// Bytes of memory for one table, whose rows and values have numbers of 32 bits.
    pub(super) fn memory_of_one(&self) -> usize {
        self.memory.min(u32::MAX as usize)
    }
}

/// The tables of all kinds of records that are listed.
#[derive(Default)]
pub struct Tables {
    pub(super) options: ListOptions,
    pub(super) volumes: ListTables<Volume>,
    pub(super) snapshots: ListTables<Snapshot>,
    pub(super) attachments: ListTables<Attachment>,
    pub(super) messages: ListTables<UserMessage>,
    pub(super) transfers: ListTables<Transfer>,
}

impl Tables {
    pub(super) fn with(options: ListOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// Drops those that were not used for some minutes; to be called now and then.
    pub async fn drop_unused(&self) {
        self.drop_older(KEPT).await;
    }

    /// Drops those that were not used for so long.
    pub(super) async fn drop_older(&self, age: Duration) {
        self.volumes.drop_older(age).await;
        self.snapshots.drop_older(age).await;
        self.attachments.drop_older(age).await;
        self.messages.drop_older(age).await;
        self.transfers.drop_older(age).await;
    }

    /// About how many bytes of memory they take.
    pub(super) async fn memory(&self) -> usize {
        self.volumes.memory().await
            + self.snapshots.memory().await
            + self.attachments.memory().await
            + self.messages.memory().await
            + self.transfers.memory().await
    }
}

/// The tables of a kind of record.
pub struct ListTables<R>(pub(super) Mutex<State<R>>);

/// The listed project; `None` for all.
pub(super) type Scope = Option<ProjectId>;

/// The tables of a kind of record, behind their lock.
pub(super) struct State<R> {
    /// Recorded while there is any slot.
    pub(super) changes: Option<Arc<ChangedKeys>>,
    /// Changed keys whose records have not been read yet.
    pub(super) pending: BTreeSet<Key>,
    pub(super) slots: BTreeMap<Scope, Slot<R>>,
}

/// A table, or what is in its place.
pub(super) enum Slot<R> {
    /// A list fills it. The sender is dropped when it ends, successful or not.
    Filling {
        changed: BTreeSet<Key>,
        ended: watch::Receiver<()>,
    },
    Filled {
        table: Box<Table<R>>,
        used: Instant,
    },
    /// Its table would take too much memory. It is tried again later.
    TooLarge {
        since: Instant,
    },
}

impl<R> Default for ListTables<R> {
    fn default() -> Self {
        Self(Mutex::new(State {
            changes: None,
            pending: BTreeSet::new(),
            slots: BTreeMap::new(),
        }))
    }
}
