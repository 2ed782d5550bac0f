//! When to look at which open operation again: a heap of times, without the operations themselves.
//!
//! Ten thousand open operations cost ten thousand small entries. What is cancelled stays in the heap until its time comes
//! or the heap is cleaned; an entry that does not agree with the table is skipped.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Operation, OperationId, Timestamp};

/// What is known of an open operation between two looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// When it is looked at next.
    pub(super) due: Instant,
    /// When it is given up, as the journal has it.
    pub(super) deadline: Timestamp,
    /// When that is by a clock that nobody sets.
    pub(super) until: Instant,
    /// How often in a row its command was refused by the endpoint, or sent without a report following.
    pub(super) tries: u32,
}

/// When an operation is given up, by a clock that nobody sets. The journal has the time of day, for this is all that is left
/// after a restart; but it is read once in the life of an actor, and an operation never has more time than it was given when it
/// began, whatever the clock was set to meanwhile.
pub(super) fn until(
    operation: &Operation,
    known: Option<Entry>,
    time_of_day: Timestamp,
    now: Instant,
    cancel_grace: Duration,
) -> Instant {
    match known {
        Some(known) if known.deadline == operation.deadline => known.until,
        // Only a cancellation moves it.
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
    /// Looks at this operation then, and forgets what was set for it before.
    pub(super) fn set(&self, id: OperationId, entry: Entry) {
        let mut inner = self.inner.borrow_mut();
        inner.entries.insert(id, entry);
        let is_next = inner.heap.peek().is_none_or(|Reverse((due, _))| entry.due < *due);
        inner.heap.push(Reverse((entry.due, id)));
        if inner.heap.len() > 4 * inner.entries.len() + 1024 {
            let entries = std::mem::take(&mut inner.entries);
            inner.heap = entries
                .iter()
                .map(|(id, entry)| Reverse((entry.due, *id)))
                .collect();
            inner.entries = entries;
        }
        if is_next {
            self.changed.notify_one();
        }
    }

    /// Looks at it no longer: it has ended.
    pub(super) fn cancel(&self, id: OperationId) {
        self.inner.borrow_mut().entries.remove(&id);
    }

    /// What is set for it.
    pub(super) fn get(&self, id: OperationId) -> Option<Entry> {
        self.inner.borrow().entries.get(&id).copied()
    }

    /// Takes up to `limit` operations whose time has come. Each stays known, and comes again after `unless_set` unless it is set
    /// again or cancelled before that: whoever takes one cannot forget it.
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
                // Later than now in any case, or this would not end.
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
        assert_eq!(take(131), [ids[1]], "nobody set it, nobody cancelled it");
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
            due: start,
            deadline: operation.deadline,
            until,
            tries: 0,
        };
        let day = Duration::from_secs(86_400);
        for set in [began.plus(day), Timestamp(0)] {
            let later = start + Duration::from_secs(10);
            assert_eq!(until(&operation, Some(known(first)), set, later, GRACE), first);
        }
        // A new life has the time of day alone: never more time than was given.
        assert_eq!(until(&operation, None, Timestamp(0), start, GRACE), start + hour);
        assert_eq!(
            until(&operation, None, began.plus(hour / 2), start, GRACE),
            start + hour / 2
        );
        assert_eq!(until(&operation, None, began.plus(day), start, GRACE), start);
        // A cancellation, whatever the clock said when it was written down.
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
            let id = OperationId::new();
            timers.set(
                id,
                entry(start + Duration::from_secs(30) + Duration::from_micros(n)),
            );
            timers.cancel(id);
        }
        assert_eq!(timers.len(), 0);
        assert!(timers.inner.borrow().heap.len() < 2000);
    }
}
