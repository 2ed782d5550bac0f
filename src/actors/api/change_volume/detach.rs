//! `os-detach`: the old way of saying that a server or host has the volume no longer.
//!
//! An attachment of the new way holds an export of its own making, so it is deleted the new way. When the last of the old
//! way goes, nobody is connected: the export is taken away behind the reply.

use std::rc::Rc;

use super::Changed;
use crate::actors::api::ApiActor;
use crate::actors::api::lookup::{Unchanged, until_not_overtaken};
use crate::messages::api::DeleteAttachment;
use crate::model::transitions::{Verb, decide, follow_attachments};
use crate::model::{
    Attachment, AttachmentId, Context, Error, OperationKind, Result, Timestamp, Volume, VolumeStatus,
};
use crate::store::catalog::Stored;

enum Detached {
    Done(Box<Changed>),
    /// It has a connection of its own.
    NewWay(AttachmentId),
}

impl ApiActor {
    pub(super) async fn detach(
        self: Rc<Self>,
        context: Context,
        volume_id: &str,
        attachment: Option<AttachmentId>,
    ) -> Result<Volume> {
        match until_not_overtaken!(self.try_to_detach(&context, volume_id, attachment).await)? {
            Detached::Done(changed) => Ok(self.tell_changed(*changed).await),
            Detached::NewWay(id) => {
                let message = DeleteAttachment {
                    attachment_id: id.to_string(),
                };
                Rc::clone(&self)
                    .delete_attachment(context.clone(), message)
                    .await?;
                Ok(self.find_volume(&context, volume_id).await?.record)
            }
        }
    }

    async fn try_to_detach(
        &self,
        context: &Context,
        volume_id: &str,
        wanted: Option<AttachmentId>,
    ) -> Result<Detached, Unchanged> {
        let was = self.find_volume(context, volume_id).await?;
        let stored = self.attachments_of(was.id).await?;
        decide(&was, &[], Verb::Detach)?;
        let leaving = leaving(&stored, wanted)?;
        if let Some(leaving) = leaving
            && leaving.connector.is_some()
        {
            return Ok(Detached::NewWay(leaving.id));
        }
        let mut volume = was.record.clone();
        let others = stored
            .iter()
            .filter(|other| Some(other.id) != leaving.map(|leaving| leaving.id));
        let others: Vec<&Attachment> = others.map(|stored| &stored.record).collect();
        follow_attachments(&mut volume, others.iter().map(|other| other.status));
        volume.admin_metadata.remove("attached_mode");
        let kind = OperationKind::TerminateConnection { connector: None };
        let unused_export = others.is_empty()
            && volume.status == VolumeStatus::Available
            && volume.provider_location.is_some()
            && volume.operation.is_none();
        let begun = unused_export.then(|| self.new_operation(context, kind, &was, was.host.clone()));
        if let Some(operation) = &begun {
            volume.operation = Some(operation.id);
        }
        if volume == was.record && leaving.is_none() {
            return Ok(Detached::Done(Box::new(Changed::only(volume))));
        }
        volume.updated_at = Some(Timestamp::now());
        let mut changes = self.deps.catalog.change();
        changes.update_volume(&was, &volume);
        if let Some(leaving) = leaving {
            changes.delete_attachment(leaving);
        }
        if let Some(operation) = &begun {
            changes.insert_operation(operation);
        }
        changes.commit().await?;
        Ok(Detached::Done(Box::new(Changed {
            volume,
            begun,
            overtaken: Vec::new(),
        })))
    }
}

/// The attachment to go; `None` if there is none (any more), which is a success.
fn leaving(
    attachments: &[Stored<Attachment>],
    wanted: Option<AttachmentId>,
) -> Result<Option<&Stored<Attachment>>> {
    match (wanted, attachments) {
        (Some(id), _) => Ok(attachments.iter().find(|attachment| attachment.id == id)),
        (None, []) => Ok(None),
        (None, [only]) => Ok(Some(only)),
        (None, _) => Err(Error::bad_request(
            "Error detaching volume - InvalidVolume: Invalid volume: Detach volume failed: More than one attachment, \
             but no attachment_id provided.",
        )),
    }
}
