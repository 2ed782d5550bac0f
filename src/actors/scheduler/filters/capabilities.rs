//! `CapabilitiesFilter`: the pool has the capabilities that the type's extra specs require.
//!
//! Keys without a scope and those scoped `capabilities:` are requirements; all other scopes (`provisioning:`,
//! `RESKEY:`, `volume_type:`) are skipped. `capabilities:a:b` refers to `b` within capability `a`.

use super::{Class, Why};
use crate::actors::scheduler::pool_state::PoolState;
use crate::model::capability::Capability;
use crate::model::extra_specs_ops;

/// See the module.
pub(super) fn passes(pool: &PoolState, class: &Class<'_>, why: &mut Why<'_>) -> bool {
    if class.online_extend && !pool.has_online_extend() {
        return why.no(format_args!("it cannot grow a volume that is attached"));
    }
    for (key, requirement) in class.extra_specs {
        let path = match key.split_once(':') {
            None => key.as_str(),
            Some(("capabilities", path)) => path,
            Some(_) => continue,
        };
        let Some(capability) = find(pool, path) else {
            return why.no(format_args!("it has no capability '{path}'"));
        };
        if !matches(capability, requirement) {
            return why.no(format_args!("capability '{path}' does not match '{requirement}'"));
        }
    }
    true
}

fn find<'a>(pool: &'a PoolState, path: &str) -> Option<&'a Capability> {
    let mut names = path.split(':');
    let mut found = pool.capabilities().get(names.next()?)?;
    for name in names {
        let Capability::Map(inner) = found else {
            return None;
        };
        found = inner.get(name)?;
    }
    Some(found)
}

/// Any element of a list may match. A group of capabilities is not a value, so nothing matches it.
fn matches(capability: &Capability, requirement: &str) -> bool {
    match capability {
        Capability::Text(value) => extra_specs_ops::matches(value, requirement),
        Capability::List(values) => values.iter().any(
            |value| matches!(value, Capability::Text(value) if extra_specs_ops::matches(value, requirement)),
        ),
        Capability::Map(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Class, Why};
    use crate::actors::scheduler::testing;

    fn passes(key: &str, requirement: &str) -> bool {
        let mut stats = testing::pool("p");
        stats.extra.insert("compression".into(), "True".into());
        stats.extra.insert("tiers".into(), r#"["gold", "silver"]"#.into());
        stats
            .extra
            .insert("raid".into(), r#"{"level": {"data": 6}}"#.into());
        let mut request = testing::request(1);
        request.extra_specs.insert(key.into(), requirement.into());
        testing::passes("CapabilitiesFilter", &testing::state(stats), &request)
    }

    #[test]
    fn plain_and_scoped_demands_are_the_same() {
        for key in ["compression", "capabilities:compression"] {
            assert!(passes(key, "<is> yes"));
            assert!(passes(key, "True"));
            assert!(
                !passes(key, "true"),
                "without an operator the comparison is case-sensitive"
            );
        }
        assert!(passes("volume_backend_name", "lvm"));
        assert!(!passes("volume_backend_name", "ceph"));
    }

    #[test]
    fn other_scopes_are_not_for_us() {
        for key in [
            "provisioning:type",
            "volume_type:any",
            "RESKEY:availability_zones",
            "compression:on",
        ] {
            assert!(passes(key, "whatever"), "{key}");
        }
    }

    #[test]
    fn a_capability_that_is_not_there_fails_whatever_is_asked() {
        for requirement in ["", "None", "<is> False", "!= 5"] {
            assert!(!passes("dedup", requirement));
        }
        assert!(!passes("capabilities:", "x"));
    }

    #[test]
    fn lists_match_by_any_element_and_groups_by_their_members() {
        assert!(passes("tiers", "silver"));
        assert!(passes("tiers", "<or> bronze <or> gold"));
        assert!(!passes("tiers", "bronze"));
        assert!(passes("storage_protocol", "iscsi"));
        assert!(passes("storage_protocol", "iSCSI"));
        assert!(passes("capabilities:raid:level:data", ">= 5"));
        assert!(!passes("capabilities:raid:level", ">= 5"));
        assert!(!passes("capabilities:raid:speed:data", ">= 5"));
        assert!(!passes("capabilities:compression:x", "True"));
    }

    #[test]
    fn an_attached_volume_grows_only_where_that_is_supported() {
        let mut stats = testing::pool("p");
        stats.online_extend_support = false;
        let (pool, none) = (testing::state(stats), BTreeMap::new());
        let class = |online_extend| Class {
            online_extend,
            ..Class::of(&none)
        };
        let passes = |online_extend| super::passes(&pool, &class(online_extend), &mut Why::unasked());
        assert!(passes(false));
        assert!(!passes(true));
    }
}
