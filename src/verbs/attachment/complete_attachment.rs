//! Mark an attachment as attached (cinder: `api/v3/attachments.py` `complete`; from any status, as there).

use super::checks::is_being_changed;
use crate::model::AttachmentStatus;
use crate::model::transitions::follow_attachments;
use crate::verbs::prelude::*;

/// Mark an attachment as attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteAttachment {
    /// Its id, as the client wrote it.
    pub attachment_id: String,
}
call!(CompleteAttachment => ApiTopic, "complete_attachment", since 1, reply ());

impl Request for CompleteAttachment {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let control = at.control;
        let was = control.find_attachment(at.context, &self.attachment_id).await?;
        let volume = control
            .find_volume(at.context, &was.volume_id.to_string())
            .await?;
        if was.operation.is_some() {
            return Err(is_being_changed(&was).into());
        }
        let now = Timestamp::now();
        let mut attachment = was.record.clone();
        attachment.status = AttachmentStatus::Attached;
        attachment.updated_at = Some(now);
        attachment.attached_at = attachment.attached_at.or(Some(now));
        let others = control.plain_attachments(volume.id).await?;
        let mut in_use = volume.record.clone();
        let statuses = others
            .iter()
            .filter(|other| other.id != was.id)
            .map(|other| other.status);
        follow_attachments(&mut in_use, statuses.chain([attachment.status]));
        in_use.updated_at = Some(now);
        let mut changes = control.catalog.change();
        changes.update(&volume, &in_use).update(&was, &attachment);
        let attachments = others.into_iter().map(|other| match other.id == was.id {
            true => attachment.clone(),
            false => other,
        });
        let attachments: Vec<Attachment> = attachments.collect();
        at.notify_volume(&mut changes, "volume.attach.end", &in_use, &attachments);
        changes.commit().await?;
        Ok(Began::Done(()))
    }
}
