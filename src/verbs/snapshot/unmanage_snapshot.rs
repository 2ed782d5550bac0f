//! Delete a snapshot's record and keep its storage (cinder: `volume/api.py`, a delete with `unmanage_only`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the snapshot is `unmanaging`; its earlier operation has ended | nothing has changed |
//! | unmanage (backend) | its record is deleted | `error_deleting` |
//!
//! The backend has nothing to do: its inventory has no snapshots.

use super::ending::end_snapshot;
use crate::model::SnapshotId;
use crate::verbs::prelude::*;

/// Unmanage a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageSnapshot {
    /// Its id, as the client wrote it.
    pub snapshot_id: String,
}
call!(UnmanageSnapshot => ApiTopic, "unmanage_snapshot", since 2, reply ());

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageSnapshotEntry {
    /// The snapshot.
    pub snapshot_id: SnapshotId,
}

impl Request for UnmanageSnapshot {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let unmanage = |snapshot: &Snapshot, volume: &Volume| unmanage(at, snapshot, volume);
        end_snapshot(at, &self.snapshot_id, false, unmanage).await
    }
}

/// The operation that unmanages a snapshot, and the snapshot's status meanwhile.
pub(super) fn unmanage(
    at: &BeginContext<'_>,
    snapshot: &Snapshot,
    volume: &Volume,
) -> Result<(Operation, SnapshotStatus)> {
    let entry = UnmanageSnapshotEntry {
        snapshot_id: snapshot.id,
    };
    let operation = at.operation(&entry, Subject::Snapshot(snapshot.id), volume)?;
    Ok((operation, SnapshotStatus::Unmanaging))
}

impl Entry for UnmanageSnapshotEntry {
    const NAME: &'static str = "unmanage_snapshot";
}

#[async_trait(?Send)]
impl Verb for UnmanageSnapshotEntry {
    fn deadline(&self, deadlines: &Deadlines, _size: u32) -> Duration {
        deadlines.manage
    }

    /// As if it were deleted (cinder: a delete with `unmanage_only`).
    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["snapshot.delete"])
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        records.to_backend(|volume| UnmanageSnapshotCommand {
            command: header.id,
            volume,
            snapshot_id: self.snapshot_id,
            remaining_ms: header.remaining_ms,
        })
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

/// Remove the snapshot from the backend's inventory, and keep its storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanageSnapshotCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume, whose pool the snapshot is on.
    pub volume: VolumeSpec,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(UnmanageSnapshotCommand => VolumeTopic, "unmanage_snapshot", since 2);

impl BackendCommand for UnmanageSnapshotCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn snapshot(&self) -> Option<SnapshotId> {
        Some(self.snapshot_id)
    }

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("unmanage_snapshot")
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::SnapshotUnmanaged
    }
}
