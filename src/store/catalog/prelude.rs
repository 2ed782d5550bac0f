//! What the file of each kind of record is written with.

pub(super) use super::changes::{Changes, Indexed};
pub(super) use super::keys::{self, Table, key, last_id};
pub(super) use super::kinds::{Kind, Rows, record_key};
pub(super) use super::listable::{FieldValue, Listable, ValueIndex, listed_rows, record_fields};
pub(super) use super::query::Page;
pub(super) use super::read::{BATCH, Walk, stored};
pub(super) use super::{Catalog, Stored};
pub(super) use crate::model::{ProjectId, Timestamp};
pub(super) use crate::store::{Condition, Entry, Key, StoreError};
