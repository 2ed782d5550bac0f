//! The last decision of the scheduler for each volume, for inspection (`/inspect/scheduler/decisions`).
//!
//! Bounded: beyond the bound the oldest decision is dropped.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use crate::model::{PoolName, Timestamp, VolumeId};

/// The most reasons in the text of a refusal.
const QUOTED_REASONS: usize = 3;

/// A stage of the chain, and how many pools passed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// The filter.
    pub name: &'static str,
    /// Pools before it.
    pub before: usize,
    /// Pools after it.
    pub after: usize,
}

/// The result for one pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolEvaluation {
    /// The pool.
    #[serde(serialize_with = "as_text")]
    pub pool: PoolName,
    /// The filter that dropped it.
    pub dropped_by: Option<&'static str>,
    /// The reason.
    pub reason: Option<String>,
    /// Its weight, if it was not dropped.
    pub weight: Option<f64>,
    /// The contribution of each weigher.
    pub weights: BTreeMap<&'static str, f64>,
}

/// A decision, with its reasons.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// The volume.
    pub volume_id: VolumeId,
    /// The requested GiB.
    pub size: u32,
    /// The time.
    pub decided_at: Timestamp,
    /// The pool, if there was one.
    #[serde(serialize_with = "as_optional_text")]
    pub chosen: Option<PoolName>,
    /// The number of pools after each stage.
    pub stages: Vec<Stage>,
    /// The pools; not all of them if there are very many.
    pub pools: Vec<PoolEvaluation>,
    /// The number of pools that are not listed above.
    pub unnamed: usize,
}

fn as_text<S: Serializer>(pool: &PoolName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(pool)
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
fn as_optional_text<S: Serializer>(pool: &Option<PoolName>, serializer: S) -> Result<S::Ok, S::Error> {
    match pool {
        Some(pool) => serializer.collect_str(pool),
        None => serializer.serialize_none(),
    }
}

impl Decision {
    /// `AvailabilityZoneFilter 24→24, CapacityFilter 24→0`.
    pub fn counts(&self) -> String {
        let stages = self
            .stages
            .iter()
            .map(|stage| format!("{} {}→{}", stage.name, stage.before, stage.after));
        stages.collect::<Vec<_>>().join(", ")
    }

    /// Why no pool was chosen, as a sentence for the operator.
    pub fn why_none(&self) -> String {
        if self.pools.is_empty() {
            return "no backend has reported a pool yet".to_owned();
        }
        let reasons = self.pools.iter().filter_map(|evaluation| {
            let (filter, reason) = (evaluation.dropped_by?, evaluation.reason.as_deref()?);
            Some(format!("{}: {reason} ({filter})", evaluation.pool))
        });
        let quoted: Vec<String> = reasons.take(QUOTED_REASONS).collect();
        format!("{}; {}", self.counts(), quoted.join("; "))
    }
}

/// See the module. Shared by the actor and inspection; its lock is held briefly.
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
    /// Keeps the decisions for so many volumes.
    pub fn new(bound: usize) -> Self {
        Self {
            bound,
            kept: Mutex::default(),
        }
    }

    /// The last decision for this volume.
    pub fn of(&self, volume: VolumeId) -> Option<Arc<Decision>> {
        self.kept
            .lock()
            .by_volume
            .get(&volume)
            .map(|(_, decision)| Arc::clone(decision))
    }

    /// The latest decisions, newest first.
    pub fn latest(&self, limit: usize) -> Vec<Arc<Decision>> {
        let kept = self.kept.lock();
        let current = kept.order.iter().rev().filter_map(|(number, volume)| {
            let (latest, decision) = kept.by_volume.get(volume)?;
            (latest == number).then(|| Arc::clone(decision))
        });
        current.take(limit).collect()
    }

    /// Stores a decision.
    pub fn keep(&self, decision: Arc<Decision>) {
        let mut kept = self.kept.lock();
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
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::Decision;
    use super::Decisions;
    use crate::actors::scheduler::filters::Ask;
    use crate::actors::scheduler::pick::{Chain, pick};
    use crate::actors::scheduler::{testing, weighers::Multipliers};

    fn decision() -> Arc<Decision> {
        let (request, excluded) = (testing::request(1), BTreeMap::new());
        let chain = Chain::new(&[""; 0], &[""; 0], Multipliers::default()).unwrap();
        Arc::new(pick(
            &Ask {
                excluded: &excluded,
                ..Ask::of(&request)
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
        assert!(decisions.kept.lock().order.len() <= 4);
    }
}
