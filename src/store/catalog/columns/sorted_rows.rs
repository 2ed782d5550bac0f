//! Rows in an order, which follows changes.

use std::cmp::Ordering;

use super::super::query::Direction;
use super::cells::{Cells, Key, Keys, Position};

/// All used rows in an order.
pub(super) struct SortedRows {
    keys: Vec<(Key, Direction)>,
    rows: Vec<u32>,
}

impl SortedRows {
    /// The used rows, sorted; `rows` are in order of creation.
    pub(super) fn sorted(mut rows: Vec<u32>, keys: Vec<(Key, Direction)>, cells: &Cells) -> Self {
        cells.sort(&mut rows, &keys);
        Self { keys, rows }
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Whether it depends on one of these columns.
    pub(super) fn depends_on(&self, columns: &[usize]) -> bool {
        let is_one = |key: &Key| matches!(key, Key::Column(column) if columns.contains(column));
        self.keys.iter().any(|(key, _)| is_one(key))
    }

    /// The number of rows before this position; of rows up to it, if it is `included`.
    pub(super) fn before(&self, cells: &Cells, position: &Position, included: bool) -> usize {
        self.rows
            .partition_point(|row| match cells.compare(*row, position, &self.keys) {
                Ordering::Less => true,
                Ordering::Equal => included,
                Ordering::Greater => false,
            })
    }

    /// The row at this position.
    pub(super) fn at(&self, cells: &Cells, position: &Position) -> Option<u32> {
        let row = *self.rows.get(self.before(cells, position, false))?;
        cells.compare(row, position, &self.keys).is_eq().then_some(row)
    }

    /// Adds a row.
    pub(super) fn insert(&mut self, cells: &Cells, row: u32) {
        let position = cells.position(row, &self.keys);
        let at = self.before(cells, &position, false);
        self.rows.insert(at, row);
    }

    /// Removes a row, whose values have not changed yet.
    pub(super) fn remove(&mut self, cells: &Cells, row: u32) {
        let position = cells.position(row, &self.keys);
        let at = self.before(cells, &position, false);
        if self.rows.get(at) == Some(&row) {
            self.rows.remove(at);
        }
    }

    /// About how many bytes of memory they take.
    pub(super) fn memory(&self) -> usize {
        self.rows.capacity() * 4
    }
}
