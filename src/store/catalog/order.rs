//! The order of a list: its sort keys, and the comparison of two records.

use std::cmp::Ordering;

use super::listable::Listable;
use super::query::Direction;

/// Sort keys of a total order, each with its direction.
pub(super) type SortOrder<R> = Vec<(<R as Listable>::Field, Direction)>;

/// The requested order, made total: `created_at` and `id` are appended in the **first** key's direction (cinder:
/// `process_sort_params`); without any key the newest come first. Keys after `id` have no effect and are dropped.
pub(super) fn total_order<R: Listable>(asked: &[(R::Field, Direction)]) -> SortOrder<R> {
    let direction = asked
        .first()
        .map_or(Direction::Descending, |(_, direction)| *direction);
    let mut order = SortOrder::<R>::new();
    let appended = [(R::CREATED_AT, direction), (R::ID, direction)];
    for (key, direction) in asked.iter().copied().chain(appended) {
        if order.iter().any(|(known, _)| *known == key) {
            continue;
        }
        order.push((key, direction));
        if key == R::ID {
            break;
        }
    }
    order
}

/// If all keys of an order have the same direction, and at most one key precedes `created_at` and `id`: that key, and
/// whether the direction is descending. An index may have such an order.
pub(super) fn leading_key<R: Listable>(order: &[(R::Field, Direction)]) -> Option<(Option<R::Field>, bool)> {
    let (_, direction) = order.first()?;
    if order.iter().any(|(_, other)| other != direction) {
        return None;
    }
    let leading = match order {
        [(first, _), (second, _)] if *first == R::CREATED_AT && *second == R::ID => None,
        [(first, _), (second, _), (third, _)] if *second == R::CREATED_AT && *third == R::ID => Some(*first),
        _ => return None,
    };
    Some((leading, *direction == Direction::Descending))
}

/// Compares two records in this order.
pub(super) fn compare<R: Listable>(a: &R, b: &R, order: &[(R::Field, Direction)]) -> Ordering {
    order
        .iter()
        .map(|(key, direction)| {
            let ascending = a.value(*key).cmp(&b.value(*key));
            match direction {
                Direction::Ascending => ascending,
                Direction::Descending => ascending.reverse(),
            }
        })
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Keeps the first `count` of the added records, in order, and never holds more than twice as many.
pub(super) struct First<R: Listable> {
    order: SortOrder<R>,
    count: usize,
    kept: Vec<R>,
}

impl<R: Listable> First<R> {
    pub(super) fn new(order: SortOrder<R>, count: usize) -> Self {
        Self {
            order,
            count,
            kept: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, record: R) {
        self.kept.push(record);
        // At least so many are added before sorting again, so that the cost of sorting is amortised.
        if self.kept.len() >= self.count.saturating_mul(2).max(64) {
            self.shrink();
        }
    }

    pub(super) fn into_sorted(mut self) -> Vec<R> {
        self.shrink();
        self.kept
    }

    fn shrink(&mut self) {
        let order = &self.order;
        self.kept.sort_by(|a, b| compare(a, b, order));
        self.kept.truncate(self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::super::query::Direction::{Ascending, Descending};
    use super::super::query::VolumeField::{CreatedAt, Id, Name, Size};
    use super::*;
    use crate::model::Volume;

    #[test]
    fn an_order_is_made_total_as_cinder_does() {
        let (by_name, by_id) = ((Name, Ascending), (Id, Ascending));
        for (asked, expected) in [
            (&[][..], &[(CreatedAt, Descending), (Id, Descending)][..]),
            (
                &[by_name, (Size, Descending)],
                &[by_name, (Size, Descending), (CreatedAt, Ascending), by_id],
            ),
            (&[by_id, (Name, Descending)], &[by_id]),
            (
                &[by_name, (Name, Descending), (CreatedAt, Descending)],
                &[by_name, (CreatedAt, Descending), by_id],
            ),
        ] {
            assert_eq!(total_order::<Volume>(asked), expected, "{asked:?}");
        }
    }

    #[test]
    fn the_first_few_are_the_same_as_of_a_whole_sort() {
        let order = total_order::<Volume>(&[(Size, Descending)]);
        let volumes: Vec<_> = (0..500_u32)
            .map(|n| super::super::samples::volume("p", "n", n * 7919 % 101))
            .collect();
        let mut first = First::new(order.clone(), 10);
        volumes.iter().cloned().for_each(|volume| first.push(volume));
        let mut whole = volumes;
        whole.sort_by(|a, b| compare(a, b, &order));
        assert_eq!(first.into_sorted(), whole[..10]);
    }
}
