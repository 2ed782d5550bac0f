//! Operations that have ended, with their steps: for those who ask where the time went (`/inspect/operations`).
//!
//! Shared between the actor, which writes, and `web`, which reads; bounded, in memory, newest kept.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::model::{Operation, OperationId, StepRecord, Timestamp, VolumeId};
use parking_lot::Mutex;

/// How many ended operations are remembered.
const KEPT: usize = 500;
/// For how many open operations the steps are remembered that no journal entry holds yet.
const LIVE: usize = 4096;

/// An operation that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The journal entry as it was last, with all steps.
    pub operation: Operation,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Why it failed, for the operator; `None` if it did not.
    pub failure: Option<String>,
}

/// How far an open operation is that moves data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// How many a second it did of late; `None` until that can be said.
    pub bytes_per_second: Option<u64>,
    /// When that was.
    pub at: Timestamp,
}

impl Advance {
    /// What it is now, after what it was.
    fn after(before: Option<Self>, done: u64, total: u64, at: Timestamp) -> Self {
        let rate = before.and_then(|before| {
            // None, if the clock was set back meanwhile.
            let micros = Some(at.since(before.at).as_micros()).filter(|micros| *micros > 0)?;
            // Less than before, or of another whole: it was begun anew, or another step of it.
            let moved = done.checked_sub(before.done).filter(|_| before.total == total)?;
            let now = u64::try_from(u128::from(moved) * 1_000_000 / micros).ok()?;
            // The last few seconds, mostly the last one.
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

/// The ring of ended operations. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct FinishedOperations {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    finished: VecDeque<Finished>,
    /// Steps of open operations, by operation.
    live: HashMap<OperationId, Vec<StepRecord>>,
    /// How far open operations are, by operation.
    advances: HashMap<OperationId, Advance>,
}

impl FinishedOperations {
    /// An empty ring.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The last ones, newest first.
    #[must_use]
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

    /// One by id, if it is remembered.
    #[must_use]
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
    #[must_use]
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

    /// The steps of an open operation that its journal entry does not hold (yet).
    #[must_use]
    pub fn live_steps(&self, id: OperationId) -> Vec<StepRecord> {
        self.inner.lock().live.get(&id).cloned().unwrap_or_default()
    }

    /// Remembers steps of an open operation; when too many are open, those of this one are not remembered.
    pub fn note_steps(&self, id: OperationId, steps: Vec<StepRecord>) {
        let mut inner = self.inner.lock();
        if inner.live.len() < LIVE || inner.live.contains_key(&id) {
            inner.live.entry(id).or_default().extend(steps);
        }
    }

    /// How far an open operation is, if it was told of.
    #[must_use]
    pub fn advance(&self, id: OperationId) -> Option<Advance> {
        self.inner.lock().advances.get(&id).copied()
    }

    /// Remembers how far an open operation is.
    pub fn note_progress(&self, id: OperationId, done: u64, total: u64, at: Timestamp) {
        let mut inner = self.inner.lock();
        let before = inner.advances.get(&id).copied();
        if before.is_some() || inner.advances.len() < LIVE {
            inner.advances.insert(id, Advance::after(before, done, total, at));
        }
    }

    /// Adds steps that came first to an operation that has ended already.
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

    /// Takes the remembered steps of an operation.
    pub fn take_steps(&self, id: OperationId) -> Vec<StepRecord> {
        self.inner.lock().live.remove(&id).unwrap_or_default()
    }

    /// Remembers an ended operation, and forgets the oldest.
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
