//! How much room a pool has: Cinder's arithmetic, to the letter (cinder: `scheduler_utils`/`volume_utils`,
//! `calculate_capacity_factors`, `calculate_virtual_free_capacity`, `calculate_max_over_subscription_ratio`).
//!
//! ```text
//!   reserved  = floor(total × reserved_percentage ÷ 100)       available = total − reserved
//!   thin pool, not a thick type:   virtual free = available × ratio − provisioned
//!   else:                          virtual free = min(free, available − provisioned)
//! ```

use std::collections::BTreeMap;

use super::pools::PoolState;
use crate::model::service::{Capacity, OverSubscription, PoolStats};

/// The ratio of a pool that leaves it to us (`auto`) and has nothing provisioned yet.
const AUTO_RATIO_OF_AN_EMPTY_POOL: f64 = 20.0;

/// The over-subscription ratio that holds for a pool as reported. Fixed until its next report, as in Cinder.
#[must_use]
pub fn over_subscription_ratio(pool: &PoolStats) -> f64 {
    match (
        pool.max_over_subscription_ratio,
        pool.total_capacity_gb,
        pool.free_capacity_gb,
    ) {
        (OverSubscription::Ratio(ratio), _, _) => ratio,
        (OverSubscription::Auto, _, _) if !pool.thin_provisioning_support => 1.0,
        (OverSubscription::Auto, Capacity::Gib(total), Capacity::Gib(free))
            if pool.provisioned_capacity_gb > 0.0 =>
        {
            let used = (total - free).max(0.0);
            1.0 + pool.provisioned_capacity_gb / (used + 1.0)
        }
        (OverSubscription::Auto, _, _) => AUTO_RATIO_OF_AN_EMPTY_POOL,
    }
}

/// Whether a type asks for thick volumes (`provisioning:type` = `thick`).
#[must_use]
pub fn is_thick(extra_specs: &BTreeMap<String, String>) -> bool {
    extra_specs
        .get("provisioning:type")
        .is_some_and(|kind| kind == "thick")
}

/// GiB that may still be promised on this pool; `None` when its driver does not know its size or its free space.
#[must_use]
pub fn virtual_free(pool: &PoolState, thick: bool) -> Option<f64> {
    let (Capacity::Gib(total), Capacity::Gib(free)) = (pool.total(), pool.free()) else {
        return None;
    };
    let reserved = (total * f64::from(pool.reserved_percentage()) / 100.0).floor();
    let available = total - reserved;
    let virtual_free = if pool.is_thin() && !thick {
        round(available * pool.ratio()) - pool.provisioned()
    } else {
        free.min(round(available) - pool.provisioned())
    };
    Some(round(virtual_free))
}

/// Two decimals, rounded as Python rounds: the exact value to the nearest, a tie to the even digit. So does `{:.2}`.
fn round(value: f64) -> f64 {
    format!("{value:.2}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::{over_subscription_ratio, round, virtual_free};
    use crate::actors::scheduler::testing;
    use crate::model::service::{Capacity, OverSubscription, PoolStats};

    fn pool() -> PoolStats {
        testing::pool("p")
    }

    fn room(pool: PoolStats, thick: bool) -> Option<f64> {
        virtual_free(&testing::state(pool), thick)
    }

    #[test]
    fn a_thin_pool_is_over_subscribed_and_a_thick_one_is_not() {
        let stats = PoolStats {
            reserved_percentage: 33,
            provisioned_capacity_gb: 40.5,
            max_over_subscription_ratio: OverSubscription::Ratio(1.5),
            ..pool()
        };
        // 100 GiB, 33 kept back: 67 remain; thin 67 × 1.5 − 40.5.
        assert_eq!(room(stats.clone(), false), Some(60.0));
        assert_eq!(room(stats.clone(), true), Some(26.5));
        let tight = PoolStats {
            free_capacity_gb: Capacity::Gib(2.71428),
            thin_provisioning_support: false,
            ..stats
        };
        assert_eq!(room(tight, false), Some(2.71));
    }

    #[test]
    fn what_is_kept_back_is_whole_gibibytes() {
        let stats = PoolStats {
            total_capacity_gb: Capacity::Gib(10.9),
            free_capacity_gb: Capacity::Gib(10.9),
            reserved_percentage: 10,
            thin_provisioning_support: false,
            ..pool()
        };
        assert_eq!(room(stats, false), Some(9.9));
    }

    #[test]
    fn an_auto_ratio_follows_what_is_provisioned() {
        let auto = |provisioned, free| PoolStats {
            max_over_subscription_ratio: OverSubscription::Auto,
            provisioned_capacity_gb: provisioned,
            free_capacity_gb: Capacity::Gib(free),
            ..pool()
        };
        assert_eq!(over_subscription_ratio(&auto(0.0, 100.0)), 20.0);
        assert_eq!(over_subscription_ratio(&auto(50.0, 76.0)), 3.0);
        assert_eq!(
            over_subscription_ratio(&auto(50.0, 500.0)),
            51.0,
            "more free than there is counts as none used"
        );
        let thick = PoolStats {
            thin_provisioning_support: false,
            ..auto(50.0, 76.0)
        };
        assert_eq!(over_subscription_ratio(&thick), 1.0);
    }

    #[test]
    fn an_unknown_capacity_gives_no_number() {
        assert_eq!(
            room(
                PoolStats {
                    free_capacity_gb: Capacity::Unknown,
                    ..pool()
                },
                false
            ),
            None
        );
        assert_eq!(
            room(
                PoolStats {
                    total_capacity_gb: Capacity::Infinite,
                    ..pool()
                },
                false
            ),
            None
        );
    }

    #[test]
    fn rounding_is_pythons() {
        for (value, rounded) in [
            (0.125, 0.12),
            (0.375, 0.38),
            (2.675, 2.67),
            (-1.005, -1.0),
            (7.0, 7.0),
        ] {
            assert_eq!(round(value), rounded);
        }
        assert!(round(f64::NAN).is_nan());
        assert_eq!(round(f64::INFINITY), f64::INFINITY);
    }
}
