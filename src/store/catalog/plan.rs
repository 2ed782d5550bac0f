//! Chooses the index for a query.
//!
//! | query | plan | cost |
//! |---|---|---|
//! | order `created_at`, or of an index by a value; no filters | along that index | the page (and its offset) |
//! | a filter by one value of an index, in that or the default order | along the rows of that value | the page |
//! | such an order, other filters | along the index until the page is full | the skipped rows |
//! | filter `id=` | those records | the given ids |
//! | a filter by one value of a selective index, any other order | all its rows, the first few kept | the records of that value |
//! | anything else | all records of the project (or all), the first few kept | the records of the scope |

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
    /// Walk rows that are in the requested order.
    Along(Path),
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
    /// The function from a row to its record's key; `None` if the rows are records.
    pub(super) record_of: Option<fn(&Key) -> Option<Key>>,
}

/// Plans a query. `marker` is the marker's record, after which the page begins.
pub(super) fn plan<R: Listable>(query: &QueryOf<R>, marker: Option<&R>) -> Plan<R::Id> {
    let mut only_project = None;
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
            Filter::Is(field, values) if *field == R::PROJECT => {
                if let [id] = values.as_slice() {
                    only_project = Some(ProjectId::from(id.as_str()));
                }
            }
            _ => {}
        }
    }
    let scope = query.project.clone().or(only_project);
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
        match (&leading, &ordering) {
            (Some((None, reverse)), _) => return Plan::Along(by_time(prefix, *reverse)),
            (_, Some((by, reverse))) if by.field == index.field => {
                let after = marker.map(|marker| by.row(scope, marker));
                return Plan::Along(path::<R>(prefix, *reverse, after));
            }
            _ if index.is_selective => return Plan::Sorting(path::<R>(prefix, false, None)),
            _ => least = least.or(Some(prefix)),
        }
    }
    match (leading, ordering) {
        (Some((None, reverse)), _) => Plan::Along(by_time(R::created_prefix(scope), reverse)),
        (_, Some((by, reverse))) => {
            let after = marker.map(|marker| by.row(scope, marker));
            Plan::Along(path::<R>(by.prefix(scope), reverse, after))
        }
        _ => {
            let prefix = least.unwrap_or_else(|| R::created_prefix(scope));
            Plan::Sorting(path::<R>(prefix, false, None))
        }
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

fn path<R: Listable>(prefix: Vec<u8>, reverse: bool, after: Option<Key>) -> Path {
    Path {
        record_of: R::record_of_row(&prefix),
        prefix,
        reverse,
        after,
    }
}
