//! Lists of any kind of record that the catalog lists: paging, order, filters, `all_tenants`, `with_count`, the link to the next page.
//! A list implements [`Listing`]; [`list`] and [`detail`] are its handlers.

use serde::Serialize;
use serde_json::Value;

use super::prelude::*;
use super::query::{Paging, Sorting};
use super::{python, resource_filters};
use crate::model::ProjectId;
use crate::store::catalog::{Catalog, Filter, ListError, Listable, QueryOf, Stored, rows_at_most};
use crate::web::microversion::Microversion;
use crate::web::routes::answers::Parameter;
use crate::web::schema::literal::{self, Literal};
use crate::web::views::Listed;
use crate::web::views::shape::Shape;

/// A field as queries name it.
#[derive(Clone, Copy)]
pub(super) struct FieldName<F: 'static> {
    name: &'static str,
    field: F,
    filters: bool,
    /// The minor version since which it can be sorted by; `None`: never.
    sorts_since: Option<u16>,
}

impl<F: Copy> FieldName<F> {
    /// One to filter and to sort by.
    pub(super) const fn both(name: &'static str, field: F) -> Self {
        Self {
            name,
            field,
            filters: true,
            sorts_since: Some(0),
        }
    }

    /// One to filter by only.
    pub(super) const fn filter(name: &'static str, field: F) -> Self {
        Self {
            sorts_since: None,
            ..Self::both(name, field)
        }
    }

    /// One to sort by only.
    pub(super) const fn sort(name: &'static str, field: F) -> Self {
        Self {
            filters: false,
            ..Self::both(name, field)
        }
    }

    /// Sorts since that minor version only.
    pub(super) const fn sorts_since(self, minor: u16) -> Self {
        Self {
            sorts_since: Some(minor),
            ..self
        }
    }
}

/// Filters on records of this kind.
pub(super) type Filters<L> = Vec<Filter<FieldOf<L>>>;

/// The fields of the records of a list.
pub(super) type FieldOf<L> = <<L as Listing>::Record as Listable>::Field;

/// A list of the API.
pub(super) trait Listing: Sized + 'static {
    type Record: Listable;

    /// Its name in the table of `resource_filters`; `None` if it is not in the table, then unknown filters are never refused.
    const RESOURCE: Option<&'static str>;
    /// The fields by their names.
    const FIELDS: &'static [FieldName<FieldOf<Self>>];
    /// The key of the links to the next page, if there are any.
    const LINKS: Option<&'static str>;
    /// Whether `with_count` (3.45) counts.
    const COUNTS: bool = false;
    /// The key of the list in an answer.
    const NAME: &'static str;
    /// An item of a brief list.
    const SUMMARY: Shape;
    /// An item of a full list.
    const DETAIL: Shape;
    /// Parameters that are no fields, and fields that were added later.
    const PARAMETERS: &'static [Parameter];
    /// The minor version since which it is paged and sorted; `None`: never.
    const PAGED_SINCE: Option<u16> = Some(0);
    /// The minor version since which it has parameters.
    const FILTERED_SINCE: u16 = 0;

    /// 404 for a marker that does not exist.
    fn not_found(id: &str) -> Fault;

    /// The path of the link to the next page.
    fn path(detail: bool) -> &'static str;

    /// The fields that records are filtered by, in the document.
    fn filter_names() -> impl Iterator<Item = &'static str> {
        let fields = Self::FIELDS.iter().filter(|known| known.filters);
        fields.map(|known| known.name)
    }

    /// The keys that records are sorted by.
    fn sort_keys(version: Microversion) -> Vec<&'static str> {
        let names = Self::FIELDS.iter().map(|known| known.name);
        names
            .filter(|name| Self::sort_key(version, name).is_some())
            .collect()
    }

    /// Adapts the query to this version, before it is parsed.
    fn in_version(caller: &Caller, query: Query) -> Query {
        let _ = caller;
        query
    }

    /// Takes paging and sorting out of the query.
    fn take_part(caller: &Caller, query: &mut Query) -> Result<(Paging, Sorting), Fault> {
        let _ = caller;
        let sorting = query.take_sorting()?;
        Ok((query.take_paging()?, sorting))
    }

    /// Whether the records of all projects are listed.
    fn is_of_all(caller: &Caller, query: &mut Query) -> Result<bool, Fault>;

    /// Takes out parameters that are no filters, after filters that the caller may not use have been refused.
    fn take_others(caller: &Caller, query: &mut Query) -> Result<(), Fault> {
        let _ = caller;
        query.take("all_tenants");
        Ok(())
    }

    /// Whether the caller may filter by this field before 3.31, since when the table of `resource_filters` decides.
    fn is_allowed(caller: &Caller, name: &str) -> bool {
        let _ = (caller, name);
        true
    }

    /// Whether the values of a filter are checked before those of others.
    fn comes_first(name: &str) -> bool {
        let _ = name;
        false
    }

    /// The filters for a parameter.
    fn filter(caller: &Caller, name: &str, value: &str) -> Result<Filters<Self>, Fault> {
        let _ = caller;
        Ok(vec![match Self::field(name) {
            Some(field) => Filter::Is(field, vec![value.to_owned()]),
            None => Filter::Nothing,
        }])
    }

    /// The field of that name, if records are filtered by it.
    fn field(name: &str) -> Option<FieldOf<Self>> {
        let known = Self::FIELDS
            .iter()
            .find(|known| known.filters && known.name == name);
        known.map(|known| known.field)
    }

    /// The field of that name, if records are sorted by it.
    fn sort_key(version: Microversion, name: &str) -> Option<FieldOf<Self>> {
        let sorts = |known: &&FieldName<_>| {
            known.name == name && known.sorts_since.is_some_and(|since| version.at_least(since))
        };
        Self::FIELDS.iter().find(sorts).map(|known| known.field)
    }

    async fn view(
        catalog: &Catalog,
        caller: &Caller,
        page: ListedPage<Self::Record>,
        detail: bool,
    ) -> Result<Json, Fault>;
}

/// A page with its link and count.
pub(super) struct ListedPage<R> {
    pub(super) records: Vec<R>,
    frame: Frame,
}

/// The link and count around the views of a page.
pub(super) struct Frame {
    next: Option<(&'static str, Value)>,
    count: Option<u64>,
}

impl<R> ListedPage<R> {
    /// The records, and the frame of their views.
    pub(super) fn into_parts(self) -> (Vec<R>, Frame) {
        (self.records, self.frame)
    }
}

impl Frame {
    /// The answer: the views under the key of the list.
    pub(super) fn around<V: Serialize>(
        self,
        name: &str,
        items: impl Iterator<Item = V> + Clone,
    ) -> Result<Json, Fault> {
        Json::of(&Listed {
            name,
            items,
            next: self.next,
            count: self.count,
        })
    }
}

/// Answers a brief list.
pub(super) async fn list<L: Listing>(
    caller: Caller,
    state: State,
    offload: Offload,
    query: Query,
) -> HandlerResult {
    answer::<L>(caller, state, offload, query, false).await
}

/// Answers a full list.
pub(super) async fn detail<L: Listing>(
    caller: Caller,
    state: State,
    offload: Offload,
    query: Query,
) -> HandlerResult {
    answer::<L>(caller, state, offload, query, true).await
}

async fn answer<L: Listing>(
    caller: Caller,
    state: State,
    offload: Offload,
    query: Query,
    detail: bool,
) -> HandlerResult {
    let text = query.text().to_owned();
    let (query, with_count) = read::<L>(&caller, query)?;
    // The number of counted records is unknown.
    let rows = rows_at_most::<L::Record>(&query).filter(|_| !with_count);
    let read = move || async move {
        let found = state.catalog.page::<L::Record>(&query).await;
        let found = found.map_err(|error| match error {
            ListError::UnknownMarker(marker) => L::not_found(&marker),
            ListError::Store(error) => error.into(),
        })?;
        let count = match with_count {
            true => Some(state.catalog.total::<L::Record>(&query).await?),
            false => None,
        };
        let next = L::LINKS.zip(found.next).map(|(name, last)| {
            let link = caller.next_link(L::path(detail), &text, &last.to_string());
            (name, link)
        });
        let page = ListedPage {
            records: found.records,
            frame: Frame { next, count },
        };
        L::view(&state.catalog, &caller, page, detail).await
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

/// Parses a query; also returns whether all matches are to be counted.
fn read<L: Listing>(caller: &Caller, query: Query) -> Result<(QueryOf<L::Record>, bool), Fault> {
    let mut query = L::in_version(caller, query);
    let (paging, sorting) = L::take_part(caller, &mut query)?;
    let mut with_count = false;
    if L::COUNTS && caller.version.at_least(45) {
        with_count = query.bool("with_count")?;
        query.take("with_count");
    }
    let is_of_all = L::is_of_all(caller, &mut query)?;
    let filters = filters::<L>(caller, &mut query)?;
    let sort = sorting.keys(|key| L::sort_key(caller.version, key))?;
    let marker = match &paging.marker {
        None => None,
        Some(marker) => {
            let id = python::uuid(marker).ok_or_else(|| L::not_found(marker))?;
            Some(<L::Record as Listable>::id_of(id))
        }
    };
    let query = QueryOf::<L::Record> {
        project: own_project(caller, is_of_all),
        sort,
        filters,
        marker,
        offset: paging.offset,
        limit: paging.limit,
    };
    Ok((query, with_count))
}

/// The record that the client names, if the caller may see its project.
pub(super) async fn find<L: Listing>(
    state: &WebState,
    caller: &Caller,
    id: &str,
) -> Result<Stored<L::Record>, Fault> {
    let not_found = || L::not_found(id);
    let known = python::uuid(id).map(<L::Record as Listable>::id_of);
    let found = <L::Record as Listable>::by_id(&state.catalog, &[known.ok_or_else(not_found)?]).await?;
    let mut visible = found
        .into_iter()
        .filter(|record| caller.sees(record.project_id()));
    visible.next().ok_or_else(not_found)
}

/// The listed project; `None` for all.
pub(super) fn own_project(caller: &Caller, is_of_all: bool) -> Option<ProjectId> {
    (!is_of_all).then(|| caller.context.project_id.clone())
}

/// The filters of a query. Paging, sorting and `with_count` have already been taken out.
///
/// Until 3.30 filters that a member may not use are ignored; since 3.31 they are refused. Administrators may filter by every
/// field; a filter by an unknown field matches nothing.
///
/// # Errors
/// 400 for a filter that the caller may not use, or an invalid value.
pub(super) fn filters<L: Listing>(caller: &Caller, query: &mut Query) -> Result<Filters<L>, Fault> {
    let refuses = caller.version.at_least(31);
    if let Some(resource) = L::RESOURCE.filter(|_| refuses) {
        resource_filters::reject_invalid(caller, query, resource)?;
    }
    L::take_others(caller, query)?;
    let mut asked = query.filters();
    asked.retain(|(name, _)| caller.context.is_admin || refuses || L::is_allowed(caller, name));
    asked.sort_by_key(|(name, _)| !L::comes_first(name));
    let mut found = Vec::new();
    for (name, value) in asked {
        // `name~=part`, since 3.34.
        match name.strip_suffix('~').filter(|_| L::RESOURCE.is_some()) {
            None => found.extend(L::filter(caller, name, value)?),
            Some(name) => found.push(match L::field(name).filter(|_| caller.version.at_least(34)) {
                Some(field) => Filter::Contains(field, value.to_owned()),
                None => Filter::Nothing,
            }),
        }
    }
    Ok(found)
}

/// A filter by pairs of metadata in Python's syntax.
pub(super) fn pairs<F>(
    value: &str,
    filter: fn(std::collections::BTreeMap<String, String>) -> Filter<F>,
) -> Filter<F> {
    let pairs = literal::read(value).and_then(Literal::into_text_map);
    pairs.map_or(Filter::Nothing, filter)
}

/// A filter by an id in any accepted format.
pub(super) fn id<F>(field: F, value: &str) -> Filter<F> {
    match python::uuid(value) {
        Some(id) => Filter::Is(field, vec![id.to_string()]),
        None => Filter::Nothing,
    }
}
