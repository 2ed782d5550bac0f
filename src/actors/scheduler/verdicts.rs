//! What the filters that read only reports say of the pools of a backend, remembered until its next report.
//!
//! Thousands of requests of one type and zone are examined against the same reports, and to match capabilities is the slowest part of it. A
//! verdict depends on the report and on the [`Class`] of the request alone, so it is the same whether it is remembered or not.

use std::collections::BTreeMap;

use super::filters::{Class, Filter, Why};
use super::pool_state::PoolState;

/// The most classes that are remembered.
const CLASSES: usize = 64;

/// What the filters that read only reports say of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All let it pass.
    Passes,
    /// This one of the chain is the first that does not.
    DroppedBy(u32),
}

impl Verdict {
    /// The verdict about a pool.
    pub fn about(pool: &PoolState, class: &Class<'_>, filters: &[Filter]) -> Self {
        let refuses = |filter: &Filter| {
            let by_report = filter.by_report();
            by_report.is_some_and(|passes| !passes(pool, class, &mut Why::unasked()))
        };
        let first = filters.iter().position(refuses);
        // So many filters fit into no configuration.
        let place = |at| Self::DroppedBy(u32::try_from(at).unwrap_or(u32::MAX));
        first.map_or(Self::Passes, place)
    }
}

/// The number of a class; never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClassId(u64);

#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnedClass {
    availability_zone: Option<String>,
    extra_specs: BTreeMap<String, String>,
    online_extend: bool,
}

impl OwnedClass {
    fn is(&self, class: &Class<'_>) -> bool {
        self.availability_zone.as_deref() == class.availability_zone
            && self.online_extend == class.online_extend
            && self.extra_specs == *class.extra_specs
    }
}

/// The classes of the latest requests, the latest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes {
    known: Vec<(OwnedClass, ClassId)>,
    next: u64,
}

impl Classes {
    pub(super) fn id(&mut self, class: &Class<'_>) -> ClassId {
        if let Some(at) = self.known.iter().position(|(known, _)| known.is(class)) {
            self.known[..=at].rotate_right(1);
            return self.known[0].1;
        }
        let id = ClassId(self.next);
        self.next += 1;
        let owned = OwnedClass {
            availability_zone: class.availability_zone.map(str::to_owned),
            extra_specs: class.extra_specs.clone(),
            online_extend: class.online_extend,
        };
        self.known.truncate(CLASSES - 1);
        self.known.insert(0, (owned, id));
        id
    }
}

/// The verdicts about the pools of one report.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdicts(Vec<(ClassId, Box<[Verdict]>)>);

impl Verdicts {
    /// Those for a class, in the order of the pools; empty until they are made.
    pub(super) fn of(&self, id: ClassId) -> &[Verdict] {
        let mut known = self.0.iter();
        let found = known.find_map(|(known, verdicts)| (*known == id).then_some(&**verdicts));
        found.unwrap_or_default()
    }

    /// Makes those for a class, unless they are known.
    pub(super) fn make(&mut self, id: ClassId, class: &Class<'_>, pools: &[PoolState], filters: &[Filter]) {
        if self.0.iter().any(|(known, _)| *known == id) {
            return;
        }
        if self.0.len() == CLASSES {
            // The oldest.
            self.0.remove(0);
        }
        let verdicts = pools.iter().map(|pool| Verdict::about(pool, class, filters));
        self.0.push((id, verdicts.collect()));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{CLASSES, Classes, Verdict, Verdicts};
    use crate::actors::scheduler::filters::{Class, chain};
    use crate::actors::scheduler::testing;

    #[test]
    fn classes_are_known_again_until_many_others_came() {
        let (mut classes, none) = (Classes::default(), BTreeMap::new());
        let zones: Vec<String> = (0..=CLASSES).map(|number| number.to_string()).collect();
        let class = |zone: usize| Class {
            availability_zone: Some(&zones[zone]),
            ..Class::of(&none)
        };
        let first = classes.id(&class(0));
        assert_eq!(classes.id(&class(0)), first);
        for other in 1..CLASSES {
            assert_ne!(classes.id(&class(other)), first);
        }
        assert_eq!(classes.id(&class(0)), first, "it is the latest again");
        classes.id(&class(CLASSES));
        assert_eq!(classes.id(&class(0)), first);
        assert_ne!(classes.id(&class(1)), super::ClassId(1), "it was the oldest");
        assert_eq!(classes.known.len(), CLASSES);
    }

    #[test]
    fn a_verdict_names_the_first_filter_of_the_chain_that_refuses() {
        let filters = chain(&["CapacityFilter", "CapabilitiesFilter", "AvailabilityZoneFilter"]).unwrap();
        let pools = [testing::state(testing::pool("p"))];
        let specs = BTreeMap::from([("dedup".to_owned(), "x".to_owned())]);
        let (none, mut classes, mut verdicts) = (BTreeMap::new(), Classes::default(), Verdicts::default());
        let mut verdict = |class: Class<'_>| {
            let id = classes.id(&class);
            verdicts.make(id, &class, &pools, &filters);
            verdicts.of(id)[0]
        };
        for _ in 0..2 {
            assert_eq!(verdict(Class::of(&none)), Verdict::Passes);
            assert_eq!(verdict(Class::of(&specs)), Verdict::DroppedBy(1));
            let elsewhere = Class {
                availability_zone: Some("mars"),
                ..Class::of(&none)
            };
            assert_eq!(verdict(elsewhere), Verdict::DroppedBy(2));
        }
        assert_eq!(verdicts.0.len(), 3);
    }
}
