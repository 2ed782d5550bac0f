//! The properties of a kind of record that can be listed: its fields, and its indexes. Filters ([`super::filter`]),
//! orders ([`super::order`]), the choice of an index ([`super::plan`]) and the walk along it ([`super::list`]) are the
//! same for all kinds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::hash::Hash;

use strum::VariantArray;
use uuid::Uuid;

use super::keys::{KeyOf, Table, key, time_bytes};
use super::kinds::{Kind, Rows, record_key};
use super::query::{Filter, ListQuery};
use super::read::sees;
use super::tables::{ListTables, Tables};
use super::{Catalog, Stored};
use crate::model::{ProjectId, Timestamp};
use crate::store::{Key, StoreError};

/// A kind of record that is listed in pages.
#[expect(async_fn_in_trait, reason = "its futures stay on the caller's thread")]
pub trait Listable: Kind + 'static {
    /// The id of a record.
    type Id: Copy + Eq + Ord + Hash + Display + Send;
    /// The fields to sort and filter by.
    type Field: Copy + Debug + PartialEq + Send + VariantArray + 'static;

    /// The field of the creation time.
    const CREATED_AT: Self::Field;
    /// The field of the id, which makes every order total.
    const ID: Self::Field;
    /// The field of the project.
    const PROJECT: Self::Field;
    /// The field of the last update, if it has one.
    const UPDATED_AT: Option<Self::Field> = None;
    /// The fields that a filter matches by a part of their text ([`Listable::is_one_of`]).
    const IS_PART_OF: &'static [Self::Field] = &[];
    /// The indexes by a value, those first whose values have the fewest records.
    const BY_VALUE: &'static [ValueIndex<Self>] = &[];

    /// The id with this UUID.
    fn id_of(id: Uuid) -> Self::Id;
    /// The UUID of an id.
    fn uuid_of(id: Self::Id) -> Uuid;
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
    /// Whether a field's text is one of these.
    fn is_one_of(field: Self::Field, text: &str, wanted: &[String]) -> bool {
        let _ = field;
        wanted.iter().any(|wanted| wanted == text)
    }
    /// All fields.
    fn fields() -> &'static [Self::Field] {
        Self::Field::VARIANTS
    }
    /// Its metadata, if its kind has any.
    fn metadata(&self) -> Option<&BTreeMap<String, String>> {
        None
    }
    /// The metadata of its image, if its kind has any.
    fn image_metadata(&self) -> Option<&BTreeMap<String, String>> {
        None
    }

    /// Whether it is in the list of this scope.
    fn is_listed(&self, scope: Option<&ProjectId>) -> bool {
        sees(scope, self.project_id())
    }
    /// The tables of its lists.
    fn tables(tables: &Tables) -> &ListTables<Self>;
    /// The key of the record with this time of creation and id.
    fn key_of(created_at: Timestamp, id: Uuid) -> Key {
        let _ = created_at;
        record_key::<Self>(id)
    }

    /// The prefix of a scope's rows in order of creation, which end with time and id.
    fn created_prefix(scope: Option<&ProjectId>) -> Vec<u8>;
    /// The function from a row with that prefix to its record's key. `None` if the rows are the records.
    fn record_of_row(prefix: &[u8]) -> Option<fn(&Key) -> Option<Key>> {
        let _ = prefix;
        Some(|row| Self::record_of(row, &[]))
    }
    /// The records with these ids, without unknown ones.
    async fn by_id(catalog: &Catalog, ids: &[Self::Id]) -> Result<Vec<Stored<Self>>, StoreError> {
        let keys = ids.iter().map(|id| record_key::<Self>(Self::uuid_of(*id)));
        catalog.records(&keys.collect::<Vec<Key>>()).await
    }

    /// The records whose related records match, too, in the same order: for filters on more than the record.
    async fn matching_others(
        _: &Catalog,
        _: &[Filter<Self::Field>],
        found: Vec<Stored<Self>>,
    ) -> Result<Vec<Stored<Self>>, StoreError> {
        Ok(found)
    }

    /// Filters on these records that filters on related records amount to, if they do: for tables, which have no related records. They
    /// may match more records, which [`Listable::matching_others`] then leaves out.
    async fn of_others(
        _: &Catalog,
        _: &[Filter<Self::Field>],
    ) -> Result<Vec<Filter<Self::Field>>, StoreError> {
        Ok(Vec::new())
    }

    /// The number of records in a scope, if it is counted.
    async fn counted(_: &Catalog, _: Option<&ProjectId>) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}

/// The types and accessors of [`Listable`] for a record with the fields `id` and `created_at`, and with a field for its
/// project, by which lists sort and filter as `$by_project`; `$tables` is the field of its tables.
macro_rules! record_fields {
    ($id:ident, $field:ident, $project:ident: $by_project:ident, $tables:ident) => {
        type Id = $id;
        type Field = $field;

        const CREATED_AT: $field = $field::CreatedAt;
        const ID: $field = $field::Id;
        const PROJECT: $field = $field::$by_project;

        fn id_of(id: uuid::Uuid) -> $id {
            $id(id)
        }

        fn uuid_of(id: $id) -> uuid::Uuid {
            id.0
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

        fn tables(
            tables: &crate::store::catalog::tables::Tables,
        ) -> &crate::store::catalog::tables::ListTables<Self> {
            &tables.$tables
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
    /// Its table.
    pub table: Table,
    /// Whether a value has so few records that sorting them is better than walking another index and skipping most
    /// rows.
    pub is_selective: bool,
    /// Whether rows begin with a scope, so that those of a scope are in the order of their values; else they begin with
    /// the value.
    pub has_scopes: bool,
    /// Appends a value, as filters name it, to a row; `None` if no record can have it.
    pub named: fn(KeyOf, &str) -> Option<KeyOf>,
    /// Appends the value of a record to a row.
    pub value: fn(KeyOf, &R) -> KeyOf,
}

impl<R: Listable> ValueIndex<R> {
    fn begin(&self, scope: Option<&ProjectId>) -> KeyOf {
        match self.has_scopes {
            true => key(self.table).scope(scope),
            false => key(self.table),
        }
    }

    /// The prefix of all rows of a scope.
    pub(super) fn prefix(&self, scope: Option<&ProjectId>) -> Vec<u8> {
        self.begin(scope).prefix()
    }

    /// The prefix of the rows of this value; `None` if no record can have it.
    pub(super) fn value_prefix(&self, scope: Option<&ProjectId>, value: &str) -> Option<Vec<u8>> {
        (self.named)(self.begin(scope), value).map(KeyOf::prefix)
    }

    /// The row of a record, which need not exist.
    pub(super) fn row(&self, scope: Option<&ProjectId>, record: &R) -> Key {
        row_by_time((self.value)(self.begin(scope), record).prefix(), record)
    }
}

/// The row of a record after a prefix, by its time of creation.
pub(super) fn row_by_time<R: Listable>(prefix: Vec<u8>, record: &R) -> Key {
    let id = R::uuid_of(record.id());
    Key([prefix.as_slice(), &time_bytes(record.created_at()), id.as_bytes()].concat())
}

/// The rows of a record in these scopes: by its time of creation, and in each index by a value.
pub(super) fn rows_in<'p, R: Listable>(
    scopes: impl IntoIterator<Item = Option<&'p ProjectId>>,
    record: &R,
) -> Rows {
    let in_scope = |scope| {
        let by_value = R::BY_VALUE.iter().map(move |index| index.row(scope, record));
        by_value.chain([row_by_time(R::created_prefix(scope), record)])
    };
    let rows = scopes.into_iter().flat_map(in_scope);
    rows.map(|row| (row, Vec::new())).collect()
}

/// The rows of a record in the lists of all projects and of its own.
pub(super) fn listed_rows<R: Listable>(record: &R) -> Rows {
    rows_in([None, Some(record.project_id())], record)
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
