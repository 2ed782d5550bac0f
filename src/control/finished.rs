//! Ended operations with their steps and times, for inspection (`/inspect/operations`).
//!
//! Shared between the actor, which writes, and `web`, which reads; bounded, in memory; the oldest are dropped.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::model::{Operation, OperationId, StepRecord, Timestamp, VolumeId};
use parking_lot::Mutex;

/// The most ended operations in memory.
const KEPT: usize = 500;
/// The most open operations whose unjournaled steps are in memory.
const LIVE: usize = 4096;

/// An operation that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The last journal entry, with all steps.
    pub operation: Operation,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Why it failed, for the operator; `None` on success.
    pub failure: Option<String>,
}

/// The progress of an open operation that moves data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Completed bytes.
    pub done: u64,
    /// Total bytes.
    pub total: u64,
    /// The recent rate; `None` until it is known.
    pub bytes_per_second: Option<u64>,
    /// The time of this progress.
    pub at: Timestamp,
}

impl Advance {
    /// The progress after an update.
    fn after(before: Option<Self>, done: u64, total: u64, at: Timestamp) -> Self {
        let rate = before.and_then(|before| {
            // None, if the clock was set back meanwhile.
            let micros = Some(at.since(before.at).as_micros()).filter(|micros| *micros > 0)?;
            // Less than before, or another total: it was restarted, or another step began.
            let moved = done.checked_sub(before.done).filter(|_| before.total == total)?;
            let now = u64::try_from(u128::from(moved) * 1_000_000 / micros).ok()?;
            // A moving average over the last few seconds.
            Some(before.bytes_per_second.map_or(now, |then| then / 2 + now / 2))
        });
        Self {
            done,
            total,
            bytes_per_second: rate,
            at,
        }
    }
}

/// The ring of ended operations. Cheap to clone; clones share the ring.
#[derive(Clone, Debug, Default)]
pub struct FinishedOperations {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    finished: VecDeque<Finished>,
    /// Steps of open operations, by operation.
    live: HashMap<OperationId, Vec<StepRecord>>,
    /// The progress of open operations, by operation.
    advances: HashMap<OperationId, Advance>,
}

impl FinishedOperations {
    /// An empty ring.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last ones, newest first.
    pub fn latest(&self, limit: usize) -> Vec<Finished> {
        self.inner
            .lock()
            .finished
            .iter()
            .rev()
            .take(limit)
            .cloned()
            .collect()
    }

    /// An ended operation by id, if it is in memory.
    pub fn get(&self, id: OperationId) -> Option<Finished> {
        self.inner
            .lock()
            .finished
            .iter()
            .rev()
            .find(|finished| finished.operation.id == id)
            .cloned()
    }

    /// Those of a volume, newest first.
    pub fn of_volume(&self, id: VolumeId) -> Vec<Finished> {
        self.inner
            .lock()
            .finished
            .iter()
            .rev()
            .filter(|finished| finished.operation.volume_id == Some(id))
            .cloned()
            .collect()
    }

    /// The steps of an open operation that are not (yet) in its journal entry.
    pub fn live_steps(&self, id: OperationId) -> Vec<StepRecord> {
        self.inner.lock().live.get(&id).cloned().unwrap_or_default()
    }

    /// Stores steps of an open operation; dropped if too many operations are open.
    pub fn note_steps(&self, id: OperationId, steps: Vec<StepRecord>) {
        let mut inner = self.inner.lock();
        if inner.live.len() < LIVE || inner.live.contains_key(&id) {
            inner.live.entry(id).or_default().extend(steps);
        }
    }

    /// The progress of an open operation, if reported.
    pub fn advance(&self, id: OperationId) -> Option<Advance> {
        self.inner.lock().advances.get(&id).copied()
    }

    /// Stores the progress of an open operation.
    pub fn note_progress(&self, id: OperationId, done: u64, total: u64, at: Timestamp) {
        let mut inner = self.inner.lock();
        let before = inner.advances.get(&id).copied();
        if before.is_some() || inner.advances.len() < LIVE {
            inner.advances.insert(id, Advance::after(before, done, total, at));
        }
    }

    /// Prepends steps to an operation that has already ended.
    pub fn amend(&self, id: OperationId, mut steps: Vec<StepRecord>) {
        let mut inner = self.inner.lock();
        if let Some(finished) = inner
            .finished
            .iter_mut()
            .rev()
            .find(|finished| finished.operation.id == id)
        {
            steps.append(&mut finished.operation.steps);
            finished.operation.steps = steps;
        }
    }

    /// Removes and returns the stored steps of an operation.
    pub fn take_steps(&self, id: OperationId) -> Vec<StepRecord> {
        self.inner.lock().live.remove(&id).unwrap_or_default()
    }

    /// Stores an ended operation, and drops the oldest.
    pub fn push(&self, finished: Finished) {
        let mut inner = self.inner.lock();
        inner.live.remove(&finished.operation.id);
        inner.advances.remove(&finished.operation.id);
        if inner.finished.len() >= KEPT {
            inner.finished.pop_front();
        }
        inner.finished.push_back(finished);
    }
}

#[cfg(test)]
mod tests {
    use super::Advance;
    use crate::model::Timestamp;

    #[test]
    fn a_rate_is_of_the_last_seconds_and_begins_anew_with_the_work() {
        let second = |n: i64| Timestamp(n * 1_000_000);
        let first = Advance::after(None, 10, 100, second(0));
        assert_eq!(first.bytes_per_second, None);
        let then = Advance::after(Some(first), 30, 100, second(2));
        assert_eq!(then.bytes_per_second, Some(10));
        let faster = Advance::after(Some(then), 60, 100, second(3));
        assert_eq!(faster.bytes_per_second, Some(20));
        for (done, total) in [(5, 100), (70, 200)] {
            let anew = Advance::after(Some(faster), done, total, second(4));
            assert_eq!((anew.done, anew.bytes_per_second), (done, None));
        }
    }
}
