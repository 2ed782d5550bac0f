//! The last decision for each volume, for those who ask "why was no host chosen?" (`/inspect/scheduler/decisions`).
//!
//! Bounded: of more than so many volumes the one decided longest ago is forgotten.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pick::Decision;
use crate::model::VolumeId;

/// See the module. Shared by the actor and those who look; every hold of its lock is short.
#[derive(Debug)]
pub struct Decisions {
    bound: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_volume: HashMap<VolumeId, (u64, Arc<Decision>)>,
    /// Oldest first; an entry whose number is not the volume's latest is stale.
    order: VecDeque<(u64, VolumeId)>,
    next: u64,
}

impl Decisions {
    /// Keeps those of so many volumes.
    #[must_use]
    pub fn new(bound: usize) -> Self {
        Self {
            bound,
            kept: Mutex::default(),
        }
    }

    /// The last decision for this volume.
    #[must_use]
    pub fn of(&self, volume: VolumeId) -> Option<Arc<Decision>> {
        self.kept()
            .by_volume
            .get(&volume)
            .map(|(_, decision)| Arc::clone(decision))
    }

    /// The latest decisions, newest first.
    #[must_use]
    pub fn latest(&self, limit: usize) -> Vec<Arc<Decision>> {
        let kept = self.kept();
        let current = kept.order.iter().rev().filter_map(|(number, volume)| {
            let (latest, decision) = kept.by_volume.get(volume)?;
            (latest == number).then(|| Arc::clone(decision))
        });
        current.take(limit).collect()
    }

    /// Remembers one.
    pub fn keep(&self, decision: Arc<Decision>) {
        let mut kept = self.kept();
        let (number, volume) = (kept.next, decision.volume_id);
        kept.next += 1;
        kept.by_volume.insert(volume, (number, decision));
        kept.order.push_back((number, volume));
        while kept.by_volume.len() > self.bound || kept.order.len() > self.bound.saturating_mul(2).max(1) {
            let Some((number, volume)) = kept.order.pop_front() else {
                break;
            };
            if kept
                .by_volume
                .get(&volume)
                .is_some_and(|(latest, _)| *latest == number)
            {
                kept.by_volume.remove(&volume);
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::Decisions;
    use crate::actors::scheduler::filters::Ask;
    use crate::actors::scheduler::pick::{Chain, Decision, pick};
    use crate::actors::scheduler::{testing, weighers::Multipliers};

    fn decision() -> Arc<Decision> {
        let (request, excluded) = (testing::request(1), BTreeMap::new());
        let chain = Chain::new(&[""; 0], &[""; 0], Multipliers::default()).unwrap();
        Arc::new(pick(
            &Ask {
                request: &request,
                online_extend: false,
                excluded: &excluded,
            },
            &[],
            &chain,
        ))
    }

    #[test]
    fn only_the_latest_volumes_are_remembered() {
        let decisions = Decisions::new(2);
        let all = [decision(), decision(), decision()];
        for decision in &all {
            decisions.keep(Arc::clone(decision));
        }
        assert!(decisions.of(all[0].volume_id).is_none());
        assert!(decisions.of(all[2].volume_id).is_some());
        assert_eq!(decisions.latest(9).len(), 2);
        for _ in 0..10 {
            decisions.keep(Arc::clone(&all[2]));
        }
        assert_eq!(decisions.latest(9)[0].volume_id, all[2].volume_id);
        assert!(decisions.kept().order.len() <= 4);
    }
}
