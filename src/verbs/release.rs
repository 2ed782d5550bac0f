//! Releases the attachments and snapshots of operations that were superseded: they name no operation any more, and have a status that says what
//! may be incomplete. An attachment that was being connected or disconnected gets an error status.

use super::verb_of;
use crate::model::{Attachment, AttachmentStatus, Operation, OperationId, Snapshot, Timestamp};
use crate::store::catalog::{Changes, Stored};

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
