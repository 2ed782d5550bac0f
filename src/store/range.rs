//! The keys that a [`Scan`] reads, as one range: computed here for all engines.

use std::ops::Bound;

use super::{Key, Scan};

impl Scan {
    /// The range of keys that this reads, or `None` if it is certainly empty.
    pub(super) fn bounds(&self) -> Option<(Bound<Key>, Bound<Key>)> {
        let mut low = Bound::Included(Key(self.prefix.clone()));
        let mut high = match end_of(&self.prefix) {
            Some(end) => Bound::Excluded(end),
            None => Bound::Unbounded,
        };
        if let Some(after) = &self.after {
            if self.reverse {
                match &high {
                    Bound::Excluded(end) if after >= end => {}
                    _ => high = Bound::Excluded(after.clone()),
                }
            } else if after.0 >= self.prefix {
                low = Bound::Excluded(after.clone());
            }
        }
        let empty = match (&low, &high) {
            (Bound::Included(low), Bound::Excluded(high)) | (Bound::Excluded(low), Bound::Excluded(high)) => {
                low >= high
            }
            _ => false,
        };
        (!empty).then_some((low, high))
    }
}

/// The first key after all that begin with `prefix`; `None` if there is no such key.
fn end_of(prefix: &[u8]) -> Option<Key> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(Key(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(scan: &Scan, key: &[u8]) -> bool {
        scan.bounds()
            .is_some_and(|(low, high)| std::ops::RangeBounds::contains(&(low, high), &Key(key.to_vec())))
    }

    proptest! {
        #[test]
        fn a_scan_reads_what_begins_with_its_prefix_and_lies_behind_its_start(
            prefix in proptest::collection::vec(prop_oneof![Just(1_u8), Just(255)], 0..3),
            after in proptest::option::of(proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255)], 0..4)),
            key in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255)], 0..4),
            reverse: bool,
        ) {
            let expected = key.starts_with(&prefix)
                && after.as_ref().is_none_or(|after| if reverse { key < *after } else { key > *after });
            let scan = Scan { prefix, after: after.map(Key), reverse, limit: 1 };
            prop_assert_eq!(contains(&scan, &key), expected);
        }
    }
}
