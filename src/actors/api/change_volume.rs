//! The small changes of one volume that touch no storage: `os-reserve` and its kin, `os-attach`, `os-detach`,
//! `os-reset_status`, flags and image metadata (cinder: `volume/api.py`, `volume/manager.py` `attach_volume`,
//! `detach_volume`, `api/contrib/admin_actions.py`).
//!
//! The one thing that reaches storage: when the last attachment goes, its export is taken away behind the reply, as the
//! anchor's manager does within its detach.

mod attach;
mod detach;
mod reset_status;

use std::rc::Rc;

use super::ApiActor;
use super::bounds::check_volume;
use super::lookup::{Unchanged, until_not_overtaken};
use crate::messages::api::{ChangeVolume, VolumeChange};
use crate::model::transitions::{Verb, decide};
use crate::model::{Attachment, Context, Error, Operation, Result, Timestamp, Volume};
use crate::store::catalog::Stored;

/// What a change has made of a volume, to be told once it is committed.
pub(super) struct Changed {
    volume: Volume,
    /// An operation to begin.
    begun: Option<Operation>,
    /// Operations that ended in the same commit.
    overtaken: Vec<Operation>,
}

impl Changed {
    fn only(volume: Volume) -> Self {
        Self {
            volume,
            begun: None,
            overtaken: Vec::new(),
        }
    }
}

impl ApiActor {
    /// Serves [`ChangeVolume`]: the reply is the volume then.
    pub(super) async fn change_volume(
        self: Rc<Self>,
        context: Context,
        request: ChangeVolume,
    ) -> Result<Volume> {
        if let VolumeChange::Detach { attachment_id } = &request.change {
            return Rc::clone(&self)
                .detach(context, &request.volume_id, *attachment_id)
                .await;
        }
        let changed = until_not_overtaken!(self.try_to_change(&context, &request).await)?;
        Ok(self.tell_changed(changed).await)
    }

    pub(super) async fn tell_changed(&self, changed: Changed) -> Volume {
        for operation in &changed.overtaken {
            self.was_overtaken(operation);
        }
        if let Some(operation) = &changed.begun {
            self.begin(operation, &changed.volume).await;
        }
        changed.volume
    }

    async fn try_to_change(&self, context: &Context, request: &ChangeVolume) -> Result<Changed, Unchanged> {
        let was = self.find_volume(context, &request.volume_id).await?;
        match &request.change {
            VolumeChange::Attach {
                instance_uuid,
                host_name,
                mountpoint,
                mode,
            } => {
                let to = attach::To {
                    instance_uuid: *instance_uuid,
                    host_name: host_name.as_deref(),
                    mountpoint,
                    mode: *mode,
                };
                self.try_to_attach(&was, &to).await
            }
            VolumeChange::ResetStatus {
                status,
                attach_status,
                migration_status,
            } => {
                self.try_to_reset(&was, *status, *attach_status, *migration_status)
                    .await
            }
            simple => {
                let attachments = match simple {
                    VolumeChange::Unreserve => self.plain_attachments(&was).await?,
                    _ => Vec::new(),
                };
                let mut volume = was.record.clone();
                apply(&mut volume, &attachments, simple)?;
                check_volume(&was, &volume)?;
                self.commit_volume(&was, volume).await.map(Changed::only)
            }
        }
    }

    pub(super) async fn plain_attachments(&self, volume: &Volume) -> Result<Vec<Attachment>> {
        let stored = self.attachments_of(volume.id).await?;
        Ok(stored.into_iter().map(|stored| stored.record).collect())
    }

    /// Commits a volume alone; nothing is written if nothing changed.
    pub(super) async fn commit_volume(
        &self,
        was: &Stored<Volume>,
        mut now: Volume,
    ) -> Result<Volume, Unchanged> {
        if now == was.record {
            return Ok(now);
        }
        now.updated_at = Some(Timestamp::now());
        let mut changes = self.deps.catalog.change();
        changes.update_volume(was, &now);
        changes.commit().await?;
        Ok(now)
    }
}

/// The changes that are about the record alone.
fn apply(volume: &mut Volume, attachments: &[Attachment], change: &VolumeChange) -> Result<()> {
    match change {
        VolumeChange::Reserve => volume.status = decide(volume, attachments, Verb::Reserve)?,
        VolumeChange::Unreserve => volume.status = decide(volume, attachments, Verb::Unreserve)?,
        VolumeChange::BeginDetaching => volume.status = decide(volume, attachments, Verb::BeginDetaching)?,
        VolumeChange::RollDetaching => volume.status = decide(volume, attachments, Verb::RollDetaching)?,
        VolumeChange::UpdateReadonlyFlag { readonly } => {
            decide(volume, attachments, Verb::UpdateReadonlyFlag)?;
            let flag = if *readonly { "True" } else { "False" };
            volume
                .admin_metadata
                .insert("readonly".to_owned(), flag.to_owned());
        }
        VolumeChange::SetBootable { bootable } => {
            decide(volume, attachments, Verb::Update)?;
            volume.bootable = *bootable;
        }
        VolumeChange::SetImageMetadata(pairs) => volume.image_metadata.extend(pairs.clone()),
        VolumeChange::UnsetImageMetadata(key) => {
            if volume.image_metadata.remove(key).is_none() {
                return Err(Error::not_found(format!(
                    "Glance metadata for volume/snapshot {} cannot be found.",
                    volume.id
                )));
            }
        }
        VolumeChange::Attach { .. } | VolumeChange::Detach { .. } | VolumeChange::ResetStatus { .. } => {
            return Err(Error::internal("a change with a file of its own"));
        }
    }
    Ok(())
}
