//! Chooses the index for a query.
//!
//! | query | plan | cost |
//! |---|---|---|
//! | order `created_at`, or of an index by a value; no filters | along that index | the page (and its offset) |
//! | a filter by one value of an index, in that or the default order | along the rows of that value | the page |
//! | such an order, other filters | along the index until the page is full, or from a table if too many rows are skipped | the skipped rows, or the table |
//! | filter `id=` | those records | the given ids |
//! | a filter by one value of a selective index, any other order | all its rows, the first few kept, or from a table if there are many | the records of that value, or the table |
//! | anything else | all records of the project (or all), the first few kept, or from a table if there are many | the records of the scope, or the table |
//!
//! Tables are those of [`super::list_tables`].

use uuid::Uuid;

use super::listable::{Listable, QueryOf, ValueIndex, row_by_time};
use super::order::{leading_key, total_order};
use super::query::Filter;
use crate::model::ProjectId;
use crate::store::Key;

/// The plan of a query.
pub(super) enum Plan<I> {
    /// Nothing can match.
    Nothing,
    /// Read these records.
    These(Vec<I>),
    /// Walk rows that are in the requested order, and that all match.
    Along(Path),
    /// Walk rows that are in the requested order, and skip those that do not match.
    Skipping(Path),
    /// Walk rows and keep the first records of the requested order.
    Sorting(Path),
}

/// Rows to walk.
pub(super) struct Path {
    /// Their prefix.
    pub(super) prefix: Vec<u8>,
    /// Whether to walk backwards.
    pub(super) reverse: bool,
    /// The row of the marker on this path, which need not exist.
    pub(super) after: Option<Key>,
    /// Whether neighbours in it are far from each other in the store, so that a table is faster, if there is one.
    pub(super) is_scattered: bool,
    /// The function from a row to its record's key; `None` if the rows are records.
    pub(super) record_of: Option<fn(&Key) -> Option<Key>>,
}

/// Plans a query. `marker` is the marker's record, after which the page begins.
pub(super) fn plan<R: Listable>(query: &QueryOf<R>, marker: Option<&R>) -> Plan<R::Id> {
    for filter in &query.filters {
        match filter {
            Filter::Nothing => return Plan::Nothing,
            Filter::Is(field, ids) if *field == R::ID => {
                let ids = ids.iter().filter_map(|id| id.parse::<Uuid>().ok());
                let mut ids: Vec<R::Id> = ids.map(R::id_of).collect();
                ids.sort();
                ids.dedup();
                return Plan::These(ids);
            }
            Filter::Is(_, values) if values.is_empty() => return Plan::Nothing,
            _ => {}
        }
    }
    let scope = scope_of::<R>(query);
    let scope = scope.as_ref();
    // For rows that continue with created_at and id.
    let by_time = |prefix: Vec<u8>, reverse: bool| {
        let after = marker.map(|marker| row_by_time(prefix.clone(), marker));
        path::<R>(prefix, reverse, after)
    };
    let leading = leading_key::<R>(&total_order::<R>(&query.sort));
    let ordering = leading.and_then(|(field, reverse)| {
        let field = field?;
        let is_by_it = |index: &&ValueIndex<R>| index.has_scopes && index.field == field;
        Some((R::BY_VALUE.iter().find(is_by_it)?, reverse))
    });
    let mut least = None;
    for (index, value) in only_values::<R>(query) {
        let Some(prefix) = index.value_prefix(scope, value) else {
            return Plan::Nothing;
        };
        let is_this = |filter: &Filter<R::Field>| match filter {
            Filter::Is(field, values) => *field == index.field && *values == [value],
            _ => false,
        };
        let mut filters = query.filters.iter();
        let all_match =
            index.has_scopes && filters.all(|filter| is_this(filter) || is_of_scope::<R>(filter, scope));
        match (&leading, &ordering) {
            (Some((None, reverse)), _) => return along(by_time(prefix, *reverse), all_match),
            (_, Some((by, reverse))) if by.field == index.field => {
                let after = marker.map(|marker| by.row(scope, marker));
                return along(path::<R>(prefix, *reverse, after), all_match);
            }
            _ if index.is_selective => return Plan::Sorting(path::<R>(prefix, false, None)),
            _ => least = least.or(Some(prefix)),
        }
    }
    let all_match = query.filters.iter().all(|filter| is_of_scope::<R>(filter, scope));
    match (leading, ordering) {
        (Some((None, reverse)), _) => along(by_time(R::created_prefix(scope), reverse), all_match),
        (_, Some((by, reverse))) => {
            let after = marker.map(|marker| by.row(scope, marker));
            let path = Path {
                is_scattered: true,
                ..path::<R>(by.prefix(scope), reverse, after)
            };
            along(path, all_match)
        }
        _ => {
            let prefix = least.unwrap_or_else(|| R::created_prefix(scope));
            Plan::Sorting(path::<R>(prefix, false, None))
        }
    }
}

/// The project whose records are listed; `None` for all.
pub(super) fn scope_of<R: Listable>(query: &QueryOf<R>) -> Option<ProjectId> {
    let only = || {
        let of_projects = query.filters.iter().rev().find_map(|filter| match filter {
            Filter::Is(field, values) if *field == R::PROJECT => Some(values.as_slice()),
            _ => None,
        });
        match of_projects {
            Some([id]) => Some(ProjectId::from(id.as_str())),
            _ => None,
        }
    };
    query.project.clone().or_else(only)
}

/// Whether all records of this scope match a filter.
fn is_of_scope<R: Listable>(filter: &Filter<R::Field>, scope: Option<&ProjectId>) -> bool {
    match (filter, scope) {
        (Filter::Is(field, projects), Some(scope)) if *field == R::PROJECT => projects.contains(&scope.0),
        _ => false,
    }
}

fn along<I>(path: Path, all_match: bool) -> Plan<I> {
    match all_match {
        true => Plan::Along(path),
        false => Plan::Skipping(path),
    }
}

/// The indexes of which the query selects a single value, in the order of the indexes.
fn only_values<R: Listable>(query: &QueryOf<R>) -> impl Iterator<Item = (&'static ValueIndex<R>, &str)> {
    R::BY_VALUE.iter().filter_map(|index| {
        query.filters.iter().find_map(|filter| match filter {
            Filter::Is(field, values) if *field == index.field => match values.as_slice() {
                [value] => Some((index, value.as_str())),
                _ => None,
            },
            _ => None,
        })
    })
}

/// The path along all rows of a scope, in order of creation.
pub(super) fn path_of<R: Listable>(scope: Option<&ProjectId>) -> Path {
    path::<R>(R::created_prefix(scope), false, None)
}

fn path<R: Listable>(prefix: Vec<u8>, reverse: bool, after: Option<Key>) -> Path {
    Path {
        is_scattered: false,
        record_of: R::record_of_row(&prefix),
        prefix,
        reverse,
        after,
    }
}
