//! The free capacity of a pool, computed exactly as in Cinder (cinder: `scheduler_utils`/`volume_utils`,
//! `calculate_capacity_factors`, `calculate_virtual_free_capacity`).
//!
//! ```text
//!   reserved  = floor(total × reserved_percentage ÷ 100)       available = total − reserved
//!   thin pool, not a thick type:   virtual free = available × ratio − provisioned
//!   else:                          virtual free = min(free, available − provisioned)
//! ```

use std::collections::BTreeMap;

use crate::model::service::Capacity;

/// Whether a type requires thick volumes (`provisioning:type` = `thick`).
pub fn is_thick(extra_specs: &BTreeMap<String, String>) -> bool {
    extra_specs
        .get("provisioning:type")
        .is_some_and(|kind| kind == "thick")
}

/// What the free capacity of a pool depends on.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Its size.
    pub total: Capacity,
    /// Its free space, less the reservations since its report.
    pub free: Capacity,
    /// GiB provisioned on it, with the reservations since its report.
    pub provisioned: f64,
    /// The percentage that is kept free.
    pub reserved_percentage: u8,
    /// Whether it creates thin volumes.
    pub is_thin: bool,
    /// Its over-subscription ratio, for thin volumes only.
    pub ratio: f64,
}

/// The GiB that can still be allocated on a pool; `None` if its driver does not know its size or its free space.
pub fn virtual_free(pool: &Figures, thick: bool) -> Option<f64> {
    let (Capacity::Gib(total), Capacity::Gib(free)) = (pool.total, pool.free) else {
        return None;
    };
    let reserved = (total * f64::from(pool.reserved_percentage) / 100.0).floor();
    let available = total - reserved;
    let virtual_free = if pool.is_thin && !thick {
        round(available * pool.ratio) - pool.provisioned
    } else {
        free.min(round(available) - pool.provisioned)
    };
    Some(round(virtual_free))
}

/// Two decimals, rounded as in Python: the exact value to the nearest, a tie to the even digit, as `{:.2}` does.
///
/// It is asked four times for each change of a pool, and text is slow. Where hundredths are exact integers and the value is
/// clearly not in the middle of two, the quotient is the same number that the text would give.
fn round(value: f64) -> f64 {
    const EXACT: f64 = 1e13;
    const MARGIN: f64 = 1e-3;
    let hundredths = value * 100.0;
    let is_near_the_middle = (hundredths.fract().abs() - 0.5).abs() < MARGIN;
    if hundredths.abs() < EXACT && !is_near_the_middle {
        return hundredths.round() / 100.0;
    }
    format!("{value:.2}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::round;
    use crate::actors::scheduler::testing;
    use crate::model::service::{Capacity, OverSubscription, PoolStats};

    fn pool() -> PoolStats {
        testing::pool("p")
    }

    fn room(pool: PoolStats, thick: bool) -> Option<f64> {
        testing::state(pool).room(thick)
    }

    #[test]
    fn a_thin_pool_is_over_subscribed_and_a_thick_one_is_not() {
        let stats = PoolStats {
            reserved_percentage: 33,
            provisioned_capacity_gb: 40.5,
            max_over_subscription_ratio: OverSubscription::Ratio(1.5),
            ..pool()
        };
        // 100 GiB, 33 reserved: 67 remain; thin 67 × 1.5 − 40.5.
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
    fn an_unknown_capacity_gives_no_number() {
        let (mut unknown_free, mut infinite) = (pool(), pool());
        unknown_free.free_capacity_gb = Capacity::Unknown;
        infinite.total_capacity_gb = Capacity::Infinite;
        for stats in [unknown_free, infinite] {
            assert_eq!(room(stats, false), None);
        }
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
        proptest::proptest!(|(value in -1e13_f64..1e13, hundredths in -1_000_000_i64..1_000_000, offset in -2_i32..3)| {
            // Any value, and those next to and in the middle of two hundredths.
            let near = (hundredths as f64 + 0.5 * f64::from(offset)) / 100.0;
            for value in [value, value / 1e10, near, near.next_up(), near.next_down()] {
                let text: f64 = format!("{value:.2}").parse().unwrap();
                assert_eq!(round(value).to_bits(), text.to_bits(), "{value}");
            }
        });
        assert!(round(f64::NAN).is_nan());
        assert_eq!(round(f64::INFINITY), f64::INFINITY);
    }
}
