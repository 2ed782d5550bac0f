//! Adopt existing storage as a snapshot (cinder: `volume/api.py` `manage_existing_snapshot`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the snapshot is `creating`, and counted | nothing has changed |
//! | manage (backend) | the storage has the snapshot's name; the snapshot is `available` | `error_managing` |
//!
//! The steps on the backend:
//!
//! | step | what is true after it |
//! |---|---|
//! | `manage_snapshot` | it has the snapshot's name |

use std::collections::BTreeMap;

use super::{CreateSnapshot, begin_snapshot};
use crate::drivers::Managed;
use crate::model::bounds::REFERENCE;
use crate::model::{Reference, SnapshotId};
use crate::verbs::prelude::*;

/// Adopt existing storage as a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageSnapshot {
    /// The volume's id, as the client wrote it.
    pub volume_id: String,
    /// The reference to the storage to adopt.
    pub reference: Reference,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
}
call!(ManageSnapshot => ApiTopic, "manage_snapshot", since 2, reply Snapshot);

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageSnapshotEntry {
    /// The new snapshot.
    pub snapshot_id: SnapshotId,
    /// The reference to the storage to adopt.
    pub reference: Reference,
}

impl Request for ManageSnapshot {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Snapshot>, Interrupt> {
        REFERENCE.check(0, self.reference.weight())?;
        at.control.refuse_what_is_managed(&self.reference).await?;
        let volume = at.control.find_volume(at.context, &self.volume_id).await?;
        if let Some(pool) = &volume.host {
            at.control.place_to_manage(at.context, &pool.to_string()).await?;
        }
        let wanted = CreateSnapshot {
            volume_id: self.volume_id.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            metadata: self.metadata.clone(),
            in_use_too: true,
        };
        let reference = self.reference.clone();
        begin_snapshot(at, &wanted, |snapshot_id| ManageSnapshotEntry {
            snapshot_id,
            reference,
        })
        .await
    }
}

impl Entry for ManageSnapshotEntry {
    const NAME: &'static str = "manage_snapshot";
}

#[async_trait(?Send)]
impl Verb for ManageSnapshotEntry {
    fn deadline(&self, deadlines: &Deadlines, _size: u32) -> Duration {
        deadlines.manage
    }

    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["snapshot.manage_existing_snapshot"])
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        records.to_backend(|volume| ManageSnapshotCommand {
            command: header.id,
            volume,
            snapshot_id: self.snapshot_id,
            reference: self.reference.clone(),
            remaining_ms: header.remaining_ms,
        })
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::SnapshotManaged { provider_id, .. } => Some(at.snapshot_available(provider_id.clone())),
            Outcome::Failed(failure) => Some(at.snapshot_failed(
                failure,
                SnapshotStatus::ErrorManaging,
                (Action::ManageSnapshot, Detail::DriverFailedManage),
                "Unable to manage the snapshot.",
            )),
            _ => None,
        }
    }
}

/// Adopt existing storage as a snapshot of this volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageSnapshotCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume of the snapshot.
    pub volume: VolumeSpec,
    /// The new snapshot.
    pub snapshot_id: SnapshotId,
    /// What to take.
    pub reference: Reference,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(ManageSnapshotCommand => VolumeTopic, "manage_snapshot", since 2);

impl BackendCommand for ManageSnapshotCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Refuse;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = Managed;
    command_fields!();

    fn snapshot(&self) -> Option<SnapshotId> {
        Some(self.snapshot_id)
    }

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("manage_snapshot").then(step("manage_snapshot", manage_snapshot))
    }

    fn outcome(&self, managed: Managed) -> Outcome {
        Outcome::SnapshotManaged {
            size: managed.size,
            provider_id: managed.provider_id,
        }
    }
}

async fn manage_snapshot(task: &mut Task<ManageSnapshotCommand>) -> DriverResult<()> {
    let managed = task.drive(LockSet::snapshot(task.command.snapshot_id), |call| {
        let command = call.command;
        call.driver
            .manage_snapshot(call.work, call.volume, command.snapshot_id, &command.reference)
    });
    task.output = managed.await?;
    Ok(())
}
