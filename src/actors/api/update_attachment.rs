//! Connect a reserved attachment (cinder: `volume/api.py` and `volume/manager.py` `attachment_update`).

use std::rc::Rc;

use super::ApiActor;
use super::bounds::check_attachment_connector;
use super::commands::is_readonly;
use super::create_attachment::readonly;
use super::lookup::{Unchanged, until_not_overtaken};
use super::waiters::Listener;
use crate::messages::api::UpdateAttachment;
use crate::model::transitions::{Verb, decide, must_have_storage};
use crate::model::{
    AttachMode, Attachment, Connector, Context, Error, Operation, OperationKind, Result, Timestamp, Volume,
};

/// What was begun, or is under way already.
enum Connecting {
    Begun(Box<Operation>, Box<Volume>, Listener),
    /// The same request came twice: both wait for one end.
    Joined(Listener),
}

impl ApiActor {
    /// Serves [`UpdateAttachment`]: waits for the backend; the reply is the attachment then.
    pub(super) async fn update_attachment(
        self: Rc<Self>,
        context: Context,
        request: UpdateAttachment,
    ) -> Result<Attachment> {
        let _seat = self.waiters.seat(self.options.max_waiting)?;
        let listener = match until_not_overtaken!(self.try_to_connect(&context, &request).await)? {
            Connecting::Begun(operation, volume, listener) => {
                self.begin(&operation, &volume).await;
                listener
            }
            Connecting::Joined(listener) => listener,
        };
        listener.end(self.options.wait_limit).await?;
        Ok(self
            .find_attachment(&context, &request.attachment_id)
            .await?
            .record)
    }

    async fn try_to_connect(
        &self,
        context: &Context,
        request: &UpdateAttachment,
    ) -> Result<Connecting, Unchanged> {
        let attachment = self.find_attachment(context, &request.attachment_id).await?;
        if let Some(id) = attachment.operation {
            let listener = self.waiters.listen(id);
            match self.deps.catalog.operation(id).await? {
                Some(open) if is_same(&open.kind, &request.connector) => {
                    return Ok(Connecting::Joined(listener));
                }
                Some(_) => {
                    return Err(Error::conflict(format!(
                        "Resource conflict: attachment {} is being changed by another request",
                        attachment.id
                    ))
                    .into());
                }
                None => {}
            }
        }
        let volume_id = attachment.volume_id.to_string();
        let was = self.settled_volume(context, &volume_id).await?;
        let others = self.plain_attachments(&was).await?;
        decide(&was, &others, Verb::UpdateAttachment)?;
        check_attachment_connector(&others, Some(attachment.id), &request.connector)?;
        must_not_be_duplicate(&was, &others, &attachment, &request.connector)?;
        must_have_storage(&was)?;
        let mode = mode(&was, &attachment, &request.connector)?;
        let kind = OperationKind::UpdateAttachment {
            attachment_id: attachment.id,
            connector: request.connector.clone(),
            mode,
        };
        let operation = self.new_operation(context, kind, &was, was.host.clone());
        let now = Timestamp::now();
        let mut connecting = attachment.record.clone();
        connecting.connector = Some(request.connector.clone());
        connecting.operation = Some(operation.id);
        connecting.updated_at = Some(now);
        let mut volume = was.record.clone();
        // Written though nothing else changes: whoever takes the export away at this moment is overtaken.
        volume.updated_at = Some(now);
        let listener = self.waiters.listen(operation.id);
        let mut changes = self.deps.catalog.change();
        changes
            .update_volume(&was, &volume)
            .update_attachment(&attachment, &connecting)
            .insert_operation(&operation);
        if let Err(error) = changes.commit().await {
            drop(listener);
            self.waiters.sweep(operation.id);
            return Err(error.into());
        }
        Ok(Connecting::Begun(Box::new(operation), Box::new(volume), listener))
    }
}

fn is_same(kind: &OperationKind, connector: &Connector) -> bool {
    matches!(kind, OperationKind::UpdateAttachment { connector: theirs, .. } if theirs == connector)
}

/// A second connection to the same host would be one and the same session. Another host is allowed: that is how a server
/// moves. (The anchor's code refuses any second connection; its comments, its tests and compute want this.)
pub(super) fn must_not_be_duplicate(
    volume: &Volume,
    attachments: &[Attachment],
    this: &Attachment,
    connector: &Connector,
) -> Result<()> {
    let host = connector.host();
    let same_host = |other: &Attachment| {
        other.id != this.id && other.connection_info.is_some() && {
            other.connector.as_ref().and_then(Connector::host) == host
        }
    };
    if !volume.multiattach && attachments.iter().any(same_host) {
        return Err(Error::conflict(format!(
            "Resource conflict: duplicate connectors detected on volume {}",
            volume.id
        )));
    }
    Ok(())
}

/// The attachment's own mode, else the connector's, else read-write.
pub(super) fn mode(volume: &Volume, attachment: &Attachment, connector: &Connector) -> Result<AttachMode> {
    let asked = connector.text("mode").and_then(|mode| mode.parse().ok());
    let mode = attachment.mode.or(asked);
    match mode {
        Some(AttachMode::Rw) if is_readonly(volume) => Err(readonly(volume.id, AttachMode::Rw)),
        None if is_readonly(volume) => Ok(AttachMode::Ro),
        other => Ok(other.unwrap_or(AttachMode::Rw)),
    }
}
