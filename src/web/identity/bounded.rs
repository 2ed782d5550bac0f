//! A bounded map: it evicts roughly the least recently used entries, without a clock or a list.
//!
//! Two generations: new and used entries are in the young one; when it is full, it becomes the old one and the old
//! one is dropped. It bounds the memory that unauthenticated clients can occupy.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// The map.
pub(super) struct Bounded<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V> Bounded<K, V> {
    /// A map that holds between `entries / 2` and `entries`.
    pub(super) fn new(entries: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half: (entries / 2).max(1),
        }
    }

    /// The entry, which counts as used.
    pub(super) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_used_is_kept_and_what_is_not_is_forgotten() {
        let mut map = Bounded::new(8);
        map.insert(0, "used");
        map.insert(1, "unused");
        for key in 2..100 {
            map.insert(key, "noise");
            assert_eq!(map.get_mut(&0).copied(), Some("used"));
        }
        assert_eq!(map.get_mut(&1), None);
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_it_may(keys in proptest::collection::vec(0u8..40, 0..200), bound in 2usize..20) {
            let mut map = Bounded::new(bound);
            for key in keys {
                map.insert(key, key);
                prop_assert!(map.len() <= bound);
                prop_assert_eq!(map.get_mut(&key).copied(), Some(key));
            }
        }
    }
}
