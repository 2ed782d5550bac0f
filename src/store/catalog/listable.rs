//! The properties of a kind of record that can be listed: its fields, and its indexes. Filters ([`super::filter`]),
//! orders ([`super::order`]), the choice of an index ([`super::plan`]) and the walk along it ([`super::list`]) are the
//! same for all kinds.

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
#[expect(async_fn_in_trait, reason = "its futures stay on the caller's thread")]
pub trait Listable: Record + 'static {
    /// The id of a record.
    type Id: Copy + Eq + Ord + Hash + Display + Send;
    /// The fields to sort and filter by.
    type Field: Copy + PartialEq + Send + 'static;

    /// The field of the creation time.
    const CREATED_AT: Self::Field;
    /// The field of the id, which makes every order total.
    const ID: Self::Field;
    /// The field of the project.
    const PROJECT: Self::Field;
    /// The indexes by a value, those first whose values have the fewest records.
    const INDEXES: &'static [ValueIndex<Self>] = &[];

    /// The id with this UUID.
    fn id_of(id: Uuid) -> Self::Id;
    /// Its id.
    fn id(&self) -> Self::Id;
    /// Its project.
    fn project_id(&self) -> &ProjectId;
    /// When it was created.
    fn created_at(&self) -> Timestamp;
    /// When it was last updated.
    fn updated_at(&self) -> Option<Timestamp> {
        None
    }
    /// The value of a field.
    fn value(&self, field: Self::Field) -> FieldValue<'_>;
    /// Whether a field's text is one of these. A missing value is not.
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

    /// The prefix of a scope's rows in order of creation, which end with time and id.
    fn created_prefix(scope: Option<&ProjectId>) -> Vec<u8>;
    /// The function from a row with that prefix to its record's key. `None` if the rows are the records.
    fn record_of(prefix: &[u8]) -> Option<fn(&Key) -> Option<Key>>;
    /// The records with these ids, without unknown ones.
    async fn by_id(catalog: &Catalog, ids: &[Self::Id]) -> Result<Vec<Stored<Self>>, StoreError>;

    /// The records whose related records match, too, in the same order: for filters on more than the record.
    async fn matching_others(
        _: &Catalog,
        _: &[Filter<Self::Field>],
        found: Vec<Stored<Self>>,
    ) -> Result<Vec<Stored<Self>>, StoreError> {
        Ok(found)
    }

    /// The number of records in a scope, if it is counted.
    async fn counted(_: &Catalog, _: Option<&ProjectId>) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}

/// The accessors of [`Listable`] for a record with the fields `id` and `created_at`, and with a field for its project.
macro_rules! record_fields {
    ($id:ident, $project:ident) => {
        fn id_of(id: uuid::Uuid) -> $id {
            $id(id)
        }

        fn id(&self) -> $id {
            self.id
        }

        fn project_id(&self) -> &ProjectId {
            &self.$project
        }

        fn created_at(&self) -> crate::model::Timestamp {
            self.created_at
        }
    };
}
pub(super) use record_fields;

/// The query of a list of these records.
pub type QueryOf<R> = ListQuery<<R as Listable>::Field, <R as Listable>::Id>;

/// An index by a value; rows of the same value are ordered by `created_at` and id.
pub struct ValueIndex<R: Listable> {
    /// The indexed field.
    pub field: R::Field,
    /// Whether a value has so few records that sorting them is better than walking another index and skipping most
    /// rows.
    pub is_selective: bool,
    /// The prefix of the rows of this value; `None` if no record can have it.
    pub value_prefix: fn(Option<&ProjectId>, &str) -> Option<Vec<u8>>,
    /// The ordered index, if its values are stored in their order.
    pub ordered: Option<OrderedIndex<R>>,
}

/// An index whose values are stored in their order.
pub struct OrderedIndex<R> {
    /// The prefix of all rows of a scope.
    pub prefix: fn(Option<&ProjectId>) -> Vec<u8>,
    /// The row of a record, which need not exist.
    pub row: fn(Option<&ProjectId>, &R) -> Key,
}

/// The value of a field. A missing value sorts before all others.
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

    /// As shown to clients; `None` if it is missing.
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
