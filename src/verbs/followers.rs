//! Attachments and snapshots that are deleted with their volume. There may be hundreds, so they are not deleted in one
//! commit with it.
//!
//! | when | what is committed, a few records at a time | then |
//! |---|---|---|
//! | a delete began | operations of its attachments and snapshots end, its snapshots are `deleting` | its command is sent |
//! | a delete ended | its snapshots and attachments are deleted, or have their final status | it is deleted, and the operation with it |
//! | its attachments must be removed | they are deleted | the volume is updated |
//!
//! The volume's own operation stays open until the last commit, so that after a crash the rest is done. Each commit
//! requires that it is open.

use super::notifications::notify_deleted_stored;
use super::record_changes::add_snapshot_changes;
use super::release::{release_attachments, release_snapshots};
use super::request::Superseded;
use super::transition::{RecordChange, Transition};
use crate::control::{Control, Interrupt};
use crate::model::bounds::RECORDS_IN_A_COMMIT;
use crate::model::transitions::snapshots::goes_with_its_volume;
use crate::model::{Attachment, Operation, Snapshot, SnapshotStatus, Timestamp, Volume};
use crate::store::catalog::Stored;

/// What is deleted with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followers {
    /// Its attachments.
    Attachments,
    /// Its attachments and snapshots.
    AndSnapshots {
        /// Snapshots in any state.
        force: bool,
    },
}

/// The progress of the deletion of a volume's followers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// All of them are taken.
    All,
    /// Some were taken, others are left.
    Some,
    /// One cannot be deleted yet.
    Held,
}

impl Control {
    /// Takes some of the followers of the operation's volume.
    ///
    /// # Errors
    /// [`Interrupt`]; then nothing was changed.
    pub async fn take_along(
        &self,
        operation: &Operation,
        followers: Followers,
        superseded: &Superseded,
    ) -> Result<Taken, Interrupt> {
        let (Some(open), Some(volume)) = (self.catalog.operation(operation.id).await?, operation.volume_id)
        else {
            return Ok(Taken::All);
        };
        let mut changes = self.catalog.change();
        changes.require(&open);
        let mut ended = Vec::new();
        let mut changed = 0;
        for attachment in self.catalog.volume_attachments(volume).await? {
            if changed == RECORDS_IN_A_COMMIT {
                break;
            }
            let named = attachment.operation.filter(|id| *id != operation.id);
            let of_it = self.supersede(&mut changes, named).await?;
            if !of_it.is_empty() {
                release_attachments(&mut changes, std::slice::from_ref(&attachment), &of_it);
                ended.extend(of_it);
                changed += 1;
            }
        }
        let mut held = false;
        if let Followers::AndSnapshots { force } = followers {
            for snapshot in self.catalog.volume_snapshots(volume).await? {
                if changed == RECORDS_IN_A_COMMIT {
                    break;
                }
                if snapshot.operation == Some(operation.id) {
                    continue;
                }
                if !goes_with_its_volume(&snapshot, force) {
                    held = true;
                    continue;
                }
                ended.extend(self.supersede(&mut changes, snapshot.operation).await?);
                let mut going = snapshot.record.clone();
                going.status = SnapshotStatus::Deleting;
                going.operation = Some(operation.id);
                going.updated_at = Some(Timestamp::now());
                changes.update(&snapshot, &going);
                changed += 1;
            }
        }
        if changed == 0 {
            return Ok(if held { Taken::Held } else { Taken::All });
        }
        changes.commit().await?;
        superseded.add(ended);
        Ok(Taken::Some)
    }

    /// Changes followers of the volume until the rest fits into one commit with it.
    ///
    /// # Errors
    /// [`Interrupt`]; earlier changes are repeated.
    pub async fn change_followers(
        &self,
        operation: &Stored<Operation>,
        volume: &Volume,
        transition: &mut Transition,
        attachments: &mut Vec<Stored<Attachment>>,
        snapshots: &[Stored<Snapshot>],
        superseded: &Superseded,
    ) -> Result<(), Interrupt> {
        while transition.snapshots.len() > RECORDS_IN_A_COMMIT {
            let some = transition
                .snapshots
                .split_off(transition.snapshots.len() - RECORDS_IN_A_COMMIT);
            let mut changes = self.catalog.change();
            changes.require(operation);
            add_snapshot_changes(&mut changes, &some, snapshots);
            notify_deleted_stored(&mut changes, operation, volume, &some, snapshots);
            changes.commit().await?;
        }
        if transition.volume == RecordChange::Delete {
            let all = std::mem::take(attachments);
            *attachments = self.shed_attachments(all, superseded).await?;
        }
        Ok(())
    }

    /// Removes these attachments, with their operations, until the rest fits into one commit with their volume's
    /// change; returns the rest.
    ///
    /// # Errors
    /// [`Interrupt`]; those that were removed before stay removed.
    pub async fn shed_attachments(
        &self,
        mut attachments: Vec<Stored<Attachment>>,
        superseded: &Superseded,
    ) -> Result<Vec<Stored<Attachment>>, Interrupt> {
        while attachments.len() > RECORDS_IN_A_COMMIT {
            let some = attachments.split_off(attachments.len() - RECORDS_IN_A_COMMIT);
            let mut changes = self.catalog.change();
            let named = some.iter().filter_map(|attachment| attachment.operation);
            let ended = self.supersede(&mut changes, named).await?;
            for attachment in &some {
                changes.delete(attachment);
            }
            changes.commit().await?;
            superseded.add(ended);
        }
        Ok(attachments)
    }

    /// Releases the snapshots of operations that are about to be superseded, until the rest fits into one commit with
    /// the ends of those operations; returns the rest.
    ///
    /// # Errors
    /// [`Interrupt`]; those that were released before stay released.
    pub async fn release_most_snapshots(
        &self,
        volume: &Volume,
        superseded: &[Operation],
    ) -> Result<Vec<Stored<Snapshot>>, Interrupt> {
        let mut left = self.catalog.volume_snapshots(volume.id).await?;
        left.retain(|snapshot| {
            superseded
                .iter()
                .any(|operation| Some(operation.id) == snapshot.operation)
        });
        while left.len() > RECORDS_IN_A_COMMIT {
            let some = left.split_off(left.len() - RECORDS_IN_A_COMMIT);
            let mut changes = self.catalog.change();
            release_snapshots(&mut changes, &some, superseded);
            changes.commit().await?;
        }
        Ok(left)
    }
}
