//! `AvailabilityZoneFilter`: the backend is in the requested zone, and in one that the type allows.

use super::{Class, Why};
use crate::actors::scheduler::pool_state::PoolState;

/// A type's zones, separated by commas: they narrow the choice.
const TYPE_ZONES: &str = "RESKEY:availability_zones";

/// See the module.
pub(super) fn passes(pool: &PoolState, class: &Class<'_>, why: &mut Why<'_>) -> bool {
    let zone = pool.zone();
    if let Some(asked) = class.availability_zone
        && asked != zone
    {
        return why.no(format_args!("it is in zone '{zone}', not '{asked}'"));
    }
    let Some(zones) = class.extra_specs.get(TYPE_ZONES) else {
        return true;
    };
    let mut zones = zones
        .split(',')
        .map(str::trim)
        .filter(|zone| !zone.is_empty())
        .peekable();
    if zones.peek().is_none() || zones.any(|allowed| allowed == zone) {
        return true;
    }
    why.no(format_args!("its zone '{zone}' is not among the type's zones"))
}

#[cfg(test)]
mod tests {
    use crate::actors::scheduler::testing;

    fn passes(asked: Option<&str>, type_zones: Option<&str>) -> bool {
        let mut request = testing::request(1);
        request.availability_zone = asked.map(str::to_owned);
        if let Some(zones) = type_zones {
            request.extra_specs.insert(super::TYPE_ZONES.into(), zones.into());
        }
        testing::passes(
            "AvailabilityZoneFilter",
            &testing::state(testing::pool("p")),
            &request,
        )
    }

    #[test]
    fn a_pool_outside_the_zone_is_dropped() {
        assert!(passes(None, None));
        assert!(passes(Some("nova"), None));
        assert!(!passes(Some("mars"), None));
    }

    #[test]
    fn a_types_zones_narrow_the_choice() {
        assert!(passes(None, Some("mars, nova")));
        assert!(!passes(None, Some("mars,venus")));
        assert!(!passes(Some("mars"), Some("mars,nova")));
        assert!(passes(None, Some(" ,")), "an empty list is no restriction");
    }
}
