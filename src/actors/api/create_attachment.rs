//! Reserve a volume for a server, and connect at once if a connector is given (cinder: `volume/api.py`
//! `attachment_create`).

use std::rc::Rc;

use super::ApiActor;
use super::commands::is_readonly;
use super::lookup::{Unchanged, until_not_overtaken};
use crate::messages::api::{CreateAttachment, UpdateAttachment};
use crate::model::transitions::{Verb, decide, must_have_storage};
use crate::model::{
    AttachMode, AttachStatus, Attachment, AttachmentId, AttachmentStatus, Context, Error, ErrorKind, Result,
    Timestamp, VolumeStatus,
};

impl ApiActor {
    /// Serves [`CreateAttachment`]: waits for the backend if there is a connector.
    pub(super) async fn create_attachment(
        self: Rc<Self>,
        context: Context,
        request: CreateAttachment,
    ) -> Result<Attachment> {
        let attachment = until_not_overtaken!(self.try_to_reserve(&context, &request).await)?;
        let Some(connector) = request.connector else {
            return Ok(attachment);
        };
        let message = UpdateAttachment {
            attachment_id: attachment.id.to_string(),
            connector,
        };
        let connected = Rc::clone(&self).update_attachment(context, message).await;
        connected.map_err(|error| match error.kind {
            ErrorKind::Backend => {
                Error::backend("Unable to create attachment for volume.").with_operator(error.for_operator())
            }
            _ => error,
        })
    }

    async fn try_to_reserve(
        &self,
        context: &Context,
        request: &CreateAttachment,
    ) -> Result<Attachment, Unchanged> {
        let was = self.find_volume(context, &request.volume_id).await?;
        let attachments = self.plain_attachments(&was).await?;
        let verb = Verb::CreateAttachment {
            instance_uuid: request.instance_uuid,
        };
        let status = decide(&was, &attachments, verb)?;
        if let Some(connector) = &request.connector {
            must_have_storage(&was)?;
            let mode = request
                .mode
                .or_else(|| connector.text("mode").and_then(|mode| mode.parse().ok()));
            if is_readonly(&was) && mode == Some(AttachMode::Rw) {
                return Err(readonly(was.id, AttachMode::Rw).into());
            }
        } else if is_readonly(&was) && request.mode == Some(AttachMode::Rw) {
            return Err(readonly(was.id, AttachMode::Rw).into());
        }
        let mut volume = was.record.clone();
        volume.status = status;
        if status == VolumeStatus::Reserved && volume.attach_status == AttachStatus::Detached {
            volume.attach_status = AttachStatus::Reserved;
        }
        let now = Timestamp::now();
        volume.updated_at = Some(now);
        let attachment = Attachment {
            id: AttachmentId::new(),
            volume_id: was.id,
            project_id: was.project_id.clone(),
            instance_uuid: request.instance_uuid,
            status: AttachmentStatus::Reserved,
            mode: if is_readonly(&was) {
                Some(AttachMode::Ro)
            } else {
                request.mode
            },
            attached_host: None,
            mountpoint: None,
            connector: None,
            connection_info: None,
            operation: None,
            created_at: now,
            updated_at: None,
            attached_at: None,
            detached_at: None,
        };
        let mut changes = self.deps.catalog.change();
        changes
            .update_volume(&was, &volume)
            .insert_attachment(&attachment);
        changes.commit().await?;
        Ok(attachment)
    }
}

/// 400 in Cinder's words (`InvalidVolumeAttachMode`).
pub(super) fn readonly(volume: impl std::fmt::Display, mode: AttachMode) -> Error {
    Error::bad_request(format!("Invalid attaching mode '{mode}' for volume {volume}."))
}
