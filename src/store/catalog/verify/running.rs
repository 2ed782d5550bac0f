//! Checks of a catalog in use, and the repair of usage while commits go on.
//!
//! A check reads a snapshot, which is in memory until the check ends, on a thread of its own: it blocks on the disk. A counter is
//! repaired on the condition that it has not changed since the snapshot; then the sum has not changed either, because each change of
//! a counted record changes its counters in the same commit.

use std::sync::Arc;

use super::repair::{AT_ONCE, Repair, certain};
use super::{Check, Finding, verify};
use crate::model::ProjectId;
use crate::store::catalog::Catalog;
use crate::store::memory::MemoryStore;
use crate::store::{Change, CommitError, Condition, Key, Revision, StoreError, Transaction};

/// How often a repair is tried again for counters that changed meanwhile.
const ROUNDS: usize = 10;

/// All inconsistencies of a catalog in use.
///
/// # Errors
/// As [`verify`].
pub async fn verify_running(catalog: &Catalog) -> Result<Vec<Finding>, StoreError> {
    on_snapshot(catalog, async |snapshot| verify(&snapshot).await).await
}

/// The usage of a project, or of all, that is not what the records sum up to, and records that cannot be read and so make a sum unknown.
///
/// # Errors
/// When the store fails, or a counter of usage is damaged.
pub async fn wrong_usage(catalog: &Catalog, project: Option<&ProjectId>) -> Result<Vec<Finding>, StoreError> {
    let project = project.cloned();
    let checked = on_snapshot(catalog, async move |snapshot| {
        checked_usage(&snapshot, project.as_ref()).await
    });
    Ok(checked.await?.findings)
}

/// Sets usage to what the records sum up to. Counters that other commits change at each try are left, and so are all if a record
/// cannot be read.
///
/// # Errors
/// As [`wrong_usage`]; repairs before the failure are kept.
pub async fn repair_usage(catalog: &Catalog, project: Option<&ProjectId>) -> Result<Repair, StoreError> {
    let mut repaired = Vec::new();
    for round in 0.. {
        let project = project.cloned();
        let checked = on_snapshot(catalog, async move |snapshot| {
            checked_usage(&snapshot, project.as_ref()).await
        });
        let UsageCheck { findings, counters } = checked.await?;
        if counters.is_empty() || round == ROUNDS {
            return Ok(Repair {
                repaired,
                left: findings,
            });
        }
        for counters in counters.chunks(AT_ONCE) {
            repaired.extend(write(catalog, counters).await?);
        }
    }
    Ok(Repair::default())
}

/// Writes counters: together, or one by one if one of them has changed. Returns the findings that were repaired.
async fn write(catalog: &Catalog, counters: &[WrongCounter]) -> Result<Vec<Finding>, StoreError> {
    let transaction = Transaction {
        conditions: counters.iter().map(WrongCounter::is_as_read).collect(),
        changes: counters.iter().map(|counter| counter.change.clone()).collect(),
        ..Transaction::default()
    };
    match catalog.store.commit(transaction).await {
        Ok(_) => Ok(counters.iter().map(|counter| counter.finding.clone()).collect()),
        Err(CommitError::Conflict(_)) if counters.len() > 1 => {
            let mut repaired = Vec::new();
            for counter in counters.chunks(1) {
                repaired.extend(Box::pin(write(catalog, counter)).await?);
            }
            Ok(repaired)
        }
        Err(CommitError::Conflict(_)) => Ok(Vec::new()),
        Err(error) => Err(error.unexpected()),
    }
}

/// What a check of usage found.
struct UsageCheck {
    findings: Vec<Finding>,
    /// The counters that can be repaired.
    counters: Vec<WrongCounter>,
}

/// A wrong counter of usage, as it was read.
struct WrongCounter {
    finding: Finding,
    counter: Key,
    /// `None` if it does not exist.
    revision: Option<Revision>,
    change: Change,
}

impl WrongCounter {
    fn is_as_read(&self) -> Condition {
        match self.revision {
            Some(revision) => Condition::Unchanged(self.counter.clone(), revision),
            None => Condition::Absent(self.counter.clone()),
        }
    }
}

async fn checked_usage(snapshot: &Catalog, project: Option<&ProjectId>) -> Result<UsageCheck, StoreError> {
    let mut check = Check::new(snapshot);
    check.volumes_and_usage().await?;
    let certain = certain(&check.findings, check.repairs.clone());
    let is_wanted = |finding: &Finding| match finding {
        Finding::WrongInUse { project: of, .. } | Finding::WrongReserved { project: of, .. } => {
            project.is_none_or(|wanted| wanted == of)
        }
        _ => false,
    };
    let mut counters = Vec::new();
    for (place, change) in check.repairs {
        let finding = &check.findings[place];
        if let Change::Put(counter, _) = &change
            && is_wanted(finding)
            && certain.contains_key(counter)
        {
            counters.push(WrongCounter {
                finding: finding.clone(),
                counter: counter.clone(),
                revision: snapshot.store.get(counter).await?.map(|entry| entry.revision),
                change,
            });
        }
    }
    check
        .findings
        .retain(|finding| is_wanted(finding) || finding.hides_a_sum());
    Ok(UsageCheck {
        findings: check.findings,
        counters,
    })
}

/// Runs a check of a snapshot on a thread of its own.
async fn on_snapshot<T, F>(catalog: &Catalog, check: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: AsyncFnOnce(Catalog) -> Result<T, StoreError> + Send + 'static,
{
    let catalog = catalog.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreError::new("no thread to check in").caused_by(error))?;
        runtime.block_on(async {
            let copy = MemoryStore::copy_of(catalog.store.as_ref()).await?;
            check(Catalog::open(Arc::new(copy)).await?).await
        })
    });
    let checked = checked.await;
    checked.map_err(|error| StoreError::new("the check was given up").caused_by(error))?
}

#[cfg(test)]
mod tests {
    use super::super::tests::sound;
    use super::*;
    use crate::model::quota::{Deltas, Resource, volume_deltas};
    use crate::store::Store;
    use crate::store::catalog::changes::Indexed;
    use crate::store::catalog::samples::{commit, volume};

    async fn drift(catalog: &Catalog, project: &str, by: i64) {
        let deltas: Deltas = [(Resource::volumes(), by)].into_iter().collect();
        commit(catalog, |changes| changes.add_usage(&project.into(), &deltas)).await;
    }

    #[actix::test]
    async fn usage_is_repaired_of_one_project_or_of_all() {
        let (_, catalog, _) = sound().await;
        assert_eq!(repair_usage(&catalog, None).await.unwrap(), Repair::default());
        drift(&catalog, "p", 2).await;
        drift(&catalog, "q", 1).await;
        let q = "q".into();
        assert_eq!(wrong_usage(&catalog, Some(&q)).await.unwrap().len(), 1);
        let repair = repair_usage(&catalog, Some(&q)).await.unwrap();
        assert_eq!((repair.repaired.len(), repair.left.len()), (1, 0));
        let repair = repair_usage(&catalog, None).await.unwrap();
        let repaired: Vec<String> = repair.repaired.iter().map(ToString::to_string).collect();
        let said = "project p has 3 volumes in use, but its volumes and snapshots sum up to 1";
        assert_eq!(repaired, [said]);
        assert_eq!(verify(&catalog).await.unwrap(), []);
    }

    #[actix::test]
    async fn a_counter_that_changed_meanwhile_is_not_overwritten() {
        let (_, catalog, _) = sound().await;
        drift(&catalog, "p", 2).await;
        drift(&catalog, "q", 1).await;
        let stale = checked_usage(&catalog, None).await.unwrap().counters;
        drift(&catalog, "q", 1).await;
        let repaired = write(&catalog, &stale).await.unwrap();
        assert_eq!(repaired.len(), 1, "the other one is repaired all the same");
        let left = wrong_usage(&catalog, None).await.unwrap();
        let said = "project q has 2 volumes in use, but its volumes and snapshots sum up to 0";
        assert_eq!(left[0].to_string(), said);
    }

    #[actix::test]
    async fn a_repair_counts_the_requests_that_run_meanwhile() {
        let (_, catalog, sample) = sound().await;
        drift(&catalog, "p", 5).await;
        let creates = async {
            for number in 0..200 {
                let mut record = volume("p", &format!("v{number}"), 1);
                record.volume_type_id = sample.volume_type_id;
                let deltas = volume_deltas(1, record.volume_type_id);
                commit(&catalog, |changes| {
                    changes.insert(&record).add_usage(&record.project_id, &deltas)
                })
                .await;
                tokio::task::yield_now().await;
            }
        };
        let (repair, ()) = tokio::join!(repair_usage(&catalog, None), creates);
        repair.unwrap();
        let repair = repair_usage(&catalog, None).await.unwrap();
        assert_eq!(repair.left, []);
        assert_eq!(verify(&catalog).await.unwrap(), []);
    }

    #[actix::test]
    async fn nothing_is_repaired_while_a_record_cannot_be_read() {
        let (store, catalog, record) = sound().await;
        drift(&catalog, "p", 2).await;
        let transaction = Transaction {
            changes: vec![Change::Put(record.key(), b"?".to_vec())],
            ..Transaction::default()
        };
        store.commit(transaction).await.unwrap();
        let repair = repair_usage(&catalog, None).await.unwrap();
        assert_eq!(repair.repaired, []);
        assert!(repair.left.iter().any(Finding::hides_a_sum), "{:?}", repair.left);
    }
}
