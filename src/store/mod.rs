//! Where state lives: a small ordered key-value contract, its implementations, and the typed catalog on top.
//!
//! The contract ([`Store`]) is what sled and etcd both can honour: point reads, ordered scans, and **conditional commits
//! of several keys at once**. What is committed is durable before the commit returns. Nothing above `store` knows which
//! engine is below; nothing but `catalog` knows how keys are laid out.
//!
//! | file | what it is |
//! |---|---|
//! | `evaluate` | what a transaction does to what is stored, as one pure function that every engine uses |
//! | [`memory`] | the engine of tests and simulations |
//! | [`sled`] | the engine of a machine of its own |
//! | [`record`] | how records become bytes, and stay readable by later versions |
//! | [`export`] | all of a store as one file, and back |
//! | [`catalog`] | records, their indexes and the counters of quota |

pub mod catalog;
mod evaluate;
pub mod export;
pub mod memory;
pub(crate) mod number_file;
mod range;
pub mod record;
pub mod sled;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::Error;

/// A key: bytes, ordered as bytes are. Built by `catalog` only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Grows with every commit; tells whether a value is still the one that was read.
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

/// What must still hold for a commit to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is stored there.
    Absent(Key),
    /// What is stored there is what was read.
    Unchanged(Key, Revision),
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Store these bytes.
    Put(Key, Vec<u8>),
    /// Store nothing there.
    Delete(Key),
    /// Add to a counter (absent counts as 0; the value is a big-endian `i64`). Never below 0: a sum below is set to 0
    /// and reported in the log, for it means that somebody miscounted.
    Add {
        /// The counter.
        key: Key,
        /// What to add.
        delta: i64,
    },
}

/// A bound on a sum of counters after the commit, checked together with the conditions: this is what makes quota exact
/// even if two control nodes commit at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The counters whose sum is bounded (`in_use` and `reserved`).
    pub keys: Vec<Key>,
    /// What it may be at most.
    pub limit: i64,
    /// What to name in [`CommitError::OverCeiling`].
    pub name: String,
}

/// Several changes that happen together or not at all, if the conditions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold before.
    pub conditions: Vec<Condition>,
    /// What is changed.
    pub changes: Vec<Change>,
    /// What must hold after.
    pub ceilings: Vec<Ceiling>,
}

impl Transaction {
    /// How many bytes its changes write: keys and values.
    #[must_use]
    pub fn size(&self) -> usize {
        let size = |change: &Change| match change {
            Change::Put(key, value) => key.0.len() + value.len(),
            Change::Delete(key) => key.0.len(),
            Change::Add { key, .. } => key.0.len() + 8,
        };
        self.changes.iter().map(size).sum()
    }
}

/// No key may begin with this byte: what does is the engine's own.
pub const RESERVED: u8 = 0;

/// The most bytes that one value may have. What users write is bounded so that no record comes near it
/// ([`bounds`](crate::model::bounds)); a record that would be larger all the same is refused before anything is written. Why
/// so few: sled writes what is larger than 128 KiB to files of their own, which it neither syncs nor tidies well (sled 0.34,
/// `pagecache/blob_io.rs`), and etcd takes no more than 1.5 MiB in one request.
pub const MAX_VALUE: usize = crate::model::bounds::RECORD;

/// The most bytes that the changes of one commit may have.
pub const MAX_COMMIT: usize = crate::model::bounds::COMMIT;

/// A range of keys to read in order. A key that it is to start behind need not exist, nor begin with the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Only keys that begin so.
    pub prefix: Vec<u8>,
    /// Start behind this key (before it, if `reverse`).
    pub after: Option<Key>,
    /// Whether to go from the end.
    pub reverse: bool,
    /// At most so many.
    pub limit: usize,
}

/// The engine failed. What was asked may or may not have happened only if `maybe_done`.
#[derive(Debug, thiserror::Error)]
#[error("store: {what}")]
pub struct StoreError {
    /// What we were doing.
    pub what: String,
    /// Whether there is no room on the disk.
    pub no_space: bool,
    /// Whether nothing can be committed any more before it is opened anew.
    pub broken: bool,
    /// Whether what was asked may be there after a restart all the same: the engine failed while making it durable.
    pub maybe_done: bool,
    /// Whether what was to be written is larger than may be.
    pub too_large: bool,
    /// The engine's own words.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// A failure without a cause from below; surely nothing was done.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            no_space: false,
            broken: false,
            maybe_done: false,
            too_large: false,
            source: None,
        }
    }

    /// What was to be written is larger than may be; surely nothing was done.
    pub fn too_large(what: impl Into<String>) -> Self {
        Self {
            too_large: true,
            ..Self::new(what)
        }
    }

    /// With the words of what is below.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a client is told. Of what lasts the engine itself has told the operator, once: there is nothing to add to it for
    /// each request.
    #[must_use]
    pub fn for_client(&self) -> Error {
        match self {
            Self { maybe_done: true, .. } => Error::internal(self),
            Self { no_space: true, .. } => Error::unavailable(READ_ONLY, READ_ONLY_RETRY_AFTER),
            Self { broken: true, .. } => Error::unavailable(BROKEN, BROKEN_RETRY_AFTER),
            Self { too_large: true, .. } => Error::too_large(TOO_LARGE).with_operator(self),
            _ => Error::internal(self),
        }
    }
}

/// What a client reads whose request would make a record larger than may be. The bounds of its parts keep that from happening.
const TOO_LARGE: &str =
    "The request would make a record that is larger than can be kept. Nothing was changed.";

/// What a client reads while there is no room, and when it may come back: somebody has to make some first.
const READ_ONLY: &str =
    "The service is read-only at present, for its disk is full. Nothing was changed; please try again later.";
const READ_ONLY_RETRY_AFTER: u32 = 60;

/// What a client reads of a service that is about to stop, and when it may be back.
const BROKEN: &str =
    "The service cannot write to its disk and is stopping. Nothing was changed; please try again later.";
const BROKEN_RETRY_AFTER: u32 = 10;

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A condition did not hold: somebody else was faster. Read again and decide again.
    #[error("store: a condition on {0:?} did not hold")]
    Conflict(Key),
    /// A sum would exceed its bound.
    #[error("store: {name} would be {sum}, over {limit}")]
    OverCeiling {
        /// Which bound.
        name: String,
        /// What it would have been.
        sum: i64,
        /// The bound.
        limit: i64,
    },
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommitError {
    /// What a client is told of a commit that nothing but the engine should keep from happening; `what` was to be done.
    #[must_use]
    pub fn for_client(&self, what: &str) -> Error {
        match self {
            Self::Store(error) => error.for_client(),
            other => Error::internal(format!("{what}: {other}")),
        }
    }
}

/// How an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Well,
    /// It can be read; it takes no commits until there is room on its disk again.
    NoRoom(String),
    /// It takes no commits until it is opened anew.
    Broken(String),
}

/// Who is handed entries by [`Store::dump`].
pub type Sink<'a> = dyn FnMut(Key, Option<Entry>) -> Result<(), StoreError> + Send + 'a;

/// An ordered key-value store with conditional commits.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What is stored there.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// What is stored there, for many keys, in their order.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError>;

    /// Entries in key order.
    async fn scan(&self, scan: Scan) -> Result<Vec<(Key, Entry)>, StoreError>;

    /// Several ranges at once, in their order: one trip where a thousand would be too many.
    async fn scan_many(&self, scans: Vec<Scan>) -> Result<Vec<Vec<(Key, Entry)>>, StoreError> {
        let mut answers = Vec::with_capacity(scans.len());
        for scan in scans {
            answers.push(self.scan(scan).await?);
        }
        Ok(answers)
    }

    /// Makes all changes durably, or none. When it returns `Ok`, a power cut cannot undo it.
    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError>;

    /// Waits until all that could be read when it was asked would be read after a crash, too. Engines that show nothing else
    /// need not wait.
    ///
    /// # Errors
    /// The store failed before.
    async fn wait_durable(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Hands over all that is stored as it was at one revision, which is the answer; commits go on meanwhile. What changed
    /// while it was read comes again at the end: the last word on a key counts, and `None` means that it is gone.
    ///
    /// # Errors
    /// The engine's, and what `sink` answers.
    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError>;

    /// Bytes on disk, for watching it grow; `None` where the engine does not tell.
    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError>;
}
