//! `/snapshots`: make, show, change and delete snapshots. Lists are in `snapshot_list`.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::{accepted, ask, find_snapshot, find_volume, snapshot_list};
use crate::verbs::snapshot::delete_snapshot::DeleteSnapshot;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::request::Body;
use crate::web::routes::{Access, Routes};
use crate::web::schema;
use crate::web::state::WebState;
use crate::web::views::snapshot::SnapshotViews;
use crate::web::views::{Named, answer, ok};

pub(super) fn routes(routes: &mut Routes) {
    routes.get(
        "/snapshots",
        Access::rule("volume:get_all_snapshots"),
        snapshot_list::list,
    );
    routes.post("/snapshots", Access::rule("volume:create_snapshot"), create);
    routes.get(
        "/snapshots/{snapshot_id}",
        Access::rule("volume:get_snapshot"),
        show,
    );
    routes.put(
        "/snapshots/{snapshot_id}",
        Access::rule("volume:update_snapshot"),
        update,
    );
    routes.delete(
        "/snapshots/{snapshot_id}",
        Access::rule("volume:delete_snapshot"),
        delete,
    );
}

/// The part of a path that names a snapshot.
#[derive(Deserialize)]
pub(super) struct OfSnapshot {
    pub(super) snapshot_id: String,
}

async fn create(caller: Caller, state: web::Data<WebState>, body: Body) -> Result<HttpResponse, Fault> {
    let wanted = schema::snapshots::create(body.0.as_ref())?;
    find_volume(&state, &caller, &wanted.message.volume_id).await?;
    let message = wanted.in_version(caller.version)?;
    caller.may(Rule("volume:create_snapshot"))?;
    let snapshot = ask(&state, &caller, message).await?;
    let view = SnapshotViews::plain(&caller).detail(&snapshot);
    answer(StatusCode::ACCEPTED, &Named("snapshot", view))
}

async fn show(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfSnapshot>,
) -> Result<HttpResponse, Fault> {
    let snapshot = find_snapshot(&state, &caller, &path.snapshot_id).await?;
    ok(&Named(
        "snapshot",
        SnapshotViews::extended(&caller).detail(&snapshot),
    ))
}

async fn update(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfSnapshot>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let message = schema::snapshots::update(&path.snapshot_id, body.0.as_ref())?;
    find_snapshot(&state, &caller, &path.snapshot_id).await?;
    caller.may(Rule("volume:update_snapshot"))?;
    let snapshot = ask(&state, &caller, message).await?;
    ok(&Named(
        "snapshot",
        SnapshotViews::plain(&caller).detail(&snapshot),
    ))
}

async fn delete(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfSnapshot>,
) -> Result<HttpResponse, Fault> {
    find_snapshot(&state, &caller, &path.snapshot_id).await?;
    caller.may(Rule("volume:delete_snapshot"))?;
    let snapshot_id = path.into_inner().snapshot_id;
    let message = DeleteSnapshot {
        snapshot_id,
        force: false,
    };
    ask(&state, &caller, message).await?;
    Ok(accepted())
}
