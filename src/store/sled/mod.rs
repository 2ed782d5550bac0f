//! The store of a single machine: sled, with one writer thread that makes many commits durable by one flush.
//!
//! ```text
//! commit ─┐                ┌ evaluate one after the other, over the stored state and the writes of this group
//! commit ─┼─ queue ─ writer┼ one sled batch for all that succeed
//! commit ─┘  (bounded)     └ flush, fdatasync ─ then each gets its own answer
//! ```
//!
//! A commit with a conflict fails alone. During a flush, other commits queue up and share the next one.
//!
//! Workarounds for sled 0.34:
//! - **Its `flush` does not sync the file** on Linux (`sync_file_range` only: neither the file's size nor the drive's
//!   cache is flushed). The writer calls `fdatasync` on the data file before it answers.
//! - **It only compacts segments in its own flush thread**. So that thread runs, although it has nothing to flush.
//! - **A batch blocks readers** while it is applied, so groups are bounded.
//! - **It shows a batch before it is flushed**: a reader that shows data to others waits until it is durable
//!   ([`Store::wait_durable`]).
//! - **A full disk breaks it** until it is opened again: space is reserved in advance, and commits are refused if there
//!   is none.
//! - **It treats damage as the end of its log** and would open a damaged store as an empty one: a file beside it has
//!   the revision up to which commits were durable, and a store with less is refused at open.
//! - **It continues to write to deleted files**: their existence is checked before a commit is answered.
//! - **It panics on some kinds of damage**: that becomes an error at open, and an error for waiting callers later.
//!
//! After a failed flush the state of the disk is unknown, so the store accepts no more commits until it is opened
//! again.

mod disk_reservation;
mod durable_revision;
mod open;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use sled::{Db, IVec};
use tokio::sync::{mpsc, oneshot, watch};

use super::changed_keys::{ChangedKeys, Subscriptions};
use super::export::{self, ExportError, Exported};
use super::report::{StoreReport, health_text};
use super::{
    CommitError, Entry, Health, Key, RESERVED, Revision, Scan, Sink, Store, StoreError, Transaction,
};
use durable_revision::DurableRevision;
pub use open::OpenError;
pub use writer::WriterStats;
use writer::{Asked, Dumps, Request};

/// Keys of the engine.
const FORMAT_KEY: &[u8] = &[RESERVED, b'f'];
const REVISION_KEY: &[u8] = &[RESERVED, b'r'];

/// Up to so many entries are read on the caller's thread: each takes microseconds if its page is in memory, and one
/// read of the page cache if not. Passing the read to another thread takes longer.
const FEW: usize = 16;
/// The bound in bytes of such a read: the sizes of entries differ by factors of thousands, and the actors of a control
/// node share a thread. A read ends with the entry that exceeds it.
const FEW_BYTES: usize = 64 * 1024;

/// The number of entries per read of a dump.
const DUMPED_AT_ONCE: usize = 1024;

/// Options of the engine.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// Bytes of pages that sled keeps in memory. It uses somewhat more than that.
    pub cache_capacity: u64,
    /// Commits are refused while the disk has fewer free bytes than this.
    pub min_free: u64,
    /// How many commits may wait in the writer's queue; further ones wait to be queued.
    pub queue: usize,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            cache_capacity: 4 * 1024 * 1024,
            min_free: 64 * 1024 * 1024,
            queue: 1024,
        }
    }
}

/// A store in a directory. Dropping it waits for the commits that were accepted.
pub struct SledStore {
    db: Db,
    // `None` only while it is being dropped: the writer ends when its last sender is dropped.
    requests: Option<mpsc::Sender<Asked>>,
    writer: Option<JoinHandle<()>>,
    stats: Arc<WriterStats>,
    health: watch::Receiver<Health>,
    durable: Arc<DurableRevision>,
    subscriptions: Arc<Subscriptions>,
    path: PathBuf,
    /// Held during a dump: the writer records changed keys for one dump at a time.
    dumping: tokio::sync::Mutex<()>,
    /// The number of reads on other threads.
    #[cfg(test)]
    on_threads: std::sync::atomic::AtomicUsize,
    // Fields are dropped in order, so the directory is unlocked last.
    _lock: File,
}

impl SledStore {
    /// Opens or creates the store in this directory. Blocks; must be called before actors are started.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path, options: &SledOptions) -> Result<Self, OpenError> {
        let opened = open::open(path, options)?;
        Self::over(path, options, opened, synced)
    }

    /// Creates the store of a directory from an export; there must be none yet, except one whose restore did not
    /// complete. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`] and [`ExportError`].
    pub async fn restore(path: &Path, options: &SledOptions, export: &Path) -> Result<Exported, ExportError> {
        export::verify(export)?;
        let opened = open::open_to_restore(path, options).map_err(StoreError::from)?;
        let store = Self::over(path, options, opened, synced).map_err(StoreError::from)?;
        let exported = export::restore(export, &store).await?;
        drop(store);
        open::restored(path).map_err(ExportError::io(path))?;
        Ok(exported)
    }

    /// Whether a restore into this directory did not complete: its content is useless.
    pub fn is_half_restored(path: &Path) -> bool {
        open::is_half_restored(path)
    }

    /// Checks that no process has the store of this directory open.
    ///
    /// # Errors
    /// [`OpenError::Locked`], [`OpenError::Io`].
    pub fn must_not_be_in_use(path: &Path) -> Result<(), OpenError> {
        open::lock(path).map(drop)
    }

    /// `sync` creates the function that makes the data file durable; tests use it to simulate disk failures.
    fn over(
        path: &Path,
        options: &SledOptions,
        opened: open::Opened,
        sync: impl FnOnce(File) -> writer::Sync,
    ) -> Result<Self, OpenError> {
        let stats = Arc::new(WriterStats::default());
        let (requests, queue) = mpsc::channel(options.queue.max(1));
        let (tell_health, health) = watch::channel(Health::Well);
        let beside = opened.data_file.try_clone().map_err(OpenError::io(path))?;
        let durable = Arc::new(DurableRevision::at(opened.revision));
        let subscriptions = Arc::new(Subscriptions::default());
        let to_write = writer::Writer {
            db: opened.db.clone(),
            sync: sync(opened.data_file),
            path: path.to_owned(),
            disk: disk_reservation::DiskReservation::new(path, beside, options.min_free),
            watermark: opened.watermark,
            revision: opened.revision,
            durable: Arc::clone(&durable),
            subscriptions: Arc::clone(&subscriptions),
            stats: Arc::clone(&stats),
            health: tell_health,
            dumps: Dumps::default(),
        };
        let writer = writer::start(to_write, queue).map_err(OpenError::io(path))?;
        Ok(Self {
            db: opened.db,
            requests: Some(requests),
            writer: Some(writer),
            stats,
            health,
            durable,
            subscriptions,
            path: path.to_owned(),
            dumping: tokio::sync::Mutex::default(),
            #[cfg(test)]
            on_threads: std::sync::atomic::AtomicUsize::new(0),
            _lock: opened.lock,
        })
    }

    /// Statistics of the writer.
    pub fn stats(&self) -> &WriterStats {
        &self.stats
    }

    /// The current health, and its changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Checks the disk without a commit; the result is in [`SledStore::health`].
    ///
    /// # Errors
    /// If it is closed.
    pub async fn look(&self) -> Result<(), StoreError> {
        self.ask(Asked::Look).await
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn ask(&self, asked: Asked) -> Result<(), StoreError> {
        let gone = || StoreError::new("the store is closed");
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        requests.send(asked).await.map_err(|_| gone())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let db = self.db.clone();
        #[cfg(test)]
        self.on_threads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match tokio::task::spawn_blocking(move || read(&db)).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::new("a read of the store ended early").caused_by(error)),
        }
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the store's writer had ended");
        }
    }
}

#[async_trait]
impl Store for SledStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        get(&self.db, key)
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        let mut entries = Vec::with_capacity(keys.len());
        if keys.len() <= FEW {
            let mut bytes = 0;
            for key in keys {
                if bytes >= FEW_BYTES {
                    break;
                }
                let entry = get(&self.db, key)?;
                bytes += entry.as_ref().map_or(0, |entry| entry.value.len());
                entries.push(entry);
            }
        }
        if entries.len() < keys.len() {
            let rest = keys[entries.len()..].to_vec();
            let read: Vec<Option<Entry>> = self
                .blocking(move |db| rest.iter().map(|key| get(db, key)).collect())
                .await?;
            entries.extend(read);
        }
        Ok(entries)
    }

    async fn scan(&self, range: Scan) -> Result<Vec<(Key, Entry)>, StoreError> {
        let few = Scan {
            limit: range.limit.min(FEW),
            ..range.clone()
        };
        let (mut entries, ended) = scan_some(&self.db, &few, FEW_BYTES)?;
        if ended || entries.len() >= range.limit {
            return Ok(entries);
        }
        let rest = Scan {
            after: entries.last().map(|(key, _)| key.clone()),
            limit: range.limit - entries.len(),
            ..range
        };
        entries.extend(self.blocking(move |db| scan(db, &rest)).await?);
        Ok(entries)
    }

    async fn scan_many(&self, ranges: Vec<Scan>) -> Result<Vec<Vec<(Key, Entry)>>, StoreError> {
        self.blocking(move |db| ranges.iter().map(|range| scan(db, range)).collect())
            .await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Asked::Commit(Request { transaction, answer })).await?;
        answered.await.unwrap_or_else(|_| {
            let mut error = StoreError::new("the store's writer ended before it answered");
            error.maybe_done = true;
            Err(error.into())
        })
    }

    async fn wait_durable(&self) -> Result<(), StoreError> {
        self.durable.wait_durable(self.health.clone()).await
    }

    fn shown_revision(&self) -> Revision {
        self.durable.applied()
    }

    fn changed_keys(&self, prefix: &[u8]) -> Option<Arc<ChangedKeys>> {
        Some(self.subscriptions.subscribe(prefix))
    }

    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError> {
        let ended = || StoreError::new("the store's writer ended before it answered");
        let _alone = self.dumping.lock().await;
        let alive = Arc::new(());
        let (answer, begun) = oneshot::channel();
        self.ask(Asked::BeginDump(Arc::downgrade(&alive), answer)).await?;
        begun.await.map_err(|_| ended())?;
        let mut after = None;
        loop {
            let range = Scan {
                prefix: Vec::new(),
                after,
                reverse: false,
                limit: DUMPED_AT_ONCE,
            };
            let entries = self.blocking(move |db| scan(db, &range)).await?;
            after = entries.last().map(|(key, _)| key.clone());
            let is_last = entries.len() < DUMPED_AT_ONCE;
            for (key, entry) in entries {
                sink(key, Some(entry))?;
            }
            if is_last {
                break;
            }
        }
        let (answer, amendments) = oneshot::channel();
        self.ask(Asked::EndDump(answer)).await?;
        let amendments = amendments.await.map_err(|_| ended())??;
        for (key, entry) in amendments.entries {
            sink(key, entry)?;
        }
        Ok(amendments.revision)
    }

    async fn report(&self) -> StoreReport {
        let health = health_text(&self.health.borrow());
        StoreReport {
            engine: "sled",
            health,
            size: self.size_on_disk().await.ok().flatten(),
            ..StoreReport::default()
        }
    }

    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError> {
        self.blocking(|db| {
            db.size_on_disk()
                .map(Some)
                .map_err(|error| failed("measuring the store", error))
        })
        .await
    }
}

/// Makes the data file durable by `fdatasync`.
fn synced(data_file: File) -> writer::Sync {
    Box::new(move || data_file.sync_data())
}

fn get(db: &Db, key: &Key) -> Result<Option<Entry>, StoreError> {
    match db.get(&key.0) {
        Ok(None) => Ok(None),
        Ok(Some(value)) => unpack(key, &value).map(Some),
        Err(error) => Err(failed(format!("reading {key:?}"), error)),
    }
}

fn scan(db: &Db, range: &Scan) -> Result<Vec<(Key, Entry)>, StoreError> {
    Ok(scan_some(db, range, usize::MAX)?.0)
}

/// The same, but stops once so many bytes were read. Also returns whether the range has ended.
fn scan_some(db: &Db, range: &Scan, most_bytes: usize) -> Result<(Vec<(Key, Entry)>, bool), StoreError> {
    let Some((low, high)) = range.bounds() else {
        return Ok((Vec::new(), true));
    };
    // The engine's keys are before all others.
    let foreign = Key(vec![RESERVED + 1]);
    let low = match low {
        Bound::Included(key) | Bound::Excluded(key) if key < foreign => Bound::Included(foreign),
        low => low,
    };
    let low = low.map(|key| key.0);
    let high = high.map(|key| key.0);
    if let (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high)) = (&low, &high)
        && low >= high
    {
        return Ok((Vec::new(), true));
    }
    let (mut entries, mut bytes) = (Vec::new(), 0_usize);
    let mut rows = db.range::<Vec<u8>, _>((low, high));
    while entries.len() < range.limit && bytes < most_bytes {
        let row = if range.reverse {
            rows.next_back()
        } else {
            rows.next()
        };
        let Some(row) = row else {
            return Ok((entries, true));
        };
        let (key, value) = row.map_err(|error| failed("reading a range", error))?;
        let key = Key(key.to_vec());
        let entry = unpack(&key, &value)?;
        bytes += entry.value.len();
        entries.push((key, entry));
    }
    Ok((entries, false))
}

/// The format of a value in sled: the revision that wrote it, then its bytes.
fn pack(revision: Revision, value: &[u8]) -> IVec {
    let mut packed = Vec::with_capacity(8 + value.len());
    packed.extend_from_slice(&revision.0.to_be_bytes());
    packed.extend_from_slice(value);
    IVec::from(packed)
}

fn unpack(key: &Key, packed: &[u8]) -> Result<Entry, StoreError> {
    match packed.split_first_chunk::<8>() {
        Some((revision, value)) => Ok(Entry {
            value: Bytes::copy_from_slice(value),
            revision: Revision(u64::from_be_bytes(*revision)),
        }),
        None => Err(StoreError::new(format!("the value at {key:?} is damaged"))),
    }
}

fn failed(what: impl Into<String>, error: sled::Error) -> StoreError {
    let no_space = matches!(&error, sled::Error::Io(error) if disk_reservation::is_no_room(error));
    StoreError {
        no_space,
        ..StoreError::new(what).caused_by(error)
    }
}
