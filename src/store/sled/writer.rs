//! The one thread that writes: it takes what waits, commits it as one group, and answers each.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sled::{Batch, Db};
use tokio::sync::{mpsc, oneshot};

use super::open::write_watermark;
use super::{REVISION_KEY, failed, get, pack};
use crate::store::evaluate::evaluate;
use crate::store::{CommitError, Entry, Key, Revision, StoreError, Transaction};

/// At most so many commits share a flush, and begin no more when they have so many changes: a batch keeps readers out while
/// it is applied.
const GROUP_COMMITS: usize = 64;
const GROUP_CHANGES: usize = 2048;

/// How old the knowledge of free space on the disk may be.
const LOOK_AT_DISK_EVERY: Duration = Duration::from_secs(1);

/// How often the watermark is written, if anything was committed.
const WATERMARK_EVERY: Duration = Duration::from_secs(5);

/// A commit that waits, and where its answer goes.
pub(super) struct Request {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
}

/// What is asked of the writer.
pub(super) enum Asked {
    Commit(Request),
    /// From here on it remembers which keys change, as long as whoever dumps is alive.
    BeginDump(Weak<()>, oneshot::Sender<()>),
    /// Which those are, and what is there now.
    EndDump(oneshot::Sender<Result<Amendments, StoreError>>),
}

/// What changed while all was read, and the last commit before that was asked.
pub(super) struct Amendments {
    pub(super) revision: Revision,
    pub(super) entries: Vec<(Key, Option<Entry>)>,
}

/// The keys that changed since the dump began that is under way, if one is.
#[derive(Default)]
pub(super) struct Dumps {
    by: Weak<()>,
    touched: BTreeSet<Key>,
}

impl Dumps {
    fn begin(&mut self, by: Weak<()>) {
        self.by = by;
        self.touched.clear();
    }

    fn note<'a>(&mut self, keys: impl Iterator<Item = &'a Key>) {
        if self.by.strong_count() > 0 {
            self.touched.extend(keys.cloned());
        } else {
            self.touched.clear();
        }
    }

    fn end(&mut self) -> BTreeSet<Key> {
        self.by = Weak::new();
        std::mem::take(&mut self.touched)
    }
}

/// What the writer did so far.
#[derive(Debug, Default)]
pub struct WriterStats {
    /// Commits that were made.
    pub commits: AtomicU64,
    /// Commits that were refused for a condition or a ceiling.
    pub refused: AtomicU64,
    /// Flushes; commits divided by this is how well grouping works.
    pub groups: AtomicU64,
    /// Time spent in evaluating, in microseconds.
    pub evaluate_micros: AtomicU64,
    /// Time spent in applying batches, in microseconds: readers wait that long.
    pub apply_micros: AtomicU64,
    /// Time spent in waiting for the disk, in microseconds.
    pub flush_micros: AtomicU64,
}

/// Makes the data file durable.
pub(super) type Sync = Box<dyn Fn() -> std::io::Result<()> + Send>;

pub(super) struct Writer {
    pub(super) db: Db,
    pub(super) sync: Sync,
    pub(super) path: PathBuf,
    pub(super) min_free: u64,
    pub(super) revision: Revision,
    pub(super) stats: Arc<WriterStats>,
    pub(super) dumps: Dumps,
}

/// Starts the thread. It ends when all senders are gone and what they sent is done.
pub(super) fn start(mut writer: Writer, queue: mpsc::Receiver<Asked>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
        let mut disk = Disk::default();
        let mut broken: Option<String> = None;
        let mut marked = Instant::now();
        let mut queue = Queue { asked: queue, next: None };
        while let Some(next) = queue.next() {
            let group = match next {
                Next::Commits(group) => group,
                Next::BeginDump(by, answer) => {
                    writer.dumps.begin(by);
                    let _ = answer.send(());
                    continue;
                }
                Next::EndDump(answer) => {
                    let _ = answer.send(writer.end_dump());
                    continue;
                }
            };
            let (transactions, answers): (Vec<_>, Vec<_>) =
                group.into_iter().map(|request| (request.transaction, request.answer)).unzip();
            let refused = match &broken {
                Some(why) => Some(StoreError::new(format!("the store takes no commits since it failed: {why}"))),
                None => disk.refusal(&writer),
            };
            let results = match refused {
                Some(error) => Err(error),
                None => catch_unwind(AssertUnwindSafe(|| writer.commit(&transactions))).unwrap_or_else(|panic| {
                    Err(maybe_done(StoreError::new(format!("the writer panicked: {}", panic_text(panic.as_ref())))))
                }),
            };
            match results {
                Ok(results) => answers.into_iter().zip(results).for_each(|(answer, result)| {
                    // Who no longer waits has hung up; the commit stands.
                    let _ = answer.send(result);
                }),
                Err(error) => {
                    if error.maybe_done && broken.is_none() {
                        tracing::error!(path = %writer.path.display(), %error, "the store failed and takes no more commits");
                        broken = Some(error.what.clone());
                    }
                    for answer in answers {
                        let _ = answer.send(Err(copy(&error).into()));
                    }
                }
            }
            if broken.is_none() && marked.elapsed() >= WATERMARK_EVERY {
                writer.mark();
                marked = Instant::now();
            }
        }
        if broken.is_some() {
            return;
        }
        match writer.flush() {
            Ok(()) => writer.mark(),
            Err(error) => {
                tracing::error!(path = %writer.path.display(), %error, "the store could not be flushed at its end");
            }
        }
    })
}

/// What is to be done next.
enum Next {
    Commits(Vec<Request>),
    BeginDump(Weak<()>, oneshot::Sender<()>),
    EndDump(oneshot::Sender<Result<Amendments, StoreError>>),
}

/// What was asked, in its order.
struct Queue {
    asked: mpsc::Receiver<Asked>,
    /// What came behind the commits of a group and is none.
    next: Option<Asked>,
}

impl Queue {
    /// Waits for something to do; for a commit, takes the commits along that are there. `None` when nothing can come any more.
    fn next(&mut self) -> Option<Next> {
        let first = match self.next.take() {
            Some(asked) => asked,
            None => self.asked.blocking_recv()?,
        };
        let first = match first {
            Asked::Commit(request) => request,
            Asked::BeginDump(by, answer) => return Some(Next::BeginDump(by, answer)),
            Asked::EndDump(answer) => return Some(Next::EndDump(answer)),
        };
        let mut changes = first.transaction.changes.len();
        let mut group = vec![first];
        while group.len() < GROUP_COMMITS && changes < GROUP_CHANGES {
            match self.asked.try_recv() {
                Ok(Asked::Commit(request)) => {
                    changes += request.transaction.changes.len();
                    group.push(request);
                }
                Ok(other) => {
                    self.next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        Some(Next::Commits(group))
    }
}

impl Writer {
    /// Commits a group. Each transaction has its own result, unless the engine fails: then nobody's is known.
    fn commit(&mut self, group: &[Transaction]) -> Result<Vec<Result<Revision, CommitError>>, StoreError> {
        let started = Instant::now();
        let mut written: HashMap<Key, Option<Entry>> = HashMap::new();
        let mut results = Vec::with_capacity(group.len());
        for transaction in group {
            let writes = evaluate(transaction, |key| match written.get(key) {
                Some(entry) => Ok(entry.clone()),
                None => get(&self.db, key),
            });
            results.push(writes.map(|writes| {
                self.revision = Revision(self.revision.0 + 1);
                let revision = self.revision;
                written.extend(writes.into_iter().map(|(key, value)| {
                    (
                        key,
                        value.map(|value| Entry {
                            value: Bytes::from(value),
                            revision,
                        }),
                    )
                }));
                revision
            }));
        }
        let committed = results.iter().filter(|result| result.is_ok()).count();
        count(&self.stats.refused, results.len() - committed);
        spend(&self.stats.evaluate_micros, started);
        if committed == 0 {
            return Ok(results);
        }
        self.dumps.note(written.keys());
        self.apply(written)?;
        self.flush().map_err(maybe_done)?;
        count(&self.stats.commits, committed);
        count(&self.stats.groups, 1);
        Ok(results)
    }

    fn end_dump(&mut self) -> Result<Amendments, StoreError> {
        let touched = self.dumps.end();
        let entries = touched
            .into_iter()
            .map(|key| get(&self.db, &key).map(|entry| (key, entry)))
            .collect::<Result<_, _>>()?;
        Ok(Amendments {
            revision: self.revision,
            entries,
        })
    }

    fn mark(&self) {
        if let Err(error) = write_watermark(&self.path, self.revision) {
            tracing::warn!(path = %self.path.display(), %error, "the store's watermark could not be written");
        }
    }

    fn apply(&self, written: HashMap<Key, Option<Entry>>) -> Result<(), StoreError> {
        let started = Instant::now();
        let mut batch = Batch::default();
        for (key, entry) in written {
            match entry {
                Some(entry) => batch.insert(key.0, pack(entry.revision, &entry.value)),
                None => batch.remove(key.0),
            }
        }
        batch.insert(REVISION_KEY, self.revision.0.to_be_bytes().to_vec());
        let applied = self
            .db
            .apply_batch(batch)
            .map_err(|error| maybe_done(failed("writing", error)));
        spend(&self.stats.apply_micros, started);
        applied
    }

    /// Makes durable what was applied: sled hands it to the kernel, the kernel to the disk.
    fn flush(&self) -> Result<(), StoreError> {
        let started = Instant::now();
        self.db.flush().map_err(|error| failed("flushing", error))?;
        (self.sync)().map_err(|error| failed("syncing", sled::Error::Io(error)))?;
        spend(&self.stats.flush_micros, started);
        Ok(())
    }
}

/// Knows whether there is room for the store to go on.
#[derive(Default)]
struct Disk {
    looked: Option<(Instant, u64)>,
}

impl Disk {
    fn refusal(&mut self, writer: &Writer) -> Option<StoreError> {
        let fresh = self.looked.filter(|(at, _)| at.elapsed() < LOOK_AT_DISK_EVERY);
        let free = match fresh {
            Some((_, free)) => free,
            None => {
                let free = free_bytes(&writer.path);
                self.looked = Some((Instant::now(), free));
                free
            }
        };
        (free < writer.min_free).then(|| StoreError {
            no_space: true,
            ..StoreError::new(format!(
                "only {free} bytes are free on the disk of {}, of which {} are kept",
                writer.path.display(),
                writer.min_free
            ))
        })
    }
}

/// Free bytes of the disk; all there could be if it does not tell, so that a strange file system is no reason to refuse.
fn free_bytes(path: &std::path::Path) -> u64 {
    match rustix::fs::statvfs(path) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "free space on the disk is not known");
            u64::MAX
        }
    }
}

fn maybe_done(mut error: StoreError) -> StoreError {
    error.maybe_done = true;
    error
}

/// The same failure for everyone who waited; the cause goes along as text.
fn copy(error: &StoreError) -> StoreError {
    StoreError {
        what: error.what.clone(),
        no_space: error.no_space,
        maybe_done: error.maybe_done,
        source: error.source.as_ref().map(|source| source.to_string().into()),
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without words".to_owned(),
    }
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

fn spend(counter: &AtomicU64, since: Instant) {
    let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
    counter.fetch_add(micros, Ordering::Relaxed);
}
