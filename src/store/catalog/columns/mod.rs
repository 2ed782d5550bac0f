//! The fields of all records of a list in memory, by columns: for orders and filters that no index of the store has.
//!
//! A [`Table`] has a row for each record, and for each field the values of all rows. It is much smaller than the records: most fields
//! have few distinct values, so a row has one byte for them. A filter is evaluated once for each distinct value, and then compares
//! numbers; an order is a sequence of row numbers that is sorted once and then follows the changes.
//!
//! As long as there is memory for them, a table also has the records as they are in the store: those of a page in an unusual order are
//! far from each other there, and reading them takes ten times as long as reading neighbours. Else the records of a page are read from
//! the store.
//!
//! | file | content |
//! |---|---|
//! | `dictionary` | the distinct values of a column |
//! | `column` | the values of a field |
//! | `cells` | the values of all rows, and their comparison |
//! | `id_part` | ids whose text contains a part |
//! | `sorted_rows` | rows in an order |
//! | `mask` | the rows that match filters |
//! | `table` | all of it: changes, pages, counts |

mod cells;
mod column;
mod dictionary;
mod id_part;
mod mask;
mod sorted_rows;
mod table;

#[cfg(test)]
mod tests;

pub(super) use table::{Found, Table};
