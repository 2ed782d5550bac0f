//! `CapacityWeigher`: prefers more free capacity (or, with a negative multiplier, less).

use super::Ask;
use crate::actors::scheduler::pool_state::PoolState;

/// When stacking, a pool of unknown capacity gets the largest known value plus so many times the range of all values.
const OFFSET_FACTOR: f64 = 100.0;
/// The same when all known rooms are equal.
const OFFSET_LEAST: f64 = 10_000.0;

/// Virtual free space. Pools that do not know theirs are last: −1 when spreading, far above all others when stacking.
pub(super) fn values(pools: &[&PoolState], ask: &Ask<'_>, multiplier: f64) -> Vec<f64> {
    let rooms = || pools.iter().map(|pool| pool.room(ask.thick));
    let unknown = match multiplier > 0.0 {
        true => -1.0,
        false => beyond(|| rooms().flatten()),
    };
    rooms().map(|room| room.unwrap_or(unknown)).collect()
}

fn beyond<I: Iterator<Item = f64>>(known: impl Fn() -> I) -> f64 {
    let (min, max) = (
        known().fold(f64::INFINITY, f64::min),
        known().fold(f64::NEG_INFINITY, f64::max),
    );
    match max - min {
        span if span > 0.0 => max + OFFSET_FACTOR * span,
        _ if max.is_finite() => max + OFFSET_LEAST,
        // None is known, so all are equal, and any number works.
        _ => OFFSET_LEAST,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ask;
    use crate::actors::scheduler::testing;
    use crate::model::service::{Capacity, PoolStats};

    fn values(frees: &[Option<f64>], multiplier: f64) -> Vec<f64> {
        let pools: Vec<_> = frees
            .iter()
            .map(|free| {
                let free_capacity_gb = free.map_or(Capacity::Unknown, Capacity::Gib);
                let stats = PoolStats {
                    thin_provisioning_support: false,
                    free_capacity_gb,
                    ..testing::pool("p")
                };
                testing::state(stats)
            })
            .collect();
        let pools: Vec<_> = pools.iter().collect();
        super::values(&pools, &Ask::of(&testing::request(1)), multiplier)
    }

    #[test]
    fn a_pool_that_does_not_know_its_room_comes_last_when_spreading() {
        assert_eq!(values(&[Some(20.0), None, Some(30.0)], 1.0), [20.0, -1.0, 30.0]);
    }

    #[test]
    fn and_last_when_stacking() {
        let stacked = values(&[Some(20.0), None, Some(30.0)], -1.0);
        assert_eq!(stacked, [20.0, 1030.0, 30.0]);
        assert_eq!(values(&[Some(20.0), None], -1.0), [20.0, 10_020.0]);
        assert_eq!(values(&[None, None], -1.0), [10_000.0, 10_000.0]);
    }
}
