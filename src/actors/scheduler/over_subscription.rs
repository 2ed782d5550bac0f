//! The over-subscription ratio of a pool (cinder: `volume_utils`, `calculate_max_over_subscription_ratio`).

use crate::model::service::{Capacity, OverSubscription, PoolStats};

/// The ratio of a pool with `auto` and nothing provisioned yet.
const AUTO_RATIO_OF_AN_EMPTY_POOL: f64 = 20.0;

/// The effective ratio of a reported pool. Fixed until its next report, as in Cinder.
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

#[cfg(test)]
mod tests {
    use super::over_subscription_ratio;
    use crate::actors::scheduler::testing::pool;
    use crate::model::service::{Capacity, OverSubscription, PoolStats};

    #[test]
    fn an_auto_ratio_follows_what_is_provisioned() {
        let auto = |provisioned, free| PoolStats {
            max_over_subscription_ratio: OverSubscription::Auto,
            provisioned_capacity_gb: provisioned,
            free_capacity_gb: Capacity::Gib(free),
            ..pool("p")
        };
        assert_eq!(over_subscription_ratio(&auto(0.0, 100.0)), 20.0);
        assert_eq!(over_subscription_ratio(&auto(50.0, 76.0)), 3.0);
        // More free than total counts as nothing used.
        assert_eq!(over_subscription_ratio(&auto(50.0, 500.0)), 51.0);
        let thick = PoolStats {
            thin_provisioning_support: false,
            ..auto(50.0, 76.0)
        };
        assert_eq!(over_subscription_ratio(&thick), 1.0);
    }
}
