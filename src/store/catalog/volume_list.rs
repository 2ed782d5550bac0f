//! Lists of volumes: which index answers a query.
//!
//! | query | how it is answered | cost |
//! |---|---|---|
//! | order `created_at`, `name`, `status` or `size`, no filters | along that index | the page (and its offset) |
//! | filter `name=`, `status=` or `size=`, in that or the default order | along the rows of that value | the page |
//! | such an order, other filters | along the index until the page is full | what is passed over |
//! | filter `id=` | those volumes | the ids given |
//! | filter `name=`, any other order | all rows of that name, the first few kept | the volumes of that name |
//! | anything else | all volumes of the project (or all), the first few kept | the volumes of the scope |

use super::filter::volume_matches;
use super::keys::{self, key, volume_key_of_row};
use super::list::rows_at_most;
use super::listable::{Listable, Path, Plan, QueryOf, SortValue};
use super::order::{leading_key, total_order};
use super::query::{ListError, Page, VolumeField, VolumeFilter, VolumeQuery, VolumeSortKey};
use super::read::Walk;
use super::volumes::{Total, ValueIndex, record_key, totals_key};
use super::{Catalog, Stored};
use crate::model::{ProjectId, Volume, VolumeId};
use crate::store::Key;
use crate::store::StoreError;
use crate::store::evaluate::counter_value;

impl Catalog {
    /// A page of volumes, by index.
    ///
    /// # Errors
    /// `UnknownMarker` when the marker is no volume, or one of another project; or when the store fails.
    pub async fn volumes(&self, query: &VolumeQuery) -> Result<Page<Volume, VolumeId>, ListError> {
        self.page::<Volume>(query).await
    }

    /// How many volumes match, and their sizes' sum in GiB (`count`, `volume-summary`). Order, marker, offset and limit do
    /// not matter. Without filters it is read from counters, with filters all candidates are walked.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn volume_totals(&self, query: &VolumeQuery) -> Result<(u64, u64), StoreError> {
        if query.filters.is_empty() {
            return self.counted_totals(query.project.as_ref()).await;
        }
        let query = VolumeQuery {
            sort: Vec::new(),
            ..query.clone()
        };
        let mut totals = (0_u64, 0_u64);
        self.all_that_match(&query, |volume: &Volume| {
            totals.0 += 1;
            totals.1 += u64::from(volume.size);
        })
        .await?;
        Ok(totals)
    }

    /// Shows every volume that matches to `see`, in no order. Order, marker, offset and limit do not matter.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn each_volume(&self, query: &VolumeQuery, see: impl FnMut(&Volume)) -> Result<(), StoreError> {
        self.all_that_match(query, see).await
    }

    async fn counted_totals(&self, project: Option<&ProjectId>) -> Result<(u64, u64), StoreError> {
        if let Some(project) = project {
            let volumes = self.counter(&totals_key(project, Total::Volumes)).await?;
            let gib = self.counter(&totals_key(project, Total::Gib)).await?;
            return Ok((count(volumes), count(gib)));
        }
        let mut totals = (0, 0);
        let mut walk = Walk::new(key(keys::VOLUME_TOTALS).prefix(), false);
        while let Some(counters) = walk.next(self).await? {
            for (key, entry) in counters {
                let value = count(counter_value(&key, &entry.value)?);
                match key.0.last() {
                    Some(b'c') => totals.0 += value,
                    _ => totals.1 += value,
                }
            }
        }
        Ok(totals)
    }
}

impl VolumeQuery {
    /// Of how many rows a page is made at most; `None` if that depends on how many volumes there are.
    #[must_use]
    pub fn rows_at_most(&self) -> Option<usize> {
        rows_at_most::<Volume>(self)
    }
}

impl Listable for Volume {
    type Id = VolumeId;
    type SortKey = VolumeSortKey;
    type Filter = VolumeFilter;

    const CREATED_AT: VolumeSortKey = VolumeSortKey::CreatedAt;
    const ID: VolumeSortKey = VolumeSortKey::Id;

    fn id(&self) -> VolumeId {
        self.id
    }

    fn project_id(&self) -> &ProjectId {
        &self.project_id
    }

    fn sort_value(&self, key: VolumeSortKey) -> SortValue<'_> {
        match key {
            VolumeSortKey::CreatedAt => SortValue::Time(self.created_at),
            VolumeSortKey::UpdatedAt => SortValue::time(self.updated_at),
            VolumeSortKey::Id => SortValue::Id(self.id.0),
            VolumeSortKey::Name => SortValue::text(self.name.as_deref()),
            VolumeSortKey::Size => SortValue::Number(self.size),
            VolumeSortKey::Status => SortValue::Text(self.status.shown()),
            VolumeSortKey::VolumeTypeId => SortValue::id(self.volume_type_id.map(|id| id.0)),
            VolumeSortKey::Host => self
                .host
                .as_ref()
                .map_or(SortValue::Missing, |pool| SortValue::Composed(pool.to_string())),
            VolumeSortKey::AvailabilityZone => SortValue::Text(&self.availability_zone),
            VolumeSortKey::Bootable => SortValue::Flag(self.bootable),
            VolumeSortKey::AttachStatus => SortValue::Text(self.attach_status.as_str()),
            VolumeSortKey::UserId => SortValue::Text(self.user_id.as_str()),
            VolumeSortKey::ProjectId => SortValue::Text(self.project_id.as_str()),
            VolumeSortKey::ScheduledAt => SortValue::time(self.scheduled_at),
            VolumeSortKey::LaunchedAt => SortValue::time(self.launched_at),
            VolumeSortKey::MigrationStatus => {
                SortValue::text(self.migration_status.map(|status| status.as_str()))
            }
            VolumeSortKey::Description => SortValue::text(self.description.as_deref()),
            VolumeSortKey::SnapshotId => SortValue::id(self.snapshot_id.map(|id| id.0)),
            VolumeSortKey::SourceVolid => SortValue::id(self.source_volid.map(|id| id.0)),
            VolumeSortKey::Multiattach => SortValue::Flag(self.multiattach),
            // Only what was adopted from an old Cinder could have one, and we adopt none.
            VolumeSortKey::ConsistencygroupId => SortValue::Missing,
            VolumeSortKey::ReplicationStatus => SortValue::text(self.replication_status.as_deref()),
        }
    }

    fn plan(query: &QueryOf<Self>, marker: Option<&Self>) -> Plan<VolumeId> {
        plan(query, marker)
    }

    async fn by_id(catalog: &Catalog, ids: &[VolumeId]) -> Result<Vec<Stored<Self>>, StoreError> {
        catalog.volumes_by_id(ids).await
    }

    async fn matching(
        _: &Catalog,
        filters: &[VolumeFilter],
        mut found: Vec<Stored<Self>>,
    ) -> Result<Vec<Stored<Self>>, StoreError> {
        found.retain(|volume| filters.iter().all(|filter| volume_matches(filter, volume)));
        Ok(found)
    }
}

/// The index in whose order the list is to be.
enum OrderIndex {
    Created,
    Value(ValueIndex),
}

fn plan(query: &VolumeQuery, marker: Option<&Volume>) -> Plan<VolumeId> {
    let mut only_project = None;
    let mut only_values: Vec<(ValueIndex, &String)> = Vec::new();
    for filter in &query.filters {
        match filter {
            VolumeFilter::Nothing => return Plan::Nothing,
            VolumeFilter::Is(VolumeField::Id, ids) => {
                let mut ids: Vec<VolumeId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
                ids.sort();
                ids.dedup();
                return Plan::These(ids);
            }
            VolumeFilter::Is(field, values) => match (field, values.as_slice()) {
                (_, []) => return Plan::Nothing,
                (VolumeField::ProjectId, [id]) => only_project = Some(ProjectId::from(id.as_str())),
                (VolumeField::Name, [name]) => only_values.insert(0, (ValueIndex::Name, name)),
                (VolumeField::Status, [status]) => only_values.push((ValueIndex::Status, status)),
                (VolumeField::Size, [size]) => only_values.push((ValueIndex::Size, size)),
                _ => {}
            },
            _ => {}
        }
    }
    let scope = query.project.clone().or(only_project);
    let by_index = index_of(query);
    // `ordered_by`: what the place of a marker is worked out from; `None` is just created_at and id.
    let path = |prefix: Vec<u8>, reverse: bool, ordered_by: Option<ValueIndex>| {
        let place = |volume: &Volume| match ordered_by {
            Some(index) => index.row(scope.as_ref(), volume),
            None => {
                let record = record_key(volume);
                Key([prefix.as_slice(), &record.0[keys::VOLUME.len()..]].concat())
            }
        };
        Path {
            after: marker.map(place),
            record_of: (!prefix.starts_with(keys::VOLUME)).then_some(volume_key_of_row),
            prefix,
            reverse,
        }
    };
    // The rows of one value, if they are in the order that was asked for (`only_values` begins with the rarest kind).
    for (index, value) in &only_values {
        let Some(prefix) = index.value_prefix(scope.as_ref(), value) else {
            return Plan::Nothing;
        };
        match &by_index {
            Some((OrderIndex::Created, reverse)) => return Plan::Along(path(prefix, *reverse, None)),
            Some((OrderIndex::Value(by), reverse)) if by == index => {
                return Plan::Along(path(prefix, *reverse, Some(*by)));
            }
            _ if *index == ValueIndex::Name => return Plan::Sorting(path(prefix, false, None)),
            _ => {}
        }
    }
    match (by_index, only_values.first()) {
        (Some((OrderIndex::Created, reverse)), _) => {
            Plan::Along(path(created_prefix(scope.as_ref()), reverse, None))
        }
        (Some((OrderIndex::Value(index), reverse)), _) => {
            Plan::Along(path(index.prefix(scope.as_ref()), reverse, Some(index)))
        }
        (None, Some((index, value))) => match index.value_prefix(scope.as_ref(), value) {
            Some(prefix) => Plan::Sorting(path(prefix, false, None)),
            None => Plan::Nothing,
        },
        (None, None) => Plan::Sorting(path(created_prefix(scope.as_ref()), false, None)),
    }
}

/// The index that is in the order that was asked for, and whether it is to be read backwards.
fn index_of(query: &VolumeQuery) -> Option<(OrderIndex, bool)> {
    let (leading, reverse) = leading_key::<Volume>(&total_order::<Volume>(&query.sort))?;
    let index = match leading {
        None => OrderIndex::Created,
        Some(VolumeSortKey::Name) => OrderIndex::Value(ValueIndex::Name),
        Some(VolumeSortKey::Status) => OrderIndex::Value(ValueIndex::Status),
        Some(VolumeSortKey::Size) => OrderIndex::Value(ValueIndex::Size),
        Some(_) => return None,
    };
    Some((index, reverse))
}

fn created_prefix(scope: Option<&ProjectId>) -> Vec<u8> {
    match scope {
        None => key(keys::VOLUME).prefix(),
        Some(project) => key(keys::VOLUME_BY_CREATED).text(project.as_str()).prefix(),
    }
}

/// A counter is never below zero.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
