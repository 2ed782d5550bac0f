//! The values of all rows, and their comparison.

use std::cmp::Ordering;

use uuid::Uuid;

use super::super::keys::time_bytes;
use super::super::listable::Listable;
use super::super::query::Direction;
use super::column::{Column, OrderedValue, ordered, time_rank};
use crate::model::Timestamp;

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    CreatedAt,
    Id,
    /// A column, by its number.
    Column(usize),
}

/// Keys with their directions. The last is the id, so that no two rows are equal.
pub(super) type Keys = [(Key, Direction)];

/// A position in an order: the values of its keys.
#[derive(Clone, Debug)]
pub struct Position(Vec<OrderedValue>);

impl Position {
    /// The position in the order of ids.
    pub(super) fn of_id(id: Uuid) -> Self {
        Self(vec![Some(id.as_bytes().to_vec())])
    }
}

/// The values of all rows.
pub(super) struct Cells {
    pub(super) created: Vec<Timestamp>,
    pub(super) ids: Vec<Uuid>,
    /// 1 if there is a record in the row.
    pub(super) used: Vec<u8>,
    pub(super) columns: Vec<Column>,
}

impl Cells {
    pub(super) fn new(columns: usize) -> Self {
        Self {
            created: Vec::new(),
            ids: Vec::new(),
            used: Vec::new(),
            columns: std::iter::repeat_with(Column::default).take(columns).collect(),
        }
    }

    /// The number of rows, with unused ones.
    pub(super) fn rows(&self) -> usize {
        self.used.len()
    }

    /// The position of a row.
    pub(super) fn position(&self, row: u32, keys: &Keys) -> Position {
        let row = row as usize;
        let value = |(key, _): &(Key, Direction)| match key {
            Key::CreatedAt => Some(time_bytes(self.created[row]).to_vec()),
            Key::Id => Some(self.ids[row].as_bytes().to_vec()),
            Key::Column(column) => self.columns[*column].value(row),
        };
        Position(keys.iter().map(value).collect())
    }

    /// The position of a record, which need not be in a row.
    pub(super) fn position_of<R: Listable>(record: &R, keys: &Keys) -> Position {
        let value = |(key, _): &(Key, Direction)| match key {
            Key::CreatedAt => Some(time_bytes(record.created_at()).to_vec()),
            Key::Id => Some(R::uuid_of(record.id()).as_bytes().to_vec()),
            Key::Column(column) => ordered(&record.value(R::fields()[*column])),
        };
        Position(keys.iter().map(value).collect())
    }

    /// Compares a row with a position.
    pub(super) fn compare(&self, row: u32, position: &Position, keys: &Keys) -> Ordering {
        let row = row as usize;
        let compared = keys.iter().zip(&position.0).map(|((key, direction), value)| {
            let bytes = value.as_deref();
            let ascending = match key {
                Key::CreatedAt => Some(time_bytes(self.created[row]).as_slice()).cmp(&bytes),
                Key::Id => Some(self.ids[row].as_bytes().as_slice()).cmp(&bytes),
                Key::Column(column) => self.columns[*column].compare(row, value),
            };
            match direction {
                Direction::Ascending => ascending,
                Direction::Descending => ascending.reverse(),
            }
        });
        let mut compared = compared;
        compared.find(|one| one.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// Sorts rows, which are in order of creation.
    pub(super) fn sort(&self, rows: &mut [u32], keys: &Keys) {
        let by_creation = [
            (Key::CreatedAt, Direction::Ascending),
            (Key::Id, Direction::Ascending),
        ];
        let keys = keys.strip_suffix(&by_creation).unwrap_or(keys);
        // By the last key first: each sort keeps the order of the one before.
        for (key, direction) in keys.iter().rev() {
            let is_descending = *direction == Direction::Descending;
            match key {
                Key::Id if is_descending => rows.sort_by(|a, b| self.id(*b).cmp(self.id(*a))),
                Key::Id => rows.sort_by(|a, b| self.id(*a).cmp(self.id(*b))),
                Key::CreatedAt => {
                    let ranks: Vec<u64> = self.created.iter().map(|time| time_rank(*time)).collect();
                    sort_by_rank(rows, &ranks, is_descending);
                }
                Key::Column(column) => {
                    sort_by_rank(rows, &self.columns[*column].ranks(self.rows()), is_descending);
                }
            }
        }
    }

    fn id(&self, row: u32) -> &Uuid {
        &self.ids[row as usize]
    }

    /// Gives back memory, after many rows were added.
    pub(super) fn shrink(&mut self) {
        self.created.shrink_to_fit();
        self.ids.shrink_to_fit();
        self.used.shrink_to_fit();
        self.columns.iter_mut().for_each(Column::shrink);
    }

    /// About how many bytes of memory they take.
    pub(super) fn memory(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::memory).sum();
        columns + self.created.capacity() * 8 + self.ids.capacity() * 16 + self.used.capacity()
    }
}

fn sort_by_rank(rows: &mut [u32], ranks: &[u64], is_descending: bool) {
    let rank = |row: u32| match is_descending {
        true => !ranks[row as usize],
        false => ranks[row as usize],
    };
    // Beside its rank, a row is compared without another look at memory.
    let mut ranked: Vec<(u64, u32)> = rows.iter().map(|row| (rank(*row), *row)).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    for (row, (_, sorted)) in rows.iter_mut().zip(ranked) {
        *row = sorted;
    }
}
