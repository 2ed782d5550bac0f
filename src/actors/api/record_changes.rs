//! What a verdict changes in the catalog: records, and in the same commit what they count for.

use uuid::Uuid;

use super::verdict::{self, Complaint, Fate, Verdict};
use crate::model::bounds::{CAUSE, cut};
use crate::model::quota::{extend_deltas, given_back, snapshot_deltas, volume_deltas};
use crate::model::user_message::MESSAGE_TTL;
use crate::model::{
    Attachment, MessageId, Operation, ProjectId, Snapshot, SnapshotId, Timestamp, UserMessage, Volume,
};
use crate::store::catalog::{Changes, Stored};

/// The volume, the operation's attachment and its message. Snapshots are added apart.
pub(super) fn add_changes(
    changes: &mut Changes,
    verdict: &Verdict,
    operation: &Operation,
    volume: &Stored<Volume>,
    attachments: &[Stored<Attachment>],
) {
    match &verdict.volume {
        Fate::Stays => {}
        Fate::Becomes(now) => {
            changes.update_volume(volume, now);
        }
        Fate::Goes => remove_volume(changes, volume, attachments),
    }
    let id = verdict::attachment_of(&operation.kind);
    if let Some(was) = attachments.iter().find(|attachment| Some(attachment.id) == id) {
        match &verdict.attachment {
            Fate::Stays => {}
            Fate::Becomes(now) => {
                changes.update_attachment(was, now);
            }
            Fate::Goes => {
                changes.delete_attachment(was);
            }
        }
    }
    if verdict.growth != 0 && volume.consumes_quota {
        let deltas = extend_deltas(verdict.growth, volume.volume_type_id);
        changes.add_usage(&volume.project_id, &deltas);
    }
    if let Some(complaint) = &verdict.complaint {
        changes.insert_message(&message(operation, complaint));
    }
}

/// What becomes of snapshots.
pub(super) fn add_snapshot_changes(
    changes: &mut Changes,
    fates: &[(SnapshotId, Fate<Snapshot>)],
    snapshots: &[Stored<Snapshot>],
) {
    for (id, fate) in fates {
        let Some(was) = snapshots.iter().find(|snapshot| snapshot.id == *id) else {
            continue;
        };
        match fate {
            Fate::Stays => {}
            Fate::Becomes(now) => {
                changes.update_snapshot(was, now);
            }
            Fate::Goes => remove_snapshot(changes, was),
        }
    }
}

/// A snapshot's record goes, with what it counts for.
pub(super) fn remove_snapshot(changes: &mut Changes, snapshot: &Stored<Snapshot>) {
    changes.delete_snapshot(snapshot);
    if snapshot.consumes_quota {
        changes.add_usage(
            &snapshot.project_id,
            &given_back(snapshot_deltas(snapshot.volume_size, snapshot.volume_type_id)),
        );
    }
}

/// The volume's record goes, with these attachments and with what it counts for.
pub(super) fn remove_volume(
    changes: &mut Changes,
    volume: &Stored<Volume>,
    attachments: &[Stored<Attachment>],
) {
    changes.delete_volume(volume);
    for attachment in attachments {
        changes.delete_attachment(attachment);
    }
    if volume.consumes_quota {
        let returned = given_back(volume_deltas(volume.size, volume.volume_type_id));
        changes.add_usage(&volume.project_id, &returned);
    }
}

fn message(operation: &Operation, complaint: &Complaint) -> UserMessage {
    let about = match operation.kind.snapshot_id() {
        Some(snapshot) if !verdict::owns_the_status(&operation.kind) => ("VOLUME_SNAPSHOT", snapshot.0),
        _ => ("VOLUME", operation.volume_id.0),
    };
    new_message(&operation.project_id, &operation.request_id, about, complaint)
}

/// A user message about a resource.
pub(super) fn new_message(
    project: &ProjectId,
    request_id: &str,
    (resource_type, resource): (&str, Uuid),
    complaint: &Complaint,
) -> UserMessage {
    let now = Timestamp::now();
    UserMessage {
        id: MessageId::new(),
        project_id: project.clone(),
        request_id: request_id.to_owned(),
        resource_type: resource_type.to_owned(),
        resource_uuid: Some(resource),
        action: complaint.action,
        detail: complaint.detail,
        cause: complaint.cause.as_deref().map(|cause| cut(cause, CAUSE)),
        created_at: now,
        expires_at: now.plus(MESSAGE_TTL),
    }
}
