//! `os-attach`: the old way of saying that a server or host has the volume.

use uuid::Uuid;

use super::Changed;
use crate::actors::api::ApiActor;
use crate::actors::api::bounds::check_one_more;
use crate::actors::api::commands::is_readonly;
use crate::actors::api::lookup::Unchanged;
use crate::model::transitions::{Verb, decide, follow_attachments, must_have_storage};
use crate::model::{
    AttachMode, Attachment, AttachmentId, AttachmentStatus, Error, Timestamp, Volume, VolumeStatus,
};
use crate::store::catalog::Stored;

/// Where it is attached.
pub(super) struct To<'a> {
    pub(super) instance_uuid: Option<Uuid>,
    pub(super) host_name: Option<&'a str>,
    pub(super) mountpoint: &'a str,
    pub(super) mode: AttachMode,
}

impl ApiActor {
    pub(super) async fn try_to_attach(
        &self,
        was: &Stored<Volume>,
        to: &To<'_>,
    ) -> Result<Changed, Unchanged> {
        let attachments = self.plain_attachments(was).await?;
        let known = attachments.iter().any(|attachment| is_same(attachment, to));
        let status = match decide(was, &attachments, Verb::Attach) {
            Ok(status) => status,
            // Said twice: it is attached there already.
            Err(_) if known && was.status == VolumeStatus::InUse => {
                return Ok(Changed::only(was.record.clone()));
            }
            Err(error) => return Err(error.into()),
        };
        must_have_storage(was)?;
        if is_readonly(was) && to.mode != AttachMode::Ro {
            return Err(Error::bad_request(format!(
                "Invalid attaching mode '{}' for volume {}.",
                to.mode, was.id
            ))
            .into());
        }
        let mut volume = was.record.clone();
        volume
            .admin_metadata
            .entry("readonly".to_owned())
            .or_insert_with(|| "False".to_owned());
        if known {
            volume.status = status;
            return self.commit_volume(was, volume).await.map(Changed::only);
        }
        check_one_more(&attachments)?;
        volume
            .admin_metadata
            .insert("attached_mode".to_owned(), to.mode.to_string());
        let attachment = new_attachment(was, to);
        let statuses = attachments
            .iter()
            .map(|other| other.status)
            .chain([attachment.status]);
        follow_attachments(&mut volume, statuses);
        volume.updated_at = Some(Timestamp::now());
        let mut changes = self.deps.catalog.change();
        changes.update_volume(was, &volume).insert_attachment(&attachment);
        changes.commit().await?;
        Ok(Changed::only(volume))
    }
}

fn is_same(attachment: &Attachment, to: &To<'_>) -> bool {
    match to.instance_uuid {
        Some(server) => attachment.instance_uuid == Some(server),
        None => attachment.attached_host.as_deref() == to.host_name,
    }
}

fn new_attachment(volume: &Volume, to: &To<'_>) -> Attachment {
    let now = Timestamp::now();
    Attachment {
        id: AttachmentId::new(),
        volume_id: volume.id,
        project_id: volume.project_id.clone(),
        instance_uuid: to.instance_uuid,
        status: AttachmentStatus::Attached,
        mode: Some(to.mode),
        attached_host: to.host_name.map(str::to_owned),
        mountpoint: Some(to.mountpoint.to_owned()),
        connector: None,
        connection_info: None,
        operation: None,
        created_at: now,
        updated_at: None,
        attached_at: Some(now),
        detached_at: None,
    }
}
