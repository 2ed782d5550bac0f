//! Filters: which pools will do. Pure functions over one pool and one request, known by Cinder's names.
//!
//! The configured ones run in their order. Two rules stand before them and cannot be configured away
//! ([`super::pick`]): a pool must be alive and in service, and a pool that failed for this volume is not asked again
//! (Cinder's `IgnoreAttemptedHostsFilter`, which is not in its defaults but ought to be).
//!
//! To add a filter: one file, one line in [`KNOWN`].

mod availability_zone;
mod capabilities;
mod capacity;

use std::collections::BTreeMap;

use super::pool_state::PoolState;
use crate::messages::scheduler::RequestSpec;
use crate::model::PoolName;

/// What a pool is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The request as it came.
    pub request: &'a RequestSpec,
    /// Whether an attached volume is to grow.
    pub online_extend: bool,
    /// Pools that are out for now, and why, beside those the request names as tried.
    pub excluded: &'a BTreeMap<PoolName, String>,
}

/// A filter: `Err` says why the pool will not do, in words for an operator.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Cinder's name for it, as configured and shown.
    pub name: &'static str,
    /// The rule.
    pub passes: fn(&PoolState, &Ask<'_>) -> Result<(), String>,
}

/// Every filter that is built.
pub const KNOWN: &[Filter] = &[
    Filter {
        name: "AvailabilityZoneFilter",
        passes: availability_zone::passes,
    },
    Filter {
        name: "CapacityFilter",
        passes: capacity::passes,
    },
    Filter {
        name: "CapabilitiesFilter",
        passes: capabilities::passes,
    },
];

/// The configuration names a filter or weigher that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' is not a known {kind}; known are: {known}")]
pub struct UnknownName {
    /// What it was to be.
    pub kind: &'static str,
    /// What was written.
    pub name: String,
    /// What could have been.
    pub known: String,
}

/// The filters of these names, in this order.
///
/// # Errors
/// [`UnknownName`] for the first name that is not one of [`KNOWN`].
pub fn chain(names: &[impl AsRef<str>]) -> Result<Vec<Filter>, UnknownName> {
    names.iter().map(|name| by_name(name.as_ref())).collect()
}

fn by_name(name: &str) -> Result<Filter, UnknownName> {
    KNOWN
        .iter()
        .find(|filter| filter.name == name)
        .copied()
        .ok_or_else(|| UnknownName {
            kind: "scheduler filter",
            name: name.to_owned(),
            known: KNOWN
                .iter()
                .map(|filter| filter.name)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unknown_filter_is_named_with_what_could_have_been() {
        let error = super::chain(&["CapacityFilter", "JsonFilter"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "'JsonFilter' is not a known scheduler filter; known are: AvailabilityZoneFilter, CapacityFilter, \
             CapabilitiesFilter"
        );
    }
}
