//! Small changes of one volume without its storage: `os-reserve` and similar, `os-attach`, `os-detach`,
//! `os-reset_status`, flags and image metadata (cinder: `volume/api.py`, `volume/manager.py` `attach_volume`,
//! `detach_volume`, `api/contrib/admin_actions.py`).
//!
//! The only effect on storage: when the last attachment is removed, its export is removed after the reply, as Cinder's
//! manager does in its detach.

mod attach;
mod detach;
mod reset_status;

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::control::bounds::check_volume;
use crate::model::{AttachMode, AttachStatus, AttachmentId, MigrationStatus};
use crate::verbs::prelude::*;

/// Small changes of one volume without its storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeChange {
    /// `os-reserve`
    Reserve,
    /// `os-unreserve`
    Unreserve,
    /// `os-begin_detaching`
    BeginDetaching,
    /// `os-roll_detaching`
    RollDetaching,
    /// `os-attach`
    Attach {
        /// The server.
        instance_uuid: Option<Uuid>,
        /// Or the host.
        host_name: Option<String>,
        /// Device name there.
        mountpoint: String,
        /// Mode.
        mode: AttachMode,
    },
    /// `os-detach`
    Detach {
        /// Which attachment; optional if there is only one.
        attachment_id: Option<AttachmentId>,
    },
    /// `os-update_readonly_flag`
    UpdateReadonlyFlag {
        /// The flag.
        readonly: bool,
    },
    /// `os-set_bootable`
    SetBootable {
        /// The flag.
        bootable: bool,
    },
    /// `os-reset_status`
    ResetStatus {
        /// New status.
        status: Option<VolumeStatus>,
        /// New attach status.
        attach_status: Option<AttachStatus>,
        /// New migration status.
        migration_status: Option<MigrationStatus>,
    },
    /// `os-set_image_metadata`; merged.
    SetImageMetadata(BTreeMap<String, String>),
    /// `os-unset_image_metadata`
    UnsetImageMetadata(String),
}

/// Change one volume without its storage. The reply is the changed volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeVolume {
    /// Its id, as the client wrote it.
    pub volume_id: String,
    /// The change.
    pub change: VolumeChange,
}
call!(ChangeVolume => ApiTopic, "change_volume", since 1, reply Volume);

impl Request for ChangeVolume {
    const LEVEL: Level = Level::Member;

    fn level(&self) -> Level {
        Level::or_admin(matches!(self.change, VolumeChange::ResetStatus { .. }))
    }

    fn may_wait(&self) -> bool {
        matches!(self.change, VolumeChange::Detach { .. })
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Volume>, Interrupt> {
        let was = at.control.find_volume(at.context, &self.volume_id).await?;
        match &self.change {
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
                attach::attach(at, &was, &to).await.map(Began::Done)
            }
            VolumeChange::Detach { attachment_id } => detach::detach(at, &was, *attachment_id).await,
            VolumeChange::ResetStatus {
                status,
                attach_status,
                migration_status,
            } => reset_status::reset(at, &was, *status, *attach_status, *migration_status)
                .await
                .map(Began::Done),
            simple => {
                let attachments = match simple {
                    VolumeChange::Unreserve => at.control.plain_attachments(was.id).await?,
                    _ => Vec::new(),
                };
                let mut volume = was.record.clone();
                apply(&mut volume, &attachments, simple)?;
                check_volume(&was, &volume)?;
                at.control.commit_volume(&was, volume).await.map(Began::Done)
            }
        }
    }

    async fn reply(
        &self,
        at: &BeginContext<'_>,
        _operation: Option<&Operation>,
        answer: Result<Answer>,
    ) -> Result<Volume> {
        answer?;
        Ok(at.control.find_volume(at.context, &self.volume_id).await?.record)
    }
}

/// Applies the changes that concern the record only.
fn apply(volume: &mut Volume, attachments: &[Attachment], change: &VolumeChange) -> Result<()> {
    match change {
        VolumeChange::Reserve => volume.status = decide(volume, attachments, Asked::Reserve)?,
        VolumeChange::Unreserve => volume.status = decide(volume, attachments, Asked::Unreserve)?,
        VolumeChange::BeginDetaching => volume.status = decide(volume, attachments, Asked::BeginDetaching)?,
        VolumeChange::RollDetaching => volume.status = decide(volume, attachments, Asked::RollDetaching)?,
        VolumeChange::UpdateReadonlyFlag { readonly } => {
            decide(volume, attachments, Asked::UpdateReadonlyFlag)?;
            let flag = if *readonly { "True" } else { "False" };
            volume
                .admin_metadata
                .insert("readonly".to_owned(), flag.to_owned());
        }
        VolumeChange::SetBootable { bootable } => {
            decide(volume, attachments, Asked::Update)?;
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
