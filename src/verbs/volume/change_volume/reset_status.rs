//! `os-reset_status`: an administrator sets the status of a volume.
//!
//! It supersedes the open operation, which ends in the same commit, so a late report has no effect.

use crate::model::transitions::{check_reset, follow_attachments};
use crate::model::{AttachStatus, MigrationStatus, OperationId};
use crate::store::catalog::Stored;
use crate::verbs::prelude::*;
use crate::verbs::release::{release_attachments, release_snapshots};

/// Sets the given statuses, and ends the open operation.
pub(super) async fn reset(
    at: &BeginContext<'_>,
    was: &Stored<Volume>,
    status: Option<VolumeStatus>,
    attach_status: Option<AttachStatus>,
    migration_status: Option<MigrationStatus>,
) -> Result<Volume, Interrupt> {
    let attachments = at.control.catalog.volume_attachments(was.id).await?;
    let had_attachments = !attachments.is_empty();
    check_reset(status, had_attachments)?;
    let mut changes = at.control.catalog.change();
    let mut superseded = Vec::new();
    let mut volume = was.record.clone();
    if status.is_some() {
        superseded = at.control.supersede(&mut changes, was.operation).await?;
        volume.operation = None;
        volume.previous_status = None;
    }
    let attachments = match attach_status {
        Some(AttachStatus::Detached) => at.control.shed_attachments(attachments, &at.superseded).await?,
        _ => attachments,
    };
    if attach_status == Some(AttachStatus::Detached) {
        let named = attachments.iter().filter_map(|attachment| attachment.operation);
        let named: Vec<OperationId> = named
            .filter(|id| superseded.iter().all(|operation| operation.id != *id))
            .collect();
        superseded.extend(at.control.supersede(&mut changes, named).await?);
        for attachment in &attachments {
            changes.delete(attachment);
        }
        if volume
            .operation
            .is_some_and(|id| superseded.iter().any(|operation| operation.id == id))
        {
            volume.operation = None;
        }
        if had_attachments {
            follow_attachments(&mut volume, []);
        }
        volume.admin_metadata.remove("attached_mode");
    } else {
        release_attachments(&mut changes, &attachments, &superseded);
    }
    if !superseded.is_empty() {
        let snapshots = at.control.release_most_snapshots(was, &superseded).await?;
        release_snapshots(&mut changes, &snapshots, &superseded);
    }
    if let Some(attach_status) = attach_status {
        volume.attach_status = attach_status;
    }
    match migration_status {
        Some(MigrationStatus::None) => volume.migration_status = None,
        Some(other) => volume.migration_status = Some(other),
        None => {}
    }
    if let Some(status) = status {
        volume.status = status;
    }
    volume.updated_at = Some(Timestamp::now());
    changes.update(was, &volume);
    at.notify_change(&mut changes, "volume.reset_status", was, &volume)
        .await?;
    changes.commit().await?;
    at.superseded.add(superseded);
    Ok(volume)
}
