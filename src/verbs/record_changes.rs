//! The changes of a transition in the catalog: records and, in the same commit, their usage.

use uuid::Uuid;

use super::transition::{RecordChange, Transition, UserMessageDraft};
use crate::model::bounds::{CAUSE, cut};
use crate::model::quota::{extend_deltas, given_back, snapshot_deltas, volume_deltas};
use crate::model::user_message::MESSAGE_TTL;
use crate::model::{
    Attachment, MessageId, Operation, ProjectId, Snapshot, SnapshotId, Subject, Timestamp, UserMessage,
    Volume,
};
use crate::store::catalog::{Changes, Indexed, Stored};

/// Adds the changes of the volume, the operation's attachment and its message. Snapshots are added separately.
pub fn add_changes(
    changes: &mut Changes,
    transition: &Transition,
    operation: &Operation,
    volume: &Stored<Volume>,
    attachments: &[Stored<Attachment>],
) {
    let remove = |changes: &mut Changes| remove_volume(changes, volume, attachments);
    add_change(changes, &transition.volume, volume, remove);
    let id = operation.attachment_id();
    if let Some(was) = attachments.iter().find(|attachment| Some(attachment.id) == id) {
        add_change(changes, &transition.attachment, was, |changes| {
            changes.delete(was);
        });
    }
    if transition.growth != 0 && volume.consumes_quota {
        let deltas = extend_deltas(transition.growth, volume.volume_type_id);
        changes.add_usage(&volume.project_id, &deltas);
    }
    if !transition.usage.is_empty() {
        changes.add_usage(&volume.project_id, &transition.usage);
    }
    if let Some(draft) = &transition.message {
        changes.insert(&message(operation, volume, draft));
    }
}

fn add_change<K: Indexed>(
    changes: &mut Changes,
    change: &RecordChange<K>,
    was: &Stored<K>,
    remove: impl FnOnce(&mut Changes),
) {
    match change {
        RecordChange::Keep => {}
        RecordChange::Update(now) => {
            changes.update(was, now);
        }
        RecordChange::Delete => remove(changes),
    }
}

/// Adds the changes of the other volume, and a new volume.
pub fn add_other_changes(changes: &mut Changes, transition: &Transition, other: Option<&Stored<Volume>>) {
    if let Some(was) = other {
        add_change(changes, &transition.other, was, |changes| {
            remove_volume(changes, was, &[]);
        });
    }
    if let Some(made) = &transition.made {
        changes.insert::<Volume>(made);
    }
}

/// Adds the changes of snapshots.
pub fn add_snapshot_changes(
    changes: &mut Changes,
    of: &[(SnapshotId, RecordChange<Snapshot>)],
    snapshots: &[Stored<Snapshot>],
) {
    for (id, change) in of {
        if let Some(was) = snapshots.iter().find(|snapshot| snapshot.id == *id) {
            add_change(changes, change, was, |changes| remove_snapshot(changes, was));
        }
    }
}

/// Deletes a snapshot's record with its usage.
pub fn remove_snapshot(changes: &mut Changes, snapshot: &Stored<Snapshot>) {
    changes.delete(snapshot);
    if snapshot.consumes_quota {
        changes.add_usage(
            &snapshot.project_id,
            &given_back(snapshot_deltas(snapshot.volume_size, snapshot.volume_type_id)),
        );
    }
}

/// Deletes the volume's record with these attachments and its usage.
pub fn remove_volume(changes: &mut Changes, volume: &Stored<Volume>, attachments: &[Stored<Attachment>]) {
    changes.delete(volume);
    for attachment in attachments {
        changes.delete(attachment);
    }
    if volume.consumes_quota {
        let returned = given_back(volume_deltas(volume.size, volume.volume_type_id));
        changes.add_usage(&volume.project_id, &returned);
    }
}

fn message(operation: &Operation, volume: &Volume, draft: &UserMessageDraft) -> UserMessage {
    let about = match operation.subject {
        Subject::Snapshot(snapshot) => ("VOLUME_SNAPSHOT", snapshot.0),
        _ => ("VOLUME", volume.id.0),
    };
    new_message(&operation.project_id, &operation.request_id, about, draft)
}

/// Adds a user message about a resource.
pub fn new_message(
    project: &ProjectId,
    request_id: &str,
    (resource_type, resource): (&str, Uuid),
    draft: &UserMessageDraft,
) -> UserMessage {
    let now = Timestamp::now();
    UserMessage {
        id: MessageId::new(),
        project_id: project.clone(),
        request_id: request_id.to_owned(),
        resource_type: resource_type.to_owned(),
        resource_uuid: Some(resource),
        action: draft.action,
        detail: draft.detail,
        cause: draft.cause.as_deref().map(|cause| cut(cause, CAUSE)),
        created_at: now,
        expires_at: now.plus(MESSAGE_TTL),
    }
}
