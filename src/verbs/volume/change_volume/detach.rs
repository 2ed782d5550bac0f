//! `os-detach`: the old API for recording the end of an attachment.
//!
//! An attachment of the new API has its own export, so it is deleted as by the new API. When the last one of the old
//! API is removed, no initiator is connected: the export is removed after the reply.

use crate::model::AttachmentId;
use crate::model::transitions::follow_attachments;
use crate::store::catalog::Stored;
use crate::verbs::attachment::DeleteAttachment;
use crate::verbs::prelude::*;
use crate::verbs::volume::TerminateConnectionEntry;

pub(super) async fn detach(
    at: &BeginContext<'_>,
    was: &Stored<Volume>,
    wanted: Option<AttachmentId>,
) -> Result<Began<Volume>, Interrupt> {
    let stored = at.control.catalog.volume_attachments(was.id).await?;
    decide(was, &[], Asked::Detach)?;
    let leaving = leaving(&stored, wanted)?;
    if let Some(leaving) = leaving
        && leaving.connector.is_some()
    {
        return detach_the_new_way(at, leaving.id).await;
    }
    let mut volume = was.record.clone();
    let others = stored
        .iter()
        .filter(|other| Some(other.id) != leaving.map(|leaving| leaving.id));
    let others: Vec<&Attachment> = others.map(|stored| &stored.record).collect();
    follow_attachments(&mut volume, others.iter().map(|other| other.status));
    volume.admin_metadata.remove("attached_mode");
    let unused_export = others.is_empty()
        && volume.status == VolumeStatus::Available
        && volume.provider_location.is_some()
        && volume.operation.is_none();
    let begun = match unused_export {
        true => {
            let entry = TerminateConnectionEntry { connector: None };
            Some(at.operation(&entry, Subject::Export(was.id), was)?)
        }
        false => None,
    };
    if let Some(operation) = &begun {
        volume.operation = Some(operation.id);
    }
    if volume == was.record && leaving.is_none() {
        return Ok(Began::Done(volume));
    }
    volume.updated_at = Some(Timestamp::now());
    let mut changes = at.control.catalog.change();
    changes.update(was, &volume);
    if let Some(leaving) = leaving {
        changes.delete(leaving);
        let after: Vec<Attachment> = others.iter().map(|other| (*other).clone()).collect();
        let before = [after.as_slice(), std::slice::from_ref(&leaving.record)].concat();
        at.notify_attaching(&mut changes, "volume.detach", (was, &before), (&volume, &after));
    }
    if let Some(operation) = &begun {
        changes.insert(operation);
    }
    changes.commit().await?;
    Ok(match begun {
        Some(operation) => Began::started(operation, volume.clone(), volume),
        None => Began::Done(volume),
    })
}

/// Waits until the attachment is disconnected, then reads the volume.
async fn detach_the_new_way(at: &BeginContext<'_>, id: AttachmentId) -> Result<Began<Volume>, Interrupt> {
    let request = DeleteAttachment {
        attachment_id: id.to_string(),
    };
    Ok(match request.begin(at).await? {
        Began::Awaited(started) => Began::Awaited(started),
        Began::Joined(operation) => Began::Joined(operation),
        Began::Done(_) | Began::Ended | Began::Started(..) | Began::Repeated(..) => Began::Ended,
    })
}

/// The attachment to remove; `None` if there is none (any more), which is a success.
fn leaving(
    attachments: &[Stored<Attachment>],
    wanted: Option<AttachmentId>,
) -> Result<Option<&Stored<Attachment>>> {
    match (wanted, attachments) {
        (Some(id), _) => Ok(attachments.iter().find(|attachment| attachment.id == id)),
        (None, []) => Ok(None),
        (None, [only]) => Ok(Some(only)),
        (None, _) => Err(Error::bad_request(
            "Error detaching volume - InvalidVolume: Invalid volume: Detach volume failed: More than one attachment, \
             but no attachment_id provided.",
        )),
    }
}
