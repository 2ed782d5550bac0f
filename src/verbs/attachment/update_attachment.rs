//! Connect a reserved attachment (cinder: `volume/api.py` and `volume/manager.py` `attachment_update`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the attachment has its connector | nothing has changed |
//! | connect (backend) | the attachment is `attaching`, with its connection data | `error_attaching` |

use super::checks::{is_being_changed, must_not_be_duplicate, readonly};
use crate::control::bounds::check_attachment_connector;
use crate::model::transitions::must_have_storage;
use crate::model::{AttachMode, AttachmentId, AttachmentStatus, Connector};
use crate::verbs::command::{is_only_connection, is_readonly};
use crate::verbs::entry_of;
use crate::verbs::prelude::*;
use crate::verbs::volume::InitializeConnectionCommand;
use crate::verbs::volume::exported;

/// Connect a reserved attachment; the reply is the attachment then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateAttachment {
    /// Its id, as the client wrote it.
    pub attachment_id: String,
    /// The initiator.
    pub connector: Connector,
}
call!(UpdateAttachment => ApiTopic, "update_attachment", since 1, reply Attachment);

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateAttachmentEntry {
    /// The attachment.
    pub attachment_id: AttachmentId,
    /// The initiator.
    pub connector: Connector,
    /// Read-write or read-only.
    pub mode: AttachMode,
}

impl Request for UpdateAttachment {
    const LEVEL: Level = Level::Member;

    fn may_wait(&self) -> bool {
        true
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Attachment>, Interrupt> {
        let control = at.control;
        let attachment = control.find_attachment(at.context, &self.attachment_id).await?;
        if let Some(id) = attachment.operation
            && let Some(open) = control.catalog.operation(id).await?
        {
            return match entry_of::<UpdateAttachmentEntry>(&open) {
                // A repeated request: both wait for the same operation.
                Some(entry) if entry.connector == self.connector => Ok(Began::Joined(Box::new(open.record))),
                _ => Err(is_being_changed(&attachment).into()),
            };
        }
        let volume_id = attachment.volume_id.to_string();
        let was = control.settled_volume(at.context, &volume_id).await?;
        let others = control.plain_attachments(was.id).await?;
        decide(&was, &others, Asked::UpdateAttachment)?;
        check_attachment_connector(&others, Some(attachment.id), &self.connector)?;
        must_not_be_duplicate(&was, &others, &attachment, &self.connector)?;
        must_have_storage(&was)?;
        let operation = connect(at, &was, &attachment, &self.connector)?;
        let now = Timestamp::now();
        let mut connecting = attachment.record.clone();
        connecting.connector = Some(self.connector.clone());
        connecting.operation = Some(operation.id);
        connecting.updated_at = Some(now);
        let mut volume = was.record.clone();
        // Written though nothing else changes, so that a concurrent removal of the export gets a conflict.
        volume.updated_at = Some(now);
        let mut changes = control.catalog.change();
        changes
            .update(&was, &volume)
            .update(&attachment, &connecting)
            .insert(&operation);
        at.notify_start(&mut changes, &operation, &volume, None).await?;
        changes.commit().await?;
        Ok(Began::awaited(operation, volume))
    }

    async fn reply(
        &self,
        at: &BeginContext<'_>,
        _operation: Option<&Operation>,
        answer: Result<Answer>,
    ) -> Result<Attachment> {
        answer?;
        let found = at
            .control
            .find_attachment(at.context, &self.attachment_id)
            .await?;
        Ok(found.record)
    }
}

/// The journal entry of the connection of this attachment.
pub(super) fn connect(
    at: &BeginContext<'_>,
    volume: &Volume,
    attachment: &Attachment,
    connector: &Connector,
) -> Result<Operation> {
    let entry = UpdateAttachmentEntry {
        attachment_id: attachment.id,
        connector: connector.clone(),
        mode: mode(volume, attachment, connector)?,
    };
    at.operation(&entry, Subject::Attachment(attachment.id), volume)
}

/// The attachment's own mode, else the connector's, else read-write.
fn mode(volume: &Volume, attachment: &Attachment, connector: &Connector) -> Result<AttachMode> {
    let asked = connector.text("mode").and_then(|mode| mode.parse().ok());
    let mode = attachment.mode.or(asked);
    match mode {
        Some(AttachMode::Rw) if is_readonly(volume) => Err(readonly(volume.id, AttachMode::Rw)),
        None if is_readonly(volume) => Ok(AttachMode::Ro),
        other => Ok(other.unwrap_or(AttachMode::Rw)),
    }
}

impl Entry for UpdateAttachmentEntry {
    const NAME: &'static str = "update_attachment";
}

#[async_trait(?Send)]
impl Verb for UpdateAttachmentEntry {
    fn deadline(&self, deadlines: &Deadlines, _size: u32) -> Duration {
        deadlines.attachment
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads::attachments(ReadAttachments::All)
    }

    /// `volume.attach.end` follows when the attachment is completed.
    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["volume.attach"]).ending(EndEvent::Never)
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        records.to_backend(|volume| InitializeConnectionCommand {
            command: header.id,
            volume: VolumeSpec {
                // If no initiator is connected, the old secret must not be valid any more.
                provider_auth: volume.provider_auth.filter(|_| !is_only_connection(records)),
                ..volume
            },
            attachment: Some(self.attachment_id),
            connector: self.connector.clone(),
            mode: self.mode,
            remaining_ms: header.remaining_ms,
        })
    }

    async fn examine(&self, control: &Control, operation: &Operation, outcome: Outcome) -> Result<Outcome> {
        control.with_qos_specs(operation, outcome).await
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Connected {
                connection_info,
                provider_location,
                provider_auth,
            } => {
                let answer = Answer::Connected(Box::new(connection_info.clone()));
                let with_export = |volume| exported(volume, provider_location, provider_auth.as_ref());
                let Some(was) = at.attachment() else {
                    return Some(Transition {
                        volume: with_export(at.released()),
                        ..Transition::superseded()
                    });
                };
                let mut attachment = was.clone();
                attachment.status = AttachmentStatus::Attaching;
                attachment.mode = Some(self.mode);
                attachment.attached_host = Some(self.connector.host().unwrap_or_default());
                attachment.mountpoint = Some(
                    self.connector
                        .text("mountpoint")
                        .unwrap_or_else(|| "na".to_owned()),
                );
                attachment.connector = Some(self.connector.clone());
                attachment.connection_info = Some(connection_info.clone());
                attachment.operation = None;
                attachment.attached_at = Some(at.now);
                attachment.updated_at = Some(at.now);
                Some(Transition {
                    volume: with_export(at.following(was.id, Some(attachment.status))),
                    attachment: RecordChange::Update(Box::new(attachment)),
                    ..Transition::done(answer)
                })
            }
            Outcome::Failed(failure) => Some(at.attachment_failed(
                failure,
                AttachmentStatus::ErrorAttaching,
                (Action::UpdateAttachment, Detail::DriverFailedExport),
                "Unable to update the attachment.",
            )),
            _ => None,
        }
    }
}
