//! Lists in pages, of any kind of record: the walk along an index, or through all candidates.
//!
//! `plan` decides how a query is answered ([`Plan`]); this module executes the plan. No walk holds more than a batch of
//! records and twice `offset + limit`. A marker is a position in the order, not a row: its record must exist and be
//! visible, but need not match the filters (as in Cinder).

use std::cmp::Ordering;
use std::collections::HashSet;

use super::filter::matches;
use super::listable::{Listable, QueryOf};
use super::order::{First, SortOrder, compare, total_order};
use super::plan::{Path, Plan, plan};
use super::query::{ListError, Page};
use super::read::{BATCH, Walk, decoded, sees};
use super::{Catalog, Stored};
use crate::model::ProjectId;
use crate::store::{Entry, Key, StoreError};

/// The most rows that are read for a page, if its query determines it; `None` if that depends on the number of records.
pub fn rows_at_most<R: Listable>(query: &QueryOf<R>) -> Option<usize> {
    match plan::<R>(query, None) {
        Plan::Nothing => Some(0),
        Plan::These(ids) => Some(ids.len()),
        Plan::Along(_) if query.filters.is_empty() => Some(query.offset.saturating_add(query.limit)),
        Plan::Along(_) | Plan::Sorting(_) => None,
    }
}

impl Catalog {
    /// The number of matching records. Order, marker, offset and limit are ignored. Without filters rows or counters
    /// are read, with filters all candidates.
    pub async fn total<R: Listable>(&self, query: &QueryOf<R>) -> Result<u64, StoreError> {
        let scope = query.project.as_ref();
        let mut total = 0_u64;
        if query.filters.is_empty() {
            if let Some(counted) = R::counted(self, scope).await? {
                return Ok(counted);
            }
            let mut walk = Walk::new(R::created_prefix(scope), false);
            while let Some(rows) = walk.next(self).await? {
                total += rows.len() as u64;
            }
            return Ok(total);
        }
        self.each_that_matches(query, |_: &R| total += 1).await?;
        Ok(total)
    }

    /// A page of a list, by index.
    ///
    /// # Errors
    /// `UnknownMarker` when the marker is no such record, or one of another project; or when the store fails.
    pub async fn page<R: Listable>(&self, query: &QueryOf<R>) -> Result<Page<R, R::Id>, ListError> {
        let marker = match query.marker {
            None => None,
            Some(id) => Some(self.marker::<R>(id, query.project.as_ref()).await?),
        };
        let marker = marker.as_ref();
        let records = match plan::<R>(query, marker) {
            _ if query.limit == 0 => Vec::new(),
            Plan::Nothing => Vec::new(),
            Plan::These(ids) => self.page_of(&ids, query, marker).await?,
            Plan::Along(path) => self.page_along(path, query).await?,
            Plan::Sorting(path) => self.page_by_sorting(path, query, marker).await?,
        };
        // A full page may have a successor, and one that is not full has none: every plan continues until the page is
        // full.
        let last = records.last().filter(|_| records.len() >= query.limit);
        let next = last.map(Listable::id);
        Ok(Page { records, next })
    }

    /// The records of a project (`None`: of all), newest first, after `marker`.
    ///
    /// # Errors
    /// As [`Catalog::page`].
    pub async fn newest<R: Listable>(
        &self,
        project: Option<&ProjectId>,
        marker: Option<R::Id>,
        limit: usize,
    ) -> Result<Page<R, R::Id>, ListError> {
        let query = QueryOf::<R> {
            project: project.cloned(),
            marker,
            limit,
            ..QueryOf::<R>::default()
        };
        self.page::<R>(&query).await
    }

    /// Passes all matching records to `see`, in no order. Order, marker, offset and limit are ignored.
    pub async fn each_that_matches<R: Listable>(
        &self,
        query: &QueryOf<R>,
        mut see: impl FnMut(&R),
    ) -> Result<(), StoreError> {
        let query = &QueryOf::<R> {
            project: query.project.clone(),
            filters: query.filters.clone(),
            ..Default::default()
        };
        match plan::<R>(query, None) {
            Plan::Nothing => {}
            Plan::These(ids) => {
                let found = R::by_id(self, &ids).await?;
                let wanted = self.wanted(query, found).await?;
                wanted.iter().for_each(|found| see(&found.record));
            }
            Plan::Along(path) | Plan::Sorting(path) => {
                let mut walk = Walk::new(path.prefix.clone(), false);
                while let Some(rows) = walk.next(self).await? {
                    let found: Vec<Stored<R>> = self.records_of_rows(&path, rows).await?;
                    let wanted = self.wanted(query, found).await?;
                    wanted.iter().for_each(|found| see(&found.record));
                }
            }
        }
        Ok(())
    }

    async fn marker<R: Listable>(&self, id: R::Id, project: Option<&ProjectId>) -> Result<R, ListError> {
        match R::by_id(self, &[id]).await?.pop() {
            Some(found) if sees(project, found.project_id()) => Ok(found.record),
            _ => Err(ListError::UnknownMarker(id.to_string())),
        }
    }

    async fn page_of<R: Listable>(
        &self,
        ids: &[R::Id],
        query: &QueryOf<R>,
        marker: Option<&R>,
    ) -> Result<Vec<R>, StoreError> {
        let order = total_order::<R>(&query.sort);
        let found = R::by_id(self, ids).await?;
        let mut records: Vec<R> = self
            .wanted(query, found)
            .await?
            .into_iter()
            .map(|stored| stored.record)
            .filter(|record| is_behind(marker, record, &order))
            .collect();
        records.sort_by(|a, b| compare(a, b, &order));
        Ok(records.into_iter().skip(query.offset).take(query.limit).collect())
    }

    async fn page_along<R: Listable>(
        &self,
        mut path: Path,
        query: &QueryOf<R>,
    ) -> Result<Vec<R>, StoreError> {
        let wanted = query.limit.saturating_add(query.offset);
        let mut walk = Walk::new(path.prefix.clone(), path.reverse)
            .behind(path.after.take())
            .beginning_with(wanted);
        let mut to_skip = query.offset;
        let mut page: Vec<R> = Vec::new();
        // A record that changes while the page is read may have moved ahead of the walk.
        let mut seen = HashSet::new();
        loop {
            // Without filters no more rows are read than may be needed: the others are for the next page.
            let most = match query.filters.is_empty() {
                true => to_skip.saturating_add(query.limit - page.len()),
                false => BATCH,
            };
            let Some(mut rows) = walk.next_few(self, most).await? else {
                break;
            };
            if query.filters.is_empty() {
                // The records of skipped rows are not read.
                let skipped = to_skip.min(rows.len());
                rows.drain(..skipped);
                to_skip -= skipped;
            }
            let found: Vec<Stored<R>> = self.records_of_rows(&path, rows).await?;
            for found in self.wanted(query, found).await? {
                if !seen.insert(found.id()) {
                    continue;
                }
                if to_skip > 0 {
                    to_skip -= 1;
                    continue;
                }
                page.push(found.record);
                if page.len() == query.limit {
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    async fn page_by_sorting<R: Listable>(
        &self,
        path: Path,
        query: &QueryOf<R>,
        marker: Option<&R>,
    ) -> Result<Vec<R>, StoreError> {
        let order = total_order::<R>(&query.sort);
        let mut first = First::new(order.clone(), query.limit.saturating_add(query.offset));
        let mut walk = Walk::new(path.prefix.clone(), false);
        while let Some(rows) = walk.next(self).await? {
            let found: Vec<Stored<R>> = self.records_of_rows(&path, rows).await?;
            for found in self.wanted(query, found).await? {
                if is_behind(marker, &found.record, &order) {
                    first.push(found.record);
                }
            }
        }
        let mut sorted = first.into_sorted();
        let mut seen = HashSet::new();
        sorted.retain(|record| seen.insert(record.id()));
        Ok(sorted.into_iter().skip(query.offset).collect())
    }

    async fn records_of_rows<R: Listable>(
        &self,
        path: &Path,
        rows: Vec<(Key, Entry)>,
    ) -> Result<Vec<Stored<R>>, StoreError> {
        let Some(record_of) = path.record_of else {
            return decoded(rows).await;
        };
        let keys: Vec<Key> = rows.iter().filter_map(|(row, _)| record_of(row)).collect();
        self.records(&keys).await
    }

    /// The visible records that match. They are compared with the filters again: a record may have changed since its
    /// row was read.
    async fn wanted<R: Listable>(
        &self,
        query: &QueryOf<R>,
        mut found: Vec<Stored<R>>,
    ) -> Result<Vec<Stored<R>>, StoreError> {
        found.retain(|found| {
            sees(query.project.as_ref(), found.project_id())
                && query.filters.iter().all(|filter| matches(filter, &found.record))
        });
        R::matching_others(self, &query.filters, found).await
    }
}

fn is_behind<R: Listable>(marker: Option<&R>, record: &R, order: &SortOrder<R>) -> bool {
    marker.is_none_or(|marker| compare(record, marker, order) == Ordering::Greater)
}
