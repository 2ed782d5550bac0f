//! Delete a volume (cinder: `volume/api.py` `delete`).
//!
//! What never got a host has nothing on any backend: its record goes at once. Anything else becomes `deleting`, and goes
//! when its backend says that nothing is left of it. A forced delete overtakes whatever is being done to the volume.

use std::rc::Rc;

use tracing::info;

use super::ApiActor;
use super::lookup::{Unchanged, until_not_overtaken};
use crate::messages::api::DeleteVolume;
use crate::model::transitions::{Verb, decide};
use crate::model::{Attachment, Context, Operation, OperationKind, Result, Timestamp, Volume};
use crate::store::catalog::Stored;

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
        let open = match volume.operation {
            Some(id) => self.deps.catalog.operation(id).await?,
            None => None,
        };
        let Some(pool) = volume.host.clone() else {
            self.remove_at_once(&volume, open.as_ref()).await?;
            return Ok(Deleted::AtOnce);
        };
        let stored = self.attachments_of(volume.id).await?;
        let attachments: Vec<Attachment> = stored.into_iter().map(|stored| stored.record).collect();
        let status = decide(&volume, &attachments, Verb::Delete { force: request.force })?;
        if let Some(open) = &open
            && matches!(open.kind, OperationKind::DeleteVolume { .. })
        {
            return Ok(Deleted::GoesOn(Box::new(open.record.clone())));
        }
        let kind = OperationKind::DeleteVolume {
            cascade: request.cascade,
            force: request.force,
        };
        let mut operation = self.new_operation(context, kind, &volume, Some(pool));
        // Where to go back to if the backend is busy: not to the middle of what this overtakes.
        operation.previous_status = Some(volume.status).filter(|status| !status.is_transient());
        let mut deleting = volume.record.clone();
        deleting.status = status;
        deleting.previous_status = None;
        deleting.operation = Some(operation.id);
        deleting.updated_at = Some(Timestamp::now());
        let mut changes = self.deps.catalog.change();
        changes
            .update_volume(&volume, &deleting)
            .insert_operation(&operation);
        if let Some(open) = &open {
            changes.end_operation(open);
        }
        changes.commit().await?;
        if let Some(open) = &open {
            self.was_overtaken(open);
        }
        Ok(Deleted::Begun(Box::new(operation), Box::new(deleting)))
    }

    /// Whatever was open ends with it; the scheduler, if it is just choosing a host, finds the record changed.
    async fn remove_at_once(
        &self,
        volume: &Stored<Volume>,
        open: Option<&Stored<Operation>>,
    ) -> Result<(), Unchanged> {
        let attachments = self.attachments_of(volume.id).await?;
        let mut changes = self.deps.catalog.change();
        self.remove_volume(&mut changes, volume, &attachments).await?;
        if let Some(open) = open {
            changes.end_operation(open);
        }
        changes.commit().await?;
        if let Some(open) = open {
            self.was_overtaken(open);
        }
        info!(volume = %volume.id, "a volume without a host is gone");
        Ok(())
    }
}
