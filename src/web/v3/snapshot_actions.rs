//! `POST /snapshots/{id}/action`: a handler for each action, beside the schema of its arguments (cinder:
//! `api/schemas/snapshot_actions.py`, `admin_actions.py`).

use super::find_snapshot;
use super::prelude::*;
use crate::model::{Snapshot, SnapshotStatus};
use crate::store::catalog::Stored;
use crate::verbs::snapshot::{ChangeSnapshot, DeleteSnapshot, SnapshotChange, UnmanageSnapshot};
use crate::web::schema::prelude::*;

type OnSnapshot = ActionOn<Stored<Snapshot>>;

impl Subject for Stored<Snapshot> {
    async fn find(state: &WebState, caller: &Caller, id: &str) -> Result<Self, Fault> {
        find_snapshot(state, caller, id).await
    }
}

async fn change(on: OnSnapshot, change: SnapshotChange) -> HandlerResult {
    let snapshot_id = on.id.clone();
    on.ask(ChangeSnapshot { snapshot_id, change }).await?;
    Ok(accepted())
}

pub(super) const RESET_STATUS: Schema = object!(
    [(
        "status",
        Schema(&[Type(&[Kind::String]), FormatCheck(Format::SnapshotStatus)])
    )],
    Required(&["status"]),
);

/// `os-reset_status`
pub(super) async fn reset_status(on: OnSnapshot) -> HandlerResult {
    let word = text(&on.arguments, "status").unwrap_or_default().to_lowercase();
    let status = word.parse::<SnapshotStatus>();
    let status = status.map_err(|_| Fault::internal("a status that the schema let pass is none"))?;
    change(on, SnapshotChange::ResetStatus { status }).await
}

pub(super) const UPDATE_STATUS: Schema = object!(
    [
        ("status", Schema(&[Type(&[Kind::String])])),
        ("progress", Schema(&[FormatCheck(Format::Progress)])),
    ],
    Required(&["status"]),
);

/// `os-update_snapshot_status`
pub(super) async fn update_status(on: OnSnapshot) -> HandlerResult {
    let own = |field| text(&on.arguments, field).map(str::to_owned);
    let update = SnapshotChange::UpdateStatus {
        status: own("status").unwrap_or_default(),
        progress: own("progress").filter(|progress| !progress.is_empty()),
    };
    change(on, update).await
}

/// `os-force_delete`
pub(super) async fn force_delete(on: OnSnapshot) -> HandlerResult {
    let (snapshot_id, force) = (on.id.clone(), true);
    on.ask(DeleteSnapshot { snapshot_id, force }).await?;
    Ok(accepted())
}

/// `os-unmanage`
pub(super) async fn unmanage(on: OnSnapshot) -> HandlerResult {
    let snapshot_id = on.id.clone();
    on.ask(UnmanageSnapshot { snapshot_id }).await?;
    Ok(accepted())
}
