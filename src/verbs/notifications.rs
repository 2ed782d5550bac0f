//! The notifications of verbs: which each operation has, and how they are added to the commits that begin and end it.
//!
//! An event is part of the commit of the change that it is about, so none is lost in a crash and none is about a change that was
//! not made. `<name>.start` is added where the operation begins (for a new volume: where it is placed), `<name>.end` where it has
//! succeeded, `<name>.error` where it has failed. Changes without an operation add `start` and `end` to their only commit.

use serde_json::Value;
use uuid::Uuid;

use super::request::BeginContext;
use super::transition::{RecordChange, Transition};
use super::{OperationContext, verb_of};
use crate::control::notifications::{
    SnapshotEvent, VolumeEvent, notify_about, notify_not_scheduled, notify_snapshot, notify_volume,
};
use crate::model::{
    Attachment, NotificationCaller, Operation, Result, Snapshot, SnapshotId, Volume, VolumeStatus,
};
use crate::store::catalog::{Changes, Stored};

/// The notifications of a verb's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationEvents {
    /// Their names before `.start`, `.end` and `.error`: `volume.resize`. Those of a snapshot begin with `snapshot.`.
    pub names: &'static [&'static str],
    /// Whether there is one at the beginning.
    pub start: bool,
    /// Whether there is one at the end.
    pub end: EndEvent,
}

/// When an operation has an `end` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndEvent {
    /// If it has succeeded.
    Success,
    /// In any case, as in Cinder when a volume is reverted.
    Always,
    /// Never: another request completes what it began.
    Never,
}

impl OperationEvents {
    /// No notifications.
    pub const NONE: Self = Self::of(&[]);

    /// The usual ones.
    pub const fn of(names: &'static [&'static str]) -> Self {
        Self {
            names,
            start: true,
            end: EndEvent::Success,
        }
    }

    /// Only those of a failure.
    pub const fn of_failure(names: &'static [&'static str]) -> Self {
        Self {
            names,
            start: false,
            end: EndEvent::Never,
        }
    }

    /// With `end` in these cases.
    #[must_use]
    pub const fn ending(self, end: EndEvent) -> Self {
        Self { end, ..self }
    }
}

/// The records that an event may be about, as they are then.
#[derive(Clone, Copy)]
struct Records<'a> {
    volume: &'a Volume,
    attachments: &'a [Attachment],
    snapshot: Option<&'a Snapshot>,
    /// Whether the subject is deleted.
    deleted: bool,
}

impl Records<'_> {
    fn notify(&self, changes: &mut Changes, caller: &NotificationCaller, name: &str, suffix: &str) {
        let event_type = format!("{name}{suffix}");
        if !name.starts_with("snapshot.") {
            let event = VolumeEvent {
                event_type: &event_type,
                volume: self.volume,
                attachments: self.attachments,
                deleted: self.deleted,
            };
            notify_volume(changes, caller, &event);
        } else if let Some(snapshot) = self.snapshot {
            let event = SnapshotEvent {
                event_type: &event_type,
                snapshot,
                volume: self.volume,
                deleted: self.deleted,
            };
            notify_snapshot(changes, caller, &event);
        }
    }
}

impl BeginContext<'_> {
    /// Adds the `start` events of an operation to the changes that begin it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn notify_start(
        &self,
        changes: &mut Changes,
        operation: &Operation,
        volume: &Volume,
        snapshot: Option<&Snapshot>,
    ) -> Result<()> {
        if changes.outbox().is_none() {
            return Ok(());
        }
        let events = verb_of(operation)?.events();
        let attachments = self.control.attachments_to_notify(volume).await?;
        let records = Records {
            volume,
            attachments: &attachments,
            snapshot,
            deleted: false,
        };
        for name in events.names.iter().filter(|_| events.start) {
            records.notify(changes, &self.context.into(), name, ".start");
        }
        Ok(())
    }

    /// Adds the `start` and `end` events of a change of a volume that is complete with this commit.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn notify_change(
        &self,
        changes: &mut Changes,
        name: &str,
        was: &Volume,
        now: &Volume,
    ) -> Result<()> {
        let attachments = self.control.attachments_to_notify(was).await?;
        self.notify_attaching(changes, name, (was, &attachments), (now, &attachments));
        Ok(())
    }

    /// The same for a change with which the volume gets other attachments.
    pub fn notify_attaching(
        &self,
        changes: &mut Changes,
        name: &str,
        was: (&Volume, &[Attachment]),
        now: (&Volume, &[Attachment]),
    ) {
        if changes.outbox().is_none() {
            return;
        }
        for ((volume, attachments), suffix) in [(was, ".start"), (now, ".end")] {
            let records = Records {
                volume,
                attachments,
                snapshot: None,
                deleted: false,
            };
            records.notify(changes, &self.context.into(), name, suffix);
        }
    }

    /// Adds one event of a volume.
    pub fn notify_volume(
        &self,
        changes: &mut Changes,
        event_type: &str,
        volume: &Volume,
        attachments: &[Attachment],
    ) {
        if changes.outbox().is_some() {
            let records = Records {
                volume,
                attachments,
                snapshot: None,
                deleted: false,
            };
            records.notify(changes, &self.context.into(), event_type, "");
        }
    }

    /// Adds an event of something that administrators keep.
    pub fn notify_about(
        &self,
        changes: &mut Changes,
        event: (&str, &str),
        resource: Uuid,
        payload: impl FnOnce() -> Value,
    ) {
        if changes.outbox().is_some() {
            notify_about(changes, &self.context.into(), event, resource, payload);
        }
    }

    /// Adds the events of a volume that no backend has, and that this commit deletes.
    pub fn notify_removed(&self, changes: &mut Changes, name: &str, volume: &Volume) {
        if changes.outbox().is_none() {
            return;
        }
        for (deleted, suffix) in [(false, ".start"), (true, ".end")] {
            let records = Records {
                volume,
                attachments: &[],
                snapshot: None,
                deleted,
            };
            records.notify(changes, &self.context.into(), name, suffix);
        }
    }

    /// Adds the `start` and `end` events of a change of a snapshot that is complete with this commit.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn notify_snapshot_change(
        &self,
        changes: &mut Changes,
        name: &str,
        was: &Snapshot,
        now: Option<&Snapshot>,
    ) -> Result<()> {
        if changes.outbox().is_none() {
            return Ok(());
        }
        let Some(volume) = self.control.catalog.volume(was.volume_id).await? else {
            return Ok(());
        };
        for (snapshot, deleted, suffix) in [
            (was, false, ".start"),
            (now.unwrap_or(was), now.is_none(), ".end"),
        ] {
            let records = Records {
                volume: &volume,
                attachments: &[],
                snapshot: Some(snapshot),
                deleted,
            };
            records.notify(changes, &self.context.into(), name, suffix);
        }
        Ok(())
    }
}

/// Adds the `start` events of a new volume that gets its pool with these changes.
pub fn notify_placed(changes: &mut Changes, operation: &Operation, volume: &Volume) {
    if changes.outbox().is_none() {
        return;
    }
    let records = Records {
        volume,
        attachments: &[],
        snapshot: None,
        deleted: false,
    };
    for name in verb_of(operation)
        .map(|verb| verb.events().names)
        .unwrap_or_default()
    {
        records.notify(changes, &operation.into(), name, ".start");
    }
}

/// Adds the events at the end of a stage. `attachments` are those before the transition.
pub fn notify_transition(
    changes: &mut Changes,
    at: &OperationContext<'_>,
    transition: &Transition,
    attachments: &[Attachment],
) {
    if changes.outbox().is_none() {
        return;
    }
    let caller = NotificationCaller::from(at.operation);
    let (volume, is_deleted) = match &transition.volume {
        RecordChange::Update(now) => (now.as_ref(), false),
        RecordChange::Keep => (at.volume, false),
        RecordChange::Delete => (at.volume, true),
    };
    let attachments = if is_deleted {
        Vec::new()
    } else {
        attachments_after(at, transition, attachments)
    };
    notify_deleted_snapshots(changes, at.operation, volume, &transition.snapshots, at.snapshots);
    let snapshot_change = transition
        .snapshots
        .iter()
        .find(|(id, _)| Some(*id) == at.operation.snapshot_id);
    let (snapshot, is_snapshot_deleted) = match snapshot_change {
        Some((_, RecordChange::Update(now))) => (Some(now.as_ref()), false),
        change => (at.snapshot(), matches!(change, Some((_, RecordChange::Delete)))),
    };
    let records = Records {
        volume,
        attachments: &attachments,
        snapshot,
        deleted: is_deleted || is_snapshot_deleted,
    };
    if !is_deleted && volume.volume_type_id != at.volume.volume_type_id {
        records.notify(changes, &caller, "volume.retype", "");
    }
    if transition.next.is_some() {
        return;
    }
    let events = verb_of(at.operation).map_or(OperationEvents::NONE, |verb| verb.events());
    let failure = match &transition.answer {
        Some(Err(error)) => Some(error),
        _ => None,
    };
    for name in events.names {
        let has_end = match events.end {
            EndEvent::Success => failure.is_none(),
            EndEvent::Always => true,
            EndEvent::Never => false,
        };
        if has_end {
            records.notify(changes, &caller, name, ".end");
        }
        if failure.is_some() {
            records.notify(changes, &caller, name, ".error");
        }
    }
    if let Some(error) = failure
        && at.volume.host.is_none()
        && at.volume.status == VolumeStatus::Creating
    {
        notify_not_scheduled(changes, &caller, &at.operation.verb, at.volume, &error.client);
    }
}

/// Adds the events of snapshots that are deleted with their volume.
pub fn notify_deleted_snapshots(
    changes: &mut Changes,
    operation: &Operation,
    volume: &Volume,
    of: &[(SnapshotId, RecordChange<Snapshot>)],
    snapshots: &[Snapshot],
) {
    if changes.outbox().is_none() || !operation.owns_volume() {
        return;
    }
    for (id, change) in of {
        let Some(snapshot) = snapshots.iter().find(|snapshot| snapshot.id == *id) else {
            continue;
        };
        if *change != RecordChange::Delete {
            continue;
        }
        for (deleted, suffix) in [(false, ".start"), (true, ".end")] {
            let records = Records {
                volume,
                attachments: &[],
                snapshot: Some(snapshot),
                deleted,
            };
            records.notify(changes, &operation.into(), "snapshot.delete", suffix);
        }
    }
}

/// The same for records that were read.
pub fn notify_deleted_stored(
    changes: &mut Changes,
    operation: &Operation,
    volume: &Volume,
    of: &[(SnapshotId, RecordChange<Snapshot>)],
    snapshots: &[Stored<Snapshot>],
) {
    if changes.outbox().is_some() {
        let plain: Vec<Snapshot> = snapshots.iter().map(|stored| stored.record.clone()).collect();
        notify_deleted_snapshots(changes, operation, volume, of, &plain);
    }
}

fn attachments_after(
    at: &OperationContext<'_>,
    transition: &Transition,
    attachments: &[Attachment],
) -> Vec<Attachment> {
    let changed = at.operation.attachment_id();
    let mut after = attachments.to_vec();
    match &transition.attachment {
        RecordChange::Keep => {}
        RecordChange::Update(now) => {
            for attachment in after
                .iter_mut()
                .filter(|attachment| Some(attachment.id) == changed)
            {
                attachment.clone_from(now);
            }
        }
        RecordChange::Delete => after.retain(|attachment| Some(attachment.id) != changed),
    }
    after
}
