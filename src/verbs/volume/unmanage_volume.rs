//! Forget a volume without touching its storage (cinder: `volume/api.py`, `delete` with `unmanage_only`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the volume is `unmanaging` | nothing has changed |
//! | unmanage (backend) | the backend counts it no longer; its record is gone | `error_unmanaging` |
//!
//! Its backend is told, so that it counts the volume no longer and does not bring it back.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::delete_volume::gone;
use super::manage_volume::failed;
use crate::control::{Deadlines, Interrupt};
use crate::messages::api::{ApiTopic, Outcome};
use crate::messages::{call, volume};
use crate::model::role::Level;
use crate::model::transitions::{Verb as Asked, decide, not_deletable};
use crate::model::user_message::{Action, Detail};
use crate::model::{Error, Result, Subject, Timestamp, Volume, VolumeStatus};
use crate::verbs::followers::Followers;
use crate::verbs::record_changes::remove_volume;
use crate::verbs::{
    Began, BeginContext, Command, CommandHeader, Entry, OperationContext, ReadAttachments, Reads, Records,
    Request, Transition, Verb,
};

/// Forget a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageVolume {
    /// Which, as the client wrote it.
    pub volume_id: String,
}
call!(UnmanageVolume => ApiTopic, "unmanage_volume", since 2, reply ());

/// What the journal keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageVolumeEntry {}

impl Request for UnmanageVolume {
    fn level(&self) -> Level {
        Level::Admin
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let control = at.control;
        let volume = control.settled_volume(at.context, &self.volume_id).await?;
        if volume.encryption_key_id.is_some() {
            return Err(Error::bad_request("Unmanaging encrypted volumes is not supported.").into());
        }
        let status = decide(&volume, &[], Asked::Unmanage)?;
        if !control.snapshots_of(volume.id).await?.is_empty() {
            return Err(not_deletable(false).into());
        }
        let mut changes = control.catalog.change();
        if volume.host.is_none() {
            // No backend has anything of it.
            let attachments = control.attachments_of(volume.id).await?;
            let attachments = control.shed_attachments(attachments, &at.superseded).await?;
            remove_volume(&mut changes, &volume, &attachments);
            changes.commit().await?;
            return Ok(Began::Done(()));
        }
        let operation = at.operation(&UnmanageVolumeEntry {}, Subject::Volume(volume.id), &volume)?;
        let mut unmanaging = volume.record.clone();
        unmanaging.status = status;
        unmanaging.previous_status = None;
        unmanaging.operation = Some(operation.id);
        unmanaging.updated_at = Some(Timestamp::now());
        changes
            .update_volume(&volume, &unmanaging)
            .insert_operation(&operation);
        changes.commit().await?;
        Ok(Began::started(operation, unmanaging, ()))
    }
}

impl Entry for UnmanageVolumeEntry {
    const NAME: &'static str = "unmanage_volume";
}

#[async_trait(?Send)]
impl Verb for UnmanageVolumeEntry {
    fn deadline(&self, deadlines: &Deadlines, _size: u32) -> Duration {
        deadlines.manage
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads {
            attachments: ReadAttachments::All,
            ..Reads::default()
        }
    }

    fn takes_along(&self) -> Option<Followers> {
        Some(Followers::Attachments)
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        let spec = records.spec()?;
        let backend = spec.pool.backend.clone();
        let command = volume::UnmanageVolume {
            command: header.id,
            volume: spec,
            remaining_ms: header.remaining_ms,
        };
        Some(Command::to_backend(&backend, command))
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Unmanaged => Some(gone(at)),
            Outcome::Failed(failure) => Some(failed(
                at,
                failure,
                VolumeStatus::ErrorUnmanaging,
                (Action::UnmanageVolume, Detail::UnknownError),
            )),
            _ => None,
        }
    }
}
