//! Ending open operations because a stronger request overtakes them: a forced delete, an administrator's reset.
//!
//! The ends are part of the commit that overtakes, so a late report finds nothing open. An attachment whose connection was
//! being made or ended is left as the error that this is.

use super::ApiActor;
use super::lookup::Unchanged;
use crate::model::{
    Attachment, AttachmentStatus, Operation, OperationId, OperationKind, Snapshot, SnapshotStatus, Timestamp,
};
use crate::store::catalog::{Changes, Stored};

impl ApiActor {
    /// Adds the ends of those of these operations that are open; they are the reply.
    pub(super) async fn overtake(
        &self,
        changes: &mut Changes,
        named: Vec<OperationId>,
    ) -> Result<Vec<Operation>, Unchanged> {
        let mut overtaken: Vec<Operation> = Vec::with_capacity(named.len());
        for id in named {
            if overtaken.iter().any(|operation| operation.id == id) {
                continue;
            }
            if let Some(open) = self.deps.catalog.operation(id).await? {
                changes.end_operation(&open);
                overtaken.push(open.record);
            }
        }
        Ok(overtaken)
    }
}

/// Adds what becomes of attachments whose operations were overtaken.
pub(super) fn leave_behind(
    changes: &mut Changes,
    attachments: &[Stored<Attachment>],
    overtaken: &[Operation],
) {
    for attachment in attachments {
        let of_it = overtaken
            .iter()
            .find(|operation| Some(operation.id) == attachment.operation);
        let Some(operation) = of_it else { continue };
        let mut left = attachment.record.clone();
        left.operation = None;
        left.updated_at = Some(Timestamp::now());
        left.status = match operation.kind {
            OperationKind::DeleteAttachment { .. } => AttachmentStatus::ErrorDetaching,
            _ => AttachmentStatus::ErrorAttaching,
        };
        changes.update_attachment(attachment, &left);
    }
}

/// Adds what becomes of snapshots whose volume's operation was overtaken: one that was being gone back to is whole, one that
/// was to go with its volume may be half gone.
pub(super) fn leave_snapshots_behind(
    changes: &mut Changes,
    snapshots: &[Stored<Snapshot>],
    overtaken: &[Operation],
) {
    for snapshot in snapshots {
        let of_it = overtaken
            .iter()
            .find(|operation| Some(operation.id) == snapshot.operation);
        let Some(operation) = of_it else { continue };
        let mut left = snapshot.record.clone();
        left.operation = None;
        left.updated_at = Some(Timestamp::now());
        left.status = match operation.kind {
            OperationKind::RevertToSnapshot { .. } => SnapshotStatus::Available,
            OperationKind::DeleteVolume { .. } => SnapshotStatus::ErrorDeleting,
            _ => continue,
        };
        changes.update_snapshot(snapshot, &left);
    }
}
