//! Delete a snapshot (cinder: `volume/api.py` `delete_snapshot`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the snapshot is `deleting`; its earlier operation has ended | nothing has changed |
//! | delete (backend) | its storage and its record are deleted | `available` if the backend refused; else `error_deleting` |
//!
//! A forced delete supersedes its open operation; only for a revert to it, it waits.
//!
//! The steps on the backend. They have no reverts: an incomplete delete is repeated.
//!
//! | step | what is true after it |
//! |---|---|
//! | `delete_snapshot` | its storage is deleted (a missing one counts as deleted) |

use super::ending::end_snapshot;
use super::unmanage_snapshot::unmanage;
use crate::model::SnapshotId;
use crate::verbs::prelude::*;

/// Delete a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSnapshot {
    /// Its id, as the client wrote it.
    pub snapshot_id: String,
    /// Whether from any state (`os-force_delete`; policy was checked by `web`).
    pub force: bool,
}
call!(DeleteSnapshot => ApiTopic, "delete_snapshot", since 2, reply ());

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSnapshotEntry {
    /// The snapshot.
    pub snapshot_id: SnapshotId,
}

impl Request for DeleteSnapshot {
    const LEVEL: Level = Level::Member;

    fn level(&self) -> Level {
        Level::or_admin(self.force)
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let snapshot_id = &self.snapshot_id;
        end_snapshot(at, snapshot_id, self.force, |snapshot, volume| {
            // Storage that could not be adopted must not be deleted.
            if snapshot.status == SnapshotStatus::ErrorManaging {
                return unmanage(at, snapshot, volume);
            }
            let entry = DeleteSnapshotEntry {
                snapshot_id: snapshot.id,
            };
            let operation = at.operation(&entry, Subject::Snapshot(snapshot.id), volume)?;
            Ok((operation, SnapshotStatus::Deleting))
        })
        .await
    }
}

impl Entry for DeleteSnapshotEntry {
    const NAME: &'static str = "delete_snapshot";
}

#[async_trait(?Send)]
impl Verb for DeleteSnapshotEntry {
    fn deadline(&self, deadlines: &Deadlines, size: u32) -> Duration {
        deadlines.snapshot + deadlines.moving_data(size)
    }

    fn deletes_its_subject(&self) -> bool {
        true
    }

    async fn must_wait(&self, control: &Control, _operation: &Operation) -> Result<bool> {
        control.is_any_copied([self.snapshot_id.0]).await
    }

    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["snapshot.delete"])
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        records.to_backend(|volume| DeleteSnapshotCommand {
            command: header.id,
            volume,
            snapshot_id: self.snapshot_id,
            remaining_ms: header.remaining_ms,
        })
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::SnapshotDeleted => Some(at.snapshot_gone()),
            Outcome::Failed(failure) => {
                // Something on the backend depends on it: nothing was changed (cinder: `SnapshotIsBusy`).
                let (status, detail) = match failure.kind {
                    FailureKind::Busy => (SnapshotStatus::Available, Detail::SnapshotIsBusy),
                    _ => (SnapshotStatus::ErrorDeleting, Detail::SnapshotDeleteError),
                };
                let text = "Unable to delete the snapshot.";
                Some(at.snapshot_failed(failure, status, (Action::SnapshotDelete, detail), text))
            }
            _ => None,
        }
    }
}

/// Delete the snapshot's storage. A missing one counts as deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSnapshotCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume, whose pool the snapshot is on.
    pub volume: VolumeSpec,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(DeleteSnapshotCommand => VolumeTopic, "delete_snapshot", since 2);

impl BackendCommand for DeleteSnapshotCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn snapshot(&self) -> Option<SnapshotId> {
        Some(self.snapshot_id)
    }

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("delete_snapshot").then(step("delete_snapshot", delete_snapshot))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::SnapshotDeleted
    }
}

async fn delete_snapshot(task: &mut Task<DeleteSnapshotCommand>) -> DriverResult<()> {
    // The data of a thick snapshot is wiped.
    let locks = LockSet::snapshot(task.command.snapshot_id).moving_data(task.moves_data());
    task.drive(locks, |call| {
        let snapshot = call.command.snapshot_id;
        call.backend.inventory().insert_tombstone(snapshot.0);
        call.driver.delete_snapshot(call.work, call.volume, snapshot)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_snapshot_is_deleted_and_a_failed_delete_can_be_repeated() {
        Recipe {
            command: |fixture| DeleteSnapshotCommand {
                command: first(),
                volume: fixture.volume.clone(),
                snapshot_id: fixture.snapshot,
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, _| fixture.driver.snapshots().is_empty(),
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id),
        }
        .check()
        .await;
    }
}
