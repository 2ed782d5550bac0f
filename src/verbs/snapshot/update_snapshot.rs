//! Change a snapshot's record without its storage: name, description, metadata, and the statuses that administrators
//! and compute services set.

use std::collections::BTreeMap;

use crate::control::bounds::check_snapshot;
use crate::messages::api::MetadataChange;
use crate::model::transitions::snapshots;
use crate::store::catalog::{Changes, Stored};
use crate::verbs::prelude::*;

/// Change name and description.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateSnapshot {
    /// Its id, as the client wrote it.
    pub snapshot_id: String,
    /// `Some(None)` clears it.
    pub name: Option<Option<String>>,
    /// `Some(None)` clears it.
    pub description: Option<Option<String>>,
}
call!(UpdateSnapshot => ApiTopic, "update_snapshot", since 2, reply Snapshot);

/// Change metadata; the reply is the new metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateSnapshotMetadata {
    /// Its id, as the client wrote it.
    pub snapshot_id: String,
    /// The change.
    pub change: MetadataChange,
}
call!(UpdateSnapshotMetadata => ApiTopic, "update_snapshot_metadata", since 2, reply BTreeMap<String, String>);

/// A change of status without storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotChange {
    /// `os-reset_status`
    ResetStatus {
        /// New status.
        status: SnapshotStatus,
    },
    /// `os-update_snapshot_status`: the status of a snapshot that a compute service creates or deletes.
    UpdateStatus {
        /// New status, as the client wrote it.
        status: String,
        /// The progress: `42%`.
        progress: Option<String>,
    },
}

/// Change a snapshot's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSnapshot {
    /// Its id, as the client wrote it.
    pub snapshot_id: String,
    /// The change.
    pub change: SnapshotChange,
}
call!(ChangeSnapshot => ApiTopic, "change_snapshot", since 2, reply Snapshot);

impl Request for UpdateSnapshot {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Snapshot>, Interrupt> {
        let event = Some("snapshot.update");
        let changed = change_record(at, &self.snapshot_id, event, |snapshot| {
            if let Some(name) = &self.name {
                snapshot.name.clone_from(name);
            }
            if let Some(description) = &self.description {
                snapshot.description.clone_from(description);
            }
            Ok(())
        });
        changed.await.map(Began::Done)
    }
}

impl Request for UpdateSnapshotMetadata {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<BTreeMap<String, String>>, Interrupt> {
        let changed = change_record(at, &self.snapshot_id, None, |snapshot| {
            match &self.change {
                MetadataChange::Merge(pairs) => snapshot.metadata.extend(pairs.clone()),
                MetadataChange::Replace(pairs) => snapshot.metadata.clone_from(pairs),
                MetadataChange::Remove(key) => {
                    snapshot.metadata.remove(key).ok_or_else(|| {
                        Error::not_found(format!(
                            "Snapshot {} has no metadata with key {key}.",
                            snapshot.id
                        ))
                    })?;
                }
            }
            Ok(())
        });
        changed.await.map(|changed| Began::Done(changed.metadata))
    }
}

impl Request for ChangeSnapshot {
    const LEVEL: Level = Level::Member;

    fn level(&self) -> Level {
        Level::or_admin(matches!(self.change, SnapshotChange::ResetStatus { .. }))
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Snapshot>, Interrupt> {
        let control = at.control;
        let snapshot = control.find_snapshot(at.context, &self.snapshot_id).await?;
        let mut changed = snapshot.record.clone();
        match &self.change {
            SnapshotChange::ResetStatus { status } => changed.status = *status,
            SnapshotChange::UpdateStatus { status, progress } => {
                changed.status = snapshots::update_status(&changed, status)?;
                if let Some(progress) = progress {
                    changed.progress.clone_from(progress);
                }
            }
        }
        let mut changes = control.catalog.change();
        let mut named = None;
        if let Some(id) = snapshot.operation
            && let Some(open) = control.catalog.operation(id).await?
        {
            // The volume's operation sets the status of its snapshots when it ends.
            named = Some(id).filter(|_| !open.owns_volume());
        }
        let superseded = control.supersede(&mut changes, named).await?;
        if !superseded.is_empty() {
            changed.operation = None;
        }
        let event = match &self.change {
            SnapshotChange::ResetStatus { .. } => Some("snapshot.reset_status"),
            SnapshotChange::UpdateStatus { .. } => None,
        };
        let changed = write(at, changes, event, &snapshot, changed).await?;
        at.superseded.add(superseded);
        Ok(Began::Done(changed))
    }
}

async fn change_record(
    at: &BeginContext<'_>,
    id: &str,
    event: Option<&str>,
    change: impl FnOnce(&mut Snapshot) -> Result<()>,
) -> Result<Snapshot, Interrupt> {
    let snapshot = at.control.find_snapshot(at.context, id).await?;
    let mut changed = snapshot.record.clone();
    change(&mut changed)?;
    check_snapshot(&snapshot, &changed)?;
    write(at, at.control.catalog.change(), event, &snapshot, changed).await
}

async fn write(
    at: &BeginContext<'_>,
    mut changes: Changes,
    event: Option<&str>,
    snapshot: &Stored<Snapshot>,
    mut changed: Snapshot,
) -> Result<Snapshot, Interrupt> {
    changed.updated_at = Some(Timestamp::now());
    changes.update(snapshot, &changed);
    if let Some(name) = event {
        at.notify_snapshot_change(&mut changes, name, snapshot, Some(&changed))
            .await?;
    }
    changes.commit().await?;
    Ok(changed)
}
