//! The rows of indexes as a function of their records, for engines that store none ([`Derivation`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use futures_util::FutureExt;

use super::keys::UNIQUE;
use super::kinds::{Kind, KindVisitor, Rows, every_kind};
use crate::store::derived::Derivation;
use crate::store::record::decode;
use crate::store::{Key, StoreError};

/// The index rows of the catalog, except those that keep names unique.
#[derive(Clone, Copy, Debug)]
pub struct IndexRows;

type RowsOf = fn(&[u8]) -> Result<Rows, StoreError>;

#[derive(Default)]
struct Tables {
    /// For each table of records, the rows of one.
    records: BTreeMap<[u8; 2], RowsOf>,
    /// The tables of rows.
    derived: BTreeSet<[u8; 2]>,
}

impl KindVisitor for Tables {
    async fn kind<K: Kind>(&mut self) -> Result<(), StoreError> {
        if !K::INDEXES.is_empty() {
            let tables = K::TABLES.iter().map(|table| (**table, rows_of::<K> as RowsOf));
            self.records.extend(tables);
        }
        let derived = K::INDEXES.iter().filter(|table| !UNIQUE.contains(table));
        self.derived.extend(derived.map(|table| **table));
        Ok(())
    }
}

fn rows_of<K: Kind>(value: &[u8]) -> Result<Rows, StoreError> {
    Ok(decode::<K>(value)?.rows())
}

fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| {
        let mut tables = Tables::default();
        let walked = every_kind(&mut tables).now_or_never();
        walked
            .and_then(Result::ok)
            .expect("this visitor neither waits nor fails");
        tables
    })
}

fn table(key: &Key) -> Option<[u8; 2]> {
    key.0.first_chunk::<2>().copied()
}

impl Derivation for IndexRows {
    fn is_derived(&self, key: &Key) -> bool {
        table(key).is_some_and(|table| tables().derived.contains(&table))
    }

    fn derive(&self, key: &Key, value: &[u8]) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        let Some(rows_of) = table(key).and_then(|table| tables().records.get(&table)) else {
            return Ok(Vec::new());
        };
        let mut rows = rows_of(value)?;
        rows.retain(|row, _| self.is_derived(row));
        Ok(rows.into_iter().collect())
    }
}
