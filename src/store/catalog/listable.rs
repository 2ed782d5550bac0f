//! What a kind of record has to tell so that it can be listed: its fields, and its indexes. Filters ([`super::filter`]), orders
//! ([`super::order`]), the choice of an index ([`super::plan`]) and the walk along it ([`super::list`]) are the same for all kinds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::Hash;

use uuid::Uuid;

use super::query::{Filter, ListQuery};
use super::{Catalog, Stored};
use crate::model::{ProjectId, Timestamp};
use crate::store::record::Record;
use crate::store::{Key, StoreError};

/// A kind of record that is listed in pages.
#[expect(async_fn_in_trait, reason = "its futures stay on the thread that asks")]
pub trait Listable: Record + 'static {
    /// What names one.
    type Id: Copy + Eq + Ord + Hash + Display + Send;
    /// What they can be sorted and filtered by.
    type Field: Copy + PartialEq + Send + 'static;

    /// When it was made.
    const CREATED_AT: Self::Field;
    /// Its id: what makes every order total.
    const ID: Self::Field;
    /// Its project.
    const PROJECT: Self::Field;
    /// The indexes by a value, those first whose values have the fewest records.
    const INDEXES: &'static [ValueIndex<Self>] = &[];

    /// The id of that number.
    fn id_of(id: Uuid) -> Self::Id;
    /// What names it.
    fn id(&self) -> Self::Id;
    /// Whose it is.
    fn project_id(&self) -> &ProjectId;
    /// When it was made.
    fn created_at(&self) -> Timestamp;
    /// When it was changed last.
    fn updated_at(&self) -> Option<Timestamp> {
        None
    }
    /// What it has in a field.
    fn value(&self, field: Self::Field) -> FieldValue<'_>;
    /// Whether a field's text is one of these. What a record has not is none.
    fn is_one_of(&self, field: Self::Field, wanted: &[String]) -> bool {
        let text = self.value(field).into_text();
        text.is_some_and(|text| wanted.iter().any(|wanted| *wanted == text))
    }
    /// Its metadata, if its kind has any.
    fn metadata(&self) -> Option<&BTreeMap<String, String>> {
        None
    }
    /// The metadata of its image, if its kind has any.
    fn image_metadata(&self) -> Option<&BTreeMap<String, String>> {
        None
    }

    /// What the rows of a scope begin with, in order of creation; they end with time and id.
    fn created_prefix(scope: Option<&ProjectId>) -> Vec<u8>;
    /// Where the record of a row with that prefix is. `None` for rows of the table of records itself: there is nothing else to look up.
    fn record_of(prefix: &[u8]) -> Option<fn(&Key) -> Option<Key>>;
    /// Those of these ids; what is unknown is left out.
    ///
    /// # Errors
    /// When the store fails.
    async fn by_id(catalog: &Catalog, ids: &[Self::Id]) -> Result<Vec<Stored<Self>>, StoreError>;

    /// Those of which other records match, too, in the same order: where a filter is about more than the record.
    ///
    /// # Errors
    /// When the store fails.
    async fn matching_others(
        _: &Catalog,
        _: &[Filter<Self::Field>],
        found: Vec<Stored<Self>>,
    ) -> Result<Vec<Stored<Self>>, StoreError> {
        Ok(found)
    }

    /// How many there are in a scope, where that is counted.
    ///
    /// # Errors
    /// When the store fails.
    async fn counted(_: &Catalog, _: Option<&ProjectId>) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}

/// What can be asked of a list of these.
pub type QueryOf<R> = ListQuery<<R as Listable>::Field, <R as Listable>::Id>;

/// An index by a value; rows of the same value are in order of `created_at` and id.
pub struct ValueIndex<R: Listable> {
    /// Whose value.
    pub field: R::Field,
    /// Whether a value has so few records that sorting those is better than to go along another index and to pass over most.
    pub is_selective: bool,
    /// What the rows of this value begin with; `None` if no record can have it.
    pub value_prefix: fn(Option<&ProjectId>, &str) -> Option<Vec<u8>>,
    /// If its values are in their order: what all rows of a scope begin with, and the row of a record.
    pub ordered: Option<OrderedIndex<R>>,
}

/// An index whose values are in their order.
pub struct OrderedIndex<R> {
    /// What all rows of a scope begin with.
    pub prefix: fn(Option<&ProjectId>) -> Vec<u8>,
    /// The row of a record, there or not.
    pub row: fn(Option<&ProjectId>, &R) -> Key,
}

/// What a record has in a field. What it has not sorts before all that it could have.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the type that its name says")]
pub enum FieldValue<'a> {
    Missing,
    Number(u32),
    Flag(bool),
    Time(Timestamp),
    Id(Uuid),
    Text(&'a str),
    Composed(String),
}

impl<'a> FieldValue<'a> {
    pub(super) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Missing, Self::Text)
    }

    pub(super) fn id(id: Option<Uuid>) -> Self {
        id.map_or(Self::Missing, Self::Id)
    }

    pub(super) fn time(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Missing, Self::Time)
    }

    /// As clients see it; `None` if there is nothing.
    pub(super) fn into_text(self) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Missing => return None,
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Flag(flag) => Cow::Borrowed(if flag { "true" } else { "false" }),
            Self::Time(time) => Cow::Owned(time.to_string()),
            Self::Id(id) => Cow::Owned(id.to_string()),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Composed(text) => Cow::Owned(text),
        })
    }
}
