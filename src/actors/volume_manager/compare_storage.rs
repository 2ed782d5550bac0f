//! At the start of a process, the storage is compared with the catalog, before any command runs.
//!
//! Orphans are reported (and deleted only if the configuration says so); missing volumes are marked by the Api actor. A
//! storage that has none of many volumes is more likely the wrong one, or not mounted, and one that has those of another backend is its
//! disk: then nothing is marked or deleted, and the backend stays down until its storage is present.

use std::time::Duration;

use super::VolumeManager;
use super::asking::ask_again;
use crate::backend::LockSet;
use crate::backend::workers::Maintenance;
use crate::drivers::{DriverError, VolumeDriver, Work};
use crate::messages::api::{CompareStorage, ConfirmOrphans, StorageDifference};
use crate::model::{Context, ErrorKind, StorageName, VolumeId};
use crate::transport::CallError;

/// With fewer expected volumes than this, an empty storage is accepted.
const FEW: usize = 3;

/// The time limit of a request to the Api actor.
const ASK: Duration = Duration::from_secs(60);

/// Compares, once per process.
///
/// # Errors
/// The reason why the storage is rejected.
pub(super) async fn compare(manager: &VolumeManager, context: &Context) -> Result<(), String> {
    let state = &manager.state;
    if state.difference().is_some() || !state.driver.get().remembers() {
        return Ok(());
    }
    let limit = state.options.command_timeout;
    let listing = |driver: &dyn VolumeDriver, work: &Work| driver.list_existing(work);
    let existing = match state.drive(Maintenance::ListExisting, limit, listing).await {
        Ok(existing) => existing,
        Err(Some(error)) => return Err(format!("the storage cannot be listed: {error}")),
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
             (expect_storage = false lets the backend start anyway)"
        ));
    }
    if let Some(difference) = ask(manager, context, &found).await? {
        if !difference.orphans.is_empty() {
            tracing::warn!(
                backend = %state.backend,
                count = difference.orphans.len(),
                orphans = ?difference.orphans,
                "the storage has volumes or snapshots without a record"
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

/// Sends the request until it is answered; `None` if the control node is too old to support it.
///
/// # Errors
/// Why the Api actor rejects the storage.
async fn ask(
    manager: &VolumeManager,
    context: &Context,
    found: &[StorageName],
) -> Result<Option<StorageDifference>, String> {
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
            Err(CallError::UnsupportedVersion { .. }) => return Ok(None),
            Err(CallError::Refused(error)) if error.kind == ErrorKind::Conflict => return Err(error.client),
            Err(error) => {
                tracing::info!(backend = %manager.state.backend, %error, "waiting for a control node");
                backoff.pause().await;
            }
        }
    }
    Ok(Some(difference))
}

/// Checks again, right before the deletion, that this name has no record: a deletion cannot be reverted.
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
            tracing::warn!(backend = %manager.state.backend, %orphan, %error, "an orphan is kept: no control node confirms that it is one");
            false
        }
    }
}

/// Deletes an orphan, if configured.
async fn delete(manager: &VolumeManager, orphan: StorageName) {
    let state = &manager.state;
    let limit = state.options.command_timeout;
    let (id, locks) = match orphan {
        StorageName::Volume(id) => (id, LockSet::volume(id)),
        // Its volume is unknown; drivers find a snapshot by its own name.
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
        Err(Some(error)) => {
            tracing::error!(backend = %state.backend, %orphan, %error, "an orphan could not be deleted")
        }
        Err(None) => {}
    }
}
