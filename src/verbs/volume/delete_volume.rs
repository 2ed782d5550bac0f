//! Delete a volume (cinder: `volume/api.py` `delete`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the volume is `deleting`; its earlier operation has ended, and its transfer is deleted | nothing has changed |
//! | followers | the operations of its attachments and snapshots have ended; the snapshots are `deleting` | it is repeated |
//! | delete (backend) | storage, export, snapshots and records are deleted | as before if the backend refused; else `error_deleting` |
//!
//! A volume without a host has nothing on any backend: its record is deleted at once. Snapshots are deleted with it if
//! requested (`cascade`), in the same operation; else they prevent the delete. A forced delete supersedes the open
//! operation of the volume.
//!
//! The steps on the backend. They have no reverts: an incomplete delete is repeated.
//!
//! | step | what is true after it |
//! |---|---|
//! | `remove_export` | no initiator can reach it |
//! | `delete_snapshots` | the snapshots that are deleted with it are deleted |
//! | `delete_volume` | its storage is deleted (a missing one counts as deleted), and it is not in the inventory |

use tracing::info;

use super::unmanage_volume::UnmanageVolumeEntry;
use crate::model::transitions::not_deletable;
use crate::model::transitions::snapshots::goes_with_its_volume;
use crate::model::{SnapshotId, StorageName};
use crate::verbs::followers::Followers;
use crate::verbs::prelude::*;
use crate::verbs::record_changes::remove_volume;
use crate::verbs::release::release_attachments;
use crate::verbs::{ReadSnapshots, next_stage, verb_of};

/// Delete a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolume {
    /// Its id, as the client wrote it.
    pub volume_id: String,
    /// Whether with all its snapshots.
    pub cascade: bool,
    /// Whether from any state (policy `volume:force_delete` or `os-force_delete` was checked by `web`).
    pub force: bool,
}
call!(DeleteVolume => ApiTopic, "delete_volume", since 1, reply ());

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolumeEntry {
    /// Whether to delete its snapshots, too.
    pub cascade: bool,
    /// Whether from any state.
    pub force: bool,
}

impl Request for DeleteVolume {
    const LEVEL: Level = Level::Member;

    fn level(&self) -> Level {
        Level::or_admin(self.force)
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let control = at.control;
        let volume = control.find_volume(at.context, &self.volume_id).await?;
        let attachments = control.catalog.volume_attachments(volume.id).await?;
        let snapshots = control.catalog.volume_snapshots(volume.id).await?;
        let mut changes = control.catalog.change();
        // Operations of its attachments and snapshots end before its command is sent (`followers`).
        let superseded = control.supersede(&mut changes, volume.operation).await?;
        control.end_transfer(&mut changes, volume.id).await?;
        if volume.host.is_none() {
            // The scheduler, if it is choosing a host now, gets a conflict.
            let attachments = control.shed_attachments(attachments, &at.superseded).await?;
            remove_volume(&mut changes, &volume, &attachments);
            at.notify_removed(&mut changes, "volume.delete", &volume);
            changes.commit().await?;
            at.superseded.add(superseded);
            info!(volume = %volume.id, "a volume without a host was deleted");
            return Ok(Began::Done(()));
        }
        let status = decide(&volume, &[], Asked::Delete { force: self.force })?;
        let is_delete =
            |operation: &&Operation| verb_of(operation).is_ok_and(|verb| verb.deletes_its_subject());
        if let Some(open) = superseded.iter().find(is_delete) {
            return Ok(Began::Repeated(Box::new(open.clone()), ()));
        }
        // The owner may not delete snapshots that another project kept when it transferred the volume.
        let any_project = self.force || at.context.is_admin;
        let all_may_go = snapshots.iter().all(|snapshot| {
            goes_with_its_volume(snapshot, self.force)
                && (any_project || snapshot.project_id == volume.project_id)
        });
        let may_go_with_them = snapshots.is_empty() || (self.cascade && all_may_go);
        if !may_go_with_them {
            return Err(not_deletable(self.force).into());
        }
        let subject = Subject::Volume(volume.id);
        let mut operation = match status {
            // Storage that could not be adopted must not be deleted: the volume is unmanaged.
            VolumeStatus::ErrorManagingDeleting => at.operation(&UnmanageVolumeEntry {}, subject, &volume)?,
            _ => {
                let entry = DeleteVolumeEntry {
                    cascade: self.cascade,
                    force: self.force,
                };
                at.operation(&entry, subject, &volume)?
            }
        };
        // The status to restore if the backend is busy: not that of a superseded operation.
        operation.previous_status = Some(volume.status).filter(|status| !status.is_transient());
        let deleting = Volume {
            previous_status: None,
            ..operation.claim(&volume, status)
        };
        changes.update(&volume, &deleting).insert(&operation);
        // `followers` releases the attachments of operations that are open then: this one has ended by then.
        release_attachments(&mut changes, &attachments, &superseded);
        at.notify_start(&mut changes, &operation, &deleting, None).await?;
        changes.commit().await?;
        at.superseded.add(superseded);
        Ok(Began::started(operation, deleting, ()))
    }
}

/// The operation, continued with the deletion of this volume, which is hidden: a copy, or the former storage of a
/// volume. `None` if the entry cannot be encoded.
pub(in crate::verbs) fn deletion(
    operation: &Operation,
    volume: &Volume,
    deadlines: &Deadlines,
    now: Timestamp,
) -> Option<(Operation, Volume)> {
    let entry = DeleteVolumeEntry {
        cascade: false,
        force: false,
    };
    let mut going_on = next_stage(operation, &entry)?;
    going_on.subject = Subject::Volume(volume.id);
    going_on.volume_id = Some(volume.id);
    going_on.pool.clone_from(&volume.host);
    going_on.previous_status = None;
    going_on.reserved.clear();
    going_on.tried.clear();
    // The cancellation does not apply to this stage.
    going_on.steps.retain(|step| !Operation::says_cancelled(step));
    going_on.deadline = now.plus(entry.deadline(deadlines, volume.size));
    let deleting = Volume {
        previous_status: None,
        updated_at: Some(now),
        ..going_on.claim(volume, VolumeStatus::Deleting)
    };
    Some((going_on, deleting))
}

impl Entry for DeleteVolumeEntry {
    const NAME: &'static str = "delete_volume";
}

#[async_trait(?Send)]
impl Verb for DeleteVolumeEntry {
    fn deadline(&self, deadlines: &Deadlines, size: u32) -> Duration {
        deadlines.delete + deadlines.moving_data(size)
    }

    fn deletes_its_subject(&self) -> bool {
        true
    }

    fn may_be_cancelled(&self) -> bool {
        true
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads {
            attachments: ReadAttachments::All,
            snapshots: if self.cascade {
                ReadSnapshots::All
            } else {
                ReadSnapshots::Named
            },
            other: None,
        }
    }

    fn takes_along(&self) -> Option<Followers> {
        Some(Followers::AndSnapshots { force: self.force })
    }

    async fn must_wait(&self, control: &Control, operation: &Operation) -> Result<bool> {
        let Some(volume) = operation.volume_id else {
            return Ok(false);
        };
        if control.is_any_copied([volume.0]).await? {
            return Ok(true);
        }
        if !self.cascade {
            return Ok(false);
        }
        let snapshots = control.catalog.volume_snapshots(volume).await?;
        control
            .is_any_copied(snapshots.iter().map(|snapshot| snapshot.id.0))
            .await
    }

    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["volume.delete"])
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        if records.snapshots.is_empty() {
            return records.to_backend(|volume| DeleteVolumeCommand {
                command: header.id,
                volume,
                remaining_ms: header.remaining_ms,
            });
        }
        records.to_backend(|volume| DeleteVolumeCascadeCommand {
            command: header.id,
            volume,
            snapshots: records.snapshots.iter().map(|snapshot| snapshot.id).collect(),
            remaining_ms: header.remaining_ms,
        })
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Deleted => Some(at.volume_gone()),
            Outcome::Failed(failure) => Some(failed(at, failure)),
            _ => None,
        }
    }

    fn superseded_snapshot(&self) -> Option<SnapshotStatus> {
        Some(SnapshotStatus::ErrorDeleting)
    }
}

fn failed(at: &OperationContext<'_>, failure: &Failure) -> Transition {
    // Something on the backend depends on it: nothing was changed (cinder: `VolumeIsBusy`).
    let (status, of_snapshots) = match failure.kind {
        // A hidden copy has no earlier status to restore.
        FailureKind::Busy if at.volume.copy_of().is_none() => (
            at.operation
                .previous_status
                .filter(|status| !status.is_transient())
                .unwrap_or(VolumeStatus::Available),
            SnapshotStatus::Available,
        ),
        _ => (VolumeStatus::ErrorDeleting, SnapshotStatus::ErrorDeleting),
    };
    Transition {
        // Those that are already deleted on the backend are deleted again by the next attempt, which finds nothing.
        snapshots: at
            .snapshots
            .iter()
            .filter(|snapshot| snapshot.operation == Some(at.operation.id))
            .map(|snapshot| at.snapshot_with_status(snapshot, of_snapshots))
            .collect(),
        ..Transition::volume_failed(
            at.with_status(status),
            failure,
            (Action::DeleteVolume, Detail::DriverFailedDelete),
            "Unable to delete the volume.",
        )
    }
}

/// Delete the volume's export and storage. A missing one counts as deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolumeCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume.
    pub volume: VolumeSpec,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(DeleteVolumeCommand => VolumeTopic, "delete_volume", since 1);

/// Delete a volume with these snapshots. Missing ones count as deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolumeCascadeCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume.
    pub volume: VolumeSpec,
    /// Its snapshots, which are deleted first.
    pub snapshots: Vec<SnapshotId>,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(DeleteVolumeCascadeCommand => VolumeTopic, "delete_volume_cascade", since 2);

impl BackendCommand for DeleteVolumeCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        flow()
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::Deleted
    }
}

impl BackendCommand for DeleteVolumeCascadeCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = ();
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        flow()
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::Deleted
    }
}

/// A command that deletes a volume.
trait Delete: BackendCommand {
    /// The snapshots that are deleted before it.
    fn snapshots(&self) -> &[SnapshotId];
}

impl Delete for DeleteVolumeCommand {
    fn snapshots(&self) -> &[SnapshotId] {
        &[]
    }
}

impl Delete for DeleteVolumeCascadeCommand {
    fn snapshots(&self) -> &[SnapshotId] {
        &self.snapshots
    }
}

fn flow<C: Delete>() -> Flow<Task<C>, DriverError> {
    Flow::new("delete_volume")
        .then(step("remove_export", remove_export::<C>))
        .then(step("delete_snapshots", delete_snapshots::<C>))
        .then(step("delete_volume", delete_volume::<C>))
}

async fn remove_export<C: Delete>(task: &mut Task<C>) -> DriverResult<()> {
    // Also if the inventory has no export: one may be left by a connection that was never acknowledged.
    task.drive_target(|call, target| call.backend.remove_export(target, call.work, call.volume))
        .await
}

async fn delete_snapshots<C: Delete>(task: &mut Task<C>) -> DriverResult<()> {
    let command = task.command.clone();
    for snapshot in command.snapshots().iter().copied() {
        task.drive(LockSet::snapshot(snapshot), move |call| {
            call.backend.inventory().insert_tombstone(snapshot.0);
            call.driver
                .delete_storage(call.work, call.volume, StorageName::Snapshot(snapshot))
        })
        .await?;
    }
    Ok(())
}

async fn delete_volume<C: Delete>(task: &mut Task<C>) -> DriverResult<()> {
    let id = task.volume.id;
    let locks = LockSet::volume(id)
        .and(LockSet::content_of(id))
        .moving_data(task.moves_data())
        .of_command(task.command.id());
    let deleted = task.drive(locks, move |call| {
        call.backend.inventory().insert_tombstone(id.0);
        // A connection that was being made when the delete began is complete by now.
        let is_exported = call.backend.inventory().is_exported(id);
        if let Some(target) = call.backend.target.as_ref().filter(|_| is_exported) {
            call.backend
                .remove_export(target.as_ref(), call.work, call.volume)?;
        }
        call.driver.delete_volume(call.work, call.volume)?;
        let mut inventory = call.backend.inventory();
        // Again: the task may have stopped waiting for this thread, and recorded a failed delete.
        inventory.insert_tombstone(id.0);
        inventory.remove(id);
        Ok(())
    });
    let deleted = deleted.await;
    if deleted.is_err() {
        task.backend.inventory().delete_failed(id.0);
    }
    deleted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_volume_is_deleted_with_its_snapshots_and_a_failed_delete_can_be_repeated() {
        Recipe {
            command: |fixture| DeleteVolumeCascadeCommand {
                command: first(),
                volume: fixture.volume.clone(),
                snapshots: vec![fixture.snapshot],
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, _| {
                fixture.driver.volumes().is_empty() && fixture.driver.snapshots().is_empty()
            },
            after_failure: |_, _| true,
        }
        .check()
        .await;
    }
}
