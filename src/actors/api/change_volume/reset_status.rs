//! `os-reset_status`: an administrator's word on what a volume is.
//!
//! It overtakes whatever is being done: the operation ends in the same commit, and a late report finds it gone.

use super::Changed;
use crate::actors::api::ApiActor;
use crate::actors::api::lookup::Unchanged;
use crate::actors::api::overtake::{leave_behind, leave_snapshots_behind};
use crate::model::transitions::{check_reset, follow_attachments};
use crate::model::{AttachStatus, MigrationStatus, Timestamp, Volume, VolumeStatus};
use crate::store::catalog::Stored;

impl ApiActor {
    pub(super) async fn try_to_reset(
        &self,
        was: &Stored<Volume>,
        status: Option<VolumeStatus>,
        attach_status: Option<AttachStatus>,
        migration_status: Option<MigrationStatus>,
    ) -> Result<Changed, Unchanged> {
        let attachments = self.attachments_of(was.id).await?;
        let had_attachments = !attachments.is_empty();
        check_reset(status, had_attachments)?;
        let mut changes = self.deps.catalog.change();
        let mut overtaken = Vec::new();
        let mut volume = was.record.clone();
        if status.is_some() {
            let named = was.operation.into_iter().collect();
            overtaken = self.overtake(&mut changes, named).await?;
            volume.operation = None;
            volume.previous_status = None;
        }
        let attachments = match attach_status {
            Some(AttachStatus::Detached) => self.shed_attachments(attachments).await?,
            _ => attachments,
        };
        if attach_status == Some(AttachStatus::Detached) {
            let named = attachments.iter().filter_map(|attachment| attachment.operation);
            let named = named
                .filter(|id| overtaken.iter().all(|operation| operation.id != *id))
                .collect();
            overtaken.extend(self.overtake(&mut changes, named).await?);
            for attachment in &attachments {
                changes.delete_attachment(attachment);
            }
            if volume
                .operation
                .is_some_and(|id| overtaken.iter().any(|operation| operation.id == id))
            {
                volume.operation = None;
            }
            if had_attachments {
                follow_attachments(&mut volume, []);
            }
            volume.admin_metadata.remove("attached_mode");
        } else {
            leave_behind(&mut changes, &attachments, &overtaken);
        }
        if !overtaken.is_empty() {
            let snapshots = self.leave_most_snapshots_behind(was, &overtaken).await?;
            leave_snapshots_behind(&mut changes, &snapshots, &overtaken);
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
        changes.update_volume(was, &volume);
        changes.commit().await?;
        Ok(Changed {
            volume,
            begun: None,
            overtaken,
        })
    }
}
