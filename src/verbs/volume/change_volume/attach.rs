//! `os-attach`: the old API for recording an attachment to a server or host.

use uuid::Uuid;

use crate::control::bounds::check_one_more;
use crate::model::transitions::{follow_attachments, must_have_storage};
use crate::model::{AttachMode, AttachmentStatus};
use crate::store::catalog::Stored;
use crate::verbs::command::is_readonly;
use crate::verbs::prelude::*;

pub(super) struct To<'a> {
    pub(super) instance_uuid: Option<Uuid>,
    pub(super) host_name: Option<&'a str>,
    pub(super) mountpoint: &'a str,
    pub(super) mode: AttachMode,
}

pub(super) async fn attach(
    at: &BeginContext<'_>,
    was: &Stored<Volume>,
    to: &To<'_>,
) -> Result<Volume, Interrupt> {
    let attachments = at.control.plain_attachments(was.id).await?;
    let known = attachments.iter().any(|attachment| is_same(attachment, to));
    let status = match decide(was, &attachments, Asked::Attach) {
        Ok(status) => status,
        // A repetition: it is attached there already.
        Err(_) if known && was.status == VolumeStatus::InUse => {
            return Ok(was.record.clone());
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
        return at.control.commit_volume(was, volume).await;
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
    let mut changes = at.control.catalog.change();
    changes.update(was, &volume).insert(&attachment);
    let after = [attachments.as_slice(), std::slice::from_ref(&attachment)].concat();
    at.notify_attaching(
        &mut changes,
        "volume.attach",
        (was, &attachments),
        (&volume, &after),
    );
    changes.commit().await?;
    Ok(volume)
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
        instance_uuid: to.instance_uuid,
        mode: Some(to.mode),
        attached_host: to.host_name.map(str::to_owned),
        mountpoint: Some(to.mountpoint.to_owned()),
        attached_at: Some(now),
        ..Attachment::of(volume, AttachmentStatus::Attached, now)
    }
}
