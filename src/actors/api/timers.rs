//! When each open operation is due: a heap of times, without the operations themselves.
//!
//! Ten thousand open operations cost ten thousand small entries. A cancelled entry stays in the heap until it is due or
//! the heap is cleaned; an entry that does not match the table is skipped.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Operation, OperationId, Timestamp};

/// The timer of an open operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// When it is processed next.
    pub(super) due: Instant,
    /// Its deadline, as in the journal.
    pub(super) deadline: Timestamp,
    /// Its deadline by the monotonic clock.
    pub(super) until: Instant,
    /// How often in a row its command was refused by the endpoint, or sent without a report following.
    pub(super) tries: u32,
}

/// The deadline of an operation by the monotonic clock. The journal has the time of day, the only clock that survives a
/// restart; it is converted once per run of the actor, and an operation never gets more time than it was given when it began,
/// even if the system clock is set meanwhile.
pub(super) fn until(
    operation: &Operation,
    known: Option<Entry>,
    time_of_day: Timestamp,
    now: Instant,
    cancel_grace: Duration,
) -> Instant {
    match known {
        Some(known) if known.deadline == operation.deadline => known.until,
        // Only a cancellation changes it.
        Some(known) => known.until.min(now + cancel_grace),
        None => {
            let given = operation.deadline.since(operation.created_at);
            now + operation.deadline.since(time_of_day).min(given)
        }
    }
}

/// The timers of one actor.
#[derive(Default)]
pub(super) struct Timers {
    inner: RefCell<Inner>,
    changed: tokio::sync::Notify,
}

#[derive(Default)]
struct Inner {
    entries: BTreeMap<OperationId, Entry>,
    heap: BinaryHeap<Reverse<(Instant, OperationId)>>,
}

impl Timers {
    /// Sets when this operation is due; replaces its previous timer.
    pub(super) fn set(&self, id: OperationId, entry: Entry) {
        let mut inner = self.inner.borrow_mut();
        inner.entries.insert(id, entry);
        let is_next = inner.heap.peek().is_none_or(|Reverse((due, _))| entry.due < *due);
        inner.heap.push(Reverse((entry.due, id)));
        if inner.heap.len() > 4 * inner.entries.len() + 1024 {
            let entries = std::mem::take(&mut inner.entries);
            let times = entries.iter().map(|(id, entry)| Reverse((entry.due, *id)));
            inner.heap = times.collect();
            inner.entries = entries;
        }
        if is_next {
            self.changed.notify_one();
        }
    }

    /// Removes the timer of an operation that has ended.
    pub(super) fn cancel(&self, id: OperationId) {
        self.inner.borrow_mut().entries.remove(&id);
    }

    /// The timer of an operation.
    pub(super) fn get(&self, id: OperationId) -> Option<Entry> {
        self.inner.borrow().entries.get(&id).copied()
    }

    /// Takes up to `limit` due operations. Each keeps a timer, and is due again after `unless_set` unless it is set again or
    /// cancelled before: so none is lost.
    pub(super) fn take_due(&self, now: Instant, limit: usize, unless_set: Duration) -> Vec<OperationId> {
        let mut inner = self.inner.borrow_mut();
        let mut due = Vec::new();
        while due.len() < limit {
            match inner.heap.peek() {
                Some(Reverse((at, _))) if *at <= now => {}
                _ => break,
            }
            let Some(Reverse((at, id))) = inner.heap.pop() else {
                break;
            };
            if let Some(entry) = inner.entries.get_mut(&id).filter(|entry| entry.due == at) {
                // Must be later than now, or this would loop endlessly.
                entry.due = now + unless_set.max(Duration::from_millis(1));
                let again = Reverse((entry.due, id));
                inner.heap.push(again);
                due.push(id);
            }
        }
        due
    }

    /// Waits until the next one is due, or an earlier one is set.
    pub(super) async fn wait(&self) {
        let next = self.inner.borrow().heap.peek().map(|Reverse((due, _))| *due);
        match next {
            Some(due) => {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(due) => {}
                    () = self.changed.notified() => {}
                }
            }
            None => self.changed.notified().await,
        }
    }

    /// How many operations are open.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.inner.borrow().entries.len()
    }
}

#[cfg(test)]
mod tests {
    use crate::store::record::operation_v1::{OperationKind, OperationV1};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Entry, Timers, until};
    use crate::model::{Operation, OperationId, Timestamp};

    fn entry(due: Instant) -> Entry {
        Entry {
            due,
            deadline: Timestamp(i64::MAX),
            until: due,
            tries: 0,
        }
    }

    #[test]
    fn what_is_due_comes_once_in_order_and_what_was_set_anew_comes_at_its_new_time() {
        let (timers, start) = (Timers::default(), Instant::now());
        let ids: Vec<_> = (0..4).map(|_| OperationId::new()).collect();
        for (n, id) in ids.iter().enumerate() {
            timers.set(*id, entry(start + Duration::from_secs(10 - n as u64)));
        }
        timers.set(ids[3], entry(start + Duration::from_secs(60)));
        timers.cancel(ids[2]);
        let take = |at: u64| timers.take_due(start + Duration::from_secs(at), 10, Duration::from_secs(100));
        assert_eq!(take(0), []);
        assert_eq!(take(30), [ids[1], ids[0]]);
        assert_eq!(take(30), []);
        assert_eq!(take(60), [ids[3]]);
        timers.cancel(ids[0]);
        timers.set(ids[3], entry(start + Duration::from_secs(1000)));
        assert_eq!(take(129), []);
        assert_eq!(take(131), [ids[1]], "it was neither set nor cancelled");
    }

    #[test]
    fn a_clock_that_is_set_moves_no_deadline() {
        const GRACE: Duration = Duration::from_secs(60);
        let hour = Duration::from_secs(3600);
        let began = Timestamp(1_700_000_000_000_000);
        let operation = operation(began, began.plus(hour));
        let start = Instant::now();
        let first = until(&operation, None, began, start, GRACE);
        assert_eq!(first, start + hour);
        let known = |until: Instant| Entry {
            deadline: operation.deadline,
            until,
            ..entry(start)
        };
        let day = Duration::from_secs(86_400);
        for set in [began.plus(day), Timestamp(0)] {
            let later = start + Duration::from_secs(10);
            assert_eq!(until(&operation, Some(known(first)), set, later, GRACE), first);
        }
        // After a restart there is only the time of day: never more time than was given.
        assert_eq!(until(&operation, None, Timestamp(0), start, GRACE), start + hour);
        assert_eq!(
            until(&operation, None, began.plus(hour / 2), start, GRACE),
            start + hour / 2
        );
        assert_eq!(until(&operation, None, began.plus(day), start, GRACE), start);
        // A cancellation, whatever the system clock was when it was written.
        for at in [began.plus(day), Timestamp(0)] {
            let cancelled = operation.cancelled(at, GRACE);
            let left = until(&cancelled, Some(known(first)), at, start, GRACE);
            assert!(
                left <= start + hour && (cancelled.deadline == operation.deadline || left == start + GRACE)
            );
        }
    }

    fn operation(created_at: Timestamp, deadline: Timestamp) -> Operation {
        OperationV1 {
            id: OperationId::new(),
            kind: OperationKind::CreateVolume { hints: None },
            volume_id: crate::model::VolumeId::new(),
            project_id: "p".into(),
            user_id: "u".into(),
            request_id: "req".to_owned(),
            attempt: 1,
            pool: None,
            tried: Vec::new(),
            previous_status: None,
            reserved: crate::model::quota::Deltas::new(),
            steps: Vec::new(),
            created_at,
            deadline,
        }
        .upgrade()
        .unwrap()
    }

    #[test]
    fn the_heap_does_not_grow_with_operations_that_have_ended() {
        let (timers, start) = (Timers::default(), Instant::now());
        for n in 0..100_000_u64 {
            let (id, later) = (
                OperationId::new(),
                Duration::from_secs(30) + Duration::from_micros(n),
            );
            timers.set(id, entry(start + later));
            timers.cancel(id);
        }
        assert_eq!(timers.len(), 0);
        assert!(timers.inner.borrow().heap.len() < 2000);
    }
}
