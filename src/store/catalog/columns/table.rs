//! The table of a list: its rows follow the records, and it finds pages.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::super::listable::Listable;
use super::super::order::total_order;
use super::super::query::{Direction, Filter};
use super::cells::{Cells, Key, Keys, Position};
use super::column::{Column, ordered};
use super::dictionary::number;
use super::mask::{Mask, Pairs, key_of};
use super::sorted_rows::SortedRows;
use crate::store::{self, Entry, Revision};

/// How many orders are kept, beside those of creation and of ids.
const ORDERS: usize = 8;

/// A table is not kept if more values than this, and than twice its rows, were added since it was filled: those that no row has any
/// more are not removed.
const NEW_VALUES: usize = 65_536;

/// The fields of all records of a list.
pub struct Table<R> {
    cells: Cells,
    /// The encoded records by row, as long as there is memory for them.
    records: Option<Records>,
    metadata: Pairs,
    image_metadata: Pairs,
    unused: Vec<u32>,
    by_creation: SortedRows,
    by_id: SortedRows,
    /// The last one was used last.
    orders: Vec<SortedRows>,
    /// The rows of the last filters, which are kept as text: a page and the count beside it have the same ones. `None` after a change.
    found: Option<(String, Arc<Mask>)>,
    /// The number of distinct values when it was filled.
    values_at_first: usize,
    kind: PhantomData<fn(R)>,
}

/// Encoded records.
#[derive(Default)]
struct Records {
    rows: Vec<(Box<[u8]>, Revision)>,
    /// Of all of them.
    bytes: usize,
}

/// Part of a list.
pub struct Selected {
    /// Its records.
    pub found: Found,
    /// The position of its last record; `None` if nothing comes behind it.
    pub last: Option<Position>,
}

/// Records of a part of a list.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Only their keys: the table has no room for records.
    Keys(Vec<store::Key>),
    /// With their entries.
    Entries(Vec<(store::Key, Entry)>),
}

impl Records {
    /// Bytes beside those of a record: its place, and what the allocator rounds up.
    const BESIDE: usize = 40;

    fn set(&mut self, row: usize, entry: &Entry) {
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, || (Box::default(), Revision(0)));
        }
        self.bytes = self.bytes + entry.value.len() - self.rows[row].0.len();
        self.rows[row] = (entry.value.as_ref().into(), entry.revision);
    }

    fn entry(&self, row: u32) -> Entry {
        let (value, revision) = &self.rows[row as usize];
        Entry {
            value: Bytes::copy_from_slice(value),
            revision: *revision,
        }
    }
}

impl<R: Listable> Table<R> {
    /// A table that is being filled.
    pub fn new() -> Self {
        let cells = Cells::new(R::fields().len());
        let ascending = |key| (key, Direction::Ascending);
        let by = |keys: &[Key]| {
            let keys = keys.iter().copied().map(ascending).collect();
            SortedRows::sorted(Vec::new(), keys, &cells)
        };
        Self {
            by_creation: by(&[Key::CreatedAt, Key::Id]),
            by_id: by(&[Key::Id]),
            cells,
            records: Some(Records::default()),
            metadata: Pairs::default(),
            image_metadata: Pairs::default(),
            unused: Vec::new(),
            orders: Vec::new(),
            found: None,
            values_at_first: 0,
            kind: PhantomData,
        }
    }

    /// Adds a record while it is being filled.
    pub fn fill(&mut self, record: &R, entry: &Entry) {
        self.add_row(record, entry);
    }

    /// Keeps the fields only.
    pub fn forget_records(&mut self) {
        self.records = None;
    }

    /// Ends filling.
    pub fn is_filled(&mut self) {
        self.sort_values();
        self.cells.shrink();
        self.metadata.shrink();
        self.image_metadata.shrink();
        let mut rows: Vec<u32> = (0..number(self.cells.rows())).collect();
        rows.sort_by_key(|row| (self.cells.created[*row as usize], self.cells.ids[*row as usize]));
        self.by_creation = SortedRows::sorted(rows.clone(), self.by_creation.keys().to_vec(), &self.cells);
        self.by_id = SortedRows::sorted(rows, self.by_id.keys().to_vec(), &self.cells);
        self.values_at_first = self.distinct();
    }

    /// Adds or changes the row of a record.
    pub fn put(&mut self, record: &R, entry: &Entry) {
        let Some(row) = self.row(R::uuid_of(record.id())) else {
            let row = self.add_row(record, entry);
            self.sort_values();
            self.each_order(|order, cells| order.insert(cells, row));
            return;
        };
        let changed = self.changed_columns(row, record);
        let cells = &self.cells;
        let affected = |order: &&mut SortedRows| order.depends_on(&changed);
        self.orders
            .iter_mut()
            .filter(affected)
            .for_each(|order| order.remove(cells, row));
        self.set(row, record, entry);
        self.sort_values();
        let cells = &self.cells;
        self.orders
            .iter_mut()
            .filter(affected)
            .for_each(|order| order.insert(cells, row));
    }

    /// Removes the row of a record, if it has one.
    pub fn remove(&mut self, id: Uuid) {
        let Some(row) = self.row(id) else {
            return;
        };
        self.each_order(|order, cells| order.remove(cells, row));
        self.found = None;
        self.cells.used[row as usize] = 0;
        self.unused.push(row);
        if let Some(records) = &mut self.records {
            let nothing = Entry {
                value: Bytes::new(),
                revision: Revision(0),
            };
            records.set(row as usize, &nothing);
        }
    }

    /// The position of a record in an order, whether it has a row or not.
    pub fn position_of(record: &R, sort: &[(R::Field, Direction)]) -> Position {
        let (keys, _) = keys::<R>(sort);
        Cells::position_of(record, &keys)
    }

    /// The next rows of a list: those that match, behind a position, without the first `skip`, and at most `most`.
    pub fn select(
        &mut self,
        sort: &[(R::Field, Direction)],
        filters: &[Filter<R::Field>],
        after: Option<&Position>,
        skip: usize,
        most: usize,
    ) -> Selected {
        let mask = (!filters.is_empty()).then(|| self.mask(filters));
        let left = mask.as_ref().map_or(usize::MAX, |mask| mask.count());
        if left <= skip || most == 0 {
            return Selected {
                found: Found::Keys(Vec::new()),
                last: None,
            };
        }
        let (keys, is_reversed) = keys::<R>(sort);
        self.bring_order(&keys);
        let (cells, order) = (&self.cells, self.order(&keys));
        let rows = match (after, is_reversed) {
            (None, _) => order.rows(),
            (Some(after), false) => &order.rows()[order.before(cells, after, true)..],
            (Some(after), true) => &order.rows()[..order.before(cells, after, false)],
        };
        let found = match (mask, is_reversed) {
            (None, false) => take(rows.iter().copied(), skip, most),
            (None, true) => take(rows.iter().rev().copied(), skip, most),
            (Some(mask), false) => take(
                rows.iter().copied().filter(|row| mask.has(*row)).take(left),
                skip,
                most,
            ),
            (Some(mask), true) => take(
                rows.iter().rev().copied().filter(|row| mask.has(*row)).take(left),
                skip,
                most,
            ),
        };
        let last = found.last().filter(|_| found.len() >= most);
        let key = |row: &u32| R::key_of(cells.created[*row as usize], cells.ids[*row as usize]);
        Selected {
            last: last.map(|row| cells.position(*row, order.keys())),
            found: match &self.records {
                None => Found::Keys(found.iter().map(key).collect()),
                Some(records) => {
                    Found::Entries(found.iter().map(|row| (key(row), records.entry(*row))).collect())
                }
            },
        }
    }

    /// The number of records that match. Filters on other records are ignored.
    pub fn count(&mut self, filters: &[Filter<R::Field>]) -> usize {
        self.mask(filters).count()
    }

    /// The ids of the records that match, if they are not more than `most`.
    pub fn few_ids(&mut self, filters: &[Filter<R::Field>], most: usize) -> Option<Vec<Uuid>> {
        let mask = self.mask(filters);
        let rows = (0..number(self.cells.rows())).filter(|row| mask.has(*row));
        (mask.count() <= most).then(|| rows.map(|row| self.cells.ids[row as usize]).collect())
    }

    /// About how many bytes of memory it takes.
    pub fn memory(&self) -> usize {
        let orders: usize = self.orders.iter().map(SortedRows::memory).sum();
        let orders = orders + self.by_creation.memory() + self.by_id.memory();
        let records = self.records.as_ref();
        let records = records.map_or(0, |records| records.bytes + records.rows.len() * Records::BESIDE);
        let found = self.found.as_ref();
        let found = found.map_or(0, |(filters, _)| filters.len() + self.cells.rows());
        records
            + found
            + self.cells.memory()
            + self.metadata.memory()
            + self.image_metadata.memory()
            + orders
            + self.unused.capacity() * 4
    }

    /// Whether so many values were added that it is better to fill another table.
    pub fn is_worn(&self) -> bool {
        let added = self.distinct() - self.values_at_first.min(self.distinct());
        added > NEW_VALUES.max(2 * self.cells.rows())
    }

    fn mask(&mut self, filters: &[Filter<R::Field>]) -> Arc<Mask> {
        let wanted = format!("{filters:?}");
        if let Some((filters, mask)) = &self.found
            && *filters == wanted
        {
            return mask.clone();
        }
        let mut mask = Mask::all(&self.cells);
        for filter in filters {
            mask.keep::<R>(
                filter,
                &mut self.cells,
                &mut self.metadata,
                &mut self.image_metadata,
            );
        }
        let mask = Arc::new(mask);
        self.found = Some((wanted, mask.clone()));
        mask
    }

    /// Values of a column that had none before are not sorted yet.
    fn sort_values(&mut self) {
        self.cells.columns.iter_mut().for_each(Column::sort);
        self.metadata.sort();
        self.image_metadata.sort();
    }

    fn distinct(&self) -> usize {
        let columns: usize = self.cells.columns.iter().map(Column::distinct).sum();
        columns + self.metadata.distinct() + self.image_metadata.distinct()
    }

    fn row(&self, id: Uuid) -> Option<u32> {
        self.by_id.at(&self.cells, &Position::of_id(id))
    }

    /// A row with the values of a record, in no order yet.
    fn add_row(&mut self, record: &R, entry: &Entry) -> u32 {
        let row = self.unused.pop().unwrap_or_else(|| {
            self.cells.created.push(record.created_at());
            self.cells.ids.push(R::uuid_of(record.id()));
            self.cells.used.push(1);
            self.cells.columns.iter_mut().for_each(Column::add_row);
            self.metadata.add_row();
            self.image_metadata.add_row();
            number(self.cells.rows() - 1)
        });
        self.set(row, record, entry);
        row
    }

    fn set(&mut self, row: u32, record: &R, entry: &Entry) {
        let (row, rows) = (row as usize, self.cells.rows());
        self.found = None;
        if let Some(records) = &mut self.records {
            records.set(row, entry);
        }
        self.cells.created[row] = record.created_at();
        self.cells.ids[row] = R::uuid_of(record.id());
        self.cells.used[row] = 1;
        for (column, field) in self.cells.columns.iter_mut().zip(R::fields()) {
            if *field != R::CREATED_AT && *field != R::ID {
                column.set(row, rows, &record.value(*field));
            }
        }
        self.metadata.set(row, rows, record.metadata());
        self.image_metadata.set(row, rows, record.image_metadata());
    }

    /// The columns in which a row differs from a record.
    fn changed_columns(&self, row: u32, record: &R) -> Vec<usize> {
        let columns = self.cells.columns.iter().zip(R::fields()).enumerate();
        let changed = columns
            .filter(|(_, (column, field))| !column.has(row as usize, &ordered(&record.value(**field))));
        changed.map(|(at, _)| at).collect()
    }

    fn each_order(&mut self, mut change: impl FnMut(&mut SortedRows, &Cells)) {
        let kept = [&mut self.by_creation, &mut self.by_id];
        for order in kept.into_iter().chain(&mut self.orders) {
            change(order, &self.cells);
        }
    }

    /// Makes this order the one that was used last.
    fn bring_order(&mut self, keys: &Keys) {
        if self.by_creation.keys() == keys || self.by_id.keys() == keys {
            return;
        }
        let known = self.orders.iter().position(|order| order.keys() == keys);
        let order = match known {
            Some(at) => self.orders.remove(at),
            None => {
                if self.orders.len() >= ORDERS {
                    self.orders.remove(0);
                }
                SortedRows::sorted(self.by_creation.rows().to_vec(), keys.to_vec(), &self.cells)
            }
        };
        self.orders.push(order);
    }

    /// The order that [`Table::bring_order`] brought.
    fn order(&self, keys: &Keys) -> &SortedRows {
        let kept = [&self.by_creation, &self.by_id];
        let all = kept.into_iter().chain(&self.orders);
        all.rev()
            .find(|order| order.keys() == keys)
            .unwrap_or(&self.by_creation)
    }
}

/// The keys of an order, of which the first ascends, and whether it is to be read backwards.
fn keys<R: Listable>(sort: &[(R::Field, Direction)]) -> (Vec<(Key, Direction)>, bool) {
    let order = total_order::<R>(sort);
    let is_reversed = order
        .first()
        .is_some_and(|(_, direction)| *direction == Direction::Descending);
    let key = |(field, direction): &(R::Field, Direction)| {
        let ascends = (*direction == Direction::Descending) == is_reversed;
        let direction = if ascends {
            Direction::Ascending
        } else {
            Direction::Descending
        };
        (key_of::<R>(*field), direction)
    };
    (order.iter().map(key).collect(), is_reversed)
}

fn take(rows: impl Iterator<Item = u32>, skip: usize, most: usize) -> Vec<u32> {
    rows.skip(skip).take(most).collect()
}
