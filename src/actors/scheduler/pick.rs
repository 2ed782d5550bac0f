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

use super::filters::{self, Ask, Filter, UnknownName, Why};
use super::pool_state::PoolState;
use super::verdicts::Verdict;
use super::weighers::{self, Multipliers, Weigher, normalise};
use crate::control::decisions::{Decision, PoolEvaluation, Stage};
use crate::model::{BackendName, Timestamp};

/// The most pools that a decision lists; further ones are only counted.
const NAMED_POOLS: usize = 64;

/// The pools of a backend that might be chosen.
#[derive(Clone, Debug)]
pub struct Candidates<'a> {
    /// The pools.
    pub pools: &'a [PoolState],
    /// What the filters of the chain that read only reports say of each.
    pub verdicts: &'a [Verdict],
    /// Why none may be used now, independent of the request.
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

    /// Its filters, in order.
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }
}

/// A stage of the chain.
enum Rule<'a> {
    InService,
    NotTried,
    OnBackend(&'a BackendName),
    /// With its place among the filters of the chain.
    Filter(usize, &'a Filter),
}

impl Rule<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::InService => "InService",
            Self::NotTried => "IgnoreAttemptedHostsFilter",
            Self::OnBackend(_) => "ResourceBackend",
            Self::Filter(_, filter) => filter.name,
        }
    }

    fn passes(
        &self,
        from: &Candidates<'_>,
        (pool, verdict): (&PoolState, Verdict),
        ask: &Ask<'_>,
        why: &mut Why<'_>,
    ) -> bool {
        match self {
            Self::InService => match &from.unusable {
                None => true,
                Some(reason) => why.no(format_args!("{reason}")),
            },
            Self::NotTried => not_tried(pool, ask, why),
            Self::OnBackend(needed) => {
                pool.name().backend == **needed || why.no(format_args!("the volume's source is on {needed}"))
            }
            Self::Filter(at, filter) if filter.reads_only_reports() => match verdict {
                // Again, for its words.
                Verdict::DroppedBy(by) if usize::try_from(by) == Ok(*at) => filter.passes(pool, ask, why),
                _ => true,
            },
            Self::Filter(_, filter) => filter.passes(pool, ask, why),
        }
    }
}

/// Runs the chain.
pub fn pick(ask: &Ask<'_>, backends: &[Candidates<'_>], chain: &Chain) -> Decision {
    let mut sieve = Sieve::through(backends, ask, chain);
    sieve.weigh(ask, &chain.weighers);
    sieve.decide(ask)
}

/// Cinder's `IgnoreAttemptedHostsFilter`, always enabled: a pool that failed for this volume is never used again.
fn not_tried(pool: &PoolState, ask: &Ask<'_>, why: &mut Why<'_>) -> bool {
    if ask.request.tried.contains(pool.name()) {
        return why.no(format_args!("it failed in an earlier attempt"));
    }
    let reason = ask.excluded.get(pool.name());
    reason.is_none_or(|reason| why.no(format_args!("{reason}")))
}

/// What is said of a pool in the decision. It is kept for those that are listed only: there may be ten thousand.
struct Listed<'a> {
    pool: &'a PoolState,
    /// The stage that dropped it, and why; else its place among those that are left.
    result: Result<usize, (&'static str, String)>,
}

/// The pools that are left.
struct Sieve<'a> {
    count: usize,
    listed: Vec<Listed<'a>>,
    left: Vec<&'a PoolState>,
    stages: Vec<Stage>,
    /// For each weigher its share of the weight of each pool that is left.
    shares: Vec<(&'static str, Vec<f64>)>,
}

impl<'a> Sieve<'a> {
    /// Sends each pool through the stages until one drops it: one pass over the pools, whose memory is the cost.
    fn through(backends: &'a [Candidates<'a>], ask: &Ask<'_>, chain: &Chain) -> Self {
        let request = ask.request;
        let mut rules = vec![Rule::InService, Rule::NotTried];
        rules.extend(
            request
                .resource_backend
                .iter()
                .map(|needed| Rule::OnBackend(&needed.backend)),
        );
        rules.extend(
            chain
                .filters
                .iter()
                .enumerate()
                .map(|(at, filter)| Rule::Filter(at, filter)),
        );
        // Nearly all pools of nearly all requests pass what is examined here, which is what all the rules together ask of them.
        let asks_of_filters_only =
            request.tried.is_empty() && ask.excluded.is_empty() && request.resource_backend.is_none();
        let filters: Vec<&Filter> = chain
            .filters
            .iter()
            .filter(|filter| !filter.reads_only_reports())
            .collect();
        let passes_all = |pool: &PoolState, verdict: Verdict| {
            verdict == Verdict::Passes
                && filters
                    .iter()
                    .all(|filter| filter.passes(pool, ask, &mut Why::unasked()))
        };

        let count = backends.iter().map(|from| from.pools.len()).sum();
        let mut dropped_by = vec![0; rules.len()];
        let mut listed = Vec::with_capacity(NAMED_POOLS.min(count));
        let mut left = Vec::with_capacity(count);
        for from in backends {
            let may_pass_all = asks_of_filters_only && from.unusable.is_none();
            for (pool, verdict) in from.pools.iter().zip(from.verdicts.iter().copied()) {
                let is_listed = listed.len() < NAMED_POOLS;
                let mut reason = String::new();
                let mut why = match is_listed {
                    true => Why::written_to(&mut reason),
                    false => Why::unasked(),
                };
                let dropped = match may_pass_all && passes_all(pool, verdict) {
                    true => None,
                    false => rules
                        .iter()
                        .position(|rule| !rule.passes(from, (pool, verdict), ask, &mut why)),
                };
                if is_listed {
                    let result = dropped.map_or(Ok(left.len()), |at| Err((rules[at].name(), reason)));
                    listed.push(Listed { pool, result });
                }
                match dropped {
                    None => left.push(pool),
                    Some(at) => dropped_by[at] += 1,
                }
            }
        }
        let mut before = count;
        let stages = rules.iter().zip(dropped_by).map(|(rule, dropped)| {
            let stage = Stage {
                name: rule.name(),
                before,
                after: before - dropped,
            };
            before = stage.after;
            stage
        });
        Self {
            count,
            listed,
            left,
            stages: stages.collect(),
            shares: Vec::new(),
        }
    }

    fn weigh(&mut self, ask: &Ask<'_>, weighers: &[Weigher]) {
        for weigher in weighers {
            let mut shares = normalise((weigher.values)(&self.left, ask, weigher.multiplier));
            for share in &mut shares {
                *share *= weigher.multiplier;
            }
            self.shares.push((weigher.name, shares));
        }
    }

    fn decide(mut self, ask: &Ask<'_>) -> Decision {
        let mut weights = vec![0.0; self.left.len()];
        for (_, shares) in &self.shares {
            for (weight, share) in weights.iter_mut().zip(shares) {
                *weight += share;
            }
        }
        let best = (0..self.left.len()).min_by(|&a, &b| {
            // They are ordered by name, and of equals the first is taken.
            weights[b]
                .total_cmp(&weights[a])
                .then_with(|| self.left[a].allocated().total_cmp(&self.left[b].allocated()))
        });
        let left_of_listed = self.listed.iter().filter(|listed| listed.result.is_ok()).count();
        if let (Some(best), Some(last)) = (best, self.listed.last_mut())
            && best >= left_of_listed
        {
            *last = Listed {
                pool: self.left[best],
                result: Ok(best),
            };
        }
        let shares = &self.shares;
        let evaluate = |listed: Listed<'_>| {
            let pool = listed.pool.name().clone();
            match listed.result {
                Ok(place) => PoolEvaluation {
                    pool,
                    dropped_by: None,
                    reason: None,
                    weight: Some(weights[place]),
                    weights: shares
                        .iter()
                        .map(|(name, shares)| (*name, shares[place]))
                        .collect(),
                },
                Err((dropped_by, reason)) => PoolEvaluation {
                    pool,
                    dropped_by: Some(dropped_by),
                    reason: Some(reason),
                    weight: None,
                    weights: BTreeMap::new(),
                },
            }
        };
        Decision {
            volume_id: ask.request.volume_id,
            size: ask.request.size,
            decided_at: Timestamp::now(),
            chosen: best.map(|place| self.left[place].name().clone()),
            pools: self.listed.into_iter().map(evaluate).collect(),
            unnamed: self.count.saturating_sub(NAMED_POOLS),
            stages: self.stages,
        }
    }
}

#[cfg(test)]
mod tests;
