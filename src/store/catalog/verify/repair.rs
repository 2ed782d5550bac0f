//! Automatic repair: counters are set to the sums over the records, index rows are made to match the records. What an
//! operator has to decide, such as a volume with a transient status and no operation, is left and reported.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Finding, verify};
use crate::store::catalog::Catalog;
use crate::store::{Change, CommitError, Key, StoreError, Transaction};

/// The most changes per commit.
pub(super) const AT_ONCE: usize = 512;

/// The result of a repair.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// The repaired findings.
    pub repaired: Vec<Finding>,
    /// The remaining findings.
    pub left: Vec<Finding>,
}

/// Repairs the findings that have only one possible repair. For a catalog without concurrent commits.
///
/// # Errors
/// As [`verify`]; repairs before the failure are kept.
pub async fn repair(catalog: &Catalog) -> Result<Repair, StoreError> {
    let check = Check::of(catalog).await?;
    let changes: Vec<Change> = certain(&check.findings, check.repairs).into_values().collect();
    for changes in changes.chunks(AT_ONCE) {
        let transaction = Transaction {
            changes: changes.to_vec(),
            ..Transaction::default()
        };
        let committed = catalog.store.commit(transaction).await;
        committed.map_err(CommitError::unexpected)?;
    }
    let left = verify(catalog).await?;
    let mut repaired = check.findings;
    repaired.retain(|finding| !left.contains(finding));
    Ok(Repair { repaired, left })
}

/// The repairs that are certain, by their keys.
pub(super) fn certain(findings: &[Finding], repairs: Vec<(usize, Change)>) -> BTreeMap<Key, Change> {
    let sums_are_known = !findings.iter().any(Finding::hides_a_sum);
    let mut doubtful = BTreeSet::new();
    let mut certain: BTreeMap<Key, Change> = BTreeMap::new();
    for (place, change) in repairs {
        let is_sum = matches!(
            findings[place],
            Finding::WrongTotal { .. } | Finding::WrongInUse { .. } | Finding::WrongReserved { .. }
        );
        if is_sum && !sums_are_known {
            continue;
        }
        let key = match &change {
            Change::Put(key, _) | Change::Delete(key) | Change::Add { key, .. } => key.clone(),
        };
        match certain.entry(key.clone()) {
            Entry::Vacant(free) => {
                free.insert(change);
            }
            Entry::Occupied(mut taken) => match (taken.get(), &change) {
                // A row with another value than that of its record is corrected.
                (Change::Delete(_), _) => {
                    taken.insert(change);
                }
                (_, Change::Delete(_)) => {}
                (one, other) if one == other => {}
                // Two records have the same row: one of them is wrong.
                _ => {
                    doubtful.insert(key);
                }
            },
        }
    }
    certain.retain(|key, _| !doubtful.contains(key));
    certain
}
