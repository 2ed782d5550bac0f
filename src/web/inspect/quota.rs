//! Compares the usage of projects with their records while the service runs, and repairs it.

use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::model::ProjectId;
use crate::store::catalog::verify;
use crate::verbs::quota::{RepairUsage, RepairedUsage, UsageFinding};
use crate::web::caller::Caller;
use crate::web::fault::HandlerResult;
use crate::web::links::decode_query;
use crate::web::state::State;

/// `{"repaired": [], "left": [{"finding": kind, "what": text}]}`; empty if all usage is what the records sum up to.
pub(super) async fn check(_caller: Caller, request: HttpRequest, state: State) -> HandlerResult {
    let _turn = state.checking.lock().await;
    let wrong = verify::wrong_usage(&state.catalog, project(&request).as_ref()).await?;
    Ok(answer(&RepairedUsage {
        repaired: Vec::new(),
        left: wrong.iter().map(UsageFinding::from).collect(),
    }))
}

/// The same, after what is wrong was repaired.
pub(super) async fn repair(caller: Caller, request: HttpRequest, state: State) -> HandlerResult {
    let _turn = state.checking.lock().await;
    let project_id = project(&request);
    Ok(answer(&caller.ask(&state, RepairUsage { project_id }).await?))
}

/// `project_id`: all projects without it.
fn project(request: &HttpRequest) -> Option<ProjectId> {
    let query = decode_query(request.query_string());
    let given = query.into_iter().find(|(name, _)| name == "project_id");
    given.map(|(_, id)| ProjectId(id))
}

fn answer(found: &RepairedUsage) -> HttpResponse {
    HttpResponse::Ok().json(json!({"repaired": found.repaired, "left": found.left}))
}
