//! Reserve a volume for a server, and connect at once if a connector is given (cinder: `volume/api.py`
//! `attachment_create`).

use std::rc::Rc;

use super::ApiActor;
use super::bounds::{check_attachment_connector, check_one_more};
use super::commands::is_readonly;
use super::lookup::{Unchanged, until_not_overtaken};
use super::update_attachment::{mode, must_not_be_duplicate};
use super::waiters::Listener;
use crate::messages::api::CreateAttachment;
use crate::model::transitions::{Verb, decide, must_have_storage};
use crate::model::{
    AttachMode, AttachStatus, Attachment, AttachmentId, AttachmentStatus, Context, Error, ErrorKind,
    Operation, OperationKind, Result, Timestamp, Volume, VolumeStatus,
};

/// What a request came to.
enum Reserved {
    /// The volume is reserved.
    Only(Box<Attachment>),
    /// And being connected, as one change.
    Connecting(Box<Operation>, Box<Volume>, AttachmentId, Listener),
}

impl ApiActor {
    /// Serves [`CreateAttachment`]: waits for the backend if there is a connector.
    pub(super) async fn create_attachment(
        self: Rc<Self>,
        context: Context,
        request: CreateAttachment,
    ) -> Result<Attachment> {
        let _seat = match request.connector {
            Some(_) => Some(self.waiters.seat(self.options.max_waiting)?),
            None => None,
        };
        let (operation, volume, id, listener) =
            match until_not_overtaken!(self.try_to_reserve(&context, &request).await)? {
                Reserved::Only(attachment) => return Ok(*attachment),
                Reserved::Connecting(operation, volume, id, listener) => (operation, volume, id, listener),
            };
        self.begin(&operation, &volume).await;
        let ended = listener.end(self.options.wait_limit).await;
        ended.map_err(|error| match error.kind {
            ErrorKind::Backend => {
                Error::backend("Unable to create attachment for volume.").with_operator(error.for_operator())
            }
            _ => error,
        })?;
        Ok(self.find_attachment(&context, &id.to_string()).await?.record)
    }

    async fn try_to_reserve(
        &self,
        context: &Context,
        request: &CreateAttachment,
    ) -> Result<Reserved, Unchanged> {
        let was = match request.connector {
            Some(_) => self.settled_volume(context, &request.volume_id).await?,
            None => self.find_volume(context, &request.volume_id).await?,
        };
        let attachments = self.plain_attachments(&was).await?;
        check_one_more(&attachments)?;
        if let Some(connector) = &request.connector {
            check_attachment_connector(&attachments, None, connector)?;
        }
        let verb = Verb::CreateAttachment {
            instance_uuid: request.instance_uuid,
        };
        let status = decide(&was, &attachments, verb)?;
        let asked = request
            .connector
            .as_ref()
            .and_then(|connector| connector.text("mode"));
        let asked = request.mode.or_else(|| asked.and_then(|mode| mode.parse().ok()));
        if request.connector.is_some() {
            must_have_storage(&was)?;
        }
        if is_readonly(&was) && asked == Some(AttachMode::Rw) {
            return Err(readonly(was.id, AttachMode::Rw).into());
        }
        let mut volume = was.record.clone();
        volume.status = status;
        if status == VolumeStatus::Reserved && volume.attach_status == AttachStatus::Detached {
            volume.attach_status = AttachStatus::Reserved;
        }
        let now = Timestamp::now();
        volume.updated_at = Some(now);
        let mut attachment = Attachment {
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
            connector: request.connector.clone(),
            connection_info: None,
            operation: None,
            created_at: now,
            updated_at: None,
            attached_at: None,
            detached_at: None,
        };
        let mut changes = self.deps.catalog.change();
        changes.update_volume(&was, &volume);
        let Some(connector) = &request.connector else {
            changes.insert_attachment(&attachment);
            changes.commit().await?;
            return Ok(Reserved::Only(Box::new(attachment)));
        };
        must_not_be_duplicate(&was, &attachments, &attachment, connector)?;
        let kind = OperationKind::UpdateAttachment {
            attachment_id: attachment.id,
            connector: connector.clone(),
            mode: mode(&was, &attachment, connector)?,
        };
        let operation = self.new_operation(context, kind, &volume, was.host.clone());
        attachment.operation = Some(operation.id);
        let listener = self.waiters.listen(operation.id);
        changes
            .insert_attachment(&attachment)
            .insert_operation(&operation);
        if let Err(error) = changes.commit().await {
            drop(listener);
            self.waiters.sweep(operation.id);
            return Err(error.into());
        }
        Ok(Reserved::Connecting(
            Box::new(operation),
            Box::new(volume),
            attachment.id,
            listener,
        ))
    }
}

/// 400 in Cinder's words (`InvalidVolumeAttachMode`).
pub(super) fn readonly(volume: impl std::fmt::Display, mode: AttachMode) -> Error {
    Error::bad_request(format!("Invalid attaching mode '{mode}' for volume {volume}."))
}
