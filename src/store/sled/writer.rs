//! The writer thread: it takes the waiting commits, applies them as one group, and answers each.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use sled::{Batch, Db};
use tokio::sync::{mpsc, oneshot, watch};

use super::disk_reservation::{DiskReservation, Obstacle};
use super::durable_revision::DurableRevision;
use super::open::note_durable;
use super::{REVISION_KEY, failed, get, pack};
use crate::panic_text::panic_text;
use crate::store::changed_keys::Subscriptions;
use crate::store::evaluate::evaluate;
use crate::store::number_file::NumberFile;
use crate::store::{CommitError, Entry, Health, Key, Revision, StoreError, Transaction};

/// The most commits per flush, and the number of changes after which a group takes no more commits: a batch blocks
/// readers while it is applied.
const GROUP_COMMITS: usize = 64;
const GROUP_CHANGES: usize = 2048;

/// A waiting commit, and the channel for its answer.
pub(super) struct Request {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
}

pub(super) enum Asked {
    Commit(Request),
    /// Begin to record changed keys, until the dump's handle is dropped.
    BeginDump(Weak<()>, oneshot::Sender<()>),
    /// End the dump, and return the changed keys with their current entries.
    EndDump(oneshot::Sender<Result<Amendments, StoreError>>),
    /// Check the disk.
    Look,
}

/// The keys that changed during a dump, and its revision.
pub(super) struct Amendments {
    pub(super) revision: Revision,
    pub(super) entries: Vec<(Key, Option<Entry>)>,
}

/// The keys that changed since the current dump began, if there is one.
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

/// Statistics of the writer.
#[derive(Debug, Default)]
pub struct WriterStats {
    /// Successful commits.
    pub commits: AtomicU64,
    /// Commits that were refused for a condition or a ceiling.
    pub refused: AtomicU64,
    /// Flushes; commits per flush show how well grouping works.
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
    pub(super) disk: DiskReservation,
    pub(super) watermark: NumberFile,
    pub(super) revision: Revision,
    pub(super) durable: Arc<DurableRevision>,
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) stats: Arc<WriterStats>,
    pub(super) health: watch::Sender<Health>,
    pub(super) dumps: Dumps,
}

/// Starts the thread. It ends when all senders are dropped and their messages are handled.
pub(super) fn start(mut writer: Writer, queue: mpsc::Receiver<Asked>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
        let mut queue = Queue { asked: queue, next: None };
        while let Some(next) = queue.next() {
            match next {
                Asked::Commit(first) => writer.commit_and_answer(queue.group(first)),
                Asked::BeginDump(by, answer) => {
                    writer.dumps.begin(by);
                    let _ = answer.send(());
                }
                Asked::EndDump(answer) => {
                    let _ = answer.send(writer.end_dump());
                }
                Asked::Look => writer.look(),
            }
        }
        if writer.is_broken().is_some() {
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

struct Queue {
    asked: mpsc::Receiver<Asked>,
    /// A message after the commits of a group that is not a commit.
    next: Option<Asked>,
}

impl Queue {
    /// Waits for the next message. `None` when all senders are dropped.
    fn next(&mut self) -> Option<Asked> {
        self.next.take().or_else(|| self.asked.blocking_recv())
    }

    /// A commit with the other waiting ones.
    fn group(&mut self, first: Request) -> Vec<Request> {
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
        group
    }
}

impl Writer {
    fn commit_and_answer(&mut self, group: Vec<Request>) {
        let (transactions, answers): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|request| (request.transaction, request.answer))
            .unzip();
        let committed = self.must_be_ready(&transactions).and_then(|()| {
            catch_unwind(AssertUnwindSafe(|| self.commit(&transactions))).unwrap_or_else(|panic| {
                let text = panic_text(panic.as_ref());
                Err(maybe_done(StoreError::new(format!(
                    "the writer panicked: {text}"
                ))))
            })
        });
        match committed {
            Ok(results) => answers.into_iter().zip(results).for_each(|(answer, result)| {
                // The caller may have stopped waiting; the commit is effective anyway.
                let _ = answer.send(result);
            }),
            Err(error) => {
                if error.maybe_done {
                    self.becomes(Health::Broken(with_cause(&error)));
                }
                for answer in answers {
                    let _ = answer.send(Err(error.copy().into()));
                }
            }
        }
    }

    /// Checks that a group can be committed, before anything is done.
    fn must_be_ready(&mut self, group: &[Transaction]) -> Result<(), StoreError> {
        if let Some(why) = self.is_broken() {
            return Err(StoreError {
                broken: true,
                ..StoreError::new(format!("the store accepts no commits since it failed: {why}"))
            });
        }
        let ready = self
            .disk
            .ready_for(group.iter().map(Transaction::size).sum::<usize>() as u64);
        ready.map_err(|obstacle| self.hindered(obstacle))?;
        self.becomes(Health::Well);
        Ok(())
    }

    fn look(&mut self) {
        if self.is_broken().is_some() {
            return;
        }
        let seen = self.disk.look().and_then(|()| self.disk.ready_for(0));
        match seen {
            Ok(()) => self.becomes(Health::Well),
            Err(obstacle) => drop(self.hindered(obstacle)),
        }
    }

    fn hindered(&self, obstacle: Obstacle) -> StoreError {
        self.becomes(match &obstacle {
            Obstacle::NoRoom(why) => Health::NoRoom(why.clone()),
            Obstacle::Broken(why) => Health::Broken(why.clone()),
        });
        obstacle.into()
    }

    fn is_broken(&self) -> Option<String> {
        match &*self.health.borrow() {
            Health::Broken(why) => Some(why.clone()),
            Health::Well | Health::NoRoom(_) | Health::Unreachable(_) => None,
        }
    }

    /// Sets the health, and logs it if it has changed.
    fn becomes(&self, health: Health) {
        let path = self.path.display();
        self.health.send_if_modified(|was| {
            let is_another = std::mem::discriminant(was) != std::mem::discriminant(&health);
            match (&*was, &health) {
                (Health::Broken(_), _) => return false,
                _ if !is_another => {}
                (_, Health::NoRoom(why)) => {
                    tracing::error!(%path, why, "the store accepts no commits until there is space on the disk; it can be read");
                }
                (_, Health::Broken(why)) => tracing::error!(%path, why, "the store failed and accepts no more commits"),
                (_, Health::Unreachable(_)) => {}
                (_, Health::Well) => tracing::info!(%path, "there is space again; the store accepts commits"),
            }
            *was = health;
            is_another
        });
    }

    /// Commits a group. Each transaction has its own result, unless the engine fails: then all are unknown.
    fn commit(&mut self, group: &[Transaction]) -> Result<Vec<Result<Revision, CommitError>>, StoreError> {
        let started = Instant::now();
        let mut written: BTreeMap<Key, Option<Entry>> = BTreeMap::new();
        let mut results = Vec::with_capacity(group.len());
        for transaction in group {
            let writes = evaluate(transaction, |key| match written.get(key) {
                Some(entry) => Ok(entry.clone()),
                None => get(&self.db, key),
            });
            results.push(writes.map(|writes| {
                self.revision = Revision(self.revision.0 + 1);
                let revision = self.revision;
                let entry = |value| Entry {
                    value: Bytes::from(value),
                    revision,
                };
                written.extend(writes.into_iter().map(|(key, value)| (key, value.map(entry))));
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
        self.apply(&written)?;
        self.subscriptions.note(written.keys());
        self.flush().map_err(maybe_done)?;
        self.disk
            .must_be_there()
            .map_err(|obstacle| maybe_done(obstacle.into()))?;
        self.mark();
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
        note_durable(&self.path, &self.watermark, self.revision);
        self.durable.is_durable(self.revision);
    }

    fn apply(&self, written: &BTreeMap<Key, Option<Entry>>) -> Result<(), StoreError> {
        let started = Instant::now();
        let mut batch = Batch::default();
        for (key, entry) in written {
            match entry {
                Some(entry) => batch.insert(key.0.as_slice(), pack(entry.revision, &entry.value)),
                None => batch.remove(key.0.as_slice()),
            }
        }
        batch.insert(REVISION_KEY, self.revision.0.to_be_bytes().to_vec());
        self.durable.applying(self.revision);
        let applied = self
            .db
            .apply_batch(batch)
            .map_err(|error| maybe_done(failed("writing", error)));
        spend(&self.stats.apply_micros, started);
        applied
    }

    /// Makes the applied batch durable: sled writes it to the kernel, `fdatasync` to the disk.
    fn flush(&self) -> Result<(), StoreError> {
        let started = Instant::now();
        self.db.flush().map_err(|error| failed("flushing", error))?;
        (self.sync)().map_err(|error| failed("syncing", sled::Error::Io(error)))?;
        spend(&self.stats.flush_micros, started);
        Ok(())
    }
}

/// A failure with its cause.
fn with_cause(error: &StoreError) -> String {
    match &error.source {
        Some(source) => format!("{}: {source}", error.what),
        None => error.what.clone(),
    }
}

fn maybe_done(mut error: StoreError) -> StoreError {
    error.maybe_done = true;
    error
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

fn spend(counter: &AtomicU64, since: Instant) {
    let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
    counter.fetch_add(micros, Ordering::Relaxed);
}
