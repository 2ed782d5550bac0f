//! Compare what a backend's storage has with what the catalog says it has: no orphan goes unnoticed, and nothing is shown as
//! available that is not there.
//!
//! A volume that should be there and is not becomes `error`, with a message that says why. It is asked before the backend obeys
//! any command, so nothing comes or goes meanwhile; what an operation is at work on is left to that.

use std::collections::BTreeSet;
use std::rc::Rc;

use tracing::{error, warn};
use uuid::Uuid;

use super::ApiActor;
use super::lookup::{Unchanged, until_not_overtaken};
use super::verdict::Complaint;
use crate::messages::api::{CompareStorage, StorageDifference};
use crate::model::transitions::claims_storage;
use crate::model::user_message::{Action, Detail};
use crate::model::{
    Context, Result, SnapshotId, SnapshotStatus, StorageName, Timestamp, Volume, VolumeId, VolumeStatus,
};

/// How many volumes are read at once.
const BATCH: usize = 256;

impl ApiActor {
    /// Serves [`CompareStorage`].
    pub(super) async fn compare_storage(
        self: Rc<Self>,
        context: Context,
        page: CompareStorage,
    ) -> Result<StorageDifference> {
        let found: BTreeSet<StorageName> = page.found.iter().copied().collect();
        let mut difference = StorageDifference::default();
        let mut expected = BTreeSet::new();
        let mut after = None;
        loop {
            let volumes = self
                .deps
                .catalog
                .backend_volumes(&page.backend, after, BATCH)
                .await;
            let volumes = volumes.map_err(|error| super::lookup::store_failed(&error))?;
            for volume in &volumes {
                let name = StorageName::Volume(volume.id);
                expected.insert(name);
                if is_missing(&page, &found, name) && claims_storage(volume) {
                    let marked: Result<bool> =
                        until_not_overtaken!(self.mark_volume(&context, volume.id).await);
                    if marked? {
                        difference.missing.push(name);
                    }
                }
                for snapshot in self.snapshots_of(volume.id).await? {
                    let name = StorageName::Snapshot(snapshot.id);
                    expected.insert(name);
                    if is_missing(&page, &found, name) && snapshot.claims_storage() {
                        let marked: Result<bool> =
                            until_not_overtaken!(self.mark_snapshot(&context, snapshot.id).await);
                        if marked? {
                            difference.missing.push(name);
                        }
                    }
                }
            }
            match volumes.last() {
                Some(last) if volumes.len() >= BATCH => after = Some(last.id),
                _ => break,
            }
        }
        difference.orphans = found.difference(&expected).copied().collect();
        for name in &difference.missing {
            error!(backend = %page.backend, %name, "not on its storage: marked as an error");
        }
        for name in &difference.orphans {
            warn!(backend = %page.backend, %name, "on the storage, but nobody's");
        }
        Ok(difference)
    }

    /// False if it need not be there any more.
    async fn mark_volume(&self, context: &Context, id: VolumeId) -> Result<bool, Unchanged> {
        let Some(volume) = self.deps.catalog.volume(id).await?.filter(|v| claims_storage(v)) else {
            return Ok(false);
        };
        let mut marked: Volume = volume.record.clone();
        marked.status = VolumeStatus::Error;
        marked.updated_at = Some(Timestamp::now());
        let mut changes = self.deps.catalog.change();
        changes.update_volume(&volume, &marked);
        changes.insert_message(&Self::complaint_about(context, &volume, &missing()));
        changes.commit().await?;
        Ok(true)
    }

    async fn mark_snapshot(&self, context: &Context, id: SnapshotId) -> Result<bool, Unchanged> {
        let Some(snapshot) = self
            .deps
            .catalog
            .snapshot(id)
            .await?
            .filter(|snapshot| snapshot.claims_storage())
        else {
            return Ok(false);
        };
        let mut marked = snapshot.record.clone();
        marked.status = SnapshotStatus::Error;
        marked.updated_at = Some(Timestamp::now());
        let mut changes = self.deps.catalog.change();
        changes.update_snapshot(&snapshot, &marked);
        let about: (&str, Uuid) = ("VOLUME_SNAPSHOT", snapshot.id.0);
        changes.insert_message(&super::report::new_message(
            &snapshot.project_id,
            &context.request_id,
            about,
            &missing(),
        ));
        changes.commit().await?;
        Ok(true)
    }
}

/// Whether the page covers the name, and has it not.
fn is_missing(page: &CompareStorage, found: &BTreeSet<StorageName>, name: StorageName) -> bool {
    let behind = page.after.is_none_or(|after| name > after);
    let before = page.complete || page.found.last().is_some_and(|last| name <= *last);
    behind && before && !found.contains(&name)
}

fn missing() -> Complaint {
    Complaint {
        action: Action::CheckStorage,
        detail: Detail::StorageMissing,
        cause: None,
    }
}
