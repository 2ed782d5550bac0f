//! Say that the server has it (cinder: `api/v3/attachments.py` `complete`; from whatever status, as there).

use std::rc::Rc;

use super::ApiActor;
use super::lookup::{Unchanged, until_not_overtaken};
use crate::messages::api::CompleteAttachment;
use crate::model::transitions::follow_attachments;
use crate::model::{AttachmentStatus, Context, Error, Result, Timestamp};

impl ApiActor {
    /// Serves [`CompleteAttachment`].
    pub(super) async fn complete_attachment(
        self: Rc<Self>,
        context: Context,
        request: CompleteAttachment,
    ) -> Result<()> {
        until_not_overtaken!(self.try_to_complete(&context, &request).await)
    }

    async fn try_to_complete(
        &self,
        context: &Context,
        request: &CompleteAttachment,
    ) -> Result<(), Unchanged> {
        let was = self.find_attachment(context, &request.attachment_id).await?;
        let volume = self.find_volume(context, &was.volume_id.to_string()).await?;
        if was.operation.is_some() {
            return Err(Error::conflict(format!(
                "Resource conflict: attachment {} is being changed by another request",
                was.id
            ))
            .into());
        }
        let now = Timestamp::now();
        let mut attachment = was.record.clone();
        attachment.status = AttachmentStatus::Attached;
        attachment.updated_at = Some(now);
        attachment.attached_at = attachment.attached_at.or(Some(now));
        let others = self.plain_attachments(&volume).await?;
        let mut in_use = volume.record.clone();
        let statuses = others
            .iter()
            .filter(|other| other.id != was.id)
            .map(|other| other.status);
        follow_attachments(&mut in_use, statuses.chain([attachment.status]));
        in_use.updated_at = Some(now);
        let mut changes = self.deps.catalog.change();
        changes
            .update_volume(&volume, &in_use)
            .update_attachment(&was, &attachment);
        changes.commit().await?;
        Ok(())
    }
}
