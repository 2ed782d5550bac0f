//! A queue per destination, with a bounded number of items in work, so that a slow or dead destination delays only its own
//! work.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Queues by destination `K`; an item `T` is in at most one of them, once, until it is [done](Lanes::done).
#[derive(Debug)]
pub(super) struct Lanes<K, T> {
    width: usize,
    lanes: BTreeMap<K, Lane<T>>,
    known: BTreeSet<T>,
    /// Destinations with waiting items and free capacity, in order.
    ready: VecDeque<K>,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<T>,
    in_work: usize,
    is_ready: bool,
}

impl<K: Ord + Clone, T: Ord + Copy> Lanes<K, T> {
    /// Empty; `width` is the most items of one destination in work at once.
    pub(super) fn new(width: usize) -> Self {
        Self {
            width: width.max(1),
            lanes: BTreeMap::new(),
            known: BTreeSet::new(),
            ready: VecDeque::new(),
        }
    }

    /// Queues an item. An item that is waiting or in work already is ignored.
    pub(super) fn push(&mut self, to: K, item: T) {
        if !self.known.insert(item) {
            return;
        }
        let lane = self.lanes.entry(to.clone()).or_insert_with(|| Lane {
            waiting: VecDeque::new(),
            in_work: 0,
            is_ready: false,
        });
        lane.waiting.push_back(item);
        self.check(&to);
    }

    /// Takes the next item: destinations round-robin, each first in, first out.
    pub(super) fn take(&mut self) -> Option<(K, T)> {
        let to = self.ready.pop_front()?;
        let lane = self.lanes.get_mut(&to)?;
        lane.is_ready = false;
        let item = lane.waiting.pop_front()?;
        lane.in_work += 1;
        self.check(&to);
        Some((to, item))
    }

    /// Marks an item as done.
    pub(super) fn done(&mut self, to: &K, item: T) {
        self.known.remove(&item);
        if let Some(lane) = self.lanes.get_mut(to) {
            lane.in_work = lane.in_work.saturating_sub(1);
            if lane.in_work == 0 && lane.waiting.is_empty() {
                self.lanes.remove(to);
            }
        }
        self.check(to);
    }

    fn check(&mut self, to: &K) {
        let Some(lane) = self.lanes.get_mut(to) else {
            return;
        };
        if !lane.is_ready && lane.in_work < self.width && !lane.waiting.is_empty() {
            lane.is_ready = true;
            self.ready.push_back(to.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Lanes;

    #[test]
    fn a_destination_that_is_never_done_leaves_the_others_alone() {
        let mut lanes = Lanes::new(2);
        for item in 0..10 {
            lanes.push("dead", item);
        }
        lanes.push("live", 100);
        lanes.push("live", 101);
        lanes.push("live", 102);
        let mut taken = Vec::new();
        while let Some((to, item)) = lanes.take() {
            if to == "live" {
                lanes.done(&to, item);
            }
            taken.push((to, item));
        }
        let of = |wanted: &str| -> Vec<i32> {
            let of_it = taken.iter().filter(|(to, _)| *to == wanted);
            of_it.map(|(_, item)| *item).collect()
        };
        assert_eq!(of("dead"), [0, 1]);
        assert_eq!(of("live"), [100, 101, 102]);
        lanes.done(&"dead", 0);
        assert_eq!(lanes.take(), Some(("dead", 2)));
        assert_eq!(lanes.take(), None);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Push(u8, u16),
        Take,
        Done(usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..3_u8, 0..12_u16).prop_map(|(to, item)| Event::Push(to, item)),
            Just(Event::Take),
            (0..8_usize).prop_map(Event::Done),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled_and_no_lane_is_wider_than_it_may_be(
            events in proptest::collection::vec(event(), 0..200),
        ) {
            const WIDTH: usize = 2;
            let mut lanes = Lanes::new(WIDTH);
            let (mut pushed, mut in_work) = (std::collections::BTreeSet::new(), Vec::new());
            let finish = |lanes: &mut Lanes<u8, u16>, in_work: &mut Vec<(u8, u16)>, at: usize| {
                let (to, item) = in_work.remove(at);
                lanes.done(&to, item);
                item
            };
            for event in events {
                match event {
                    Event::Push(to, item) => {
                        lanes.push(to, item);
                        pushed.insert(item);
                    }
                    Event::Take => {
                        if let Some((to, item)) = lanes.take() {
                            prop_assert!(pushed.contains(&item));
                            prop_assert!(in_work.iter().all(|(_, other)| *other != item));
                            in_work.push((to, item));
                        }
                    }
                    Event::Done(at) if at < in_work.len() => {
                        pushed.remove(&finish(&mut lanes, &mut in_work, at));
                    }
                    Event::Done(_) => {}
                }
                for lane in 0..3_u8 {
                    prop_assert!(in_work.iter().filter(|(to, _)| *to == lane).count() <= WIDTH);
                }
            }
            loop {
                if let Some(taken) = lanes.take() {
                    in_work.push(taken);
                } else if in_work.is_empty() {
                    break;
                } else {
                    pushed.remove(&finish(&mut lanes, &mut in_work, 0));
                }
            }
            prop_assert!(pushed.is_empty(), "{:?} never came", pushed);
        }
    }
}
