//! Compare the contents of a backend's storage with the catalog: orphans are detected, and a volume without storage is not
//! shown as available.
//!
//! What a record names on another backend is no orphan, whatever storage it is found on: the disk of another node may have been put into this
//! one. A storage that has such names and none of its own is refused, before anything is marked.
//!
//! A missing volume becomes `error`, with a user message that says why. The comparison runs before the backend executes any
//! command, so the storage does not change meanwhile; a resource with an open operation is left to that operation.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tracing::{error, warn};
use uuid::Uuid;

use super::ApiActor;
use crate::actors::registry::VOLUME_BINARY;
use crate::control::{Interrupt, retry_on_conflict};
use crate::messages::api::{CompareStorage, ConfirmOrphans, StorageDifference};
use crate::model::transitions::claims_storage;
use crate::model::user_message::{Action, Detail, UserMessage};
use crate::model::{
    BackendName, Context, Error, ProjectId, Result, SnapshotId, SnapshotStatus, StorageName, Timestamp,
    Volume, VolumeId, VolumeStatus,
};
use crate::store::catalog::Stored;
use crate::verbs::UserMessageDraft;
use crate::verbs::record_changes::new_message;

/// A backend that must have nothing may have fewer names of others than this: what a create that was killed here, and went on elsewhere,
/// has left.
const MANY: usize = 3;

impl ApiActor {
    /// Serves [`CompareStorage`]. Reads the records of the page's names, and those whose names are in the page's range: the work
    /// depends on the size of the page only. Names without a record here are sought on each other backend, too.
    ///
    /// # Errors
    /// 409 if the storage is that of another backend: nothing is marked.
    pub(super) async fn compare_storage(
        self: Rc<Self>,
        context: Context,
        page: CompareStorage,
    ) -> Result<StorageDifference> {
        // What another control node has begun must not be taken for an orphan.
        self.catalog.wait_current().await?;
        let page = Page {
            found: page.found.iter().copied().collect(),
            context: &context,
            message: &page,
        };
        let (backend, found) = (&page.message.backend, &page.message.found);
        let Unrecorded { orphans, of_others } = self.unrecorded(backend, found).await?;
        if let Some((name, other)) = of_others.first_key_value()
            && orphans.len() + of_others.len() == page.found.len()
            && (of_others.len() >= MANY || self.misses_a_volume(&page).await?)
        {
            return Err(Error::conflict(format!(
                "The storage has volumes of {other}, such as {name}, and none of {backend}: is it that of another backend?"
            )));
        }
        let mut missing = self.mark_missing_volumes(&page).await?;
        missing.extend(self.mark_missing_snapshots(&page).await?);
        for (name, other) in &of_others {
            error!(%backend, %name, %other, "on the storage, and recorded on that of another backend: left alone");
        }
        for name in &missing {
            error!(%backend, %name, "not on its storage: marked as an error");
        }
        for name in &orphans {
            warn!(%backend, %name, "on the storage, without a record");
        }
        Ok(StorageDifference { orphans, missing })
    }

    /// Whether a volume that must be on the backend's storage is not on the page, of the first that are looked at.
    async fn misses_a_volume(&self, page: &Page<'_>) -> Result<bool> {
        let (backend, size) = (&page.message.backend, self.options.page_size);
        let read = self.catalog.backend_volumes(backend, None, size).await?;
        let is_missed = |volume: &Stored<Volume>| {
            page.misses(StorageName::Volume(volume.storage_id())) && claims_storage(volume)
        };
        Ok(read.records.iter().any(is_missed))
    }

    /// Serves [`ConfirmOrphans`].
    pub(super) async fn confirm_orphans(
        self: Rc<Self>,
        _context: Context,
        request: ConfirmOrphans,
    ) -> Result<Vec<StorageName>> {
        self.catalog.wait_current().await?;
        Ok(self.unrecorded(&request.backend, &request.names).await?.orphans)
    }

    /// The names without a record on this backend. Each name is looked up: the rows of a list may change while it is read.
    async fn unrecorded(&self, backend: &BackendName, names: &[StorageName]) -> Result<Unrecorded> {
        let known = self.catalog.names_on_backend(backend, names).await?;
        let names: BTreeSet<StorageName> = names.iter().copied().collect();
        let mut orphans: Vec<StorageName> = names
            .into_iter()
            .filter(|name| !known.contains_key(name))
            .collect();
        let mut of_others = BTreeMap::new();
        if orphans.is_empty() {
            return Ok(Unrecorded { orphans, of_others });
        }
        for service in self.catalog.services().await? {
            let other = service.host.parse::<BackendName>();
            let Some(other) = other
                .ok()
                .filter(|other| service.binary == VOLUME_BINARY && other != backend)
            else {
                continue;
            };
            let there = self.catalog.names_on_backend(&other, &orphans).await?;
            of_others.extend(there.into_keys().map(|name| (name, other.clone())));
        }
        orphans.retain(|name| !of_others.contains_key(name));
        Ok(Unrecorded { orphans, of_others })
    }

    async fn mark_missing_volumes(&self, page: &Page<'_>) -> Result<Vec<StorageName>> {
        let mut missing = Vec::new();
        let mut after = match page.message.after {
            None => None,
            Some(StorageName::Volume(last)) => Some(last),
            // The previous page ended among the snapshots, which are sorted after all volumes.
            Some(StorageName::Snapshot(_)) => return Ok(missing),
        };
        loop {
            let (backend, size) = (&page.message.backend, self.options.page_size);
            let read = self.catalog.backend_volumes(backend, after, size).await?;
            for volume in &read.records {
                let name = StorageName::Volume(volume.storage_id());
                if page.misses(name) && claims_storage(volume) {
                    let marked: Result<bool> = retry_on_conflict!(self.mark_volume(page, volume.id).await);
                    if marked? {
                        missing.push(name);
                    }
                }
            }
            match read.next {
                Some(next) if page.covers_behind(StorageName::Volume(next)) => after = Some(next),
                _ => return Ok(missing),
            }
        }
    }

    async fn mark_missing_snapshots(&self, page: &Page<'_>) -> Result<Vec<StorageName>> {
        let mut missing = Vec::new();
        let mut after = match page.message.after {
            Some(StorageName::Snapshot(last)) => Some(last),
            _ => None,
        };
        let last_covered = page.message.found.last();
        if !page.message.complete && !matches!(last_covered, Some(StorageName::Snapshot(_))) {
            return Ok(missing);
        }
        loop {
            let read = self
                .catalog
                .snapshots_by_id(after, self.options.page_size)
                .await?;
            let claiming = read.records.iter().filter(|snapshot| snapshot.claims_storage());
            let names = claiming.map(|snapshot| StorageName::Snapshot(snapshot.id));
            let names: Vec<StorageName> = names.filter(|name| page.misses(*name)).collect();
            let here = self
                .catalog
                .names_on_backend(&page.message.backend, &names)
                .await?;
            for name in here.into_keys() {
                if let StorageName::Snapshot(id) = name {
                    let marked: Result<bool> = retry_on_conflict!(self.mark_snapshot(page, id).await);
                    if marked? {
                        missing.push(name);
                    }
                }
            }
            match read.next {
                Some(next) if page.covers_behind(StorageName::Snapshot(next)) => after = Some(next),
                _ => return Ok(missing),
            }
        }
    }

    /// False if it is no longer expected.
    async fn mark_volume(&self, page: &Page<'_>, id: VolumeId) -> Result<bool, Interrupt> {
        let volume = self.catalog.volume(id).await?;
        let is_expected =
            |volume: &Stored<Volume>| claims_storage(volume) && volume.is_on(&page.message.backend);
        let Some(volume) = volume.filter(is_expected) else {
            return Ok(false);
        };
        let mut marked = volume.record.clone();
        marked.status = VolumeStatus::Error;
        marked.updated_at = Some(Timestamp::now());
        let mut changes = self.catalog.change();
        changes.update(&volume, &marked);
        changes.insert(&page.message_about(&volume.project_id, ("VOLUME", id.0)));
        changes.commit().await?;
        Ok(true)
    }

    async fn mark_snapshot(&self, page: &Page<'_>, id: SnapshotId) -> Result<bool, Interrupt> {
        let snapshot = self.catalog.snapshot(id).await?;
        let Some(snapshot) = snapshot.filter(|snapshot| snapshot.claims_storage()) else {
            return Ok(false);
        };
        let origin = self.catalog.volume(snapshot.volume_id).await?;
        if !origin.is_some_and(|origin| origin.is_on(&page.message.backend)) {
            return Ok(false);
        }
        let mut marked = snapshot.record.clone();
        marked.status = SnapshotStatus::Error;
        marked.updated_at = Some(Timestamp::now());
        let mut changes = self.catalog.change();
        changes.update(&snapshot, &marked);
        changes.insert(&page.message_about(&snapshot.project_id, ("VOLUME_SNAPSHOT", id.0)));
        changes.commit().await?;
        Ok(true)
    }
}

/// Names on a storage without a record on its backend.
struct Unrecorded {
    /// In the order of their names.
    orphans: Vec<StorageName>,
    /// Those with a record on another backend.
    of_others: BTreeMap<StorageName, BackendName>,
}

/// A page of names, and the request that it came with.
struct Page<'a> {
    context: &'a Context,
    message: &'a CompareStorage,
    found: BTreeSet<StorageName>,
}

impl Page<'_> {
    /// Whether the page's range contains the name, and the page does not.
    fn misses(&self, name: StorageName) -> bool {
        let behind = self.message.after.is_none_or(|after| name > after);
        let before = self.message.complete || self.message.found.last().is_some_and(|last| name <= *last);
        behind && before && !self.found.contains(&name)
    }

    /// Whether the page's range contains any name after this one.
    fn covers_behind(&self, name: StorageName) -> bool {
        self.message.complete || self.message.found.last().is_some_and(|last| name < *last)
    }

    fn message_about(&self, project: &ProjectId, about: (&str, Uuid)) -> UserMessage {
        let missing = UserMessageDraft {
            action: Action::CheckStorage,
            detail: Detail::StorageMissing,
            cause: None,
        };
        new_message(project, &self.context.request_id, about, &missing)
    }
}
