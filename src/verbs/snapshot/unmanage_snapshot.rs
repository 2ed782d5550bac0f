//! Forget a snapshot without touching its storage (cinder: `volume/api.py` `delete_snapshot` with `unmanage_only`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the snapshot is `unmanaging`; what was done to it has ended | nothing has changed |
//! | unmanage (backend) | its record is gone | `error_deleting` |

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::delete_snapshot::{End, end_snapshot};
use crate::control::{Deadlines, Interrupt};
use crate::messages::api::{ApiTopic, Outcome};
use crate::messages::{call, volume};
use crate::model::role::Level;
use crate::model::user_message::{Action, Detail};
use crate::model::{Result, SnapshotId, SnapshotStatus, Volume};
use crate::verbs::{
    Began, BeginContext, Command, CommandHeader, Entry, OperationContext, Reads, Records, Request,
    Transition, Verb,
};

/// Forget a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageSnapshot {
    /// Which, as the client wrote it.
    pub snapshot_id: String,
}
call!(UnmanageSnapshot => ApiTopic, "unmanage_snapshot", since 2, reply ());

/// What the journal keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageSnapshotEntry {
    /// The snapshot.
    pub snapshot_id: SnapshotId,
}

impl Request for UnmanageSnapshot {
    fn level(&self) -> Level {
        Level::Admin
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        end_snapshot(at, &self.snapshot_id, End::Unmanage).await
    }
}

impl Entry for UnmanageSnapshotEntry {
    const NAME: &'static str = "unmanage_snapshot";
}

#[async_trait(?Send)]
impl Verb for UnmanageSnapshotEntry {
    fn deadline(&self, deadlines: &Deadlines, _size: u32) -> Duration {
        deadlines.manage
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads::default()
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        let spec = records.spec()?;
        let backend = spec.pool.backend.clone();
        let command = volume::UnmanageSnapshot {
            command: header.id,
            volume: spec,
            snapshot_id: self.snapshot_id,
            remaining_ms: header.remaining_ms,
        };
        Some(Command::to_backend(&backend, command))
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::SnapshotUnmanaged => Some(at.snapshot_gone()),
            Outcome::Failed(failure) => Some(at.snapshot_failed(
                failure,
                SnapshotStatus::ErrorDeleting,
                (Action::UnmanageSnapshot, Detail::UnknownError),
                "Unable to unmanage the snapshot.",
            )),
            _ => None,
        }
    }
}
