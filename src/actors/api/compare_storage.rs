//! Compare the contents of a backend's storage with the catalog: orphans are detected, and a volume without storage is not
//! shown as available.
//!
//! A missing volume becomes `error`, with a user message that says why. The comparison runs before the backend executes any
//! command, so the storage does not change meanwhile; a resource with an open operation is left to that operation.

use std::collections::BTreeSet;
use std::rc::Rc;

use tracing::{error, warn};
use uuid::Uuid;

use super::ApiActor;
use crate::control::{Interrupt, retry_on_conflict};
use crate::messages::api::{CompareStorage, ConfirmOrphans, StorageDifference};
use crate::model::transitions::claims_storage;
use crate::model::user_message::{Action, Detail};
use crate::model::{
    BackendName, Context, Result, SnapshotId, SnapshotStatus, StorageName, Timestamp, Volume, VolumeId,
    VolumeStatus,
};
use crate::verbs::UserMessageDraft;
use crate::verbs::record_changes::new_message;

impl ApiActor {
    /// Serves [`CompareStorage`]. Reads the records of the page's names, and those whose names are in the page's range: the work
    /// depends on the size of the page only.
    pub(super) async fn compare_storage(
        self: Rc<Self>,
        context: Context,
        page: CompareStorage,
    ) -> Result<StorageDifference> {
        let found: BTreeSet<StorageName> = page.found.iter().copied().collect();
        let mut difference = StorageDifference::default();
        self.mark_missing_volumes(&context, &page, &found, &mut difference)
            .await?;
        self.mark_missing_snapshots(&context, &page, &found, &mut difference)
            .await?;
        difference.orphans = self.orphans(&page.backend, &page.found).await?;
        for name in &difference.missing {
            error!(backend = %page.backend, %name, "not on its storage: marked as an error");
        }
        for name in &difference.orphans {
            warn!(backend = %page.backend, %name, "on the storage, without a record");
        }
        Ok(difference)
    }

    /// Serves [`ConfirmOrphans`].
    pub(super) async fn confirm_orphans(
        self: Rc<Self>,
        _context: Context,
        request: ConfirmOrphans,
    ) -> Result<Vec<StorageName>> {
        self.orphans(&request.backend, &request.names).await
    }

    /// The names without a record on this backend. Each name is looked up: the rows of a list may change while it is read.
    async fn orphans(&self, backend: &BackendName, names: &[StorageName]) -> Result<Vec<StorageName>> {
        let known = self.catalog.names_on_backend(backend, names).await?;
        let names: BTreeSet<StorageName> = names.iter().copied().collect();
        Ok(names
            .into_iter()
            .filter(|name| !known.contains_key(name))
            .collect())
    }

    async fn mark_missing_volumes(
        &self,
        context: &Context,
        page: &CompareStorage,
        found: &BTreeSet<StorageName>,
        difference: &mut StorageDifference,
    ) -> Result<()> {
        let mut after = match page.after {
            None => None,
            Some(StorageName::Volume(last)) => Some(last),
            // The previous page ended among the snapshots, which are sorted after all volumes.
            Some(StorageName::Snapshot(_)) => return Ok(()),
        };
        loop {
            let read = self
                .catalog
                .backend_volumes(&page.backend, after, self.options.page_size)
                .await?;
            for volume in &read.records {
                let name = StorageName::Volume(volume.storage_id());
                if is_missing(page, found, name) && claims_storage(volume) {
                    let marked: Result<bool> =
                        retry_on_conflict!(self.mark_volume(context, &page.backend, volume.id).await);
                    if marked? {
                        difference.missing.push(name);
                    }
                }
            }
            match read.next {
                Some(next) if covers_behind(page, StorageName::Volume(next)) => after = Some(next),
                _ => return Ok(()),
            }
        }
    }

    async fn mark_missing_snapshots(
        &self,
        context: &Context,
        page: &CompareStorage,
        found: &BTreeSet<StorageName>,
        difference: &mut StorageDifference,
    ) -> Result<()> {
        let mut after = match page.after {
            Some(StorageName::Snapshot(last)) => Some(last),
            _ => None,
        };
        let last_covered = page.found.last().copied();
        if !page.complete && !matches!(last_covered, Some(StorageName::Snapshot(_))) {
            return Ok(());
        }
        loop {
            let read = self
                .catalog
                .snapshots_by_id(after, self.options.page_size)
                .await?;
            let missing = read.records.iter().filter(|snapshot| {
                is_missing(page, found, StorageName::Snapshot(snapshot.id)) && snapshot.claims_storage()
            });
            let missing: Vec<StorageName> = missing
                .map(|snapshot| StorageName::Snapshot(snapshot.id))
                .collect();
            let here = self.catalog.names_on_backend(&page.backend, &missing).await?;
            for name in here.into_keys() {
                if let StorageName::Snapshot(id) = name {
                    let marked: Result<bool> =
                        retry_on_conflict!(self.mark_snapshot(context, &page.backend, id).await);
                    if marked? {
                        difference.missing.push(name);
                    }
                }
            }
            match read.next {
                Some(next) if covers_behind(page, StorageName::Snapshot(next)) => after = Some(next),
                _ => return Ok(()),
            }
        }
    }

    /// False if it is no longer expected.
    async fn mark_volume(
        &self,
        context: &Context,
        backend: &BackendName,
        id: VolumeId,
    ) -> Result<bool, Interrupt> {
        let volume = self.catalog.volume(id).await?;
        let Some(volume) = volume.filter(|volume| claims_storage(volume) && volume.is_on(backend)) else {
            return Ok(false);
        };
        let mut marked: Volume = volume.record.clone();
        marked.status = VolumeStatus::Error;
        marked.updated_at = Some(Timestamp::now());
        let mut changes = self.catalog.change();
        changes.update(&volume, &marked);
        let about = ("VOLUME", volume.id.0);
        changes.insert(&new_message(
            &volume.project_id,
            &context.request_id,
            about,
            &missing(),
        ));
        changes.commit().await?;
        Ok(true)
    }

    async fn mark_snapshot(
        &self,
        context: &Context,
        backend: &BackendName,
        id: SnapshotId,
    ) -> Result<bool, Interrupt> {
        let Some(snapshot) = self
            .catalog
            .snapshot(id)
            .await?
            .filter(|snapshot| snapshot.claims_storage())
        else {
            return Ok(false);
        };
        let origin = self.catalog.volume(snapshot.volume_id).await?;
        if !origin.is_some_and(|origin| origin.is_on(backend)) {
            return Ok(false);
        }
        let mut marked = snapshot.record.clone();
        marked.status = SnapshotStatus::Error;
        marked.updated_at = Some(Timestamp::now());
        let mut changes = self.catalog.change();
        changes.update(&snapshot, &marked);
        let about: (&str, Uuid) = ("VOLUME_SNAPSHOT", snapshot.id.0);
        changes.insert(&new_message(
            &snapshot.project_id,
            &context.request_id,
            about,
            &missing(),
        ));
        changes.commit().await?;
        Ok(true)
    }
}

/// Whether the page's range contains the name, and the page does not.
fn is_missing(page: &CompareStorage, found: &BTreeSet<StorageName>, name: StorageName) -> bool {
    let behind = page.after.is_none_or(|after| name > after);
    let before = page.complete || page.found.last().is_some_and(|last| name <= *last);
    behind && before && !found.contains(&name)
}

/// Whether the page's range contains any name after this one.
fn covers_behind(page: &CompareStorage, name: StorageName) -> bool {
    page.complete || page.found.last().is_some_and(|last| name < *last)
}

fn missing() -> UserMessageDraft {
    UserMessageDraft {
        action: Action::CheckStorage,
        detail: Detail::StorageMissing,
        cause: None,
    }
}
