//! Persistent state: a small ordered key-value interface, its implementations, and the typed catalog on top.
//!
//! The interface ([`Store`]) can be implemented by sled and etcd: point reads, ordered scans, and **atomic conditional
//! commits of several keys**. A commit is durable before it returns. Nothing above `store` depends on the engine; only
//! `catalog` knows the layout of keys.
//!
//! | file | content |
//! |---|---|
//! | [`changed_keys`] | keys that changed, for what is derived from entries |
//! | [`derived`] | entries that follow from others, for engines that do not store them |
//! | `evaluate` | the semantics of a transaction, as one pure function that every engine uses |
//! | [`memory`] | the engine of tests and simulations |
//! | [`sled`] | the engine of a single machine |
//! | [`etcd`] | the engine of several control nodes: the truth in etcd, a view in memory |
//! | [`record`] | the encoding of records, and its versions |
//! | [`report`] | the state of an engine and its servers, for operators |
//! | [`export`] | export of a store to one file, and restore |
//! | [`catalog`] | records, their indexes and the counters of quota |

pub mod catalog;
pub mod changed_keys;
pub mod derived;
pub mod etcd;
mod evaluate;
pub mod export;
pub mod memory;
pub(crate) mod number_file;
mod range;
pub mod record;
pub mod report;
pub mod sled;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::Error;
use changed_keys::ChangedKeys;
use report::StoreReport;

/// A key, ordered by its bytes. Built by `catalog` only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Increases with every commit; shows whether a value has changed since it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A stored value and the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bytes.
    pub value: Bytes,
    /// The commit that wrote them.
    pub revision: Revision,
}

/// A precondition of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key does not exist.
    Absent(Key),
    /// The value has not changed since this revision.
    Unchanged(Key, Revision),
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Store these bytes.
    Put(Key, Vec<u8>),
    /// Delete the key.
    Delete(Key),
    /// Add to a counter (absent counts as 0; the value is a big-endian `i64`). Never below 0: a negative sum is set to
    /// 0 and logged, because it shows a bug.
    Add {
        /// The counter.
        key: Key,
        /// The number to add.
        delta: i64,
    },
}

/// A bound on a sum of counters after the commit, checked together with the conditions: so quota is exact even if two
/// control nodes commit at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The counters whose sum is bounded (`in_use` and `reserved`).
    pub keys: Vec<Key>,
    /// The largest sum.
    pub limit: i64,
    /// The name in [`CommitError::OverCeiling`].
    pub name: String,
}

/// Several changes that are applied atomically, if the conditions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The conditions, checked before.
    pub conditions: Vec<Condition>,
    /// The changes.
    pub changes: Vec<Change>,
    /// The ceilings, checked after.
    pub ceilings: Vec<Ceiling>,
}

impl Transaction {
    /// The number of bytes that its changes write: keys and values.
    pub fn size(&self) -> usize {
        let size = |change: &Change| match change {
            Change::Put(key, value) => key.0.len() + value.len(),
            Change::Delete(key) => key.0.len(),
            Change::Add { key, .. } => key.0.len() + 8,
        };
        self.changes.iter().map(size).sum()
    }
}

/// Keys that begin with this byte are reserved for the engine.
pub const RESERVED: u8 = 0;

/// The largest value in bytes. User input is bounded so that no record is close to it
/// ([`bounds`](crate::model::bounds)); a larger record is refused before anything is written. The reason for the limit:
/// sled writes values larger than 128 KiB to separate files, which it neither syncs nor cleans up reliably (sled 0.34,
/// `pagecache/blob_io.rs`), and etcd accepts at most 1.5 MiB in one request.
pub const MAX_VALUE: usize = crate::model::bounds::RECORD;

/// The most bytes in the changes of one commit.
pub const MAX_COMMIT: usize = crate::model::bounds::COMMIT;

/// The most changes, and the most conditions with counters, of one commit, without those of derived keys: etcd has a limit of 128
/// operations in a transaction, of which the engine needs one.
pub const MAX_OPERATIONS: usize = 127;

/// A range of keys to read in order. The key to start after need not exist, nor begin with the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Only keys with this prefix.
    pub prefix: Vec<u8>,
    /// Start after this key (before it, if `reverse`).
    pub after: Option<Key>,
    /// Whether to read backwards from the end.
    pub reverse: bool,
    /// The most entries.
    pub limit: usize,
}

/// The engine failed. Nothing was changed, unless `maybe_done`.
#[derive(Debug, thiserror::Error)]
#[error("store: {what}")]
pub struct StoreError {
    /// What was being done.
    pub what: String,
    /// Whether the disk is full.
    pub no_space: bool,
    /// Whether the store accepts no commits until it is opened again.
    pub broken: bool,
    /// Whether the change may exist after a restart: the engine failed while making it durable.
    pub maybe_done: bool,
    /// Whether the value or commit was too large.
    pub too_large: bool,
    /// Whether the servers of the store cannot be reached, or have no majority, at present.
    pub unavailable: bool,
    /// Whether a record cannot be written before all control nodes are upgraded.
    pub not_yet: bool,
    /// The engine's error.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// A failure without a cause; nothing was changed.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            no_space: false,
            broken: false,
            maybe_done: false,
            too_large: false,
            unavailable: false,
            not_yet: false,
            source: None,
        }
    }

    /// The value or commit is too large; nothing was changed.
    pub fn too_large(what: impl Into<String>) -> Self {
        Self {
            too_large: true,
            ..Self::new(what)
        }
    }

    /// The servers of the store cannot be reached at present; nothing was changed.
    pub fn unavailable(what: impl Into<String>) -> Self {
        Self {
            unavailable: true,
            ..Self::new(what)
        }
    }

    /// The same error for another waiting caller, with the cause as text.
    pub(super) fn copy(&self) -> Self {
        Self {
            what: self.what.clone(),
            source: self.source.as_ref().map(|source| source.to_string().into()),
            ..*self
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The client's error. A persistent condition is logged once by the engine: it is not logged again for each
    /// request.
    pub fn for_client(&self) -> Error {
        match self {
            Self {
                unavailable: true,
                maybe_done,
                ..
            } => {
                let text = if *maybe_done { UNANSWERED } else { UNREACHABLE };
                Error::unavailable(text, UNREACHABLE_RETRY_AFTER)
            }
            Self { maybe_done: true, .. } => Error::internal(self),
            Self { no_space: true, .. } => Error::unavailable(READ_ONLY, READ_ONLY_RETRY_AFTER),
            Self { broken: true, .. } => Error::unavailable(BROKEN, BROKEN_RETRY_AFTER),
            Self { not_yet: true, .. } => {
                Error::unavailable(NOT_YET, NOT_YET_RETRY_AFTER).with_operator(self)
            }
            Self { too_large: true, .. } => Error::too_large(TOO_LARGE).with_operator(self),
            _ => Error::internal(self),
        }
    }
}

/// The client may retry; the cause is logged.
impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        error.for_client()
    }
}

/// The client's text if a record would be too large, which the bounds of its parts prevent.
const TOO_LARGE: &str =
    "The request would make a record that is larger than can be kept. Nothing was changed.";

/// The client's text and `Retry-After` while the disk is full: an operator has to free space first.
const READ_ONLY: &str =
    "The service is read-only at present, for its disk is full. Nothing was changed; please try again later.";
const READ_ONLY_RETRY_AFTER: u32 = 60;

/// The client's text and `Retry-After` of a service that is about to stop.
const BROKEN: &str =
    "The service cannot write to its disk and is stopping. Nothing was changed; please try again later.";
const BROKEN_RETRY_AFTER: u32 = 10;

/// The client's texts and `Retry-After` while the servers of the store cannot be reached.
const UNREACHABLE: &str = "The service is read-only at present, for its store has no majority of servers. Nothing was changed; \
                           please try again later.";
const UNANSWERED: &str = "The store of the service did not answer in time, so the request may have been carried out. Please look \
                          before you repeat it.";
const UNREACHABLE_RETRY_AFTER: u32 = 5;

/// The client's text and `Retry-After` for what older control nodes could not read.
const NOT_YET: &str = "The service is being upgraded, and this is possible when that is done. Nothing was changed; please try again later.";
const NOT_YET_RETRY_AFTER: u32 = 60;

/// Why a commit failed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A condition did not hold: the records have changed. Read again and decide again.
    #[error("store: a condition on {0:?} did not hold")]
    Conflict(Key),
    /// A sum would exceed its bound.
    #[error("store: {name} would be {sum}, over {limit}")]
    OverCeiling {
        /// The name of the bound.
        name: String,
        /// The sum.
        sum: i64,
        /// The bound.
        limit: i64,
    },
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommitError {
    /// The store's error for a commit that only the engine should make fail.
    pub(crate) fn unexpected(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            other => StoreError::new(other.to_string()),
        }
    }

    /// The client's error for a commit that only the engine should make fail; `what` was to be done.
    pub fn for_client(&self, what: &str) -> Error {
        match self {
            Self::Store(error) => error.for_client(),
            other => Error::internal(format!("{what}: {other}")),
        }
    }
}

/// The health of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Well,
    /// It is read-only until there is space on its disk again.
    NoRoom(String),
    /// It is read-only until a majority of its servers can be reached again.
    Unreachable(String),
    /// It accepts no commits until it is opened again.
    Broken(String),
}

/// Receives the entries of [`Store::dump`].
pub type Sink<'a> = dyn FnMut(Key, Option<Entry>) -> Result<(), StoreError> + Send + 'a;

/// An ordered key-value store with conditional commits.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The entry of a key.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// The entries of many keys, in their order.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError>;

    /// Entries in key order.
    async fn scan(&self, scan: Scan) -> Result<Vec<(Key, Entry)>, StoreError>;

    /// Several ranges at once, in their order: one call instead of a thousand.
    async fn scan_many(&self, scans: Vec<Scan>) -> Result<Vec<Vec<(Key, Entry)>>, StoreError> {
        let mut answers = Vec::with_capacity(scans.len());
        for scan in scans {
            answers.push(self.scan(scan).await?);
        }
        Ok(answers)
    }

    /// Applies all changes durably, or none. Once it returns `Ok`, a power cut cannot revert it.
    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError>;

    /// Waits until everything that could be read at the time of the call is durable. Engines that show durable data
    /// only need not wait.
    ///
    /// # Errors
    /// The store failed before.
    async fn wait_durable(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The revision that reads show, or a later one. It never decreases while the store is open, and is at least that of each entry
    /// that was read before the call.
    fn shown_revision(&self) -> Revision;

    /// Waits until reads show everything that was committed before the call, also by other control nodes. Engines with one
    /// writer need not wait: their reads show each commit before it is answered.
    ///
    /// # Errors
    /// The servers of the store cannot be reached in time. Reads show an earlier state then.
    async fn wait_current(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Records the keys with this prefix that change from now on, until the result is dropped. A change is recorded after reads
    /// show it, and before its commit returns. `None` if the engine does not record changes.
    fn changed_keys(&self, prefix: &[u8]) -> Option<Arc<ChangedKeys>> {
        let _ = prefix;
        None
    }

    /// Passes the whole state at one revision to `sink`, and returns that revision; commits continue meanwhile. Keys
    /// that changed while it was read are repeated at the end: the last entry of a key counts, and `None` means that it
    /// is deleted.
    ///
    /// # Errors
    /// The engine's, and those of `sink`.
    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError>;

    /// The state of the engine and of its servers, for operators.
    async fn report(&self) -> StoreReport {
        StoreReport {
            engine: "memory",
            health: report::health_text(&Health::Well),
            ..StoreReport::default()
        }
    }

    /// Bytes on disk, for monitoring; `None` if the engine does not know.
    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError>;
}
