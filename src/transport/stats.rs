//! Counters of an actor's work, kept outside it.
//!
//! An operator wants to inspect a stuck actor, so nothing here uses its mailbox: the endpoint, the shell and the
//! supervisor update atomics (and a small mutex for the messages in work), and [`ActorStats::report`] reads them from
//! any thread. Labels are message names only, never ids of volumes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Address;
use super::undelivered::RecentUndelivered;
use crate::model::Timestamp;

/// Upper bounds of the time histograms, in seconds; one more bucket is unbounded.
pub const BUCKETS: [f64; 14] = [
    0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];

/// The state of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, strum::FromRepr)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum State {
    /// Not built yet; messages wait.
    Starting,
    /// Running.
    Running,
    /// Panicked, will be rebuilt; messages wait.
    Restarting,
    /// Panicked too often; it stays down and the node counts as unhealthy.
    Failed,
    /// Ended on purpose.
    Stopped,
}

/// A histogram of times with [`BUCKETS`] as bounds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts one time.
    pub fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BUCKETS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(BUCKETS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros(time), Ordering::Relaxed);
    }

    /// Its current values.
    pub fn report(&self) -> HistogramReport {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BUCKETS.len());
        for (index, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            if let Some(le) = BUCKETS.get(index) {
                buckets.push(BucketReport { le: *le, count });
            }
        }
        let sum_seconds = Duration::from_micros(self.sum_micros.load(Ordering::Relaxed)).as_secs_f64();
        HistogramReport {
            buckets,
            count,
            sum_seconds,
        }
    }
}

/// A histogram in Prometheus' format.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistogramReport {
    /// Cumulative counts; the unbounded bucket is `count`.
    pub buckets: Vec<BucketReport>,
    /// The number of values.
    pub count: u64,
    /// Their sum in seconds.
    pub sum_seconds: f64,
}

/// One cumulative bucket.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BucketReport {
    /// Its upper bound in seconds.
    pub le: f64,
    /// The number of values up to the bound.
    pub count: u64,
}

/// The counters of one kind of message to one actor.
#[derive(Debug, Default)]
pub struct MessageStats {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) handled: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) queue_time: Histogram,
    pub(super) handler_time: Histogram,
}

impl MessageStats {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn report(&self, message: &'static str) -> MessageReport {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MessageReport {
            message,
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            expired: read(&self.expired),
            handled: read(&self.handled),
            failed: read(&self.failed),
            panicked: read(&self.panicked),
            lost: read(&self.lost),
            queue_time: self.queue_time.report(),
            handler_time: self.handler_time.report(),
        }
    }
}

/// One kind of message to one actor, since the process started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MessageReport {
    /// Its name.
    pub message: &'static str,
    /// Accepted by the endpoint.
    pub accepted: u64,
    /// Refused by the endpoint: full, or the actor is down.
    pub refused: u64,
    /// Dropped unhandled, because their deadline had passed.
    pub expired: u64,
    /// Handled to the end, with success or an error.
    pub handled: u64,
    /// Of those handled, the ones that ended in an error.
    pub failed: u64,
    /// Ended by a panic of their own handler.
    pub panicked: u64,
    /// Accepted, but ended with an actor that panicked or stopped.
    pub lost: u64,
    /// The time from acceptance to the handler.
    pub queue_time: HistogramReport,
    /// The time in the handler.
    pub handler_time: HistogramReport,
}

/// A message that an actor is handling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InWork {
    /// The message.
    pub message: &'static str,
    /// The request that it belongs to.
    pub request_id: String,
    /// When the handler started.
    pub since: Timestamp,
}

/// A message in work, as it is recorded.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) message: &'static str,
    pub(super) request_id: Arc<str>,
    pub(super) at: Instant,
}

/// The last unexpected end of an actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastFailure {
    /// The time.
    pub when: Timestamp,
    /// What it was doing and the panic's text.
    pub text: String,
}

/// An actor, for inspection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActorReport {
    /// Its address, `topic@server`.
    pub address: String,
    /// Its node.
    pub node: String,
    /// How many times it was built; 1 is the first incarnation.
    pub incarnation: u64,
    /// Its state.
    pub state: State,
    /// Messages waiting or in work.
    pub depth: usize,
    /// The most messages waiting or in work.
    pub bound: usize,
    /// The messages in work, the longest first.
    pub in_work: Vec<InWork>,
    /// By kind of message, sorted by name.
    pub messages: Vec<MessageReport>,
    /// How many times it was rebuilt.
    pub restarts: u64,
    /// The reason of the last rebuild.
    pub last_failure: Option<LastFailure>,
}

/// The counters of one actor; they are kept across its incarnations.
#[derive(Debug)]
pub struct ActorStats {
    address: Address,
    bound: usize,
    depth: AtomicUsize,
    state: AtomicU8,
    incarnation: AtomicU64,
    next_ticket: AtomicU64,
    in_work: Mutex<BTreeMap<u64, Begun>>,
    messages: Mutex<Vec<(&'static str, Arc<MessageStats>)>>,
    last_failure: Mutex<Option<LastFailure>>,
    /// Shells and tasks that still hold the actor.
    living: AtomicUsize,
    /// Notified when `depth` or `living` decrease, or `state` improves, while there are watchers.
    changed: Notify,
    watchers: AtomicUsize,
    /// The list of undelivered messages, once registered with a router.
    pub(super) undelivered: OnceLock<Arc<RecentUndelivered>>,
}

impl ActorStats {
    pub(super) fn new(address: Address, bound: usize) -> Self {
        Self {
            address,
            bound,
            depth: AtomicUsize::new(0),
            state: AtomicU8::new(State::Starting as u8),
            incarnation: AtomicU64::new(0),
            next_ticket: AtomicU64::new(0),
            in_work: Mutex::default(),
            messages: Mutex::default(),
            last_failure: Mutex::default(),
            living: AtomicUsize::new(0),
            changed: Notify::new(),
            watchers: AtomicUsize::new(0),
            undelivered: OnceLock::new(),
        }
    }

    /// The actor's address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its state.
    pub fn state(&self) -> State {
        State::from_repr(self.state.load(Ordering::SeqCst)).unwrap_or(State::Failed)
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::SeqCst);
        self.notify();
    }

    /// Messages waiting or in work.
    pub fn depth(&self) -> usize {
        self.depth.load(Ordering::SeqCst)
    }

    /// Takes a place in the mailbox, if one is free.
    pub(super) fn enter(&self) -> bool {
        self.depth
            .try_update(Ordering::SeqCst, Ordering::Acquire, |depth| {
                (depth < self.bound).then_some(depth + 1)
            })
            .is_ok()
    }

    pub(super) fn leave(&self) {
        self.depth.fetch_sub(1, Ordering::SeqCst);
        self.notify();
    }

    /// Nearly always there is no watcher: then no lock is taken.
    fn notify(&self) {
        if self.watchers.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Waits until a condition of what is counted here holds; false if `until` passes before.
    pub(super) async fn wait_until(&self, until: Instant, condition: impl Fn(&Self) -> bool) -> bool {
        // Before the condition is checked for the first time: a change after that sees the watcher.
        let _watcher = Watcher::new(&self.watchers);
        let wait = async {
            loop {
                let mut change = std::pin::pin!(self.changed.notified());
                change.as_mut().enable();
                if condition(self) {
                    return;
                }
                change.await;
            }
        };
        tokio::time::timeout_at(until, wait).await.is_ok()
    }

    pub(super) fn is_living(&self) -> bool {
        self.living.load(Ordering::SeqCst) > 0
    }

    pub(super) fn born(self: &Arc<Self>) -> Living {
        self.living.fetch_add(1, Ordering::SeqCst);
        Living(Arc::clone(self))
    }

    /// Records a new incarnation; returns its number.
    pub(super) fn next_incarnation(&self) -> u64 {
        self.incarnation.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(super) fn add_message(&self, name: &'static str) -> Arc<MessageStats> {
        let stats = Arc::new(MessageStats::default());
        let mut messages = self.messages.lock();
        messages.push((name, Arc::clone(&stats)));
        messages.sort_unstable_by_key(|(name, _)| *name);
        stats
    }

    pub(super) fn begin_work(&self, work: Begun) -> u64 {
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        self.in_work.lock().insert(ticket, work);
        ticket
    }

    pub(super) fn end_work(&self, ticket: u64) {
        self.in_work.lock().remove(&ticket);
    }

    pub(super) fn failed(&self, text: String) {
        *self.last_failure.lock() = Some(LastFailure {
            when: Timestamp::now(),
            text,
        });
    }

    /// A report for inspection. Never waits for the actor.
    pub fn report(&self, node: &str) -> ActorReport {
        let incarnation = self.incarnation.load(Ordering::Acquire);
        let (now, time) = (Instant::now(), Timestamp::now());
        let shown = |work: &Begun| InWork {
            message: work.message,
            request_id: work.request_id.to_string(),
            since: time.minus(now.saturating_duration_since(work.at)),
        };
        let mut in_work: Vec<_> = self.in_work.lock().values().map(shown).collect();
        in_work.sort_by(|a, b| (a.since, &a.request_id).cmp(&(b.since, &b.request_id)));
        ActorReport {
            address: self.address.to_string(),
            node: node.to_owned(),
            incarnation,
            state: self.state(),
            depth: self.depth(),
            bound: self.bound,
            in_work,
            messages: self
                .messages
                .lock()
                .iter()
                .map(|(name, stats)| stats.report(name))
                .collect(),
            restarts: incarnation.saturating_sub(1),
            last_failure: self.last_failure.lock().clone(),
        }
    }
}

/// Held by everything that keeps an incarnation alive, so that a shutdown can wait for its end.
pub(super) struct Living(Arc<ActorStats>);

impl Drop for Living {
    fn drop(&mut self) {
        self.0.living.fetch_sub(1, Ordering::SeqCst);
        self.0.notify();
    }
}

/// Counted while it waits.
struct Watcher<'c>(&'c AtomicUsize);

impl<'c> Watcher<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Histogram};
    use std::time::Duration;

    #[test]
    fn a_histogram_counts_each_time_once_and_cumulates_upwards() {
        let histogram = Histogram::default();
        for millis in [0, 3, 3, 700, 3_600_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let report = histogram.report();
        assert_eq!(report.count, 5);
        assert_eq!(report.buckets.len(), BUCKETS.len());
        assert!(report.buckets.is_sorted_by_key(|bucket| bucket.count));
        let at = |le: f64| {
            let found = report.buckets.iter().find(|b| (b.le - le).abs() < 1e-9);
            found.map(|b| b.count)
        };
        assert_eq!(
            (at(0.0001), at(0.005), at(1.0), at(60.0)),
            (Some(1), Some(3), Some(4), Some(4))
        );
        assert!((report.sum_seconds - 3600.706).abs() < 1e-6);
    }
}
