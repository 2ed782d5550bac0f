use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Holds, Verdict, judge};
use crate::model::quota::{Deltas, MAX, Resource, Usage, volume_deltas};
use crate::model::{ProjectId, ReservationId, VolumeTypeId};

fn usage(deltas: &Deltas) -> BTreeMap<Resource, Usage> {
    deltas
        .iter()
        .map(|(name, sum)| {
            (
                name.clone(),
                Usage {
                    in_use: *sum,
                    reserved: 0,
                },
            )
        })
        .collect()
}

#[test]
fn gigabytes_are_reported_before_volumes_and_a_types_after_the_projects() {
    let id = VolumeTypeId::new();
    let deltas = volume_deltas(5, Some(id));
    let mut limits: BTreeMap<Resource, i64> = deltas.keys().map(|name| (name.clone(), 0)).collect();
    let (gigabytes, volumes) = (Resource::gigabytes(), Resource::volumes());
    for expected in [
        gigabytes.clone(),
        gigabytes.of_type(id),
        volumes.clone(),
        volumes.of_type(id),
    ] {
        let Verdict::Over { resource, .. } = judge(&deltas, &limits, &BTreeMap::new(), &Deltas::new()) else {
            panic!("expected {expected:?}");
        };
        assert_eq!(resource, expected);
        limits.insert(resource, -1);
    }
    assert_eq!(
        judge(&deltas, &limits, &BTreeMap::new(), &Deltas::new()),
        Verdict::Room
    );
}

#[test]
fn giving_back_is_never_refused_and_a_sum_has_an_end() {
    let one = |delta| Deltas::from([(Resource::gigabytes(), delta)]);
    let limits = BTreeMap::from([(Resource::gigabytes(), 1)]);
    assert_eq!(
        judge(&one(-5), &limits, &usage(&one(9)), &Deltas::new()),
        Verdict::Room
    );
    let all = usage(&one(MAX));
    assert_eq!(
        judge(&one(1), &BTreeMap::new(), &all, &Deltas::new()),
        Verdict::Overflow(Resource::gigabytes())
    );
    assert_eq!(
        judge(&one(0), &BTreeMap::new(), &all, &Deltas::new()),
        Verdict::Room
    );
}

#[test]
fn a_commit_during_a_read_still_counts_for_that_read_and_for_no_later_one() {
    let (mut holds, project) = (Holds::default(), ProjectId::from("p"));
    let deltas = volume_deltas(1, None);
    let early = holds.begin_read();
    let id = holds.hold(&project, &deltas, Instant::now());
    assert_eq!(holds.commit(id), Some(project.clone()));
    let late = holds.begin_read();
    assert_eq!(holds.held(&early, &project), deltas);
    assert_eq!(holds.held(&late, &project), Deltas::new());
    holds.end_read(early);
    assert_eq!(holds.held(&late, &project), Deltas::new());
    assert!(holds.passing.is_empty(), "what nobody can miss is forgotten");
    holds.end_read(late);
}

#[test]
fn an_expired_hold_holds_nothing_and_committing_it_does_nothing() {
    let (mut holds, project, now) = (Holds::default(), ProjectId::from("p"), Instant::now());
    let id = holds.hold(&project, &volume_deltas(1, None), now);
    assert_eq!(holds.next_expiry(), Some(now));
    assert_eq!(holds.expire(now), 1);
    assert_eq!(holds.commit(id), None);
    assert!(holds.is_empty() && holds.by_project.is_empty());
}

/// What may happen to a project with a small quota. Reads are begun and ended apart, so that commits fall into them.
#[derive(Clone, Debug)]
enum Event {
    BeginRead,
    EndRead(usize, u32),
    StoreCommit(usize),
    TellCommit(usize),
    RollBack(usize),
    Expire,
    Delete(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::BeginRead),
        4 => (any::<usize>(), 1_u32..4).prop_map(|(which, size)| Event::EndRead(which, size)),
        3 => any::<usize>().prop_map(Event::StoreCommit),
        3 => any::<usize>().prop_map(Event::TellCommit),
        1 => any::<usize>().prop_map(Event::RollBack),
        1 => Just(Event::Expire),
        1 => any::<usize>().prop_map(Event::Delete),
    ]
}

/// Takes the one at that index, wrapping round.
fn take<T>(from: &mut Vec<T>, which: usize) -> Option<T> {
    if from.is_empty() {
        None
    } else {
        Some(from.swap_remove(which % from.len()))
    }
}

proptest! {
    /// Whoever is told that there is room finds it: no commit of a promise that still stands ever exceeds a limit, in
    /// whatever order reads, commits, rollbacks, deletes and expiries come; and what is held is the sum of the holds.
    #[test]
    fn a_standing_promise_is_always_kept(events in prop::collection::vec(any_event(), 1..120)) {
        let (mut holds, project) = (Holds::default(), ProjectId::from("p"));
        let limits = BTreeMap::from([(Resource::volumes(), 4), (Resource::gigabytes(), 7)]);
        let start = Instant::now();
        // What the store counts; reads under way with the numbers they will get; promises; those committed but not told.
        let mut stored = Deltas::new();
        let mut reads = Vec::new();
        let mut promises: Vec<(ReservationId, Deltas)> = Vec::new();
        let mut untold: Vec<(ReservationId, Deltas)> = Vec::new();
        let mut records: Vec<Deltas> = Vec::new();
        for event in events {
            match event {
                Event::BeginRead => reads.push((holds.begin_read(), usage(&stored))),
                Event::EndRead(which, size) => if let Some((read, seen)) = take(&mut reads, which) {
                    let deltas = volume_deltas(size, None);
                    let held = holds.held(&read, &project);
                    if judge(&deltas, &limits, &seen, &held) == Verdict::Room {
                        promises.push((holds.hold(&project, &deltas, start), deltas));
                    }
                    holds.end_read(read);
                },
                Event::StoreCommit(which) => if let Some((id, deltas)) = take(&mut promises, which) {
                    super::add(&mut stored, &deltas, 1);
                    for (resource, limit) in &limits {
                        prop_assert!(stored.get(resource).copied().unwrap_or_default() <= *limit);
                    }
                    records.push(deltas.clone());
                    untold.push((id, deltas));
                },
                Event::TellCommit(which) => if let Some((id, _)) = take(&mut untold, which) { prop_assert!(holds.commit(id).is_some()); },
                Event::RollBack(which) => if let Some((id, _)) = take(&mut promises, which) { prop_assert!(holds.roll_back(id).is_some()); },
                // A promise that expired is none any more: its commit is left to the store's own ceiling.
                Event::Expire => {
                    let all = promises.len() + untold.len();
                    prop_assert_eq!(holds.expire(start + Duration::from_secs(1)), all);
                    promises.clear();
                    // Those in the store were counted twice until now; readers that began before may miss them.
                    reads.drain(..).for_each(|(read, _)| holds.end_read(read));
                    untold.clear();
                }
                Event::Delete(which) => if let Some(deltas) = take(&mut records, which) {
                    super::add(&mut stored, &deltas, -1);
                },
            }
            let mut sum = Deltas::new();
            promises.iter().chain(&untold).for_each(|(_, deltas)| super::add(&mut sum, deltas, 1));
            let read = holds.begin_read();
            prop_assert_eq!(holds.held(&read, &project), sum);
            holds.end_read(read);
            prop_assert_eq!(holds.len(), promises.len() + untold.len());
        }
    }
}
