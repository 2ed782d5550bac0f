//! The decision: the best pool for a volume, and why the others were not chosen.
//!
//! ```text
//!   every known pool ─ InService ─ IgnoreAttemptedHostsFilter ─ ResourceBackend ─ configured filters ─ weighers ─ best
//! ```
//!
//! A pure function. For each pool that is not chosen the reason is recorded, because "no valid backend was found" does not
//! help an operator. Among pools of equal weight the one with the least allocated is chosen (Cinder takes any), so that
//! pools of unknown capacity are filled evenly.

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

/// A stage: `Err` is the reason why a pool is dropped.
type Passes<'a> = Box<dyn Fn(&Candidate<'_>) -> Result<(), String> + 'a>;

/// Runs the chain.
pub fn pick(ask: &Ask<'_>, candidates: &[Candidate<'_>], chain: &Chain) -> Decision {
    let mut stages: Vec<(&'static str, Passes<'_>)> = vec![
        (
            "InService",
            Box::new(|candidate| candidate.unusable.clone().map_or(Ok(()), Err)),
        ),
        (
            "IgnoreAttemptedHostsFilter",
            Box::new(|candidate| not_tried(candidate.pool, ask)),
        ),
    ];
    if let Some(needed) = &ask.request.resource_backend {
        let passes = |candidate: &Candidate<'_>| match candidate.pool.name().backend == needed.backend {
            true => Ok(()),
            false => Err(format!("the volume's source is on {}", needed.backend)),
        };
        stages.push(("ResourceBackend", Box::new(passes)));
    }
    for filter in &chain.filters {
        stages.push((
            filter.name,
            Box::new(|candidate| (filter.passes)(candidate.pool, ask)),
        ));
    }
    let mut sieve = Sieve::through(candidates, &stages);
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

/// The remaining candidates. What is said of a pool in the decision is kept for those that are listed only: there may be ten thousand.
struct Sieve<'a> {
    candidates: &'a [Candidate<'a>],
    /// For each of the first candidates the stage that dropped it, and why.
    dropped: Vec<Option<(&'static str, String)>>,
    left: Vec<usize>,
    stages: Vec<Stage>,
    /// For each weigher its share of the weight of each candidate that is left.
    shares: Vec<(&'static str, Vec<f64>)>,
}

impl<'a> Sieve<'a> {
    /// Sends each candidate through the stages until one drops it: one pass over the pools, whose memory is the cost.
    fn through(candidates: &'a [Candidate<'a>], stages: &[(&'static str, Passes<'_>)]) -> Self {
        let mut dropped = vec![None; candidates.len().min(NAMED_POOLS)];
        let mut dropped_by = vec![0; stages.len()];
        let mut left = Vec::with_capacity(candidates.len());
        for (index, candidate) in candidates.iter().enumerate() {
            let mut all = stages.iter().enumerate();
            let refused = all.find_map(|(at, (name, passes))| Some((at, *name, passes(candidate).err()?)));
            let Some((at, name, why)) = refused else {
                left.push(index);
                continue;
            };
            dropped_by[at] += 1;
            if let Some(listed) = dropped.get_mut(index) {
                *listed = Some((name, why));
            }
        }
        let mut before = candidates.len();
        let stages = stages.iter().zip(dropped_by).map(|((name, _), dropped)| {
            let stage = Stage {
                name,
                before,
                after: before - dropped,
            };
            before = stage.after;
            stage
        });
        Self {
            candidates,
            dropped,
            left,
            stages: stages.collect(),
            shares: Vec::new(),
        }
    }

    fn weigh(&mut self, ask: &Ask<'_>, weighers: &[Weigher]) {
        let pools: Vec<&PoolState> = self
            .left
            .iter()
            .map(|&index| self.candidates[index].pool)
            .collect();
        for weigher in weighers {
            let mut shares = normalise(&(weigher.values)(&pools, ask, weigher.multiplier));
            for share in &mut shares {
                *share *= weigher.multiplier;
            }
            self.shares.push((weigher.name, shares));
        }
    }

    fn decide(mut self, ask: &Ask<'_>) -> Decision {
        let weights: Vec<f64> = (0..self.left.len())
            .map(|place| self.shares.iter().map(|(_, shares)| shares[place]).sum())
            .collect();
        let allocated = |place: usize| self.candidates[self.left[place]].pool.allocated();
        let best = (0..self.left.len()).min_by(|&a, &b| {
            // Candidates are ordered by name, and of equals the first is taken.
            weights[b]
                .total_cmp(&weights[a])
                .then_with(|| allocated(a).total_cmp(&allocated(b)))
        });
        let best = best.map(|place| self.left[place]);
        let chosen = best.map(|index| self.candidates[index].pool.name().clone());
        let mut listed: Vec<usize> = (0..self.candidates.len().min(NAMED_POOLS)).collect();
        if let (Some(index), Some(last)) = (best.filter(|index| *index >= NAMED_POOLS), listed.last_mut()) {
            *last = index;
        }
        let pools = listed.into_iter().map(|index| {
            let dropped = self.dropped.get_mut(index).and_then(Option::take);
            let (dropped_by, reason) = dropped.unzip();
            let place = self.left.binary_search(&index).ok();
            PoolEvaluation {
                pool: self.candidates[index].pool.name().clone(),
                dropped_by,
                reason,
                weight: place.map(|place| weights[place]),
                weights: place
                    .into_iter()
                    .flat_map(|place| {
                        self.shares
                            .iter()
                            .map(move |(name, shares)| (*name, shares[place]))
                    })
                    .collect(),
            }
        });
        Decision {
            volume_id: ask.request.volume_id,
            size: ask.request.size,
            decided_at: Timestamp::now(),
            chosen,
            pools: pools.collect(),
            unnamed: self.candidates.len().saturating_sub(NAMED_POOLS),
            stages: self.stages,
        }
    }
}

#[cfg(test)]
mod tests;
