//! `/manageable_snapshots` and its old name `/os-snapshot-manage`: list what a backend has, and adopt it as a snapshot.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use super::manageable::Wanted;
use super::query::Query;
use super::{ask, find_volume};
use crate::messages::api::ListManageableSnapshots;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::request::Body;
use crate::web::schema::manage;
use crate::web::state::WebState;
use crate::web::views::manageable::Manageable;
use crate::web::views::snapshot::SnapshotSummary;
use crate::web::views::{Items, Named, answer, ok};

/// The route by its name, and the version it came with.
const NAMES: [(&str, u16); 2] = [("/manageable_snapshots", 8), ("/os-snapshot-manage", 0)];

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    for (name, since) in NAMES {
        let list = move |detail| {
            web::get().to(
                move |caller: Caller, state: web::Data<WebState>, query: Query| async move {
                    caller.since(since)?;
                    list(caller, &state, query, detail).await
                },
            )
        };
        let adopt = web::post().to(
            move |caller: Caller, state: web::Data<WebState>, body: Body| async move {
                caller.since(since)?;
                manage(caller, &state, body).await
            },
        );
        cfg.service(super::resource(name).route(list(false)).route(adopt))
            .service(super::resource(&format!("{name}/detail")).route(list(true)));
    }
}

async fn list(caller: Caller, state: &WebState, query: Query, detail: bool) -> Result<HttpResponse, Fault> {
    caller.may(Rule("snapshot_extension:list_manageable"))?;
    let wanted = Wanted::read(&caller, query)?;
    let host = wanted.host.clone();
    let all = ask(state, &caller, ListManageableSnapshots { host }).await?;
    let part = wanted.part_of(all)?;
    let views = part.iter().map(|found| Manageable { found, detail });
    ok(&Named("manageable-snapshots", Items(views)))
}

async fn manage(caller: Caller, state: &WebState, body: Body) -> Result<HttpResponse, Fault> {
    let message = manage::snapshot(body.0.as_ref())?;
    find_volume(state, &caller, &message.volume_id).await?;
    caller.may(Rule("snapshot_extension:snapshot_manage"))?;
    let snapshot = ask(state, &caller, message).await?;
    // Cinder shows it as the first version did, whatever the version.
    let view = Named("snapshot", SnapshotSummary(&snapshot));
    answer(StatusCode::ACCEPTED, &view)
}
