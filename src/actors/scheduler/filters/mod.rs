//! Filters: which pools are suitable. Pure functions of one pool and one request, with Cinder's names.
//!
//! The configured ones run in their order. Two rules run before them and cannot be disabled ([`super::pick`]): a
//! pool must be alive and in service, and a pool that failed for this volume is not used again (Cinder's
//! `IgnoreAttemptedHostsFilter`, which is not in Cinder's defaults).
//!
//! To add a filter: one file, one line in [`KNOWN`].

mod availability_zone;
mod capabilities;
mod capacity;

use std::collections::BTreeMap;

use super::pool_state::PoolState;
use crate::messages::scheduler::RequestSpec;
use crate::model::PoolName;

/// The request that pools are filtered by.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The request.
    pub request: &'a RequestSpec,
    /// Whether an attached volume is to be extended.
    pub online_extend: bool,
    /// Pools that are excluded for now, and why, in addition to those that the request has tried.
    pub excluded: &'a BTreeMap<PoolName, String>,
}

impl<'a> Ask<'a> {
    /// A request for a volume that is not attached, without excluded pools.
    pub fn of(request: &'a RequestSpec) -> Self {
        static NONE: BTreeMap<PoolName, String> = BTreeMap::new();
        Self {
            request,
            online_extend: false,
            excluded: &NONE,
        }
    }
}

/// A filter: `Err` is the reason for the operator why the pool is not suitable.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Cinder's name for it, as configured and shown.
    pub name: &'static str,
    /// The filter function.
    pub passes: fn(&PoolState, &Ask<'_>) -> Result<(), String>,
}

/// All filters.
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

/// The configuration names an unknown filter or weigher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' is not a known {kind}; known are: {known}")]
pub struct UnknownName {
    /// Filter or weigher.
    pub kind: &'static str,
    /// The configured name.
    pub name: String,
    /// The known names.
    pub known: String,
}

/// The filters with these names, in this order.
///
/// # Errors
/// [`UnknownName`] for the first name that is not one of [`KNOWN`].
pub fn chain(names: &[impl AsRef<str>]) -> Result<Vec<Filter>, UnknownName> {
    names.iter().map(|name| by_name(name.as_ref())).collect()
}

fn by_name(name: &str) -> Result<Filter, UnknownName> {
    let found = KNOWN.iter().find(|filter| filter.name == name).copied();
    found.ok_or_else(|| UnknownName {
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
