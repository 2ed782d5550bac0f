//! Disconnect (cinder: `volume/api.py` `attachment_delete`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | if it is the last user of the export, no connection is made until the operation has ended | nothing has changed |
//! | disconnect (backend) | the initiator is disconnected, and the export removed if it was the last; the attachment is deleted | `error_detaching` |
//!
//! An attachment that was never connected is deleted at once.

use crate::control::old_connectors;
use crate::model::transitions::follow_attachments;
use crate::model::{AttachmentId, AttachmentStatus};
use crate::store::catalog::Stored;
use crate::verbs::command::{holds_the_export, is_of};
use crate::verbs::prelude::*;
use crate::verbs::volume::TerminateConnectionCommand;
use crate::verbs::volume::forget_export;

/// Disconnect; the reply is the volume's other attachments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteAttachment {
    /// Its id, as the client wrote it.
    pub attachment_id: String,
}
call!(DeleteAttachment => ApiTopic, "delete_attachment", since 1, reply Vec<Attachment>);

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteAttachmentEntry {
    /// The attachment.
    pub attachment_id: AttachmentId,
}

impl Request for DeleteAttachment {
    const LEVEL: Level = Level::Member;

    fn may_wait(&self) -> bool {
        true
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Vec<Attachment>>, Interrupt> {
        let control = at.control;
        let attachment = control.find_attachment(at.context, &self.attachment_id).await?;
        let open = match attachment.operation {
            Some(id) => control.catalog.operation(id).await?,
            None => None,
        };
        if let Some(open) = &open
            && open.verb == DeleteAttachmentEntry::NAME
        {
            return Ok(Began::Joined(Box::new(open.record.clone())));
        }
        let was = control
            .find_volume(at.context, &attachment.volume_id.to_string())
            .await?;
        let others = control.plain_attachments(was.id).await?;
        let others: Vec<&Attachment> = others.iter().filter(|other| other.id != attachment.id).collect();
        if was.host.is_none() || attachment.connector.is_none() {
            return remove_unconnected(at, &was, &attachment, &others).await;
        }
        let entry = DeleteAttachmentEntry {
            attachment_id: attachment.id,
        };
        let operation = at.operation(&entry, Subject::Attachment(attachment.id), &was)?;
        let now = Timestamp::now();
        let mut leaving = attachment.record.clone();
        leaving.operation = Some(operation.id);
        leaving.updated_at = Some(now);
        let mut volume = was.record.clone();
        let mut stays = !old_connectors::list(&was).is_empty();
        for other in others {
            stays |= holds_the_export(other) && !is_leaving(control, other).await?;
        }
        if !stays && volume.operation.is_none() {
            // It removes the export, too: no connection is made until it has ended.
            volume.operation = Some(operation.id);
        }
        volume.updated_at = Some(now);
        let mut changes = control.catalog.change();
        changes
            .update(&was, &volume)
            .update(&attachment, &leaving)
            .insert(&operation);
        at.notify_start(&mut changes, &operation, &volume, None).await?;
        if let Some(open) = &open {
            changes.delete(open);
        }
        changes.commit().await?;
        at.superseded
            .add(open.into_iter().map(|open| open.record).collect());
        Ok(Began::awaited(operation, volume))
    }

    async fn reply(
        &self,
        at: &BeginContext<'_>,
        operation: Option<&Operation>,
        answer: Result<Answer>,
    ) -> Result<Vec<Attachment>> {
        answer?;
        match operation.and_then(|operation| operation.volume_id) {
            Some(volume) => at.control.plain_attachments(volume).await,
            None => Err(Error::internal("an attachment has a volume")),
        }
    }
}

async fn remove_unconnected(
    at: &BeginContext<'_>,
    was: &Stored<Volume>,
    attachment: &Stored<Attachment>,
    others: &[&Attachment],
) -> Result<Began<Vec<Attachment>>, Interrupt> {
    let mut volume = was.record.clone();
    follow_attachments(&mut volume, others.iter().map(|other| other.status));
    volume.admin_metadata.remove("attached_mode");
    volume.updated_at = Some(Timestamp::now());
    let mut changes = at.control.catalog.change();
    changes.update(was, &volume).delete(attachment);
    let others: Vec<Attachment> = others.iter().map(|other| (*other).clone()).collect();
    let before = [others.as_slice(), std::slice::from_ref(&attachment.record)].concat();
    at.notify_attaching(&mut changes, "volume.detach", (was, &before), (&volume, &others));
    changes.commit().await?;
    Ok(Began::Done(at.control.plain_attachments(was.id).await?))
}

async fn is_leaving(control: &Control, attachment: &Attachment) -> Result<bool, Interrupt> {
    let Some(id) = attachment.operation else {
        return Ok(false);
    };
    let open = control.catalog.operation(id).await?;
    Ok(open.is_some_and(|open| open.verb == DeleteAttachmentEntry::NAME))
}

impl Entry for DeleteAttachmentEntry {
    const NAME: &'static str = "delete_attachment";
}

#[async_trait(?Send)]
impl Verb for DeleteAttachmentEntry {
    fn deadline(&self, deadlines: &Deadlines, _size: u32) -> Duration {
        deadlines.attachment
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads::attachments(ReadAttachments::All)
    }

    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["volume.detach"])
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        let connector = records
            .attachments
            .iter()
            .find(|attachment| attachment.id == self.attachment_id)
            .and_then(|attachment| attachment.connector.clone());
        let others: Vec<&Attachment> = self.others_that_stay(records).collect();
        records.to_backend(|volume| TerminateConnectionCommand {
            command: header.id,
            volume,
            connector_stays: others.iter().any(|other| is_of(other, connector.as_ref())),
            export_stays: !others.is_empty(),
            connector,
            remaining_ms: header.remaining_ms,
        })
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Disconnected { export_removed } => {
                let mut volume = at.following(self.attachment_id, None);
                if *export_removed {
                    forget_export(&mut volume);
                }
                volume.admin_metadata.remove("attached_mode");
                Some(Transition {
                    attachment: match at.attachment() {
                        Some(_) => RecordChange::Delete,
                        None => RecordChange::Keep,
                    },
                    ..Transition::done_with(volume)
                })
            }
            Outcome::Failed(failure) => Some(at.attachment_failed(
                failure,
                AttachmentStatus::ErrorDetaching,
                (Action::DetachVolume, Detail::UnknownError),
                "Unable to terminate volume connection from backend.",
            )),
            _ => None,
        }
    }

    fn superseded_attachment(&self) -> AttachmentStatus {
        AttachmentStatus::ErrorDetaching
    }
}

impl DeleteAttachmentEntry {
    /// The other attachments that need the export when this one is deleted. Those that are being deleted do not count:
    /// of two concurrent deletes, the later must remove the export. (`Volume::operation` refers to that one, so that no
    /// connection is made meanwhile.)
    fn others_that_stay<'a>(&self, records: &Records<'a>) -> impl Iterator<Item = &'a Attachment> {
        let takes_the_export = records.volume.operation == Some(records.operation.id);
        let leaving = self.attachment_id;
        records
            .attachments
            .iter()
            .filter(move |other| !takes_the_export && other.id != leaving && holds_the_export(other))
    }
}
