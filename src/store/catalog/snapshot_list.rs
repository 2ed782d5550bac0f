//! Lists of snapshots: which index answers a query.
//!
//! | query | how it is answered | cost |
//! |---|---|---|
//! | order `created_at` or `name`, no filters | along that index | the page (and its offset) |
//! | filter `volume_id=`, default order | along the rows of that volume | the page |
//! | filter `name=`, in that or the default order | along the rows of that name | the page |
//! | such an order, other filters | along the index until the page is full | what is passed over |
//! | filter `id=` | those snapshots | the ids given |
//! | filter `volume_id=` or `name=`, any other order | all those rows, the first few kept | the snapshots they lead to |
//! | anything else | all snapshots of the project (or all), the first few kept | the snapshots of the scope |

use std::collections::HashMap;

use super::filter::{snapshot_matches, volume_matches};
use super::keys;
use super::list::rows_at_most;
use super::listable::{Listable, Path, Plan, QueryOf, SortValue};
use super::order::{leading_key, total_order};
use super::query::{ListError, Page, SnapshotField, SnapshotFilter, SnapshotQuery, SnapshotSortKey};
use super::read::Walk;
use super::snapshots::{
    created_prefix, key_of_row, name_prefix, name_row, named_prefix, of_volume, record_key,
};
use super::{Catalog, Stored};
use crate::model::{ProjectId, Snapshot, SnapshotId, Volume, VolumeId};
use crate::store::{Key, StoreError};

impl Catalog {
    /// A page of snapshots, by index.
    ///
    /// # Errors
    /// `UnknownMarker` when the marker is no snapshot, or one of another project; or when the store fails.
    pub async fn snapshots(&self, query: &SnapshotQuery) -> Result<Page<Snapshot, SnapshotId>, ListError> {
        self.page::<Snapshot>(query).await
    }

    /// How many snapshots match. Order, marker, offset and limit do not matter. Without filters the rows are counted, with
    /// filters all candidates are read.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn snapshot_total(&self, query: &SnapshotQuery) -> Result<u64, StoreError> {
        let mut total = 0_u64;
        if query.filters.is_empty() {
            let mut walk = Walk::new(created_prefix(query.project.as_ref()), false);
            while let Some(rows) = walk.next(self).await? {
                total += rows.len() as u64;
            }
            return Ok(total);
        }
        let query = SnapshotQuery {
            sort: Vec::new(),
            ..query.clone()
        };
        self.all_that_match(&query, |_: &Snapshot| total += 1).await?;
        Ok(total)
    }
}

impl SnapshotQuery {
    /// Of how many rows a page is made at most; `None` if that depends on how many snapshots there are.
    #[must_use]
    pub fn rows_at_most(&self) -> Option<usize> {
        rows_at_most::<Snapshot>(self)
    }
}

impl Listable for Snapshot {
    type Id = SnapshotId;
    type SortKey = SnapshotSortKey;
    type Filter = SnapshotFilter;

    const CREATED_AT: SnapshotSortKey = SnapshotSortKey::CreatedAt;
    const ID: SnapshotSortKey = SnapshotSortKey::Id;

    fn id(&self) -> SnapshotId {
        self.id
    }

    fn project_id(&self) -> &ProjectId {
        &self.project_id
    }

    fn sort_value(&self, key: SnapshotSortKey) -> SortValue<'_> {
        match key {
            SnapshotSortKey::CreatedAt => SortValue::Time(self.created_at),
            SnapshotSortKey::UpdatedAt => SortValue::time(self.updated_at),
            SnapshotSortKey::Id => SortValue::Id(self.id.0),
            SnapshotSortKey::Name => SortValue::text(self.name.as_deref()),
            SnapshotSortKey::Description => SortValue::text(self.description.as_deref()),
            SnapshotSortKey::Status => SortValue::Text(self.status.as_str()),
            SnapshotSortKey::Progress => SortValue::Text(&self.progress),
            SnapshotSortKey::VolumeId => SortValue::Id(self.volume_id.0),
            SnapshotSortKey::VolumeSize => SortValue::Number(self.volume_size),
            SnapshotSortKey::VolumeTypeId => SortValue::id(self.volume_type_id.map(|id| id.0)),
            SnapshotSortKey::UserId => SortValue::Text(self.user_id.as_str()),
            SnapshotSortKey::ProjectId => SortValue::Text(self.project_id.as_str()),
            SnapshotSortKey::GroupSnapshotId => SortValue::id(self.group_snapshot_id),
            SnapshotSortKey::ConsumesQuota => SortValue::Flag(self.consumes_quota),
            // Columns of Cinder's that nothing here fills.
            SnapshotSortKey::CgsnapshotId | SnapshotSortKey::ScheduledAt => SortValue::Missing,
        }
    }

    fn plan(query: &QueryOf<Self>, marker: Option<&Self>) -> Plan<SnapshotId> {
        plan(query, marker)
    }

    async fn by_id(catalog: &Catalog, ids: &[SnapshotId]) -> Result<Vec<Stored<Self>>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(|id| record_key(*id)).collect();
        catalog.records(&keys).await
    }

    async fn matching(
        catalog: &Catalog,
        filters: &[SnapshotFilter],
        mut found: Vec<Stored<Self>>,
    ) -> Result<Vec<Stored<Self>>, StoreError> {
        found.retain(|snapshot| filters.iter().all(|filter| snapshot_matches(filter, snapshot)));
        let of_volume: Vec<_> = filters
            .iter()
            .filter_map(|filter| match filter {
                SnapshotFilter::OfVolume(filter) => Some(filter),
                _ => None,
            })
            .collect();
        if of_volume.is_empty() || found.is_empty() {
            return Ok(found);
        }
        let mut ids: Vec<VolumeId> = found.iter().map(|snapshot| snapshot.volume_id).collect();
        ids.sort();
        ids.dedup();
        let volumes = catalog.volumes_by_id(&ids).await?;
        let volumes: HashMap<VolumeId, Volume> = volumes
            .into_iter()
            .map(|volume| (volume.id, volume.record))
            .collect();
        found.retain(|snapshot| {
            let volume = volumes.get(&snapshot.volume_id);
            volume.is_some_and(|volume| of_volume.iter().all(|filter| volume_matches(filter, volume)))
        });
        Ok(found)
    }
}

fn plan(query: &SnapshotQuery, marker: Option<&Snapshot>) -> Plan<SnapshotId> {
    let mut only_project = None;
    let mut only_volume = None;
    let mut only_name = None;
    for filter in &query.filters {
        match filter {
            SnapshotFilter::Nothing => return Plan::Nothing,
            SnapshotFilter::Is(SnapshotField::Id, ids) => {
                let mut ids: Vec<SnapshotId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
                ids.sort();
                ids.dedup();
                return Plan::These(ids);
            }
            SnapshotFilter::Is(field, values) => match (field, values.as_slice()) {
                (_, []) => return Plan::Nothing,
                (SnapshotField::ProjectId, [id]) => only_project = Some(ProjectId::from(id.as_str())),
                (SnapshotField::VolumeId, [id]) => match id.parse() {
                    Ok(id) => only_volume = Some(id),
                    Err(_) => return Plan::Nothing,
                },
                (SnapshotField::Name, [name]) => only_name = Some(name),
                _ => {}
            },
            _ => {}
        }
    }
    let scope = query.project.clone().or(only_project);
    let scope = scope.as_ref();
    let path = |prefix: Vec<u8>, reverse: bool, after: Option<Key>| Path {
        prefix,
        reverse,
        after,
        record_of: Some(key_of_row),
    };
    // Where the rows go on with created_at and id.
    let by_time = |prefix: Vec<u8>, reverse: bool| {
        let after = marker.map(|marker| {
            let time = keys::time_bytes(marker.created_at);
            Key([prefix.as_slice(), &time, marker.id.0.as_bytes()].concat())
        });
        path(prefix, reverse, after)
    };
    let by_name =
        |prefix: Vec<u8>, reverse: bool| path(prefix, reverse, marker.map(|marker| name_row(scope, marker)));
    match leading_key::<Snapshot>(&total_order::<Snapshot>(&query.sort)) {
        Some((None, reverse)) => Plan::Along(match (only_volume, only_name) {
            (Some(volume), _) => by_time(of_volume(volume), reverse),
            (None, Some(name)) => by_time(named_prefix(scope, name), reverse),
            (None, None) => by_time(created_prefix(scope), reverse),
        }),
        Some((Some(SnapshotSortKey::Name), reverse)) if only_volume.is_none() => {
            Plan::Along(match only_name {
                Some(name) => by_name(named_prefix(scope, name), reverse),
                None => by_name(name_prefix(scope), reverse),
            })
        }
        _ => Plan::Sorting(match (only_volume, only_name) {
            (Some(volume), _) => path(of_volume(volume), false, None),
            (None, Some(name)) => path(named_prefix(scope, name), false, None),
            (None, None) => path(created_prefix(scope), false, None),
        }),
    }
}
