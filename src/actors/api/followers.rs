//! What a volume takes along when it goes: attachments and snapshots. There may be hundreds, so they do not go in one commit
//! with it.
//!
//! | when | what is committed, a few records at a time | then |
//! |---|---|---|
//! | a delete has begun | operations of its attachments and snapshots end, its snapshots are `deleting` | its command is sent |
//! | a delete has ended | its snapshots and attachments are gone, or have the status that they are left with | it is gone, and the operation with it |
//! | its attachments are to be forgotten | they are gone | the volume says so |
//!
//! The volume's own operation stays open until the last commit, so that whoever looks at it after a crash goes on with what
//! is left. Each commit demands that it is open.

use super::ApiActor;
use super::lookup::{Unchanged, until_not_overtaken};
use super::overtake::{leave_behind, leave_snapshots_behind};
use super::record_changes::add_snapshot_changes;
use super::verdict::{Fate, Verdict};
use crate::model::bounds::RECORDS_IN_A_COMMIT;
use crate::model::transitions::snapshots::goes_with_its_volume;
use crate::model::{
    Attachment, Operation, OperationKind, Result, Snapshot, SnapshotStatus, Timestamp, Volume,
};
use crate::store::catalog::Stored;

/// How far a volume's followers are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// All of them go with it.
    All,
    /// Some were taken, more are to be.
    Some,
    /// One cannot go yet.
    Held,
}

impl ApiActor {
    /// Sees that what a deleted volume takes along goes with it; false while something does not yet.
    pub(super) async fn take_along(&self, operation: &Operation) -> Result<bool> {
        if !matches!(
            operation.kind,
            OperationKind::DeleteVolume { .. } | OperationKind::UnmanageVolume
        ) {
            return Ok(true);
        }
        loop {
            match until_not_overtaken!(self.try_to_take_along(operation).await)? {
                Taken::Some => {}
                taken => break Ok(taken == Taken::All),
            }
        }
    }

    async fn try_to_take_along(&self, operation: &Operation) -> Result<Taken, Unchanged> {
        let Some(open) = self.deps.catalog.operation(operation.id).await? else {
            return Ok(Taken::All);
        };
        let mut changes = self.deps.catalog.change();
        changes.require_operation(&open);
        let mut overtaken = Vec::new();
        let mut changed = 0;
        for attachment in self.attachments_of(operation.volume_id).await? {
            if changed == RECORDS_IN_A_COMMIT {
                break;
            }
            let named = attachment.operation.filter(|id| *id != operation.id);
            let ended = self.overtake(&mut changes, named.into_iter().collect()).await?;
            if !ended.is_empty() {
                leave_behind(&mut changes, std::slice::from_ref(&attachment), &ended);
                overtaken.extend(ended);
                changed += 1;
            }
        }
        let mut held = false;
        if let OperationKind::DeleteVolume { force, .. } = operation.kind {
            for snapshot in self.snapshots_of(operation.volume_id).await? {
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
                let named = snapshot.operation.into_iter().collect();
                overtaken.extend(self.overtake(&mut changes, named).await?);
                let mut going = snapshot.record.clone();
                going.status = SnapshotStatus::Deleting;
                going.operation = Some(operation.id);
                going.updated_at = Some(Timestamp::now());
                changes.update_snapshot(&snapshot, &going);
                changed += 1;
            }
        }
        if changed == 0 {
            return Ok(if held { Taken::Held } else { Taken::All });
        }
        changes.commit().await?;
        self.were_overtaken(&overtaken);
        Ok(Taken::Some)
    }

    /// Changes what follows the volume until no more is left than is changed in one commit with it.
    pub(super) async fn change_followers(
        &self,
        operation: &Stored<Operation>,
        verdict: &mut Verdict,
        attachments: &mut Vec<Stored<Attachment>>,
        snapshots: &[Stored<Snapshot>],
    ) -> Result<(), Unchanged> {
        while verdict.snapshots.len() > RECORDS_IN_A_COMMIT {
            let some = verdict
                .snapshots
                .split_off(verdict.snapshots.len() - RECORDS_IN_A_COMMIT);
            let mut changes = self.deps.catalog.change();
            changes.require_operation(operation);
            add_snapshot_changes(&mut changes, &some, snapshots);
            changes.commit().await?;
        }
        if verdict.volume == Fate::Goes {
            *attachments = self.shed_attachments(std::mem::take(attachments)).await?;
        }
        Ok(())
    }

    /// Takes these attachments away, with what is being done to them, until no more are left than go in one commit with their
    /// volume's change: those are the reply.
    pub(super) async fn shed_attachments(
        &self,
        mut attachments: Vec<Stored<Attachment>>,
    ) -> Result<Vec<Stored<Attachment>>, Unchanged> {
        while attachments.len() > RECORDS_IN_A_COMMIT {
            let some = attachments.split_off(attachments.len() - RECORDS_IN_A_COMMIT);
            let mut changes = self.deps.catalog.change();
            let named = some.iter().filter_map(|attachment| attachment.operation);
            let overtaken = self.overtake(&mut changes, named.collect()).await?;
            for attachment in &some {
                changes.delete_attachment(attachment);
            }
            changes.commit().await?;
            self.were_overtaken(&overtaken);
        }
        Ok(attachments)
    }

    /// Sets the snapshots of operations that are about to be overtaken to rights, until no more are left than go in one commit with
    /// the ends of those operations: those are the reply.
    pub(super) async fn leave_most_snapshots_behind(
        &self,
        volume: &Volume,
        overtaken: &[Operation],
    ) -> Result<Vec<Stored<Snapshot>>, Unchanged> {
        let is_left = |snapshot: &Stored<Snapshot>| {
            overtaken
                .iter()
                .any(|operation| Some(operation.id) == snapshot.operation)
        };
        let mut left = self.snapshots_of(volume.id).await?;
        left.retain(is_left);
        while left.len() > RECORDS_IN_A_COMMIT {
            let some = left.split_off(left.len() - RECORDS_IN_A_COMMIT);
            let mut changes = self.deps.catalog.change();
            leave_snapshots_behind(&mut changes, &some, overtaken);
            changes.commit().await?;
        }
        Ok(left)
    }
}
