//! Disconnect (cinder: `volume/api.py` `attachment_delete`).
//!
//! What was never connected goes at once. Else the backend lets the initiator in no longer, and takes the export away with
//! the last one; only then is the attachment gone, and the volume follows those that are left.

use std::rc::Rc;

use super::commands::holds_the_export;
use super::lookup::{Unchanged, until_not_overtaken};
use super::waiters::Listener;
use super::{ApiActor, old_connectors};
use crate::messages::api::DeleteAttachment;
use crate::model::transitions::follow_attachments;
use crate::model::{Attachment, Context, Operation, OperationKind, Result, Timestamp, Volume, VolumeId};
use crate::store::catalog::Stored;

enum Leaving {
    AtOnce(VolumeId),
    Begun(Box<Begun>),
    /// It is being deleted already.
    Joined(VolumeId, Listener),
}

struct Begun {
    operation: Operation,
    volume: Volume,
    overtaken: Option<Operation>,
    listener: Listener,
}

impl ApiActor {
    /// Serves [`DeleteAttachment`]: waits for the backend; the reply is the volume's other attachments.
    pub(super) async fn delete_attachment(
        self: Rc<Self>,
        context: Context,
        request: DeleteAttachment,
    ) -> Result<Vec<Attachment>> {
        let _seat = self.waiters.seat(self.options.max_waiting)?;
        let volume_id = match until_not_overtaken!(self.try_to_disconnect(&context, &request).await)? {
            Leaving::AtOnce(volume_id) => volume_id,
            Leaving::Begun(begun) => {
                if let Some(overtaken) = &begun.overtaken {
                    self.was_overtaken(overtaken);
                }
                self.begin(&begun.operation, &begun.volume).await;
                begun.listener.end(self.options.wait_limit).await?;
                begun.volume.id
            }
            Leaving::Joined(volume_id, listener) => {
                listener.end(self.options.wait_limit).await?;
                volume_id
            }
        };
        let left = self.attachments_of(volume_id).await?;
        Ok(left.into_iter().map(|stored| stored.record).collect())
    }

    async fn try_to_disconnect(
        &self,
        context: &Context,
        request: &DeleteAttachment,
    ) -> Result<Leaving, Unchanged> {
        let attachment = self.find_attachment(context, &request.attachment_id).await?;
        let listener = attachment.operation.map(|id| (id, self.waiters.listen(id)));
        let open = match &listener {
            Some((id, _)) => self.deps.catalog.operation(*id).await?,
            None => None,
        };
        if let (Some(open), Some((_, listener))) = (&open, listener)
            && matches!(open.kind, OperationKind::DeleteAttachment { .. })
        {
            return Ok(Leaving::Joined(attachment.volume_id, listener));
        }
        let was = self
            .find_volume(context, &attachment.volume_id.to_string())
            .await?;
        let others = self.plain_attachments(&was).await?;
        let others: Vec<&Attachment> = others.iter().filter(|other| other.id != attachment.id).collect();
        match was.host.clone().filter(|_| attachment.connector.is_some()) {
            Some(_) => {
                self.begin_to_disconnect(context, &was, &attachment, &others, open)
                    .await
            }
            None => self.remove_unconnected(&was, &attachment, &others).await,
        }
    }

    async fn remove_unconnected(
        &self,
        was: &Stored<Volume>,
        attachment: &Stored<Attachment>,
        others: &[&Attachment],
    ) -> Result<Leaving, Unchanged> {
        let mut volume = was.record.clone();
        follow_attachments(&mut volume, others.iter().map(|other| other.status));
        volume.admin_metadata.remove("attached_mode");
        volume.updated_at = Some(Timestamp::now());
        let mut changes = self.deps.catalog.change();
        changes.update_volume(was, &volume).delete_attachment(attachment);
        changes.commit().await?;
        Ok(Leaving::AtOnce(was.id))
    }

    async fn begin_to_disconnect(
        &self,
        context: &Context,
        was: &Stored<Volume>,
        attachment: &Stored<Attachment>,
        others: &[&Attachment],
        open: Option<Stored<Operation>>,
    ) -> Result<Leaving, Unchanged> {
        let kind = OperationKind::DeleteAttachment {
            attachment_id: attachment.id,
        };
        let operation = self.new_operation(context, kind, was, was.host.clone());
        let now = Timestamp::now();
        let mut leaving = attachment.record.clone();
        leaving.operation = Some(operation.id);
        leaving.updated_at = Some(now);
        let mut volume = was.record.clone();
        let mut stays = !old_connectors::list(was).is_empty();
        for other in others {
            stays |= holds_the_export(other) && !self.is_leaving(other).await?;
        }
        if !stays && volume.operation.is_none() {
            // It takes the export with it: nobody connects until it has ended.
            volume.operation = Some(operation.id);
        }
        volume.updated_at = Some(now);
        let listener = self.waiters.listen(operation.id);
        let mut changes = self.deps.catalog.change();
        changes
            .update_volume(was, &volume)
            .update_attachment(attachment, &leaving)
            .insert_operation(&operation);
        if let Some(open) = &open {
            changes.end_operation(open);
        }
        if let Err(error) = changes.commit().await {
            drop(listener);
            self.waiters.sweep(operation.id);
            return Err(error.into());
        }
        let overtaken = open.map(|open| open.record);
        Ok(Leaving::Begun(Box::new(Begun {
            operation,
            volume,
            overtaken,
            listener,
        })))
    }

    async fn is_leaving(&self, attachment: &Attachment) -> Result<bool, Unchanged> {
        let Some(id) = attachment.operation else {
            return Ok(false);
        };
        let open = self.deps.catalog.operation(id).await?;
        Ok(open.is_some_and(|open| matches!(open.kind, OperationKind::DeleteAttachment { .. })))
    }
}
