//! Ends open operations that a stronger request supersedes: a forced delete, an administrator's reset.
//!
//! The ends are part of the superseding commit, so a late report finds no open operation. An attachment that was being
//! connected or disconnected gets an error status.

use super::verb_of;
use super::volume::deletion;
use crate::control::{Control, Interrupt};
use crate::model::{Attachment, AttachmentStatus, Operation, OperationId, Snapshot, Timestamp, Volume};
use crate::store::catalog::{Changes, Stored};

impl Control {
    /// Adds the ends of those of these operations that are open, and returns them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn supersede(
        &self,
        changes: &mut Changes,
        named: impl IntoIterator<Item = OperationId>,
    ) -> Result<Vec<Operation>, Interrupt> {
        let mut superseded: Vec<Operation> = Vec::new();
        for id in named {
            if superseded.iter().any(|operation| operation.id == id) {
                continue;
            }
            if let Some(open) = self.catalog.operation(id).await? {
                match self.deletion_of_copy(&open).await? {
                    Some((copy, (operation, deleting))) => {
                        changes.update(&copy, &deleting).update(&open, &operation);
                    }
                    None => {
                        changes.delete(&open);
                    }
                }
                superseded.push(open.record);
            }
        }
        Ok(superseded)
    }

    /// The hidden copy of an operation, and the changes of both: the operation continues with its deletion.
    async fn deletion_of_copy(
        &self,
        operation: &Operation,
    ) -> Result<Option<(Stored<Volume>, (Operation, Volume))>, Interrupt> {
        let copy = verb_of(operation).ok().and_then(|verb| verb.hidden_copy());
        let Some(copy) = copy else { return Ok(None) };
        let Some(copy) = self.catalog.volume(copy).await? else {
            return Ok(None);
        };
        let deletion = deletion(operation, &copy, &self.options.deadlines, Timestamp::now());
        Ok(deletion.map(|deletion| (copy, deletion)))
    }
}

/// Adds the changes of attachments whose operations were superseded.
pub fn release_attachments(
    changes: &mut Changes,
    attachments: &[Stored<Attachment>],
    superseded: &[Operation],
) {
    for attachment in attachments {
        let Some(operation) = named_by(superseded, attachment.operation) else {
            continue;
        };
        let mut left = attachment.record.clone();
        left.operation = None;
        left.updated_at = Some(Timestamp::now());
        left.status = match verb_of(operation) {
            Ok(verb) => verb.superseded_attachment(),
            Err(_) => AttachmentStatus::ErrorAttaching,
        };
        changes.update(attachment, &left);
    }
}

/// Adds the changes of snapshots whose volume's operation was superseded: one that the volume was being reverted to is
/// complete, one that was being deleted with its volume may be incomplete.
pub fn release_snapshots(changes: &mut Changes, snapshots: &[Stored<Snapshot>], superseded: &[Operation]) {
    for snapshot in snapshots {
        let Some(operation) = named_by(superseded, snapshot.operation) else {
            continue;
        };
        let Some(status) = verb_of(operation)
            .ok()
            .and_then(|verb| verb.superseded_snapshot())
        else {
            continue;
        };
        let mut left = snapshot.record.clone();
        left.operation = None;
        left.updated_at = Some(Timestamp::now());
        left.status = status;
        changes.update(snapshot, &left);
    }
}

fn named_by(superseded: &[Operation], name: Option<OperationId>) -> Option<&Operation> {
    superseded.iter().find(|operation| Some(operation.id) == name)
}
