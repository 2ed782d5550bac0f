//! The decision: the best pool for a volume, and why the others were not chosen.
//!
//! ```text
//!   every known pool ─ InService ─ IgnoreAttemptedHostsFilter ─ ResourceBackend ─ configured filters ─ weighers ─ best
//! ```
//!
//! A pure function. For each pool that is not chosen the reason is recorded, because "no valid backend was found" does not
//! help an operator. Among pools of equal weight the one with the least allocated is chosen (Cinder takes any), so that
//! pools of unknown capacity are filled evenly.

use std::collections::BTreeMap;

use super::filters::{self, Ask, Filter, UnknownName};
use super::pool_state::PoolState;
use super::weighers::{self, Multipliers, Weigher, normalise};
use crate::control::decisions::{Decision, PoolEvaluation, Stage};
use crate::model::Timestamp;

/// The most pools that a decision lists; further ones are only counted.
const NAMED_POOLS: usize = 64;

/// A pool that might be chosen.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// The pool.
    pub pool: &'a PoolState,
    /// Why it may not be used now, independent of the request.
    pub unusable: Option<String>,
}

/// The filters and weighers, in order.
#[derive(Clone, Debug)]
pub struct Chain {
    filters: Vec<Filter>,
    weighers: Vec<Weigher>,
}

impl Chain {
    /// The configured chain.
    ///
    /// # Errors
    /// [`UnknownName`] for an unknown filter or weigher.
    pub fn new(
        filters: &[impl AsRef<str>],
        weighers: &[impl AsRef<str>],
        multipliers: Multipliers,
    ) -> Result<Self, UnknownName> {
        Ok(Self {
            filters: filters::chain(filters)?,
            weighers: weighers::chain(weighers, multipliers)?,
        })
    }
}

/// Runs the chain.
pub fn pick(ask: &Ask<'_>, candidates: &[Candidate<'_>], chain: &Chain) -> Decision {
    let mut sieve = Sieve::new(candidates);
    sieve.stage("InService", |candidate| {
        candidate.unusable.clone().map_or(Ok(()), Err)
    });
    sieve.stage("IgnoreAttemptedHostsFilter", |candidate| {
        not_tried(candidate.pool, ask)
    });
    if let Some(needed) = &ask.request.resource_backend {
        sieve.stage("ResourceBackend", |candidate| {
            match candidate.pool.name().backend == needed.backend {
                true => Ok(()),
                false => Err(format!("the volume's source is on {}", needed.backend)),
            }
        });
    }
    for filter in &chain.filters {
        sieve.stage(filter.name, |candidate| (filter.passes)(candidate.pool, ask));
    }
    sieve.weigh(ask, &chain.weighers);
    sieve.decide(ask)
}

/// Cinder's `IgnoreAttemptedHostsFilter`, always enabled: a pool that failed for this volume is never used again.
fn not_tried(pool: &PoolState, ask: &Ask<'_>) -> Result<(), String> {
    if ask.request.tried.contains(pool.name()) {
        return Err("it failed in an earlier attempt".to_owned());
    }
    ask.excluded
        .get(pool.name())
        .map_or(Ok(()), |why| Err(why.clone()))
}

/// The remaining candidates, stage by stage.
struct Sieve<'a> {
    candidates: &'a [Candidate<'a>],
    verdicts: Vec<PoolEvaluation>,
    left: Vec<usize>,
    stages: Vec<Stage>,
}

impl<'a> Sieve<'a> {
    fn new(candidates: &'a [Candidate<'a>]) -> Self {
        let fresh = |candidate: &Candidate<'_>| PoolEvaluation {
            pool: candidate.pool.name().clone(),
            dropped_by: None,
            reason: None,
            weight: None,
            weights: BTreeMap::new(),
        };
        Self {
            candidates,
            verdicts: candidates.iter().map(fresh).collect(),
            left: (0..candidates.len()).collect(),
            stages: Vec::new(),
        }
    }

    fn stage(&mut self, name: &'static str, passes: impl Fn(&Candidate<'_>) -> Result<(), String>) {
        let before = self.left.len();
        let (candidates, verdicts) = (self.candidates, &mut self.verdicts);
        self.left.retain(|&index| match passes(&candidates[index]) {
            Ok(()) => true,
            Err(reason) => {
                verdicts[index].dropped_by = Some(name);
                verdicts[index].reason = Some(reason);
                false
            }
        });
        self.stages.push(Stage {
            name,
            before,
            after: self.left.len(),
        });
    }

    fn weigh(&mut self, ask: &Ask<'_>, weighers: &[Weigher]) {
        let pools: Vec<&PoolState> = self
            .left
            .iter()
            .map(|&index| self.candidates[index].pool)
            .collect();
        for &index in &self.left {
            self.verdicts[index].weight = Some(0.0);
        }
        for weigher in weighers {
            let values = normalise(&(weigher.values)(&pools, ask, weigher.multiplier));
            for (&index, value) in self.left.iter().zip(values) {
                let (verdict, share) = (&mut self.verdicts[index], weigher.multiplier * value);
                verdict.weights.insert(weigher.name, share);
                verdict.weight = verdict.weight.map(|sum| sum + share);
            }
        }
    }

    fn decide(mut self, ask: &Ask<'_>) -> Decision {
        let weight = |index: &usize| self.verdicts[*index].weight.unwrap_or(f64::NEG_INFINITY);
        let allocated = |index: &usize| self.candidates[*index].pool.allocated();
        let best = self.left.iter().min_by(|a, b| {
            // Candidates are ordered by name, and of equals the first is taken.
            weight(b)
                .total_cmp(&weight(a))
                .then_with(|| allocated(a).total_cmp(&allocated(b)))
        });
        let best = best.copied();
        let chosen = best.map(|index| self.candidates[index].pool.name().clone());
        if let Some(index) = best.filter(|index| *index >= NAMED_POOLS) {
            self.verdicts.swap(NAMED_POOLS - 1, index);
        }
        let unnamed = self.verdicts.len().saturating_sub(NAMED_POOLS);
        self.verdicts.truncate(NAMED_POOLS);
        Decision {
            volume_id: ask.request.volume_id,
            size: ask.request.size,
            decided_at: Timestamp::now(),
            chosen,
            stages: self.stages,
            pools: self.verdicts,
            unnamed,
        }
    }
}

#[cfg(test)]
mod tests;
