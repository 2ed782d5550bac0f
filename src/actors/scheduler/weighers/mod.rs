//! Weighers: the order of the suitable pools. Pure functions of all of them.
//!
//! A pool's weight is the sum over the weighers of multiplier × normalised value, where the smallest value of all pools
//! becomes 0 and the largest 1 (all equal: all 0). To add a weigher: one file, one line in [`KNOWN`].

mod capacity;

use super::filters::{Ask, UnknownName};
use super::pool_state::PoolState;

/// A weigher.
#[derive(Clone, Copy, Debug)]
pub struct Weigher {
    /// Cinder's name for it, as configured and shown.
    pub name: &'static str,
    /// The raw values of these pools, in their order; the multiplier is an argument because its sign may matter.
    pub values: fn(&[&PoolState], &Ask<'_>, f64) -> Vec<f64>,
    /// Its weight; a negative one reverses the order.
    pub multiplier: f64,
}

/// The multiplier of each weigher.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multipliers {
    /// `capacity_weight_multiplier`: above 0 spreads volumes, below 0 stacks them.
    pub capacity: f64,
}

impl Default for Multipliers {
    fn default() -> Self {
        Self { capacity: 1.0 }
    }
}

/// The names of all weighers.
pub const KNOWN: &[&str] = &["CapacityWeigher"];

/// The weighers with these names.
///
/// # Errors
/// [`UnknownName`] for the first name that is not one of [`KNOWN`].
pub fn chain(names: &[impl AsRef<str>], multipliers: Multipliers) -> Result<Vec<Weigher>, UnknownName> {
    names
        .iter()
        .map(|name| by_name(name.as_ref(), multipliers))
        .collect()
}

fn by_name(name: &str, multipliers: Multipliers) -> Result<Weigher, UnknownName> {
    match name {
        "CapacityWeigher" => Ok(Weigher {
            name: "CapacityWeigher",
            values: capacity::values,
            multiplier: multipliers.capacity,
        }),
        _ => Err(UnknownName {
            kind: "scheduler weigher",
            name: name.to_owned(),
            known: KNOWN.join(", "),
        }),
    }
}

/// Brings values into 0..=1; all equal becomes all 0. NaN counts as the smallest.
pub fn normalise(mut values: Vec<f64>) -> Vec<f64> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (min, max) = (
        finite().fold(f64::INFINITY, f64::min),
        finite().fold(f64::NEG_INFINITY, f64::max),
    );
    let span = max - min;
    for value in &mut values {
        *value = if span > 0.0 && value.is_finite() {
            (*value - min) / span
        } else {
            0.0
        };
    }
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::normalise;

    #[test]
    fn the_smallest_becomes_nought_and_the_largest_one() {
        assert_eq!(normalise(vec![1.0, 3.0, 2.0]), [0.0, 1.0, 0.5]);
        assert_eq!(normalise(vec![7.0, 7.0]), [0.0, 0.0]);
        assert_eq!(normalise(vec![f64::NAN, 1.0, 2.0]), [0.0, 0.0, 1.0]);
        assert!(normalise(Vec::new()).is_empty());
    }

    #[test]
    fn an_unknown_weigher_is_an_error() {
        let error = super::chain(&["ChanceWeigher"], super::Multipliers::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "'ChanceWeigher' is not a known scheduler weigher; known are: CapacityWeigher"
        );
    }

    proptest! {
        #[test]
        fn order_is_kept(values in prop::collection::vec(-1e6_f64..1e6, 0..20)) {
            let normal = normalise(values.clone());
            for (a, x) in values.iter().zip(&normal) {
                prop_assert!((0.0..=1.0).contains(x));
                for (b, y) in values.iter().zip(&normal) {
                    prop_assert!(a > b || x <= y);
                }
            }
        }
    }
}
