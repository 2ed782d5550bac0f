//! Lists in pages, of any kind of record: the walk along an index, or through all candidates, or the table of the list.
//!
//! `plan` decides how a query is answered ([`Plan`]); this module executes the plan. If a walk turns out to be long, the page comes
//! from a table instead ([`super::list_tables`]). No walk holds more than a batch of records and twice `offset + limit`. A marker is a
//! position in the order, not a row: its record must exist and be visible, but need not match the filters (as in Cinder).

use std::cmp::Ordering;
use std::collections::HashSet;

use super::columns::{Found, Table};
use super::filter::matches;
use super::listable::{Listable, QueryOf};
use super::order::{First, SortOrder, compare, total_order};
use super::plan::{Path, Plan, plan, scope_of};
use super::query::{Filter, ListError, Page};
use super::read::{BATCH, Walk, decoded, sees};
use super::{Catalog, Stored};
use crate::model::ProjectId;
use crate::store::{Entry, Key, StoreError};

/// The most rows that are read for a page, if its query determines it; `None` if that depends on the number of records, or if a table
/// may answer: the page then waits for changed records and for a sort of all rows.
pub fn rows_at_most<R: Listable>(query: &QueryOf<R>) -> Option<usize> {
    match plan::<R>(query, None) {
        Plan::Nothing => Some(0),
        Plan::These(ids) => Some(ids.len()),
        Plan::Along(path) if !path.is_scattered => Some(query.offset.saturating_add(query.limit)),
        Plan::Along(_) | Plan::Skipping(_) | Plan::Sorting(_) => None,
    }
}

impl Catalog {
    /// The number of matching records. Order, marker, offset and limit are ignored. Without filters rows or counters
    /// are read; with filters records are counted in a table, or if there are few in the store.
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
        if !has_others::<R>(query) {
            if let Some(counted) = self.total_of_table::<R>(query, false).await? {
                return Ok(counted);
            }
            let few = self.tables.options.skipped_rows;
            if self.each_of_few::<R>(query, few, |_: &R| total += 1).await? {
                return Ok(total);
            }
            if let Some(counted) = self.total_of_table::<R>(query, true).await? {
                return Ok(counted);
            }
            total = 0;
        }
        self.each_that_matches(query, |_: &R| total += 1).await?;
        Ok(total)
    }

    async fn total_of_table<R: Listable>(
        &self,
        query: &QueryOf<R>,
        may_fill: bool,
    ) -> Result<Option<u64>, StoreError> {
        let scope = scope_of::<R>(query);
        let table = R::tables(&self.tables).current(self, &scope, may_fill).await?;
        Ok(table.map(|mut table| table.count(&query.filters) as u64))
    }

    /// A page of a list, by index or by table.
    ///
    /// # Errors
    /// `UnknownMarker` when the marker is no such record, or one of another project; or when the store fails.
    pub async fn page<R: Listable>(&self, query: &QueryOf<R>) -> Result<Page<R, R::Id>, ListError> {
        let marker = match query.marker {
            None => None,
            Some(id) => Some(self.marker::<R>(id, query.project.as_ref()).await?),
        };
        let marker = marker.as_ref();
        let few = self.tables.options.skipped_rows;
        let records = match plan::<R>(query, marker) {
            _ if query.limit == 0 => Vec::new(),
            Plan::Nothing => Vec::new(),
            Plan::These(ids) => self.page_of(&ids, query, marker).await?,
            Plan::Along(path) if query.offset <= few && !path.is_scattered => {
                let walk = self.page_along::<R>(&path, query, true, usize::MAX).await?;
                walk.unwrap_or_default()
            }
            plan => match self.page_of_table::<R>(query, marker, false).await? {
                Some(page) => page,
                None => match self.page_by_walk::<R>(&plan, query, marker, few).await? {
                    Some(page) => page,
                    None => match self.page_of_table::<R>(query, marker, true).await? {
                        Some(page) => page,
                        None => {
                            let walk = self.page_by_walk::<R>(&plan, query, marker, usize::MAX).await?;
                            walk.unwrap_or_default()
                        }
                    },
                },
            },
        };
        // A full page may have a successor, and one that is not full has none: every plan continues until the page is
        // full.
        let last = records.last().filter(|_| records.len() >= query.limit);
        let next = last.map(Listable::id);
        Ok(Page { records, next })
    }

    /// A page by a walk; `None` if it would have to skip more rows than `few`.
    async fn page_by_walk<R: Listable>(
        &self,
        plan: &Plan<R::Id>,
        query: &QueryOf<R>,
        marker: Option<&R>,
        few: usize,
    ) -> Result<Option<Vec<R>>, StoreError> {
        match plan {
            Plan::Along(path) => self.page_along::<R>(path, query, true, few).await,
            Plan::Skipping(path) => self.page_along::<R>(path, query, false, few).await,
            Plan::Sorting(path) => self.page_by_sorting::<R>(path, query, marker, few).await,
            Plan::Nothing | Plan::These(_) => Ok(None),
        }
    }

    /// A page from the table of the list; `None` if there is none, and `may_fill` is false or there can be none.
    async fn page_of_table<R: Listable>(
        &self,
        query: &QueryOf<R>,
        marker: Option<&R>,
        may_fill: bool,
    ) -> Result<Option<Vec<R>>, StoreError> {
        let scope = scope_of::<R>(query);
        let is_exact = !has_others::<R>(query);
        let tables = R::tables(&self.tables);
        if tables.current(self, &scope, may_fill).await?.is_none() {
            return Ok(None);
        }
        let mut filters = query.filters.clone();
        if !is_exact {
            filters.extend(R::of_others(self, &query.filters).await?);
        }
        let mut after = marker.map(|marker| Table::position_of(marker, &query.sort));
        let mut to_skip = query.offset;
        let mut page: Vec<R> = Vec::new();
        // A record that changes while the page is read may have moved.
        let mut seen = HashSet::new();
        loop {
            let Some(mut table) = tables.current(self, &scope, true).await? else {
                return Ok(None);
            };
            let (skip, most) = match is_exact {
                true => (std::mem::take(&mut to_skip), query.limit - page.len()),
                false => (0, BATCH),
            };
            let selected = table.select(&query.sort, &filters, after.as_ref(), skip, most);
            drop(table);
            let found: Vec<Stored<R>> = match selected.found {
                Found::Keys(keys) => self.records(&keys).await?,
                Found::Entries(entries) => decoded(entries).await?,
            };
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
                    return Ok(Some(page));
                }
            }
            if selected.last.is_none() {
                return Ok(Some(page));
            }
            after = selected.last;
            tokio::task::yield_now().await;
        }
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
        see: impl FnMut(&R),
    ) -> Result<(), StoreError> {
        self.each_of_few::<R>(query, usize::MAX, see).await.map(drop)
    }

    /// The same, but ends with `false` if there are more rows than `few` to walk.
    async fn each_of_few<R: Listable>(
        &self,
        query: &QueryOf<R>,
        few: usize,
        mut see: impl FnMut(&R),
    ) -> Result<bool, StoreError> {
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
            Plan::Along(path) | Plan::Skipping(path) | Plan::Sorting(path) => {
                let mut walk = Walk::new(path.prefix.clone(), false);
                let mut left = few;
                while let Some(rows) = walk.next_few(self, left.saturating_add(1)).await? {
                    let Some(others) = left.checked_sub(rows.len()) else {
                        return Ok(false);
                    };
                    left = others;
                    let found: Vec<Stored<R>> = self.records_of_rows(&path, rows).await?;
                    let wanted = self.wanted(query, found).await?;
                    wanted.iter().for_each(|found| see(&found.record));
                }
            }
        }
        Ok(true)
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

    /// A page along rows in its order, which all match or not; `None` if more than `few` of them would have to be skipped.
    async fn page_along<R: Listable>(
        &self,
        path: &Path,
        query: &QueryOf<R>,
        all_match: bool,
        few: usize,
    ) -> Result<Option<Vec<R>>, StoreError> {
        let wanted = query.limit.saturating_add(query.offset);
        let mut walk = Walk::new(path.prefix.clone(), path.reverse)
            .behind(path.after.clone())
            .beginning_with(wanted);
        let mut to_skip = query.offset;
        let mut left = query.limit.saturating_add(few);
        let mut page: Vec<R> = Vec::new();
        // A record that changes while the page is read may have moved ahead of the walk.
        let mut seen = HashSet::new();
        loop {
            // If all match, no more rows are read than may be needed: the others are for the next page.
            let most = match all_match {
                true => to_skip.saturating_add(query.limit - page.len()),
                false => BATCH,
            };
            let Some(mut rows) = walk.next_few(self, most.min(left.saturating_add(1))).await? else {
                break;
            };
            let Some(others) = left.checked_sub(rows.len()) else {
                return Ok(None);
            };
            left = others;
            if all_match {
                // The records of skipped rows are not read.
                let skipped = to_skip.min(rows.len());
                rows.drain(..skipped);
                to_skip -= skipped;
            }
            let found: Vec<Stored<R>> = self.records_of_rows(path, rows).await?;
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
                    return Ok(Some(page));
                }
            }
        }
        Ok(Some(page))
    }

    /// A page of all rows, of which the first of its order are kept; `None` if there are more than `few`.
    async fn page_by_sorting<R: Listable>(
        &self,
        path: &Path,
        query: &QueryOf<R>,
        marker: Option<&R>,
        few: usize,
    ) -> Result<Option<Vec<R>>, StoreError> {
        let order = total_order::<R>(&query.sort);
        let mut first = First::new(order.clone(), query.limit.saturating_add(query.offset));
        let mut walk = Walk::new(path.prefix.clone(), false);
        let mut left = few;
        while let Some(rows) = walk.next_few(self, left.saturating_add(1)).await? {
            let Some(others) = left.checked_sub(rows.len()) else {
                return Ok(None);
            };
            left = others;
            let found: Vec<Stored<R>> = self.records_of_rows(path, rows).await?;
            for found in self.wanted(query, found).await? {
                if is_behind(marker, &found.record, &order) {
                    first.push(found.record);
                }
            }
        }
        let mut sorted = first.into_sorted();
        let mut seen = HashSet::new();
        sorted.retain(|record| seen.insert(record.id()));
        Ok(Some(sorted.into_iter().skip(query.offset).collect()))
    }

    async fn records_of_rows<R: Listable>(
        &self,
        path: &Path,
        rows: Vec<(Key, Entry)>,
    ) -> Result<Vec<Stored<R>>, StoreError> {
        decoded(self.entries_of_rows(path, rows).await?).await
    }

    /// The entries of the records of rows.
    pub(super) async fn entries_of_rows(
        &self,
        path: &Path,
        rows: Vec<(Key, Entry)>,
    ) -> Result<Vec<(Key, Entry)>, StoreError> {
        let Some(record_of) = path.record_of else {
            return Ok(rows);
        };
        let keys: Vec<Key> = rows.iter().filter_map(|(row, _)| record_of(row)).collect();
        let entries = self.store.get_many(&keys).await?;
        let found = keys.into_iter().zip(entries);
        Ok(found.filter_map(|(key, entry)| Some((key, entry?))).collect())
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

/// Whether a filter is about other records than the listed ones, which are not in a table.
fn has_others<R: Listable>(query: &QueryOf<R>) -> bool {
    query
        .filters
        .iter()
        .any(|filter| matches!(filter, Filter::OfVolume(_)))
}
