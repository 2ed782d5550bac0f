//! Revert a volume to its latest snapshot (cinder: `api/v3/volumes.py` `revert`, `volume/api.py`
//! `revert_to_snapshot`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the volume is `reverting`, the snapshot `restoring` | nothing has changed |
//! | revert (backend) | content and size are the snapshot's | as before if nothing was changed; else `error`. The snapshot is unchanged |
//!
//! Both records change in one commit: Cinder leaves a volume in `reverting` if its snapshot was not available.
//!
//! The steps on the backend (cinder: `volume/manager.py`, `revert_to_snapshot`). They have no reverts: a partially
//! reverted volume is inconsistent until the end.
//!
//! | step | what is true after it |
//! |---|---|
//! | `revert_to_snapshot` | the volume's content and size are the snapshot's, and the inventory has that size |

use crate::model::SnapshotId;
use crate::model::transitions::snapshots;
use crate::verbs::prelude::*;

/// Revert a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertToSnapshot {
    /// The volume's id, as the client wrote it.
    pub volume_id: String,
    /// The snapshot's id, as the client wrote it; `None` is always refused.
    pub snapshot_id: Option<String>,
}
call!(RevertToSnapshot => ApiTopic, "revert_to_snapshot", since 2, reply ());

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertToSnapshotEntry {
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// The size at the time of the snapshot, in GiB.
    pub size: u32,
}

impl Request for RevertToSnapshot {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let volume = at.control.settled_volume(at.context, &self.volume_id).await?;
        let latest = at.control.catalog.latest_snapshot(volume.id).await?;
        let latest = snapshots::is_latest(&volume, latest, self.snapshot_id.as_deref())?;
        snapshots::revert(&volume, &latest)?;
        let entry = RevertToSnapshotEntry {
            snapshot_id: latest.id,
            size: latest.volume_size,
        };
        let mut operation = at.operation(&entry, Subject::Volume(volume.id), &volume)?;
        operation.snapshot_id = Some(latest.id);
        let reverting = operation.claim(&volume, VolumeStatus::Reverting);
        let mut restoring = latest.record.clone();
        restoring.status = SnapshotStatus::Restoring;
        restoring.operation = Some(operation.id);
        restoring.updated_at = reverting.updated_at;
        let mut changes = at.control.catalog.change();
        changes
            .update(&volume, &reverting)
            .update(&latest, &restoring)
            .insert(&operation);
        at.notify_start(&mut changes, &operation, &reverting, Some(&restoring))
            .await?;
        changes.commit().await?;
        Ok(Began::started(operation, reverting, ()))
    }
}

impl Entry for RevertToSnapshotEntry {
    const NAME: &'static str = "revert_to_snapshot";
}

#[async_trait(?Send)]
impl Verb for RevertToSnapshotEntry {
    fn deadline(&self, deadlines: &Deadlines, size: u32) -> Duration {
        deadlines.snapshot + deadlines.moving_data(size)
    }

    fn may_be_cancelled(&self) -> bool {
        true
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads::attachments(ReadAttachments::IfAttached)
    }

    async fn must_wait(&self, control: &Control, operation: &Operation) -> Result<bool> {
        let volume = operation.volume_id.map(|id| id.0);
        control
            .is_any_copied(volume.into_iter().chain([self.snapshot_id.0]))
            .await
    }

    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["volume.revert", "snapshot.revert"]).ending(EndEvent::Always)
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        records.to_backend(|volume| RevertToSnapshotCommand {
            command: header.id,
            volume,
            snapshot_id: self.snapshot_id,
            size: self.size,
            remaining_ms: header.remaining_ms,
        })
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        let restored = at
            .snapshot()
            .map(|snapshot| at.snapshot_with_status(snapshot, SnapshotStatus::Available));
        let transition = match outcome {
            Outcome::Reverted => Transition::resized(at.resting_as_before(), self.size),
            Outcome::Failed(failure) => {
                // If the volume is certainly unchanged its status is restored; else its content is unknown.
                let volume = match failure.kind {
                    FailureKind::Busy | FailureKind::Request | FailureKind::NoSpace => at.resting_as_before(),
                    _ => at.with_status(VolumeStatus::Error),
                };
                let reported = (Action::RevertToSnapshot, Detail::DriverFailedRevert);
                Transition::volume_failed(volume, failure, reported, "Unable to revert the volume.")
            }
            _ => return None,
        };
        Some(transition.and_snapshot(restored))
    }

    fn superseded_snapshot(&self) -> Option<SnapshotStatus> {
        Some(SnapshotStatus::Available)
    }
}

/// Revert the volume's storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertToSnapshotCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume, whose pool the snapshot is on.
    pub volume: VolumeSpec,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// The size at the time of the snapshot, in GiB.
    pub size: u32,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(RevertToSnapshotCommand => VolumeTopic, "revert_to_snapshot", since 2);

impl BackendCommand for RevertToSnapshotCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn snapshot(&self) -> Option<SnapshotId> {
        Some(self.snapshot_id)
    }

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("revert_to_snapshot").then(step("revert_to_snapshot", revert_to_snapshot))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::Reverted
    }
}

async fn revert_to_snapshot(task: &mut Task<RevertToSnapshotCommand>) -> DriverResult<()> {
    let locks = LockSet::volume(task.volume.id)
        .and(LockSet::content_of(task.volume.id))
        .and(LockSet::snapshot(task.command.snapshot_id))
        .moving_data(task.moves_data())
        .of_command(task.command.command);
    task.drive(locks, |call| {
        let (volume, command) = (call.volume, call.command);
        call.driver
            .revert_to_snapshot(call.work, volume, command.snapshot_id)?;
        let mut inventory = call.backend.inventory();
        inventory.insert(volume.id, &volume.pool.pool, command.size);
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_volume_is_reverted_and_a_failed_revert_can_be_repeated() {
        Recipe {
            command: |fixture| RevertToSnapshotCommand {
                command: first(),
                volume: fixture.volume.clone(),
                snapshot_id: fixture.snapshot,
                size: 3,
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| fixture.driver.size(command.volume.id) == Some(3),
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id),
        }
        .check()
        .await;
    }
}
