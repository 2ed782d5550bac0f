//! `POST /snapshots/{id}/action`: one route, a few verbs. The body's only key says which.

use actix_web::{HttpResponse, web};

use super::snapshots::OfSnapshot;
use super::{accepted, ask, find_snapshot};
use crate::verbs::snapshot::delete_snapshot::DeleteSnapshot;
use crate::verbs::snapshot::unmanage_snapshot::UnmanageSnapshot;
use crate::verbs::snapshot::update_snapshot::ChangeSnapshot;
use crate::verbs::snapshot::update_snapshot::SnapshotChange;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::request::Body;
use crate::web::routes::{Access, Action, Routes};
use crate::web::schema::snapshots::{self as schema, SnapshotAction};
use crate::web::state::WebState;

/// Each action and its rule.
const ACTIONS: &[Action] = &[
    Action::new(
        "os-reset_status",
        "volume_extension:snapshot_admin_actions:reset_status",
    ),
    Action::new(
        "os-update_snapshot_status",
        "snapshot_extension:snapshot_actions:update_snapshot_status",
    ),
    Action::new(
        "os-force_delete",
        "volume_extension:snapshot_admin_actions:force_delete",
    ),
    Action::new("os-unmanage", "snapshot_extension:snapshot_unmanage"),
];

pub(super) fn routes(routes: &mut Routes) {
    routes.post("/snapshots/{snapshot_id}/action", Access::Actions(ACTIONS), act);
}

async fn act(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfSnapshot>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let action = schema::action(body.0.as_ref())?;
    find_snapshot(&state, &caller, &path.snapshot_id).await?;
    let snapshot_id = path.into_inner().snapshot_id;
    match action {
        SnapshotAction::Change(change) => {
            caller.may(Rule(match change {
                SnapshotChange::ResetStatus { .. } => "volume_extension:snapshot_admin_actions:reset_status",
                SnapshotChange::UpdateStatus { .. } => {
                    "snapshot_extension:snapshot_actions:update_snapshot_status"
                }
            }))?;
            ask(&state, &caller, ChangeSnapshot { snapshot_id, change }).await?;
        }
        SnapshotAction::ForceDelete => {
            caller.may(Rule("volume_extension:snapshot_admin_actions:force_delete"))?;
            let force = true;
            ask(&state, &caller, DeleteSnapshot { snapshot_id, force }).await?;
        }
        SnapshotAction::Unmanage => {
            caller.may(Rule("snapshot_extension:snapshot_unmanage"))?;
            ask(&state, &caller, UnmanageSnapshot { snapshot_id }).await?;
        }
    }
    Ok(accepted())
}
