//! `CapacityFilter`: the pool has enough free capacity.

use super::{Ask, Why};
use crate::actors::scheduler::pool_state::PoolState;
use crate::model::service::Capacity;

/// See the module. A driver that does not know its free space passes: if it has too little, the volume is
/// scheduled again elsewhere.
pub(super) fn passes(pool: &PoolState, ask: &Ask<'_>, why: &mut Why<'_>) -> bool {
    let requested = f64::from(ask.request.size);
    let fits = |room| room >= requested;
    if ask.request.size == 0 || (pool.has_sound_capacity() && pool.room(ask.thick).is_some_and(fits)) {
        return true;
    }
    let Capacity::Gib(_) = pool.free() else {
        return true;
    };
    let Capacity::Gib(total) = pool.total() else {
        if pool.reserved_percentage() == 0 {
            return true;
        }
        return why.no(format_args!("it reserves a percentage of an unknown capacity"));
    };
    // NaN must fail, here and below: reports are external input.
    if total.is_nan() || total <= 0.0 {
        return why.no(format_args!("its total capacity is {total:.2} GiB"));
    }
    if pool.is_thin() && !ask.thick && (pool.ratio().is_nan() || pool.ratio() < 1.0) {
        return why.no(format_args!(
            "its over-subscription ratio {:.2} is below 1",
            pool.ratio()
        ));
    }
    // Cinder compares the provisioned ratio as well; as the free capacity includes the ratio, that never
    // changes the result.
    let room = pool.room(ask.thick).unwrap_or(0.0);
    if fits(room) {
        return true;
    }
    why.no(format_args!(
        "{requested} GiB are requested, {room:.2} GiB are free"
    ))
}

#[cfg(test)]
mod tests {
    use crate::actors::scheduler::testing;
    use crate::model::service::{Capacity, OverSubscription, PoolStats};

    fn passes(stats: PoolStats, size: u32) -> bool {
        testing::passes("CapacityFilter", &testing::state(stats), &testing::request(size))
    }

    fn thick() -> PoolStats {
        thick_with(|_| ())
    }

    /// A thick pool, changed in this way.
    fn thick_with(change: impl FnOnce(&mut PoolStats)) -> PoolStats {
        let mut pool = testing::pool("p");
        pool.thin_provisioning_support = false;
        change(&mut pool);
        pool
    }

    fn thin_with_ratio(ratio: f64) -> PoolStats {
        let mut pool = testing::pool("p");
        pool.max_over_subscription_ratio = OverSubscription::Ratio(ratio);
        pool
    }

    #[test]
    fn a_volume_may_fill_a_pool_to_the_last_gibibyte() {
        assert!(passes(thick(), 100));
        assert!(!passes(thick(), 101));
        let thin = thin_with_ratio(2.0);
        assert!(passes(thin.clone(), 200));
        assert!(!passes(thin, 201));
    }

    #[test]
    fn a_driver_that_does_not_know_is_believed() {
        for free in [Capacity::Infinite, Capacity::Unknown] {
            assert!(passes(thick_with(|pool| pool.free_capacity_gb = free), 9_999));
        }
        let mut unknown = thick_with(|pool| pool.total_capacity_gb = Capacity::Unknown);
        assert!(passes(unknown.clone(), 9_999));
        unknown.reserved_percentage = 1;
        assert!(!passes(unknown, 1));
    }

    #[test]
    fn nonsense_in_a_report_drops_the_pool() {
        let with_total = |total| thick_with(|pool| pool.total_capacity_gb = Capacity::Gib(total));
        for total in [0.0, -1.0, f64::NAN] {
            assert!(!passes(with_total(total), 1));
        }
        let unnumbered = thick_with(|pool| {
            pool.free_capacity_gb = Capacity::Gib(f64::NAN);
            pool.provisioned_capacity_gb = f64::NAN;
        });
        assert!(!passes(unnumbered, 1));
        for ratio in [0.5, f64::NAN] {
            assert!(!passes(thin_with_ratio(ratio), 1));
        }
    }

    #[test]
    fn an_unknown_size_passes_anywhere() {
        let empty = thick_with(|pool| pool.total_capacity_gb = Capacity::Gib(0.0));
        assert!(passes(empty, 0));
    }
}
