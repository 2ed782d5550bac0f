//! The semantics of a transaction: conditions, changes, counters and ceilings, as one pure function.
//!
//! Every engine commits serially and calls this with its own read function, so that all engines have the same
//! semantics.

use std::collections::BTreeMap;

use super::{Change, CommitError, Condition, Entry, Key, MAX_VALUE, RESERVED, StoreError, Transaction};

/// The writes of a transaction: for each changed key its value, or `None` if it is deleted.
pub(super) type Writes = BTreeMap<Key, Option<Vec<u8>>>;

/// Evaluates `transaction` over the state that `read` returns.
///
/// Changes are applied in order, so a later one of the same key sees the earlier. Ceilings are checked on the result,
/// in order; the first that is exceeded is reported.
pub(super) fn evaluate(
    transaction: &Transaction,
    mut read: impl FnMut(&Key) -> Result<Option<Entry>, StoreError>,
) -> Result<Writes, CommitError> {
    for condition in &transaction.conditions {
        let (key, holds) = match condition {
            Condition::Absent(key) => (key, read(key)?.is_none()),
            Condition::Unchanged(key, revision) => {
                (key, read(key)?.is_some_and(|entry| entry.revision == *revision))
            }
        };
        if !holds {
            return Err(CommitError::Conflict(key.clone()));
        }
    }
    let mut writes = Writes::new();
    for change in &transaction.changes {
        match change {
            Change::Put(key, value) => {
                check_key(key)?;
                check_value(key, value)?;
                writes.insert(key.clone(), Some(value.clone()));
            }
            Change::Delete(key) => {
                check_key(key)?;
                writes.insert(key.clone(), None);
            }
            Change::Add { key, delta } => {
                check_key(key)?;
                let sum = counter(key, &writes, &mut read)?.saturating_add(*delta);
                if sum < 0 {
                    tracing::error!(?key, sum, "a counter would fall below zero and is set to zero");
                }
                writes.insert(key.clone(), Some(sum.max(0).to_be_bytes().to_vec()));
            }
        }
    }
    for ceiling in &transaction.ceilings {
        let mut sum: i64 = 0;
        for key in &ceiling.keys {
            sum = sum.saturating_add(counter(key, &writes, &mut read)?);
        }
        if sum > ceiling.limit {
            return Err(CommitError::OverCeiling {
                name: ceiling.name.clone(),
                sum,
                limit: ceiling.limit,
            });
        }
    }
    Ok(writes)
}

/// Reads the bytes of a counter.
pub(super) fn counter_value(key: &Key, value: &[u8]) -> Result<i64, StoreError> {
    let bytes = value.try_into().map_err(|_| {
        StoreError::new(format!(
            "{key:?} has {} bytes where a counter of 8 is expected",
            value.len()
        ))
    })?;
    Ok(i64::from_be_bytes(bytes))
}

fn counter(
    key: &Key,
    writes: &Writes,
    read: &mut impl FnMut(&Key) -> Result<Option<Entry>, StoreError>,
) -> Result<i64, StoreError> {
    match writes.get(key) {
        Some(Some(value)) => counter_value(key, value),
        Some(None) => Ok(0),
        None => read(key)?.map_or(Ok(0), |entry| counter_value(key, &entry.value)),
    }
}

fn check_key(key: &Key) -> Result<(), StoreError> {
    match key.0.first() {
        None => Err(StoreError::new("an empty key")),
        Some(&RESERVED) => Err(StoreError::new(format!("{key:?} is reserved for the engine"))),
        Some(_) => Ok(()),
    }
}

fn check_value(key: &Key, value: &[u8]) -> Result<(), StoreError> {
    if value.len() > MAX_VALUE {
        return Err(StoreError::too_large(format!(
            "{key:?} would have {} bytes, over {MAX_VALUE}",
            value.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Writes, evaluate};
    use crate::store::{
        Ceiling, Change, CommitError, Condition, Entry, Key, MAX_VALUE, Revision, StoreError, Transaction,
    };

    fn key(text: &str) -> Key {
        Key(text.as_bytes().to_vec())
    }

    fn stored(at: &Key) -> Result<Option<Entry>, StoreError> {
        let value = match at.0.as_slice() {
            b"five" => 5_i64.to_be_bytes().to_vec(),
            b"text" => b"text".to_vec(),
            _ => return Ok(None),
        };
        Ok(Some(Entry {
            value: Bytes::from(value),
            revision: Revision(7),
        }))
    }

    fn run(changes: Vec<Change>) -> Result<Writes, CommitError> {
        let transaction = Transaction {
            changes,
            ..Transaction::default()
        };
        evaluate(&transaction, stored)
    }

    fn add(at: &str, delta: i64) -> Change {
        Change::Add { key: key(at), delta }
    }

    #[test]
    fn later_changes_see_earlier_ones_of_the_same_transaction() {
        let writes = run(vec![
            add("five", 2),
            add("five", 1),
            add("new", 3),
            Change::Delete(key("new")),
            add("new", 1),
        ])
        .unwrap();
        assert_eq!(writes[&key("five")], Some(8_i64.to_be_bytes().to_vec()));
        assert_eq!(writes[&key("new")], Some(1_i64.to_be_bytes().to_vec()));
    }

    #[test]
    fn a_counter_never_falls_below_zero() {
        let writes = run(vec![add("five", -9)]).unwrap();
        assert_eq!(writes[&key("five")], Some(0_i64.to_be_bytes().to_vec()));
    }

    #[test]
    fn a_ceiling_bounds_the_sum_after_the_changes() {
        let at = |limit| {
            let transaction = Transaction {
                changes: vec![add("five", 1), add("new", 3)],
                ceilings: vec![Ceiling {
                    keys: vec![key("five"), key("new")],
                    limit,
                    name: "n".into(),
                }],
                ..Transaction::default()
            };
            evaluate(&transaction, stored)
        };
        assert!(at(9).is_ok());
        assert!(matches!(at(8), Err(CommitError::OverCeiling { sum: 9, limit: 8, name }) if name == "n"));
    }

    #[test]
    fn a_condition_that_does_not_hold_is_a_conflict_on_its_key() {
        for (condition, holds) in [
            (Condition::Absent(key("new")), true),
            (Condition::Absent(key("text")), false),
            (Condition::Unchanged(key("text"), Revision(7)), true),
            (Condition::Unchanged(key("text"), Revision(8)), false),
            (Condition::Unchanged(key("new"), Revision(7)), false),
        ] {
            let transaction = Transaction {
                conditions: vec![condition.clone()],
                ..Transaction::default()
            };
            match evaluate(&transaction, stored) {
                Ok(_) => assert!(holds, "{condition:?}"),
                Err(error) => {
                    assert!(
                        !holds && matches!(error, CommitError::Conflict(_)),
                        "{condition:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        for change in [
            Change::Put(Key(Vec::new()), Vec::new()),
            Change::Put(Key(vec![0, 1]), Vec::new()),
            Change::Put(key("big"), vec![0; MAX_VALUE + 1]),
            add("text", 1),
        ] {
            assert!(matches!(run(vec![change]), Err(CommitError::Store(_))));
        }
    }
}
