//! The outbox: notifications that are committed together with the changes they are about, until their sinks have accepted them.
//!
//! Each sink has its own rows, so that one that is down holds up no other. A row's key is its sink and a [`Position`], which is
//! drawn when the commit is built: the revision that the node's reads show at that time, the run of the node, and a number of its own.
//! A commit about a record has read the record's last revision, so it reads at least that, and its position is higher than those of the
//! earlier commits about that record, whichever nodes they were made by: the rows of one resource are in order. Rows of different resources may
//! become visible in another order than that of their positions; so a publisher reads from the beginning of its queue and deletes what was
//! accepted, and does not keep a position.
//!
//! Revisions begin anew where a store was restored from an export, and earlier versions had numbers in place of positions. Such rows are
//! moved to the beginning when the outbox is opened (`renumber`).
//!
//! A notification is never the reason why a commit fails: what does not fit into it is left out and counted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::keys::split_text;
use super::prelude::*;
use crate::model::{ClusterTask, Notification};
use crate::rng;
use crate::store::record::{decode, encode};
use crate::store::{Change, CommitError, MAX_COMMIT, Revision, Transaction};

/// The queues of all sinks. Shared by all clones of a catalog.
#[derive(Debug)]
pub struct Outbox {
    host: String,
    /// The random number of this run, so that no other node draws the same position.
    run: u64,
    next: AtomicU64,
    queues: Vec<Arc<SinkQueue>>,
}

/// The queue of one sink.
#[derive(Debug)]
pub struct SinkQueue {
    sink: String,
    /// Negative for a moment if a row is read and deleted before it is counted. Without what other nodes have added since
    /// [`Catalog::count_pending`].
    pending: AtomicI64,
    /// Since the start of the process.
    published: AtomicU64,
    dropped: AtomicU64,
    /// Why the sink accepts nothing at present.
    failure: Mutex<Option<String>>,
    changed: Notify,
}

/// The place of a row in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The revision that was read when the row's commit was built.
    revision: u64,
    /// The run of the node.
    run: u64,
    /// Counted by that run.
    number: u64,
}

impl Position {
    /// Of a row that was moved to the beginning.
    fn renumbered(number: u64) -> Self {
        Self {
            revision: 0,
            run: 0,
            number,
        }
    }

    fn is_renumbered(self) -> bool {
        (self.revision, self.run) == (0, 0)
    }

    fn bytes(self) -> [u8; POSITION_BYTES] {
        let mut bytes = [0; POSITION_BYTES];
        for (part, number) in bytes
            .chunks_exact_mut(8)
            .zip([self.revision, self.run, self.number])
        {
            part.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; POSITION_BYTES] = bytes.try_into().ok()?;
        let mut numbers = bytes
            .chunks_exact(8)
            .filter_map(|part| Some(u64::from_be_bytes(part.try_into().ok()?)));
        Some(Self {
            revision: numbers.next()?,
            run: numbers.next()?,
            number: numbers.next()?,
        })
    }
}

const POSITION_BYTES: usize = 24;

/// A row of a queue.
#[derive(Debug)]
pub struct Pending {
    /// Its place.
    pub position: Position,
    /// The notification; `None` if it cannot be decoded.
    pub notification: Option<Notification>,
}

impl Outbox {
    /// The host that is the publisher of events of the API.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The queues of the sinks.
    pub fn queues(&self) -> &[Arc<SinkQueue>] {
        &self.queues
    }

    /// Adds the rows of these notifications; returns how many each sink gets. `shown` is the revision that reads show.
    pub(super) fn add_rows(
        &self,
        shown: Revision,
        transaction: &mut Transaction,
        notifications: &[Notification],
    ) -> usize {
        let mut size = transaction.size();
        let mut added = 0;
        for notification in notifications {
            let position = Position {
                revision: shown.0,
                run: self.run,
                number: self.next.fetch_add(1, Ordering::Relaxed),
            };
            let Some(rows) = self.rows(position, notification, MAX_COMMIT.saturating_sub(size)) else {
                for queue in &self.queues {
                    queue.was_dropped(1);
                }
                tracing::error!(
                    event_type = notification.event_type,
                    payload = notification.payload,
                    "a notification does not fit into the commit of its change, and is only in this log"
                );
                continue;
            };
            for (key, value) in rows {
                size += key.0.len() + value.len();
                transaction.changes.push(Change::Put(key, value));
            }
            added += 1;
        }
        added
    }

    /// The rows of a notification, if they fit into `room`.
    fn rows(
        &self,
        position: Position,
        notification: &Notification,
        room: usize,
    ) -> Option<Vec<(Key, Vec<u8>)>> {
        let value = encode(notification).ok()?;
        let keys = self.queues.iter().map(|queue| row_key(&queue.sink, position));
        let rows: Vec<(Key, Vec<u8>)> = keys.map(|key| (key, value.clone())).collect();
        let size: usize = rows.iter().map(|(key, value)| key.0.len() + value.len()).sum();
        (size <= room).then_some(rows)
    }

    /// The rows that [`Outbox::add_rows`] added are durable.
    pub(super) fn was_committed(&self, added: usize) {
        let added = i64::try_from(added).unwrap_or(i64::MAX);
        for queue in &self.queues {
            queue.pending.fetch_add(added, Ordering::AcqRel);
            queue.changed.notify_one();
        }
    }
}

impl SinkQueue {
    /// The name of its sink.
    pub fn sink(&self) -> &str {
        &self.sink
    }

    /// How many notifications wait.
    pub fn pending(&self) -> usize {
        usize::try_from(self.pending.load(Ordering::Acquire)).unwrap_or(0)
    }

    /// How many its sink has accepted since the start of the process.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// How many were dropped since the start of the process: beyond the bound, refused by the sink, or too large.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Why the sink accepts nothing at present; `None` if it does.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Counts notifications that were accepted.
    pub fn was_published(&self, count: usize) {
        self.published
            .fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts notifications that were dropped.
    pub fn was_dropped(&self, count: usize) {
        self.dropped
            .fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Sets why the sink accepts nothing; returns whether it accepted before.
    pub fn set_failure(&self, failure: Option<String>) -> bool {
        std::mem::replace(&mut *self.failure.lock(), failure).is_none()
    }

    /// Waits until a notification was added since the last call.
    pub async fn added(&self) {
        self.changed.notified().await;
    }
}

impl Catalog {
    /// This catalog with an outbox for these sinks; without a sink it is as it was. Waiting notifications of other sinks, which
    /// were configured before, are deleted, unless another control node has such a sink.
    pub async fn with_outbox(mut self, host: &str, sinks: &[&str]) -> Result<Self, StoreError> {
        let mut queues: Vec<SinkQueue> = sinks.iter().map(|sink| SinkQueue::new(sink)).collect();
        let mut kept: BTreeSet<String> = sinks.iter().map(|sink| (*sink).to_owned()).collect();
        for node in self.abilities_of_control_nodes().await? {
            kept.extend(node.record.sinks);
        }
        let mut removed = 0_usize;
        let mut are_foreign = false;
        let shown = self.store.shown_revision();
        let mut walk = Walk::new(key(keys::NOTIFICATION).prefix(), false);
        while let Some(rows) = walk.next(&self).await? {
            let mut others = Vec::new();
            for (row, _) in rows {
                let Some((sink, position)) = sink_and_position(&row).filter(|(sink, _)| kept.contains(sink))
                else {
                    others.push(row);
                    continue;
                };
                are_foreign |= position.is_none_or(|position| position.revision > shown.0);
                if let Some(queue) = queues.iter_mut().find(|queue| queue.sink == sink) {
                    *queue.pending.get_mut() += 1;
                }
            }
            removed += others.len();
            for some in others.chunks(DELETED_AT_ONCE) {
                self.delete_rows(some, None).await?;
            }
        }
        if removed > 0 {
            tracing::warn!(
                removed,
                "notifications for sinks that are not configured any more were deleted"
            );
        }
        if are_foreign {
            for sink in &kept {
                self.renumber(sink).await?;
            }
        }
        if !queues.is_empty() {
            self.outbox = Some(Arc::new(Outbox {
                host: host.to_owned(),
                run: rng::number(),
                next: AtomicU64::new(0),
                queues: queues.into_iter().map(Arc::new).collect(),
            }));
        }
        Ok(self)
    }

    /// Moves all rows of a sink to positions before those that are drawn from now on, in their order. They are of an earlier version, or
    /// from a store with other revisions. After a crash in between the rest is moved by the next start, or is in order as it is.
    async fn renumber(&self, sink: &str) -> Result<(), StoreError> {
        loop {
            match self.renumber_all(sink).await {
                Ok(moved) => {
                    tracing::info!(
                        sink,
                        moved,
                        "notifications of an earlier store are the first of their queue"
                    );
                    return Ok(());
                }
                // Another node that starts at the same time does the same.
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.unexpected()),
            }
        }
    }

    async fn renumber_all(&self, sink: &str) -> Result<usize, CommitError> {
        let (mut next, mut moved) = (0, 0);
        let mut walk = Walk::new(key(keys::NOTIFICATION).text(sink).prefix(), false);
        while let Some(rows) = walk.next(self).await? {
            let mut foreign = Vec::new();
            for (row, entry) in rows {
                match sink_and_position(&row).and_then(|(_, position)| position) {
                    Some(position) if position.is_renumbered() => next = position.number + 1,
                    _ => foreign.push((row, entry)),
                }
            }
            for some in foreign.chunks(RENUMBERED_AT_ONCE) {
                let mut changes = self.change();
                for (row, entry) in some {
                    let to = row_key(sink, Position::renumbered(next));
                    changes.unchanged(row, entry.revision);
                    changes.delete_key(row.clone());
                    changes.condition(Condition::Absent(to.clone()));
                    changes.put_row(to, entry.value.to_vec());
                    next += 1;
                }
                changes.commit().await?;
                moved += some.len();
            }
        }
        Ok(moved)
    }

    /// The outbox, if there is a sink.
    pub fn outbox(&self) -> Option<&Arc<Outbox>> {
        self.outbox.as_ref()
    }

    /// Up to `limit` waiting notifications of a sink, the oldest first, after this position.
    pub async fn pending_notifications(
        &self,
        queue: &SinkQueue,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        let prefix = key(keys::NOTIFICATION).text(&queue.sink).prefix();
        let after = after.map(|position| row_key(&queue.sink, position));
        let rows = self.range(prefix, after, false, limit).await?;
        let pending = rows.into_iter().filter_map(|(row, entry)| {
            let position = sink_and_position(&row)?.1?;
            let notification = decode(&entry.value);
            if let Err(error) = &notification {
                tracing::error!(?row, %error, "a notification in the outbox cannot be read, and is dropped");
            }
            Some(Pending {
                position,
                notification: notification.ok(),
            })
        });
        Ok(pending.collect())
    }

    /// Deletes notifications that a sink has accepted, or that are dropped. `task` is the record of the node that publishes them,
    /// if several could.
    ///
    /// # Errors
    /// Also if another node publishes them now.
    pub async fn delete_notifications(
        &self,
        queue: &SinkQueue,
        positions: &[Position],
        task: Option<&Stored<ClusterTask>>,
    ) -> Result<(), StoreError> {
        for some in positions.chunks(DELETED_AT_ONCE) {
            let rows: Vec<Key> = some
                .iter()
                .map(|position| row_key(&queue.sink, *position))
                .collect();
            self.delete_rows(&rows, task).await?;
            let deleted = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            queue.pending.fetch_sub(deleted, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Counts the waiting notifications of a sink anew, with those of other control nodes. On a store that is not shared the number is
    /// right anyway.
    pub async fn count_pending(&self, queue: &SinkQueue) -> Result<(), StoreError> {
        if !self.is_shared() {
            return Ok(());
        }
        let mut counted = 0_usize;
        let mut walk = Walk::new(key(keys::NOTIFICATION).text(&queue.sink).prefix(), false);
        while let Some(rows) = walk.next(self).await? {
            counted += rows.len();
        }
        let counted = i64::try_from(counted).unwrap_or(i64::MAX);
        queue.pending.store(counted, Ordering::Release);
        Ok(())
    }

    async fn delete_rows(&self, rows: &[Key], task: Option<&Stored<ClusterTask>>) -> Result<(), StoreError> {
        let mut changes = self.change();
        if let Some(task) = task {
            changes.require(task);
        }
        for row in rows {
            changes.delete_key(row.clone());
        }
        changes
            .commit()
            .await
            .map(drop)
            .map_err(|error| error.unexpected())
    }
}

/// The most rows that one commit deletes (etcd: 128 operations in a transaction).
const DELETED_AT_ONCE: usize = 100;

/// The most rows that one commit moves; each may have [`MAX_VALUE`](crate::store::MAX_VALUE) bytes.
const RENUMBERED_AT_ONCE: usize = 6;

impl SinkQueue {
    fn new(sink: &str) -> Self {
        Self {
            sink: sink.to_owned(),
            pending: AtomicI64::new(0),
            published: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failure: Mutex::default(),
            changed: Notify::new(),
        }
    }
}

fn row_key(sink: &str, position: Position) -> Key {
    key(keys::NOTIFICATION).text(sink).bytes(&position.bytes()).end()
}

/// The sink of a row, and its position; none if an earlier version wrote it.
fn sink_and_position(row: &Key) -> Option<(String, Option<Position>)> {
    let (sink, rest) = split_text(row.0.get(keys::NOTIFICATION.len()..)?)?;
    match Position::of(rest) {
        Some(position) => Some((sink, Some(position))),
        None if rest.len() == FORMER_POSITION_BYTES => Some((sink, None)),
        None => None,
    }
}

/// Earlier versions numbered the rows of a store.
const FORMER_POSITION_BYTES: usize = 8;

#[cfg(test)]
mod tests;
