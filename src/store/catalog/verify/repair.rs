//! What can be mended by itself: counters are what the records sum up to, index rows what the records ask for. What a person has
//! to decide on, such as a volume that no operation will end, is left and told of.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Finding, verify};
use crate::store::catalog::Catalog;
use crate::store::{Change, CommitError, Key, StoreError, Transaction};

/// How much is changed at once.
const AT_ONCE: usize = 512;

/// What came of mending.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// What was found, and is right now.
    pub mended: Vec<Finding>,
    /// What is left.
    pub left: Vec<Finding>,
}

/// Mends what can be right in only one way. For a catalog at rest.
///
/// # Errors
/// As [`verify`]; what was mended by then is mended.
pub async fn repair(catalog: &Catalog) -> Result<Repair, StoreError> {
    let check = Check::of(catalog).await?;
    let changes: Vec<Change> = certain(&check.findings, check.mends).into_values().collect();
    for changes in changes.chunks(AT_ONCE) {
        let transaction = Transaction {
            changes: changes.to_vec(),
            ..Transaction::default()
        };
        catalog
            .store
            .commit(transaction)
            .await
            .map_err(|error| match error {
                CommitError::Store(error) => error,
                other => StoreError::new(other.to_string()),
            })?;
    }
    let left = verify(catalog).await?;
    let mut mended = check.findings;
    mended.retain(|finding| !left.contains(finding));
    Ok(Repair { mended, left })
}

/// Those of the mends of which there is no doubt, by their keys.
fn certain(findings: &[Finding], mends: Vec<(usize, Change)>) -> BTreeMap<Key, Change> {
    // What cannot be read counts for something, and nobody knows for what.
    let sums_are_known = !findings.iter().any(|finding| {
        matches!(
            finding,
            Finding::Unreadable { .. } | Finding::VolumeWithoutType { .. }
        )
    });
    let mut doubtful = BTreeSet::new();
    let mut certain: BTreeMap<Key, Change> = BTreeMap::new();
    for (place, change) in mends {
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
                // One that says something else than its record asks for is put right.
                (Change::Delete(_), _) => {
                    taken.insert(change);
                }
                (_, Change::Delete(_)) => {}
                (one, other) if one == other => {}
                // Two records ask for the same row: one of them should not be.
                _ => {
                    doubtful.insert(key);
                }
            },
        }
    }
    certain.retain(|key, _| !doubtful.contains(key));
    certain
}
