//! The order of a list of volumes: which keys decide, and how two volumes compare.

use std::cmp::Ordering;

use super::query::{Direction, VolumeSortKey};
use crate::model::{Timestamp, Volume};

/// Sort keys that no two volumes share, each with its direction.
pub(super) type SortOrder = Vec<(VolumeSortKey, Direction)>;

/// The order that was asked for, made total: `created_at` and `id` are appended in the **first** key's direction (cinder:
/// `process_sort_params`); without any key the newest come first. What stands behind `id` decides nothing and is dropped.
pub(super) fn total_order(asked: &[(VolumeSortKey, Direction)]) -> SortOrder {
    let direction = asked
        .first()
        .map_or(Direction::Descending, |(_, direction)| *direction);
    let mut order = SortOrder::new();
    let appended = [
        (VolumeSortKey::CreatedAt, direction),
        (VolumeSortKey::Id, direction),
    ];
    for (key, direction) in asked.iter().copied().chain(appended) {
        if order.iter().any(|(known, _)| *known == key) {
            continue;
        }
        order.push((key, direction));
        if key == VolumeSortKey::Id {
            break;
        }
    }
    order
}

/// How two volumes stand to each other in this order.
pub(super) fn compare(a: &Volume, b: &Volume, order: &[(VolumeSortKey, Direction)]) -> Ordering {
    order
        .iter()
        .map(|(key, direction)| {
            let ascending = value(a, *key).cmp(&value(b, *key));
            match direction {
                Direction::Ascending => ascending,
                Direction::Descending => ascending.reverse(),
            }
        })
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// What is compared. What a volume has not sorts before all that it could have.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortValue<'a> {
    Missing,
    Number(u32),
    Flag(bool),
    Time(Timestamp),
    Id(uuid::Uuid),
    Text(&'a str),
    Composed(String),
}

fn value(volume: &Volume, key: VolumeSortKey) -> SortValue<'_> {
    fn text(text: Option<&str>) -> SortValue<'_> {
        text.map_or(SortValue::Missing, SortValue::Text)
    }
    fn id(id: Option<uuid::Uuid>) -> SortValue<'static> {
        id.map_or(SortValue::Missing, SortValue::Id)
    }
    fn time(time: Option<Timestamp>) -> SortValue<'static> {
        time.map_or(SortValue::Missing, SortValue::Time)
    }
    match key {
        VolumeSortKey::CreatedAt => SortValue::Time(volume.created_at),
        VolumeSortKey::UpdatedAt => time(volume.updated_at),
        VolumeSortKey::Id => SortValue::Id(volume.id.0),
        VolumeSortKey::Name => text(volume.name.as_deref()),
        VolumeSortKey::Size => SortValue::Number(volume.size),
        VolumeSortKey::Status => SortValue::Text(volume.status.shown()),
        VolumeSortKey::VolumeTypeId => id(volume.volume_type_id.map(|id| id.0)),
        VolumeSortKey::Host => volume
            .host
            .as_ref()
            .map_or(SortValue::Missing, |pool| SortValue::Composed(pool.to_string())),
        VolumeSortKey::AvailabilityZone => SortValue::Text(&volume.availability_zone),
        VolumeSortKey::Bootable => SortValue::Flag(volume.bootable),
        VolumeSortKey::AttachStatus => SortValue::Text(volume.attach_status.as_str()),
        VolumeSortKey::UserId => SortValue::Text(volume.user_id.as_str()),
        VolumeSortKey::ProjectId => SortValue::Text(volume.project_id.as_str()),
        VolumeSortKey::ScheduledAt => time(volume.scheduled_at),
        VolumeSortKey::LaunchedAt => time(volume.launched_at),
        VolumeSortKey::MigrationStatus => text(volume.migration_status.map(|status| status.as_str())),
        VolumeSortKey::Description => text(volume.description.as_deref()),
        VolumeSortKey::SnapshotId => id(volume.snapshot_id.map(|id| id.0)),
        VolumeSortKey::SourceVolid => id(volume.source_volid.map(|id| id.0)),
        VolumeSortKey::Multiattach => SortValue::Flag(volume.multiattach),
        // Only what was adopted from an old Cinder could have one, and we adopt none.
        VolumeSortKey::ConsistencygroupId => SortValue::Missing,
        VolumeSortKey::ReplicationStatus => text(volume.replication_status.as_deref()),
    }
}

/// Keeps the first `count` of all that it is given, in order, and never holds more than twice as many.
pub(super) struct First {
    order: SortOrder,
    count: usize,
    kept: Vec<Volume>,
}

impl First {
    pub(super) fn new(order: SortOrder, count: usize) -> Self {
        Self {
            order,
            count,
            kept: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, volume: Volume) {
        self.kept.push(volume);
        // At least so many before sorting again, so that the cost of sorting is spread.
        if self.kept.len() >= self.count.saturating_mul(2).max(64) {
            self.shrink();
        }
    }

    pub(super) fn into_sorted(mut self) -> Vec<Volume> {
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
    use super::Direction::{Ascending, Descending};
    use super::VolumeSortKey::{CreatedAt, Id, Name, Size};
    use super::*;

    #[test]
    fn an_order_is_made_total_as_cinder_does() {
        assert_eq!(total_order(&[]), [(CreatedAt, Descending), (Id, Descending)]);
        assert_eq!(
            total_order(&[(Name, Ascending), (Size, Descending)]),
            [
                (Name, Ascending),
                (Size, Descending),
                (CreatedAt, Ascending),
                (Id, Ascending)
            ]
        );
        assert_eq!(
            total_order(&[(Id, Ascending), (Name, Descending)]),
            [(Id, Ascending)]
        );
        assert_eq!(
            total_order(&[(Name, Ascending), (Name, Descending), (CreatedAt, Descending)]),
            [(Name, Ascending), (CreatedAt, Descending), (Id, Ascending)]
        );
    }

    #[test]
    fn the_first_few_are_the_same_as_of_a_whole_sort() {
        let order = total_order(&[(Size, Descending)]);
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
