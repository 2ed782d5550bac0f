//! The outbox: notifications that are committed together with the changes they are about, until their sinks have accepted them.
//!
//! Each sink has its own rows, so that one that is down holds up no other. A row's key is its sink and a sequence number, which is
//! drawn when the commit is built. A commit about a record has read the record's last revision, so its number is higher than those
//! of the earlier commits about that record: the rows of one resource are in order. Rows of different resources may become visible
//! in another order than that of their numbers; so a publisher reads from the beginning of its queue and deletes what was
//! accepted, and does not keep a position.
//!
//! A notification is never the reason why a commit fails: what does not fit into it is left out and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::keys::split_text;
use super::prelude::*;
use crate::model::Notification;
use crate::store::record::{decode, encode};
use crate::store::{Change, MAX_COMMIT, Transaction};

/// The queues of all sinks. Shared by all clones of a catalog.
#[derive(Debug)]
pub struct Outbox {
    host: String,
    next: AtomicU64,
    queues: Vec<Arc<SinkQueue>>,
}

/// The queue of one sink.
#[derive(Debug)]
pub struct SinkQueue {
    sink: String,
    /// Negative for a moment if a row is read and deleted before it is counted.
    pending: AtomicI64,
    /// Since the start of the process.
    published: AtomicU64,
    dropped: AtomicU64,
    /// Why the sink accepts nothing at present.
    failure: Mutex<Option<String>>,
    changed: Notify,
}

/// A row of a queue.
#[derive(Debug)]
pub struct Pending {
    /// Its number.
    pub number: u64,
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

    /// Adds the rows of these notifications; returns how many each sink gets.
    pub(super) fn add_rows(&self, transaction: &mut Transaction, notifications: &[Notification]) -> usize {
        let mut size = transaction.size();
        let mut added = 0;
        for notification in notifications {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(rows) = self.rows(number, notification, MAX_COMMIT.saturating_sub(size)) else {
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
    fn rows(&self, number: u64, notification: &Notification, room: usize) -> Option<Vec<(Key, Vec<u8>)>> {
        let value = encode(notification).ok()?;
        let keys = self.queues.iter().map(|queue| row_key(&queue.sink, number));
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
    /// were configured before, are deleted.
    pub async fn with_outbox(mut self, host: &str, sinks: &[&str]) -> Result<Self, StoreError> {
        let mut queues: Vec<SinkQueue> = sinks.iter().map(|sink| SinkQueue::new(sink)).collect();
        let (mut next, mut removed) = (0, 0_usize);
        let mut walk = Walk::new(key(keys::NOTIFICATION).prefix(), false);
        while let Some(rows) = walk.next(&self).await? {
            let mut others = Vec::new();
            for (row, _) in rows {
                let Some((sink, number)) = sink_and_number(&row) else {
                    others.push(row);
                    continue;
                };
                next = next.max(number.saturating_add(1));
                match queues.iter_mut().find(|queue| queue.sink == sink) {
                    Some(queue) => *queue.pending.get_mut() += 1,
                    None => others.push(row),
                }
            }
            removed += others.len();
            for some in others.chunks(DELETED_AT_ONCE) {
                self.delete_rows(some).await?;
            }
        }
        if removed > 0 {
            tracing::warn!(
                removed,
                "notifications for sinks that are not configured any more were deleted"
            );
        }
        if !queues.is_empty() {
            self.outbox = Some(Arc::new(Outbox {
                host: host.to_owned(),
                next: AtomicU64::new(next),
                queues: queues.into_iter().map(Arc::new).collect(),
            }));
        }
        Ok(self)
    }

    /// The outbox, if there is a sink.
    pub fn outbox(&self) -> Option<&Arc<Outbox>> {
        self.outbox.as_ref()
    }

    /// Up to `limit` waiting notifications of a sink, the oldest first, after this number.
    pub async fn pending_notifications(
        &self,
        queue: &SinkQueue,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        let prefix = key(keys::NOTIFICATION).text(&queue.sink).prefix();
        let after = after.map(|number| row_key(&queue.sink, number));
        let rows = self.range(prefix, after, false, limit).await?;
        let pending = rows.into_iter().filter_map(|(row, entry)| {
            let (_, number) = sink_and_number(&row)?;
            let notification = decode(&entry.value);
            if let Err(error) = &notification {
                tracing::error!(?row, %error, "a notification in the outbox cannot be read, and is dropped");
            }
            Some(Pending {
                number,
                notification: notification.ok(),
            })
        });
        Ok(pending.collect())
    }

    /// Deletes notifications that a sink has accepted, or that are dropped.
    pub async fn delete_notifications(&self, queue: &SinkQueue, numbers: &[u64]) -> Result<(), StoreError> {
        for some in numbers.chunks(DELETED_AT_ONCE) {
            let rows: Vec<Key> = some.iter().map(|number| row_key(&queue.sink, *number)).collect();
            self.delete_rows(&rows).await?;
            let deleted = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            queue.pending.fetch_sub(deleted, Ordering::AcqRel);
        }
        Ok(())
    }

    async fn delete_rows(&self, rows: &[Key]) -> Result<(), StoreError> {
        let mut changes = self.change();
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

fn row_key(sink: &str, number: u64) -> Key {
    key(keys::NOTIFICATION)
        .text(sink)
        .bytes(&number.to_be_bytes())
        .end()
}

fn sink_and_number(row: &Key) -> Option<(String, u64)> {
    let (sink, rest) = split_text(row.0.get(keys::NOTIFICATION.len()..)?)?;
    Some((sink, u64::from_be_bytes(rest.try_into().ok()?)))
}

#[cfg(test)]
mod tests;
