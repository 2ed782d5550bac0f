use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Candidates, Chain, Decision, pick};
use crate::actors::scheduler::filters::{self, Ask, Why};
use crate::actors::scheduler::pool_state::PoolState;
use crate::actors::scheduler::pools::{Look, Pools, Reservation};
use crate::actors::scheduler::testing;
use crate::actors::scheduler::weighers::Multipliers;
use crate::messages::scheduler::RequestSpec;
use crate::model::service::{BackendStats, Capacity, OverSubscription, PoolStats};
use crate::model::{OperationId, PoolName};

const FILTERS: [&str; 3] = ["AvailabilityZoneFilter", "CapacityFilter", "CapabilitiesFilter"];
const DOWN: Duration = Duration::from_secs(60);

fn chain(multiplier: f64) -> Chain {
    let multipliers = Multipliers { capacity: multiplier };
    Chain::new(&FILTERS, &["CapacityWeigher"], multipliers).unwrap()
}

fn decide(pools: &mut Pools, request: &RequestSpec) -> Decision {
    decide_by(pools, request, 1.0)
}

fn decide_by(pools: &mut Pools, request: &RequestSpec, multiplier: f64) -> Decision {
    let (ask, chain) = (Ask::of(request), chain(multiplier));
    let candidates = pools.candidates(&Look::at(Instant::now(), DOWN), &ask.class, chain.filters());
    pick(&ask, &candidates, &chain)
}

fn known(stats: impl IntoIterator<Item = BackendStats>) -> Pools {
    let mut pools = Pools::default();
    for stats in stats {
        pools.accept(stats, Instant::now(), DOWN, &[]);
    }
    pools
}

fn sized(host: &str, gib: f64) -> BackendStats {
    let mut stats = testing::backend(host, "lvm", &["p"]);
    stats.pools[0].total_capacity_gb = Capacity::Gib(gib);
    stats.pools[0].free_capacity_gb = Capacity::Gib(gib);
    stats.pools[0].max_over_subscription_ratio = OverSubscription::Ratio(1.0);
    stats
}

#[test]
fn the_pool_with_the_most_room_is_chosen_and_the_fullest_when_stacking() {
    let mut pools = known([sized("a", 10.0), sized("b", 30.0), sized("c", 20.0)]);
    let request = testing::request(5);
    assert_eq!(
        decide(&mut pools, &request).chosen.unwrap().to_string(),
        "b@lvm#p"
    );
    let stacked = decide_by(&mut pools, &request, -1.0);
    assert_eq!(stacked.chosen.unwrap().to_string(), "a@lvm#p");
}

#[test]
fn a_refusal_says_which_filter_dropped_which_pool() {
    let mut down = sized("c", 99.0);
    down.up = false;
    let mut pools = known([sized("a", 10.0), sized("b", 30.0), down]);
    let mut request = testing::request(20);
    request.tried.push("b@lvm#p".parse().unwrap());
    let decision = decide(&mut pools, &request);
    assert_eq!(decision.chosen, None);
    let dropped = |host: &str| {
        let mut pools = decision.pools.iter();
        let found = pools.find(|verdict| verdict.pool.backend.host == host);
        found.unwrap().dropped_by.unwrap()
    };
    assert_eq!(dropped("a"), "CapacityFilter");
    assert_eq!(dropped("b"), "IgnoreAttemptedHostsFilter");
    assert_eq!(dropped("c"), "InService");
    insta::assert_snapshot!(decision.why_none(), @"InService 3→2, IgnoreAttemptedHostsFilter 2→1, AvailabilityZoneFilter 1→1, CapacityFilter 1→0, CapabilitiesFilter 0→0; a@lvm#p: 20 GiB are requested, 10.00 GiB are free (CapacityFilter); b@lvm#p: it failed in an earlier attempt (IgnoreAttemptedHostsFilter); c@lvm#p: its driver does not work: no reason given (InService)");
    let without_pools = decide(&mut Pools::default(), &request).why_none();
    assert_eq!(without_pools, "no backend has reported a pool yet");
}

#[test]
fn a_clone_goes_where_its_source_is() {
    let mut pools = known([sized("a", 10.0), sized("b", 30.0)]);
    let mut request = testing::request(5);
    request.resource_backend = Some("a@lvm#another".parse().unwrap());
    assert_eq!(
        decide(&mut pools, &request).chosen.unwrap().to_string(),
        "a@lvm#p"
    );
    request.resource_backend = Some("x@lvm#p".parse().unwrap());
    assert_eq!(decide(&mut pools, &request).chosen, None);
}

#[test]
fn pools_that_do_not_know_their_room_are_filled_evenly() {
    let unknown = |host| {
        let mut stats = sized(host, 1.0);
        stats.pools[0].free_capacity_gb = Capacity::Unknown;
        stats
    };
    let mut pools = known([unknown("a"), unknown("b")]);
    let mut hosts = Vec::new();
    for _ in 0..4 {
        let chosen = decide(&mut pools, &testing::request(5)).chosen.unwrap();
        let reservation = Reservation::Create(OperationId::new());
        pools.take(reservation, &chosen, 5, Instant::now());
        hosts.push(chosen.backend.host);
    }
    assert_eq!(hosts, ["a", "b", "a", "b"]);
}

#[test]
fn very_many_pools_are_counted_but_not_all_named() {
    let mut pools = known((0..100).map(|n| sized(&format!("h{n:02}"), f64::from(n))));
    let decision = decide(&mut pools, &testing::request(1));
    assert_eq!((decision.pools.len(), decision.unnamed), (64, 36));
    let chosen = decision.chosen.unwrap();
    assert_eq!(chosen.backend.host, "h99");
    assert!(decision.pools.iter().any(|verdict| verdict.pool == chosen));
}

fn any_capacity() -> impl Strategy<Value = Capacity> {
    prop_oneof![
        6 => (0_u32..20_000).prop_map(|cents| Capacity::Gib(f64::from(cents) / 100.0)),
        1 => Just(Capacity::Infinite),
        1 => Just(Capacity::Unknown),
    ]
}

prop_compose! {
    fn any_pool()(
        total in any_capacity(), free in any_capacity(), provisioned in 0_u32..500, reserved in 0_u8..60,
        ratio in prop_oneof![Just(OverSubscription::Auto), (50_u32..400).prop_map(|r| OverSubscription::Ratio(f64::from(r) / 100.0))],
        thin in any::<bool>(),
    ) -> PoolStats {
        PoolStats {
            total_capacity_gb: total,
            free_capacity_gb: free,
            provisioned_capacity_gb: f64::from(provisioned),
            reserved_percentage: reserved,
            max_over_subscription_ratio: ratio,
            thin_provisioning_support: thin,
            ..testing::pool("p")
        }
    }
}

prop_compose! {
    fn any_backends()(
        backends in prop::collection::vec((any_pool(), any::<bool>(), prop::bool::weighted(0.8), "[ab]"), 1..6)
    ) -> Vec<BackendStats> {
        backends.into_iter().enumerate().map(|(n, (pool, nova, up, name))| {
            let mut stats = testing::backend(&format!("h{n}"), "lvm", &[]);
            stats.pools = vec![pool];
            stats.up = up;
            stats.volume_backend_name = name;
            if !nova { stats.availability_zone = "mars".into(); }
            stats
        }).collect()
    }
}

prop_compose! {
    fn any_request()(size in 1_u32..150, zone in any::<bool>(), name in any::<bool>(), thick in any::<bool>()) -> RequestSpec {
        let mut request = testing::request(size);
        if zone { request.availability_zone = Some("nova".into()); }
        if name { request.extra_specs.insert("volume_backend_name".into(), "a".into()); }
        if thick { request.extra_specs.insert("provisioning:type".into(), "thick".into()); }
        request
    }
}

fn state<'a>(candidates: &[Candidates<'a>], name: &PoolName) -> &'a PoolState {
    let mut all = candidates.iter().flat_map(|of_one| of_one.pools);
    all.find(|pool| pool.name() == name).unwrap()
}

proptest! {
    #[test]
    fn a_chosen_pool_passes_all_filters_and_none_that_passes_weighs_more(
        backends in any_backends(), request in any_request()
    ) {
        let mut pools = known(backends);
        let ask = Ask::of(&request);
        let decision = decide(&mut pools, &request);
        let candidates = testing::candidates(&mut pools, &request);
        let usable = candidates.iter().filter(|of_one| of_one.unusable.is_none());
        let passing: Vec<&PoolState> = usable.flat_map(|of_one| of_one.pools).filter(|pool| {
            filters::KNOWN.iter().all(|filter| filter.passes(pool, &ask, &mut Why::unasked()))
        }).collect();
        prop_assert_eq!(decision.chosen.is_some(), !passing.is_empty());
        if let Some(chosen) = &decision.chosen {
            let chosen = state(&candidates, chosen);
            prop_assert!(passing.iter().any(|pool| pool.name() == chosen.name()));
            let thick = request.extra_specs.contains_key("provisioning:type");
            let room = |pool: &PoolState| pool.room(thick).unwrap_or(-1.0);
            prop_assert!(passing.iter().all(|pool| room(pool) <= room(chosen)));
        }
    }

    #[test]
    fn promises_never_exceed_the_room_of_a_pool(
        backends in any_backends(), requests in prop::collection::vec(any_request(), 1..40)
    ) {
        let mut pools = known(backends);
        let mut rooms: BTreeMap<PoolName, f64> = BTreeMap::new();
        for request in &requests {
            let Some(chosen) = decide(&mut pools, request).chosen else { continue };
            let thick = request.extra_specs.contains_key("provisioning:type");
            let candidates = testing::candidates(&mut pools, request);
            let room = state(&candidates, &chosen).room(thick);
            pools.take(Reservation::Create(OperationId::new()), &chosen, request.size, Instant::now());
            if let Some(room) = room {
                let candidates = testing::candidates(&mut pools, request);
                let left = state(&candidates, &chosen).room(thick).unwrap();
                prop_assert!(left >= 0.0, "{chosen} has {left} left");
                prop_assert!((room - left - f64::from(request.size)).abs() < 0.02);
                rooms.insert(chosen, left);
            }
        }
    }

    #[test]
    fn a_pool_is_never_asked_twice_for_one_volume(backends in any_backends(), mut request in any_request()) {
        let mut pools = known(backends);
        while let Some(chosen) = decide(&mut pools, &request).chosen {
            prop_assert!(!request.tried.contains(&chosen));
            request.tried.push(chosen);
        }
    }
}
