//! At the start of a process: what the storage has is compared with what the catalog says, before any command runs.
//!
//! Orphans are reported (and deleted only if the configuration says so); what is missing is marked by the Api actor. A storage
//! that has none of many volumes is more likely the wrong one, or not mounted: then nothing is marked, and the backend stays
//! down until its storage is there.

use std::time::Duration;

use super::VolumeManager;
use super::asking::ask_again;
use crate::backend::LockSet;
use crate::backend::workers::Maintenance;
use crate::drivers::DriverError;
use crate::messages::api::{CompareStorage, ConfirmOrphans, StorageDifference};
use crate::model::{Context, StorageName, VolumeId};
use crate::transport::CallError;

/// With fewer volumes than this, an empty storage is taken for the right one.
const FEW: usize = 3;

/// How long a question to the Api actor may take.
const ASK: Duration = Duration::from_secs(60);

/// Compares, once in the life of this process.
///
/// # Errors
/// Why the storage must be the wrong one.
pub(super) async fn compare(manager: &VolumeManager, context: &Context) -> Result<(), String> {
    let state = &manager.state;
    if state.difference().is_some() || !state.driver.get().remembers() {
        return Ok(());
    }
    let listed = state
        .drive(
            LockSet::maintenance(Maintenance::ListExisting),
            state.options.command_timeout,
            |driver, work| driver.list_existing(work),
        )
        .await;
    let existing = match listed {
        Ok(existing) => existing,
        Err(Some(error)) => return Err(format!("the storage does not say what it has: {error}")),
        Err(None) => return Ok(()),
    };
    let mut found: Vec<StorageName> = existing
        .iter()
        .filter_map(|found| StorageName::parse(&found.name))
        .collect();
    found.sort_unstable();
    let expected = state.inventory().expected();
    if found.is_empty() && expected >= FEW && state.options.expect_storage {
        return Err(format!(
            "none of the {expected} volumes of this backend is on its storage: is it the right one, and mounted? \
             (expect_storage = false lets it serve all the same)"
        ));
    }
    if let Some(difference) = ask(manager, context, &found).await {
        if !difference.orphans.is_empty() {
            tracing::warn!(
                backend = %state.backend,
                count = difference.orphans.len(),
                orphans = ?difference.orphans,
                "the storage has what nobody has a record of"
            );
        }
        if state.options.delete_orphans {
            for orphan in &difference.orphans {
                if is_still_an_orphan(manager, context, *orphan).await {
                    delete(manager, *orphan).await;
                }
            }
        }
        state.set_difference(difference);
    }
    Ok(())
}

/// Asks until it is answered; `None` if the control node is too old to be asked.
async fn ask(manager: &VolumeManager, context: &Context, found: &[StorageName]) -> Option<StorageDifference> {
    let mut difference = StorageDifference::default();
    let size = usize::try_from(manager.state.options.page_size).map_or(1, |size| size.max(1));
    let mut pages: Vec<&[StorageName]> = found.chunks(size).collect();
    if pages.is_empty() {
        pages.push(&[]);
    }
    let mut index = 0;
    let mut backoff = ask_again();
    while let Some(page) = pages.get(index) {
        let question = CompareStorage {
            backend: manager.state.backend.clone(),
            after: index
                .checked_sub(1)
                .and_then(|before| pages[before].last().copied()),
            found: page.to_vec(),
            complete: index + 1 == pages.len(),
        };
        match manager.api.call(context, question, ASK).await {
            Ok(answer) => {
                difference.orphans.extend(answer.orphans);
                difference.missing.extend(answer.missing);
                index += 1;
            }
            Err(CallError::UnsupportedVersion { .. }) => return None,
            Err(error) => {
                tracing::info!(backend = %manager.state.backend, %error, "waiting for a control node");
                backoff.pause().await;
            }
        }
    }
    Some(difference)
}

/// Asks once more, right before it is deleted, whether this name has no record: a delete cannot be taken back.
async fn is_still_an_orphan(manager: &VolumeManager, context: &Context, orphan: StorageName) -> bool {
    let question = ConfirmOrphans {
        backend: manager.state.backend.clone(),
        names: vec![orphan],
    };
    match manager.api.call(context, question, ASK).await {
        Ok(confirmed) if confirmed == [orphan] => true,
        Ok(_) => {
            tracing::warn!(backend = %manager.state.backend, %orphan, "not deleted: it has a record now");
            false
        }
        Err(error) => {
            tracing::warn!(backend = %manager.state.backend, %orphan, %error, "an orphan stays: nobody confirms that it is one");
            false
        }
    }
}

/// Deletes what has no record, because the configuration says so.
async fn delete(manager: &VolumeManager, orphan: StorageName) {
    let state = &manager.state;
    let limit = state.options.command_timeout;
    let (id, locks) = match orphan {
        StorageName::Volume(id) => (id, LockSet::volume(id)),
        // Its volume is not known any more; drivers find a snapshot by its own name.
        StorageName::Snapshot(id) => (VolumeId::new(), LockSet::snapshot(id)),
    };
    let volume = state.spec_without_record(id);
    let deleted: Result<(), Option<DriverError>> = state
        .drive(locks.moving_data(true), limit, move |driver, work| {
            driver.delete_storage(work, &volume, orphan)
        })
        .await;
    match deleted {
        Ok(()) => tracing::warn!(backend = %state.backend, %orphan, "an orphan was deleted"),
        Err(Some(error)) => tracing::error!(backend = %state.backend, %orphan, %error, "an orphan stays"),
        Err(None) => {}
    }
}
