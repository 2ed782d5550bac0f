//! Lists of volumes: which index answers a query, and the walk along it.
//!
//! | query | how it is answered | cost |
//! |---|---|---|
//! | order `created_at`, `name`, `status` or `size`, no filters | along that index | the page (and its offset) |
//! | filter `name=`, `status=` or `size=`, in that or the default order | along the rows of that value | the page |
//! | such an order, other filters | along the index until the page is full | what is passed over |
//! | filter `id=` | those volumes | the ids given |
//! | filter `name=`, any other order | all rows of that name, the first few kept | the volumes of that name |
//! | anything else | all volumes of the project (or all), the first few kept | the volumes of the scope |
//!
//! No walk holds more than a batch of records and twice `offset + limit`. A marker is a place in the order, not a row: the
//! volume it names must exist and be seen, but need not match the filters (as in Cinder).

use std::cmp::Ordering;
use std::collections::HashSet;

use super::filter::matches_all;
use super::keys::{self, key, volume_key_of_row};
use super::order::{First, SortOrder, compare, total_order};
use super::query::{Direction, ListError, Page, VolumeField, VolumeFilter, VolumeQuery, VolumeSortKey};
use super::read::{Walk, sees, stored};
use super::volumes::{Total, ValueIndex, record_key, totals_key};
use super::{Catalog, Stored};
use crate::model::{ProjectId, Volume, VolumeId};
use crate::store::evaluate::counter_value;
use crate::store::{Entry, Key, StoreError};

impl Catalog {
    /// A page of volumes, by index.
    ///
    /// # Errors
    /// `UnknownMarker` when the marker is no volume, or one of another project; or when the store fails.
    pub async fn volumes(&self, query: &VolumeQuery) -> Result<Page<Volume>, ListError> {
        let marker = match query.marker {
            None => None,
            Some(id) => Some(self.marker(id, query.project.as_ref()).await?),
        };
        let records = match plan(query) {
            _ if query.limit == 0 => Vec::new(),
            Plan::Nothing => Vec::new(),
            Plan::These(ids) => self.page_of(&ids, query, marker.as_ref()).await?,
            Plan::Along(path) => self.page_along(&path, query, marker.as_ref()).await?,
            Plan::Sorting(path) => self.page_by_sorting(&path, query, marker.as_ref()).await?,
        };
        Ok(Page { records, total: None })
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
        let mut totals = (0_u64, 0_u64);
        let mut add = |volume: &Volume| {
            totals.0 += 1;
            totals.1 += u64::from(volume.size);
        };
        match plan(&VolumeQuery {
            sort: Vec::new(),
            ..query.clone()
        }) {
            Plan::Nothing => {}
            Plan::These(ids) => {
                for volume in self.volumes_by_id(&ids).await? {
                    if is_wanted(query, &volume) {
                        add(&volume);
                    }
                }
            }
            Plan::Along(path) | Plan::Sorting(path) => {
                let mut walk = Walk::new(path.prefix.clone(), false);
                while let Some(rows) = walk.next(self).await? {
                    for volume in self.volumes_of_rows(&path, rows).await? {
                        if is_wanted(query, &volume) {
                            add(&volume);
                        }
                    }
                }
            }
        }
        Ok(totals)
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

    async fn marker(&self, id: VolumeId, project: Option<&ProjectId>) -> Result<Volume, ListError> {
        match self.volume(id).await? {
            Some(volume) if sees(project, &volume.project_id) => Ok(volume.record),
            _ => Err(ListError::UnknownMarker(id.to_string())),
        }
    }

    async fn page_of(
        &self,
        ids: &[VolumeId],
        query: &VolumeQuery,
        marker: Option<&Volume>,
    ) -> Result<Vec<Volume>, StoreError> {
        let order = total_order(&query.sort);
        let mut volumes: Vec<Volume> = self
            .volumes_by_id(ids)
            .await?
            .into_iter()
            .map(|stored| stored.record)
            .filter(|volume| is_wanted(query, volume) && is_behind(marker, volume, &order))
            .collect();
        volumes.sort_by(|a, b| compare(a, b, &order));
        Ok(volumes.into_iter().skip(query.offset).take(query.limit).collect())
    }

    async fn page_along(
        &self,
        path: &Path,
        query: &VolumeQuery,
        marker: Option<&Volume>,
    ) -> Result<Vec<Volume>, StoreError> {
        let after = marker.map(|marker| path.place(marker));
        let wanted = query.limit.saturating_add(query.offset);
        let mut walk = Walk::new(path.prefix.clone(), path.reverse)
            .behind(after)
            .beginning_with(wanted);
        let mut to_skip = query.offset;
        let mut page: Vec<Volume> = Vec::new();
        // A volume that changes while the page is read may have moved ahead of the walk.
        let mut seen = HashSet::new();
        while let Some(mut rows) = walk.next(self).await? {
            if query.filters.is_empty() {
                // Rows that are skipped need no record; nor do those behind the end of the page.
                let skipped = to_skip.min(rows.len());
                rows.drain(..skipped);
                to_skip -= skipped;
                rows.truncate(query.limit - page.len());
            }
            for volume in self.volumes_of_rows(path, rows).await? {
                if !is_wanted(query, &volume) || !seen.insert(volume.id) {
                    continue;
                }
                if to_skip > 0 {
                    to_skip -= 1;
                    continue;
                }
                page.push(volume.record);
                if page.len() == query.limit {
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    async fn page_by_sorting(
        &self,
        path: &Path,
        query: &VolumeQuery,
        marker: Option<&Volume>,
    ) -> Result<Vec<Volume>, StoreError> {
        let order = total_order(&query.sort);
        let mut first = First::new(order.clone(), query.limit.saturating_add(query.offset));
        let mut walk = Walk::new(path.prefix.clone(), false);
        while let Some(rows) = walk.next(self).await? {
            for volume in self.volumes_of_rows(path, rows).await? {
                if is_wanted(query, &volume) && is_behind(marker, &volume, &order) {
                    first.push(volume.record);
                }
            }
        }
        let mut sorted = first.into_sorted();
        let mut seen = HashSet::new();
        sorted.retain(|volume| seen.insert(volume.id));
        Ok(sorted.into_iter().skip(query.offset).collect())
    }

    async fn volumes_of_rows(
        &self,
        path: &Path,
        rows: Vec<(Key, Entry)>,
    ) -> Result<Vec<Stored<Volume>>, StoreError> {
        if path.rows_are_records {
            return rows.iter().map(|(key, entry)| stored(key, entry)).collect();
        }
        let keys: Vec<Key> = rows
            .iter()
            .filter_map(|(row, _)| volume_key_of_row(row))
            .collect();
        self.records(&keys).await
    }
}

/// How a query is answered.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Nothing can match.
    Nothing,
    /// Look at these volumes.
    These(Vec<VolumeId>),
    /// Go along rows that are in the order that was asked for.
    Along(Path),
    /// Go through rows and keep the first of that order.
    Sorting(Path),
}

/// Rows to go along.
#[derive(Debug, PartialEq, Eq)]
struct Path {
    prefix: Vec<u8>,
    reverse: bool,
    /// Rows of the table of records itself: there is nothing else to look up.
    rows_are_records: bool,
    /// What a marker's place is worked out from: its value in this index, or (`None`) just created_at and id.
    ordered_by: Option<(ValueIndex, Option<ProjectId>)>,
}

impl Path {
    /// The row of a volume on this path, whether or not it is there.
    fn place(&self, volume: &Volume) -> Key {
        match &self.ordered_by {
            Some((index, scope)) => index.row(scope.as_ref(), volume),
            None => {
                let mut bytes = self.prefix.clone();
                let record = record_key(volume);
                bytes.extend_from_slice(&record.0[keys::VOLUME.len()..]);
                Key(bytes)
            }
        }
    }
}

/// The index in whose order the list is to be.
enum OrderIndex {
    Created,
    Value(ValueIndex),
}

fn plan(query: &VolumeQuery) -> Plan {
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
    let order = total_order(&query.sort);
    let by_index = index_of(&order);
    let path = |prefix: Vec<u8>, reverse: bool, ordered_by: Option<ValueIndex>| Path {
        rows_are_records: prefix.starts_with(keys::VOLUME),
        prefix,
        reverse,
        ordered_by: ordered_by.map(|index| (index, scope.clone())),
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

/// The index that is in this order, and whether it is to be read backwards.
fn index_of(order: &SortOrder) -> Option<(OrderIndex, bool)> {
    let (_, direction) = order.first()?;
    if order.iter().any(|(_, other)| other != direction) {
        return None;
    }
    let keys: Vec<VolumeSortKey> = order.iter().map(|(key, _)| *key).collect();
    let index = match keys.as_slice() {
        [VolumeSortKey::CreatedAt, VolumeSortKey::Id] => OrderIndex::Created,
        [first, VolumeSortKey::CreatedAt, VolumeSortKey::Id] => OrderIndex::Value(match first {
            VolumeSortKey::Name => ValueIndex::Name,
            VolumeSortKey::Status => ValueIndex::Status,
            VolumeSortKey::Size => ValueIndex::Size,
            _ => return None,
        }),
        _ => return None,
    };
    Some((index, *direction == Direction::Descending))
}

fn created_prefix(scope: Option<&ProjectId>) -> Vec<u8> {
    match scope {
        None => key(keys::VOLUME).prefix(),
        Some(project) => key(keys::VOLUME_BY_CREATED).text(project.as_str()).prefix(),
    }
}

fn is_wanted(query: &VolumeQuery, volume: &Volume) -> bool {
    sees(query.project.as_ref(), &volume.project_id) && matches_all(&query.filters, volume)
}

fn is_behind(marker: Option<&Volume>, volume: &Volume, order: &SortOrder) -> bool {
    marker.is_none_or(|marker| compare(volume, marker, order) == Ordering::Greater)
}

/// A counter is never below zero.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
