//! What a kind of record has to tell so that it can be listed: what it can be sorted and filtered by, and how a query for it is
//! answered.

use std::fmt::Display;
use std::hash::Hash;

use super::query::ListQuery;
use super::{Catalog, Stored};
use crate::model::{ProjectId, Timestamp};
use crate::store::record::Record;
use crate::store::{Key, StoreError};

/// A kind of record that is listed in pages.
pub(super) trait Listable: Record {
    /// What names one.
    type Id: Copy + Eq + Hash + Display;
    /// What they can be sorted by.
    type SortKey: Copy + PartialEq;
    /// What they can be filtered by.
    type Filter;

    /// When it was made.
    const CREATED_AT: Self::SortKey;
    /// Its id: what makes every order total.
    const ID: Self::SortKey;

    /// What names it.
    fn id(&self) -> Self::Id;
    /// Whose it is.
    fn project_id(&self) -> &ProjectId;
    /// What it is sorted by.
    fn sort_value(&self, key: Self::SortKey) -> SortValue<'_>;
    /// How a query is answered. A marker that is known is told, for the place to begin behind.
    fn plan(query: &QueryOf<Self>, marker: Option<&Self>) -> Plan<Self::Id>;
    /// Those of these ids; what is unknown is left out.
    async fn by_id(catalog: &Catalog, ids: &[Self::Id]) -> Result<Vec<Stored<Self>>, StoreError>;
    /// Those that match all filters, in the same order.
    async fn matching(
        catalog: &Catalog,
        filters: &[Self::Filter],
        found: Vec<Stored<Self>>,
    ) -> Result<Vec<Stored<Self>>, StoreError>;
}

/// What can be asked of a list of these.
pub(super) type QueryOf<R> =
    ListQuery<<R as Listable>::SortKey, <R as Listable>::Filter, <R as Listable>::Id>;

/// How a query is answered.
pub(super) enum Plan<I> {
    /// Nothing can match.
    Nothing,
    /// Look at these.
    These(Vec<I>),
    /// Go along rows that are in the order that was asked for.
    Along(Path),
    /// Go through rows and keep the first of that order.
    Sorting(Path),
}

/// Rows to go along.
pub(super) struct Path {
    /// What they begin with.
    pub(super) prefix: Vec<u8>,
    /// Backwards.
    pub(super) reverse: bool,
    /// The row, there or not, that the marker has on this path.
    pub(super) after: Option<Key>,
    /// Where the record of a row is. `None` for rows of the table of records itself: there is nothing else to look up.
    pub(super) record_of: Option<fn(&Key) -> Option<Key>>,
}

/// What is compared. What a record has not sorts before all that it could have.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SortValue<'a> {
    Missing,
    Number(u32),
    Flag(bool),
    Time(Timestamp),
    Id(uuid::Uuid),
    Text(&'a str),
    Composed(String),
}

impl<'a> SortValue<'a> {
    pub(super) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Missing, Self::Text)
    }

    pub(super) fn id(id: Option<uuid::Uuid>) -> Self {
        id.map_or(Self::Missing, Self::Id)
    }

    pub(super) fn time(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Missing, Self::Time)
    }
}
