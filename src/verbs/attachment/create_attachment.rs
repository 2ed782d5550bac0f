//! Reserve a volume for a server, and connect it at once if a connector is given (cinder: `volume/api.py`
//! `attachment_create`). The connection is an operation of `update_attachment`.

use uuid::Uuid;

use super::checks::{must_not_be_duplicate, readonly};
use super::update_attachment::connect;
use crate::control::bounds::{check_attachment_connector, check_one_more};
use crate::model::idempotency::IdempotencyKey;
use crate::model::transitions::must_have_storage;
use crate::model::{AttachMode, AttachStatus, AttachmentStatus, Connector, ErrorKind};
use crate::verbs::command::is_readonly;
use crate::verbs::prelude::*;

/// Reserve a volume for a server; the reply is the attachment, connected if a connector is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAttachment {
    /// The volume's id, as the client wrote it.
    pub volume_id: String,
    /// The server.
    pub instance_uuid: Option<Uuid>,
    /// The initiator.
    pub connector: Option<Connector>,
    /// The requested mode (3.54).
    pub mode: Option<AttachMode>,
}
call!(CreateAttachment => ApiTopic, "create_attachment", since 1, reply Attachment);

impl Request for CreateAttachment {
    const LEVEL: Level = Level::Member;

    fn may_wait(&self) -> bool {
        self.connector.is_some()
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Attachment>, Interrupt> {
        let control = at.control;
        let was = match self.connector {
            Some(_) => control.settled_volume(at.context, &self.volume_id).await?,
            None => control.find_volume(at.context, &self.volume_id).await?,
        };
        let attachments = control.plain_attachments(was.id).await?;
        check_one_more(&attachments)?;
        if let Some(connector) = &self.connector {
            check_attachment_connector(&attachments, None, connector)?;
        }
        let verb = Asked::CreateAttachment {
            instance_uuid: self.instance_uuid,
        };
        let status = decide(&was, &attachments, verb)?;
        let asked = self
            .connector
            .as_ref()
            .and_then(|connector| connector.text("mode"));
        let asked = self.mode.or_else(|| asked.and_then(|mode| mode.parse().ok()));
        if self.connector.is_some() {
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
            instance_uuid: self.instance_uuid,
            mode: if is_readonly(&was) {
                Some(AttachMode::Ro)
            } else {
                self.mode
            },
            connector: self.connector.clone(),
            ..Attachment::of(&was, AttachmentStatus::Reserved, now)
        };
        let mut changes = control.catalog.change();
        changes.update(&was, &volume);
        let Some(connector) = &self.connector else {
            changes.insert(&attachment);
            at.answer(&mut changes, &attachment, None)?;
            changes.commit().await?;
            return Ok(Began::Done(attachment));
        };
        must_not_be_duplicate(&was, &attachments, &attachment, connector)?;
        let operation = connect(at, &volume, &attachment, connector)?;
        attachment.operation = Some(operation.id);
        changes.insert(&attachment).insert(&operation);
        at.notify_start(&mut changes, &operation, &volume, None).await?;
        at.answer(&mut changes, &attachment, Some(operation.id))?;
        changes.commit().await?;
        Ok(Began::awaited(operation, volume))
    }

    /// Of a connection that has ended, the attachment is as it became.
    async fn repeat(
        &self,
        at: &BeginContext<'_>,
        _key: &IdempotencyKey,
        stored: Attachment,
    ) -> Result<Attachment> {
        if stored.operation.is_none() {
            return Ok(stored);
        }
        let id = stored.id.to_string();
        let now = at.control.find_attachment(at.context, &id).await?.record;
        match now.status {
            AttachmentStatus::ErrorAttaching => Err(failed()),
            _ => Ok(now),
        }
    }

    async fn reply(
        &self,
        at: &BeginContext<'_>,
        operation: Option<&Operation>,
        answer: Result<Answer>,
    ) -> Result<Attachment> {
        answer.map_err(|error| match error.kind {
            ErrorKind::Backend => failed().with_operator(error.for_operator()),
            _ => error,
        })?;
        match operation.and_then(Operation::attachment_id) {
            Some(id) => Ok(at
                .control
                .find_attachment(at.context, &id.to_string())
                .await?
                .record),
            None => Err(Error::internal("an attachment was connected without a name")),
        }
    }
}

fn failed() -> Error {
    Error::backend("Unable to create attachment for volume.")
}
