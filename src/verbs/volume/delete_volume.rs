//! Delete a volume (cinder: `volume/api.py` `delete`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the volume is `deleting`; what was done to it has ended, a transfer of it too | nothing has changed |
//! | followers | what is done to its attachments and snapshots has ended; the snapshots are `deleting` | it is done again |
//! | delete (backend) | storage, export, snapshots and records are gone | as before if the backend refused; else `error_deleting` |
//!
//! What never got a host has nothing on any backend: its record goes at once. Snapshots go with it if that is asked for
//! (`cascade`), in the same operation; else they keep it from going. A forced delete supersedes whatever is being done to the
//! volume.
//!
//! The steps on the backend. They only go forward: a delete that failed half-way is done again.
//!
//! | step | what is true after it |
//! |---|---|
//! | `notify_delete_start` | `volume.delete.start` was emitted |
//! | `remove_export` | nobody can reach it |
//! | `delete_snapshots` | the snapshots that go with it are gone |
//! | `delete_volume` | its storage is gone (what was not there counts as gone), and it is not in the inventory |
//! | `notify_delete_end` | `volume.delete.end` was emitted |

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::unmanage_volume::UnmanageVolumeEntry;
use crate::backend::command::command_fields;
use crate::backend::notify::Notify;
use crate::backend::{BackendCommand, LockSet, SpaceEffect, Task, WhenDown};
use crate::control::{Control, Deadlines, Interrupt};
use crate::drivers::{DriverError, DriverResult};
use crate::flow::{Flow, step};
use crate::messages::api::{ApiTopic, Failure, FailureKind, Outcome};
use crate::messages::volume::{CommandId, VolumeTopic};
use crate::messages::{call, cast};
use crate::model::role::Level;
use crate::model::transitions::snapshots::goes_with_its_volume;
use crate::model::transitions::{Verb as Asked, decide, not_deletable};
use crate::model::user_message::{Action, Detail};
use crate::model::{
    Operation, Result, SnapshotId, SnapshotStatus, StorageName, Subject, Timestamp, Volume, VolumeSpec,
    VolumeStatus,
};
use crate::verbs::followers::Followers;
use crate::verbs::record_changes::remove_volume;
use crate::verbs::transition::client_error;
use crate::verbs::{
    Began, BeginContext, Command, CommandHeader, Entry, OperationContext, ReadAttachments, ReadSnapshots,
    Reads, Records, Request, Transition, UserMessageDraft, Verb, next_stage, verb_of,
};

/// Delete a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolume {
    /// Which, as the client wrote it.
    pub volume_id: String,
    /// And all its snapshots.
    pub cascade: bool,
    /// From any state (policy `volume:force_delete` or `os-force_delete` was checked by `web`).
    pub force: bool,
}
call!(DeleteVolume => ApiTopic, "delete_volume", since 1, reply ());

/// What the journal keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolumeEntry {
    /// Delete its snapshots, too.
    pub cascade: bool,
    /// From whatever state.
    pub force: bool,
}

impl Request for DeleteVolume {
    fn level(&self) -> Level {
        Level::or_admin(self.force)
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let control = at.control;
        let volume = control.find_volume(at.context, &self.volume_id).await?;
        let attachments = control.attachments_of(volume.id).await?;
        let snapshots = control.snapshots_of(volume.id).await?;
        let mut changes = control.catalog.change();
        // Operations of its attachments and snapshots end before its command is sent (`followers`).
        let superseded = control.supersede(&mut changes, volume.operation).await?;
        control.end_transfer(&mut changes, volume.id).await?;
        if volume.host.is_none() {
            // The scheduler, if it is just choosing a host, finds the record changed.
            let attachments = control.shed_attachments(attachments, &at.superseded).await?;
            remove_volume(&mut changes, &volume, &attachments);
            changes.commit().await?;
            at.superseded.add(superseded);
            info!(volume = %volume.id, "a volume without a host is gone");
            return Ok(Began::Done(()));
        }
        let status = decide(&volume, &[], Asked::Delete { force: self.force })?;
        let is_delete =
            |operation: &&Operation| verb_of(operation).is_ok_and(|verb| verb.deletes_its_subject());
        if let Some(open) = superseded.iter().find(is_delete) {
            return Ok(Began::Repeated(Box::new(open.clone()), ()));
        }
        // What another project kept when it transferred the volume is not the owner's to delete.
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
            // What could not be adopted is not ours to delete: it is forgotten.
            VolumeStatus::ErrorManagingDeleting => at.operation(&UnmanageVolumeEntry {}, subject, &volume)?,
            _ => {
                let entry = DeleteVolumeEntry {
                    cascade: self.cascade,
                    force: self.force,
                };
                at.operation(&entry, subject, &volume)?
            }
        };
        // Where to go back to if the backend is busy: not to the middle of what this supersedes.
        operation.previous_status = Some(volume.status).filter(|status| !status.is_transient());
        let mut deleting = volume.record.clone();
        deleting.status = status;
        deleting.previous_status = None;
        deleting.operation = Some(operation.id);
        deleting.updated_at = Some(Timestamp::now());
        changes.update(&volume, &deleting).insert(&operation);
        changes.commit().await?;
        at.superseded.add(superseded);
        Ok(Began::started(operation, deleting, ()))
    }
}

/// The operation goes on by deleting this volume, which is nobody's any more: a hidden copy, or what a volume has left. `None` if the
/// entry cannot be encoded.
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
    // It is not this that somebody wanted ended.
    going_on.steps.retain(|step| !Operation::says_cancelled(step));
    going_on.deadline = now.plus(entry.deadline(deadlines, volume.size));
    let mut deleting = volume.clone();
    deleting.status = VolumeStatus::Deleting;
    deleting.previous_status = None;
    deleting.operation = Some(going_on.id);
    deleting.updated_at = Some(now);
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
        let snapshots = control.snapshots_of(volume).await?;
        control
            .is_any_copied(snapshots.iter().map(|snapshot| snapshot.id.0))
            .await
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        let spec = records.spec()?;
        let backend = spec.pool.backend.clone();
        if records.snapshots.is_empty() {
            let command = DeleteVolumeCommand {
                command: header.id,
                volume: spec,
                remaining_ms: header.remaining_ms,
            };
            return Some(Command::to_backend(&backend, command));
        }
        let command = DeleteVolumeCascadeCommand {
            command: header.id,
            volume: spec,
            snapshots: records.snapshots.iter().map(|snapshot| snapshot.id).collect(),
            remaining_ms: header.remaining_ms,
        };
        Some(Command::to_backend(&backend, command))
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
    // Something on the backend depends on it: nothing was touched (cinder: `VolumeIsBusy`).
    let (status, of_snapshots) = match failure.kind {
        // A hidden copy is nobody's, so it has nothing to go back to.
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
        // Those that are gone already are deleted by the next try, which finds nothing of them.
        snapshots: at
            .snapshots
            .iter()
            .filter(|snapshot| snapshot.operation == Some(at.operation.id))
            .map(|snapshot| at.snapshot_with_status(snapshot, of_snapshots))
            .collect(),
        ..Transition::failed_with(
            at.with_status(status),
            client_error(failure, "Unable to delete the volume."),
            Some(UserMessageDraft::of(
                failure,
                Action::DeleteVolume,
                Detail::DriverFailedDelete,
            )),
        )
    }
}

/// Take away its export and its storage. What is not there counts as done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolumeCommand {
    /// Whose command this is.
    pub command: CommandId,
    /// What to delete.
    pub volume: VolumeSpec,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(DeleteVolumeCommand => VolumeTopic, "delete_volume", since 1);

/// Take away a volume with these snapshots of it. What is not there counts as done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolumeCascadeCommand {
    /// Whose command this is.
    pub command: CommandId,
    /// What to delete.
    pub volume: VolumeSpec,
    /// Its snapshots, which go first.
    pub snapshots: Vec<SnapshotId>,
    /// Time left for it, in milliseconds.
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
        .then(Notify("notify_delete_start", &["volume.delete.start"]))
        .then(step("remove_export", remove_export::<C>))
        .then(step("delete_snapshots", delete_snapshots::<C>))
        .then(step("delete_volume", delete_volume::<C>))
        .then(Notify("notify_delete_end", &["volume.delete.end"]))
}

async fn remove_export<C: Delete>(task: &mut Task<C>) -> DriverResult<()> {
    // Also if the inventory has no export: one may be left of a connection that was never acknowledged.
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
        // Whoever was just being connected when the delete began is connected by now.
        let is_exported = call.backend.inventory().is_exported(id);
        if let Some(target) = call.backend.target.as_ref().filter(|_| is_exported) {
            call.backend
                .remove_export(target.as_ref(), call.work, call.volume)?;
        }
        call.driver.delete_volume(call.work, call.volume)?;
        let mut inventory = call.backend.inventory();
        // Again: the task may have given up waiting for this thread, and recorded a failed delete.
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
            is_repeatable: true,
        }
        .check()
        .await;
    }
}
