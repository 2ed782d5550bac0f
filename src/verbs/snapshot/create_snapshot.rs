//! Create a snapshot of a volume (cinder: `volume/api.py`, `create_snapshot_in_db`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the snapshot is `creating`, and counted | nothing has changed |
//! | create (backend) | the snapshot is `available` | `error` |
//!
//! Checks in Cinder's order: the volume's state, then quota. Snapshot, usage and operation are one commit, which also touches
//! the volume's record: a concurrent delete of the volume gets a conflict, is decided again, and finds the snapshot.
//!
//! The steps on the backend (cinder: `volume/manager.py`, `create_snapshot`):
//!
//! | step | what is true after it | reverted by |
//! |---|---|---|
//! | `create_snapshot` | the snapshot exists, and is complete | deleting it |

use std::collections::BTreeMap;

use crate::control::bounds::check_new_snapshot;
use crate::control::lookup::growth_failed;
use crate::model::bounds::{SNAPSHOTS, check_count};
use crate::model::quota::snapshot_deltas;
use crate::model::{SnapshotId, StorageName};
use crate::verbs::prelude::*;

/// Create a snapshot of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSnapshot {
    /// The volume's id, as the client wrote it.
    pub volume_id: String,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Whether attached volumes are allowed (`force`, or microversion 3.66).
    pub in_use_too: bool,
}
call!(CreateSnapshot => ApiTopic, "create_snapshot", since 2, reply Snapshot);

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSnapshotEntry {
    /// The snapshot.
    pub snapshot_id: SnapshotId,
}

impl Request for CreateSnapshot {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Snapshot>, Interrupt> {
        begin_snapshot(at, self, |snapshot_id| CreateSnapshotEntry { snapshot_id }).await
    }
}

/// Commits a snapshot in `creating`, with its operation.
pub(super) async fn begin_snapshot<E: Entry>(
    at: &BeginContext<'_>,
    wanted: &CreateSnapshot,
    entry: impl FnOnce(SnapshotId) -> E,
) -> Result<Began<Snapshot>, Interrupt> {
    let control = at.control;
    check_new_snapshot(&wanted.metadata)?;
    let volume = control.find_volume(at.context, &wanted.volume_id).await?;
    let asked = Asked::CreateSnapshot {
        in_use_too: wanted.in_use_too,
    };
    decide(&volume, &[], asked)?;
    let snapshots = control.catalog.volume_snapshots(volume.id).await?;
    check_count("snapshots", snapshots.len(), SNAPSHOTS)?;
    let deltas = snapshot_deltas(volume.size, volume.volume_type_id);
    let ceilings = control
        .check_quota(at.context, &volume.project_id, &deltas, None)
        .await?;
    if volume.host.is_none() {
        return Err(Error::internal("a volume that can have a snapshot has a host").into());
    }
    let volume_type = control.type_of(&volume).await?;
    let id = SnapshotId::new();
    let operation = at.operation(&entry(id), Subject::Snapshot(id), &volume)?;
    let latest = control.catalog.latest_snapshot(volume.id).await?;
    let created_at = later_than(latest.map(|latest| latest.created_at), Timestamp::now());
    let snapshot = Snapshot {
        id,
        user_id: at.context.user_id.clone(),
        name: wanted.name.clone(),
        description: wanted.description.clone(),
        metadata: wanted.metadata.clone(),
        operation: Some(operation.id),
        ..Snapshot::of(&volume, SnapshotStatus::Creating, created_at)
    };
    let mut changes = control.catalog.change();
    changes
        .update(&volume, &volume.record)
        .insert(&snapshot)
        .insert(&operation)
        .add_usage(&volume.project_id, &deltas);
    at.notify_start(&mut changes, &operation, &volume, Some(&snapshot))
        .await?;
    ceilings.apply(&mut changes, &volume.project_id, &deltas);
    at.answer(&mut changes, &snapshot, None)?;
    changes
        .commit()
        .await
        .map_err(|error| growth_failed(error, &deltas, volume_type.as_deref()))?;
    Ok(Began::started(operation, volume.record, snapshot))
}

/// The time now, but later than that of the previous snapshot: a volume can be reverted to its latest snapshot only,
/// which must not depend on a clock that was set back.
fn later_than(before: Option<Timestamp>, now: Timestamp) -> Timestamp {
    before.map_or(now, |before| now.max(before.plus(Duration::from_micros(1))))
}

impl Entry for CreateSnapshotEntry {
    const NAME: &'static str = "create_snapshot";
}

#[async_trait(?Send)]
impl Verb for CreateSnapshotEntry {
    fn deadline(&self, deadlines: &Deadlines, size: u32) -> Duration {
        deadlines.snapshot + deadlines.moving_data(size)
    }

    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["snapshot.create"])
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        records.to_backend(|volume| CreateSnapshotCommand {
            command: header.id,
            volume,
            snapshot_id: self.snapshot_id,
            remaining_ms: header.remaining_ms,
        })
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::SnapshotCreated { provider_id } => Some(at.snapshot_available(provider_id.clone())),
            Outcome::Failed(failure) => Some(at.snapshot_failed(
                failure,
                SnapshotStatus::Error,
                (Action::SnapshotCreate, Detail::SnapshotCreateError),
                "Unable to create the snapshot.",
            )),
            _ => None,
        }
    }
}

/// Create the snapshot on the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSnapshotCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume, whose pool the snapshot is on.
    pub volume: VolumeSpec,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(CreateSnapshotCommand => VolumeTopic, "create_snapshot", since 2);

impl BackendCommand for CreateSnapshotCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Refuse;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn snapshot(&self) -> Option<SnapshotId> {
        Some(self.snapshot_id)
    }

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("create_snapshot")
            .then(step("create_snapshot", create_snapshot).reverted_by(delete_created))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::SnapshotCreated { provider_id: None }
    }
}

async fn create_snapshot(task: &mut Task<CreateSnapshotCommand>) -> DriverResult<()> {
    let locks = LockSet::snapshot(task.command.snapshot_id)
        .and(LockSet::content_of(task.volume.id))
        .moving_data(task.moves_data());
    task.drive(locks, |call| {
        let snapshot = call.command.snapshot_id;
        // Checked while the snapshot is locked: a later delete may have been executed first.
        if call.backend.inventory().has_tombstone(snapshot.0) {
            let client = "The snapshot was deleted meanwhile.".to_owned();
            return Err(DriverError::Refused { client });
        }
        call.driver.create_snapshot(call.work, call.volume, snapshot)
    })
    .await
}

async fn delete_created(task: &mut Task<CreateSnapshotCommand>) {
    let snapshot = task.command.snapshot_id;
    let deleted = task.drive(LockSet::snapshot(snapshot), move |call| {
        call.driver
            .delete_storage(call.work, call.volume, StorageName::Snapshot(snapshot))
    });
    if let Err(error) = deleted.await {
        tracing::error!(%snapshot, %error, "a snapshot could not be reverted; it stays until it is deleted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_snapshot_is_created_whole_or_not_at_all() {
        Recipe {
            command: |fixture| CreateSnapshotCommand {
                command: first(),
                volume: fixture.volume.clone(),
                snapshot_id: SnapshotId::new(),
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, _| fixture.driver.snapshots().len() == 2,
            after_failure: |fixture, _| {
                fixture.driver.snapshots() == [fixture.snapshot] && fixture.driver.exists(fixture.volume.id)
            },
        }
        .check()
        .await;
    }
}
