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
use std::fmt;

use super::pool_state::PoolState;
use crate::actors::scheduler::capacity::is_thick;
use crate::messages::scheduler::RequestSpec;
use crate::model::PoolName;

/// What a request asks of the reports of pools, whatever its size, and whatever is reserved: the same for all volumes of a type in a zone.
#[derive(Clone, Copy, Debug)]
pub struct Class<'a> {
    /// The requested zone; `None` for any.
    pub availability_zone: Option<&'a str>,
    /// Extra specs of the type.
    pub extra_specs: &'a BTreeMap<String, String>,
    /// Whether an attached volume is to be extended.
    pub online_extend: bool,
}

impl<'a> Class<'a> {
    /// A volume of a type with these extra specs, in any zone, that is not attached.
    pub fn of(extra_specs: &'a BTreeMap<String, String>) -> Self {
        Self {
            availability_zone: None,
            extra_specs,
            online_extend: false,
        }
    }
}

/// The request that pools are filtered by.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The request.
    pub request: &'a RequestSpec,
    /// What is asked of reports.
    pub class: Class<'a>,
    /// Whether its type requires a thick volume.
    pub thick: bool,
    /// Pools that are excluded for now, and why, in addition to those that the request has tried.
    pub excluded: &'a BTreeMap<PoolName, String>,
}

impl<'a> Ask<'a> {
    /// A request for a volume that is not attached, without excluded pools.
    pub fn of(request: &'a RequestSpec) -> Self {
        static NONE: BTreeMap<PoolName, String> = BTreeMap::new();
        Self {
            request,
            class: Class {
                availability_zone: request.availability_zone.as_deref(),
                ..Class::of(&request.extra_specs)
            },
            thick: is_thick(&request.extra_specs),
            excluded: &NONE,
        }
    }
}

/// Takes the reason why a pool is not suitable, for the operator. It is written for the pools that a decision lists only, because a request may
/// be examined against ten thousand.
#[derive(Debug)]
pub struct Why<'a>(Option<&'a mut String>);

impl<'a> Why<'a> {
    /// The reason is written there, in the place of what is there.
    pub fn written_to(text: &'a mut String) -> Self {
        Self(Some(text))
    }

    /// The reason is not needed.
    pub fn unasked() -> Self {
        Self(None)
    }

    /// The result of a filter whose pool is not suitable: `false`.
    pub fn no(&mut self, reason: fmt::Arguments<'_>) -> bool {
        if let Some(text) = &mut self.0 {
            **text = fmt::format(reason);
        }
        false
    }
}

/// A filter: whether a pool is suitable.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Cinder's name for it, as configured and shown.
    pub name: &'static str,
    passes: Passes,
}

/// A filter's function by what it reads, which decides how long its result is valid.
#[derive(Clone, Copy, Debug)]
enum Passes {
    /// The pool's report: until the next one.
    ByReport(ByReport),
    /// Also reservations and other volumes: for one decision.
    Now(fn(&PoolState, &Ask<'_>, &mut Why<'_>) -> bool),
}

/// The function of a filter that reads only the report of a pool.
pub type ByReport = fn(&PoolState, &Class<'_>, &mut Why<'_>) -> bool;

impl Filter {
    /// Whether the pool is suitable.
    pub fn passes(&self, pool: &PoolState, ask: &Ask<'_>, why: &mut Why<'_>) -> bool {
        match self.passes {
            Passes::ByReport(passes) => passes(pool, &ask.class, why),
            Passes::Now(passes) => passes(pool, ask, why),
        }
    }

    /// Whether it reads nothing but the report.
    pub fn reads_only_reports(&self) -> bool {
        self.by_report().is_some()
    }

    /// Its function, if it reads only the report.
    pub fn by_report(&self) -> Option<ByReport> {
        match self.passes {
            Passes::ByReport(passes) => Some(passes),
            Passes::Now(_) => None,
        }
    }
}

/// All filters.
pub const KNOWN: &[Filter] = &[
    Filter {
        name: "AvailabilityZoneFilter",
        passes: Passes::ByReport(availability_zone::passes),
    },
    Filter {
        name: "CapacityFilter",
        passes: Passes::Now(capacity::passes),
    },
    Filter {
        name: "CapabilitiesFilter",
        passes: Passes::ByReport(capabilities::passes),
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
