//! The begin of deleting or unmanaging a snapshot.

use crate::model::transitions::snapshots;
use crate::verbs::prelude::*;
use crate::verbs::record_changes::remove_snapshot;
use crate::verbs::verb_of;

/// Supersedes the open operation of a snapshot, and begins the operation that deletes or unmanages it; `operation`
/// returns that, and the snapshot's status meanwhile. A snapshot without storage is deleted at once.
pub(super) async fn end_snapshot(
    at: &BeginContext<'_>,
    id: &str,
    force: bool,
    operation: impl FnOnce(&Snapshot, &Volume) -> Result<(Operation, SnapshotStatus)>,
) -> Result<Began<()>, Interrupt> {
    let control = at.control;
    let snapshot = control.find_snapshot(at.context, id).await?;
    snapshots::delete(&snapshot, force)?;
    let volume = control.catalog.volume(snapshot.volume_id).await?;
    let volume = volume.ok_or_else(|| Error::internal("a snapshot has a volume"))?;
    let mut changes = control.catalog.change();
    if let Some(named) = snapshot.operation
        && let Some(open) = control.catalog.operation(named).await?
    {
        if verb_of(&open).is_ok_and(|verb| verb.deletes_its_subject()) {
            return Ok(Began::Repeated(Box::new(open.record), ()));
        }
        // The volume's operation changes its status at its end; then it can be deleted.
        if open.owns_volume() {
            return Err(Error::conflict(
                "Resource conflict: the snapshot's volume is being reverted to it or deleted.",
            )
            .into());
        }
    }
    let superseded = control.supersede(&mut changes, snapshot.operation).await?;
    if volume.host.is_none() {
        remove_snapshot(&mut changes, &snapshot);
        at.notify_snapshot_change(&mut changes, "snapshot.delete", &snapshot, None)
            .await?;
        changes.commit().await?;
        at.superseded.add(superseded);
        return Ok(Began::Done(()));
    }
    let (mut operation, status) = operation(&snapshot, &volume)?;
    // Its volume may have been transferred to another project without it.
    operation.project_id = snapshot.project_id.clone();
    let mut ending = snapshot.record.clone();
    ending.status = status;
    ending.operation = Some(operation.id);
    ending.updated_at = Some(Timestamp::now());
    changes.update(&snapshot, &ending).insert(&operation);
    at.notify_start(&mut changes, &operation, &volume, Some(&ending))
        .await?;
    changes.commit().await?;
    at.superseded.add(superseded);
    Ok(Began::started(operation, volume.record, ()))
}
