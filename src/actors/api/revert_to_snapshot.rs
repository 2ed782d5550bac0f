//! Make a volume what it was at its latest snapshot (cinder: `api/v3/volumes.py` `revert`, `volume/api.py`
//! `revert_to_snapshot`). Both records change in one commit: Cinder leaves a volume `reverting` whose snapshot was not available.

use std::rc::Rc;

use super::ApiActor;
use super::lookup::{Unchanged, until_not_overtaken};
use crate::messages::api::RevertToSnapshot;
use crate::model::transitions::snapshots;
use crate::model::{
    Context, Operation, OperationKind, Result, SnapshotStatus, Timestamp, Volume, VolumeStatus,
};

impl ApiActor {
    /// Serves [`RevertToSnapshot`].
    pub(super) async fn revert_to_snapshot(
        self: Rc<Self>,
        context: Context,
        request: RevertToSnapshot,
    ) -> Result<()> {
        let (operation, volume) = until_not_overtaken!(self.try_to_revert(&context, &request).await)?;
        self.begin(&operation, &volume).await;
        Ok(())
    }

    async fn try_to_revert(
        &self,
        context: &Context,
        request: &RevertToSnapshot,
    ) -> Result<(Operation, Volume), Unchanged> {
        let volume = self.settled_volume(context, &request.volume_id).await?;
        let latest = self.deps.catalog.latest_snapshot(volume.id).await?;
        let latest = snapshots::is_latest(&volume, latest, request.snapshot_id.as_deref())?;
        snapshots::revert(&volume, &latest)?;
        let kind = OperationKind::RevertToSnapshot {
            snapshot_id: latest.id,
            size: latest.volume_size,
        };
        let operation = self.new_operation(context, kind, &volume, volume.host.clone());
        let now = Some(Timestamp::now());
        let mut reverting = volume.record.clone();
        reverting.previous_status = Some(volume.status);
        reverting.status = VolumeStatus::Reverting;
        reverting.operation = Some(operation.id);
        reverting.updated_at = now;
        let mut restoring = latest.record.clone();
        restoring.status = SnapshotStatus::Restoring;
        restoring.operation = Some(operation.id);
        restoring.updated_at = now;
        let mut changes = self.deps.catalog.change();
        changes
            .update_volume(&volume, &reverting)
            .update_snapshot(&latest, &restoring)
            .insert_operation(&operation);
        changes.commit().await?;
        Ok((operation, reverting))
    }
}
