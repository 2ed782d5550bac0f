//! Forget a volume without touching its storage (cinder: `volume/api.py`, `delete` with `unmanage_only`). Its backend is told,
//! so that it counts the volume no longer and does not bring it back.

use std::rc::Rc;

use super::ApiActor;
use super::lookup::{Unchanged, until_not_overtaken};
use super::record_changes::remove_volume;
use crate::messages::api::UnmanageVolume;
use crate::model::transitions::{Verb, decide, not_deletable};
use crate::model::{Context, Error, Operation, OperationKind, Result, Timestamp, Volume};

impl ApiActor {
    /// Serves [`UnmanageVolume`].
    pub(super) async fn unmanage_volume(
        self: Rc<Self>,
        context: Context,
        request: UnmanageVolume,
    ) -> Result<()> {
        let begun: Option<(Operation, Volume)> =
            until_not_overtaken!(self.try_to_unmanage(&context, &request).await)?;
        if let Some((operation, volume)) = begun {
            self.begin(&operation, &volume).await;
        }
        Ok(())
    }

    /// `None` if no backend has anything of it.
    async fn try_to_unmanage(
        &self,
        context: &Context,
        request: &UnmanageVolume,
    ) -> Result<Option<(Operation, Volume)>, Unchanged> {
        let volume = self.settled_volume(context, &request.volume_id).await?;
        if volume.encryption_key_id.is_some() {
            return Err(Error::bad_request("Unmanaging encrypted volumes is not supported.").into());
        }
        let status = decide(&volume, &[], Verb::Unmanage)?;
        if !self.snapshots_of(volume.id).await?.is_empty() {
            return Err(not_deletable(false).into());
        }
        let attachments = self.attachments_of(volume.id).await?;
        let mut changes = self.deps.catalog.change();
        let Some(pool) = volume.host.clone() else {
            let attachments = self.shed_attachments(attachments).await?;
            remove_volume(&mut changes, &volume, &attachments);
            changes.commit().await?;
            return Ok(None);
        };
        let operation = self.new_operation(context, OperationKind::UnmanageVolume, &volume, Some(pool));
        let mut unmanaging = volume.record.clone();
        unmanaging.status = status;
        unmanaging.previous_status = None;
        unmanaging.operation = Some(operation.id);
        unmanaging.updated_at = Some(Timestamp::now());
        changes
            .update_volume(&volume, &unmanaging)
            .insert_operation(&operation);
        changes.commit().await?;
        Ok(Some((operation, unmanaging)))
    }
}
