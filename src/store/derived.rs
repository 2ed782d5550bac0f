//! Entries that follow from others: the rows of indexes.
//!
//! The catalog writes index rows in the commits of their records, and they are a pure function of the record. An engine for which
//! writes are expensive is opened with that function ([`Derivation`]): it ignores changes of derived keys in transactions, stores
//! none of them, and adds them to what it reads from the records themselves. Readers see the same entries either way.
//!
//! So a transaction must change derived keys exactly as its records require, and have no condition on them. What a commit has
//! conditions on, such as the rows that keep names unique, is stored.

use super::{Key, StoreError};

/// The function from an entry to those that follow from it.
pub trait Derivation: Send + Sync + 'static {
    /// Whether this key is written by [`Derivation::derive`], and by nothing else.
    fn is_derived(&self, key: &Key) -> bool;

    /// The entries that follow from this one.
    ///
    /// # Errors
    /// If the value cannot be decoded. Then nothing follows from it.
    fn derive(&self, key: &Key, value: &[u8]) -> Result<Vec<(Key, Vec<u8>)>, StoreError>;
}

/// Nothing follows from anything. For tests of the engine itself.
#[derive(Clone, Copy, Debug)]
pub struct NothingDerived;

impl Derivation for NothingDerived {
    fn is_derived(&self, _key: &Key) -> bool {
        false
    }

    fn derive(&self, _key: &Key, _value: &[u8]) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        Ok(Vec::new())
    }
}
