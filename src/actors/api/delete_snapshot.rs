//! Delete a snapshot, or forget it (cinder: `volume/api.py` `delete_snapshot`). It goes when its backend says that nothing is
//! left of it. A forced delete overtakes whatever is being done to it; going back to it is the one thing it waits for.

use std::rc::Rc;

use super::ApiActor;
use super::lookup::{Unchanged, store_failed, until_not_overtaken};
use super::record_changes::remove_snapshot;
use crate::messages::api::{DeleteSnapshot, UnmanageSnapshot};
use crate::model::transitions::snapshots;
use crate::model::{Context, Error, Operation, OperationKind, Result, SnapshotStatus, Timestamp, Volume};

/// What a delete came to.
enum Deleted {
    /// A backend is to be told.
    Begun(Box<Operation>, Box<Volume>),
    /// It was being deleted already; its command is to be sent again.
    GoesOn(Box<Operation>),
    /// There was nothing behind it any more.
    AtOnce,
}

impl ApiActor {
    /// Serves [`DeleteSnapshot`].
    pub(super) async fn delete_snapshot(
        self: Rc<Self>,
        context: Context,
        request: DeleteSnapshot,
    ) -> Result<()> {
        let DeleteSnapshot { snapshot_id, force } = request;
        self.end_snapshot(&context, &snapshot_id, force, false).await
    }

    /// Serves [`UnmanageSnapshot`].
    pub(super) async fn unmanage_snapshot(
        self: Rc<Self>,
        context: Context,
        request: UnmanageSnapshot,
    ) -> Result<()> {
        self.end_snapshot(&context, &request.snapshot_id, false, true)
            .await
    }

    async fn end_snapshot(&self, context: &Context, id: &str, force: bool, unmanage: bool) -> Result<()> {
        match until_not_overtaken!(self.try_to_end_snapshot(context, id, force, unmanage).await)? {
            Deleted::Begun(operation, volume) => self.begin(&operation, &volume).await,
            Deleted::GoesOn(operation) => self.look_soon(&operation),
            Deleted::AtOnce => {}
        }
        Ok(())
    }

    async fn try_to_end_snapshot(
        &self,
        context: &Context,
        id: &str,
        force: bool,
        unmanage: bool,
    ) -> Result<Deleted, Unchanged> {
        let snapshot = self.find_snapshot(context, id).await?;
        snapshots::delete(&snapshot, force)?;
        let catalog = &self.deps.catalog;
        let volume = catalog
            .volume(snapshot.volume_id)
            .await
            .map_err(|error| store_failed(&error))?
            .ok_or_else(|| Error::internal("a snapshot has a volume"))?;
        let mut changes = catalog.change();
        if let Some(named) = snapshot.operation
            && let Some(open) = catalog.operation(named).await?
        {
            match open.kind {
                OperationKind::DeleteSnapshot { .. } => {
                    return Ok(Deleted::GoesOn(Box::new(open.record)));
                }
                // Its volume's: they end it, whichever way, and what is left can be deleted then.
                OperationKind::RevertToSnapshot { .. } | OperationKind::DeleteVolume { .. } => {
                    return Err(Error::conflict(
                        "Resource conflict: the snapshot's volume is being reverted to it or deleted.",
                    )
                    .into());
                }
                _ => {}
            }
        }
        let overtaken = self
            .overtake(&mut changes, snapshot.operation.into_iter().collect())
            .await?;
        let Some(pool) = volume.host.clone() else {
            remove_snapshot(&mut changes, &snapshot);
            changes.commit().await?;
            self.were_overtaken(&overtaken);
            return Ok(Deleted::AtOnce);
        };
        let snapshot_id = snapshot.id;
        // What could not be adopted is not ours to delete.
        let forget = unmanage || snapshot.status == SnapshotStatus::ErrorManaging;
        let (kind, status) = if forget {
            (
                OperationKind::UnmanageSnapshot { snapshot_id },
                SnapshotStatus::Unmanaging,
            )
        } else {
            (
                OperationKind::DeleteSnapshot { snapshot_id },
                SnapshotStatus::Deleting,
            )
        };
        let operation = self.new_operation(context, kind, &volume, Some(pool));
        let mut ending = snapshot.record.clone();
        ending.status = status;
        ending.operation = Some(operation.id);
        ending.updated_at = Some(Timestamp::now());
        changes
            .update_snapshot(&snapshot, &ending)
            .insert_operation(&operation);
        changes.commit().await?;
        self.were_overtaken(&overtaken);
        Ok(Deleted::Begun(Box::new(operation), Box::new(volume.record)))
    }
}
