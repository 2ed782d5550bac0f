//! Delete a volume (cinder: `volume/api.py` `delete`).
//!
//! What never got a host has nothing on any backend: its record goes at once. Anything else becomes `deleting`, and goes
//! when its backend says that nothing is left of it. Snapshots go with it if that is asked for (`cascade`), in the same
//! operation; else they keep it from going. A forced delete overtakes whatever is being done to the volume.

use std::rc::Rc;

use tracing::info;

use super::ApiActor;
use super::lookup::{Unchanged, until_not_overtaken};
use super::record_changes::remove_volume;
use crate::messages::api::DeleteVolume;
use crate::model::transitions::snapshots::goes_with_its_volume;
use crate::model::transitions::{Verb, decide, not_deletable};
use crate::model::{Context, Operation, OperationKind, Result, Timestamp, Volume, VolumeStatus};

/// What a delete came to.
enum Deleted {
    /// The record is gone.
    AtOnce,
    /// A backend is to be told.
    Begun(Box<Operation>, Box<Volume>),
    /// It was being deleted already; its command is to be sent again.
    GoesOn(Box<Operation>),
}

impl ApiActor {
    /// Serves [`DeleteVolume`].
    pub(super) async fn delete_volume(self: Rc<Self>, context: Context, request: DeleteVolume) -> Result<()> {
        match until_not_overtaken!(self.try_to_delete(&context, &request).await)? {
            Deleted::AtOnce => {}
            Deleted::Begun(operation, volume) => self.begin(&operation, &volume).await,
            Deleted::GoesOn(operation) => self.look_soon(&operation),
        }
        Ok(())
    }

    async fn try_to_delete(&self, context: &Context, request: &DeleteVolume) -> Result<Deleted, Unchanged> {
        let volume = self.find_volume(context, &request.volume_id).await?;
        let attachments = self.attachments_of(volume.id).await?;
        let snapshots = self.snapshots_of(volume.id).await?;
        let mut changes = self.deps.catalog.change();
        // Those of its attachments and snapshots end before its command is sent (`followers`).
        let overtaken = self
            .overtake(&mut changes, volume.operation.into_iter().collect())
            .await?;
        let Some(pool) = volume.host.clone() else {
            // The scheduler, if it is just choosing a host, finds the record changed.
            let attachments = self.shed_attachments(attachments).await?;
            remove_volume(&mut changes, &volume, &attachments);
            changes.commit().await?;
            self.were_overtaken(&overtaken);
            info!(volume = %volume.id, "a volume without a host is gone");
            return Ok(Deleted::AtOnce);
        };
        let status = decide(&volume, &[], Verb::Delete { force: request.force })?;
        let is_delete = |operation: &&Operation| matches!(operation.kind, OperationKind::DeleteVolume { .. });
        if let Some(open) = overtaken.iter().find(is_delete) {
            return Ok(Deleted::GoesOn(Box::new(open.clone())));
        }
        let all_may_go = snapshots
            .iter()
            .all(|snapshot| goes_with_its_volume(snapshot, request.force));
        let may_go_with_them = snapshots.is_empty() || (request.cascade && all_may_go);
        if !may_go_with_them {
            return Err(not_deletable(request.force).into());
        }
        let kind = match status {
            // What could not be adopted is not ours to delete: it is forgotten.
            VolumeStatus::ErrorManagingDeleting => OperationKind::UnmanageVolume,
            _ => OperationKind::DeleteVolume {
                cascade: request.cascade,
                force: request.force,
            },
        };
        let mut operation = self.new_operation(context, kind, &volume, Some(pool));
        // Where to go back to if the backend is busy: not to the middle of what this overtakes.
        operation.previous_status = Some(volume.status).filter(|status| !status.is_transient());
        let mut deleting = volume.record.clone();
        deleting.status = status;
        deleting.previous_status = None;
        deleting.operation = Some(operation.id);
        deleting.updated_at = Some(Timestamp::now());
        changes
            .update_volume(&volume, &deleting)
            .insert_operation(&operation);
        changes.commit().await?;
        self.were_overtaken(&overtaken);
        Ok(Deleted::Begun(Box::new(operation), Box::new(deleting)))
    }

    pub(super) fn were_overtaken(&self, operations: &[Operation]) {
        for operation in operations {
            self.was_overtaken(operation);
        }
    }
}
