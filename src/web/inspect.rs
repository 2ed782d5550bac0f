//! Looking inside: actors, operations, undelivered messages, as JSON for administrators.
//!
//! Nothing here sends a message: counters are read from outside the actors and operations from the journal, so that a
//! stuck actor can be looked at, too.
//!
//! | route | what it answers |
//! |---|---|
//! | `/inspect/actors` | who is there, what each does now, peers, messages that could not be delivered |
//! | `/inspect/operations` | what is under way, with steps and times (`volume_id`, `limit`, `marker`) |
//! | `/inspect/operations/finished` | what has ended of late, and how (`volume_id`, `limit`) |
//! | `/inspect/operations/{id}` | one of them |
//! | `/inspect/scheduler/decisions` | which pools were asked for a volume, and why each was or was not chosen |

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::caller::Caller;
use super::fault::Fault;
use super::links::decode_query;
use super::state::WebState;
use crate::actors::api::Finished;
use crate::actors::scheduler::pick::Decision;
use crate::model::{Operation, OperationId, StepOutcome, Timestamp, VolumeId};

/// How many operations are shown at once, unless fewer are asked for.
const PAGE: usize = 1000;

/// Mounts `/inspect/…` (the scope is the caller's).
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.service(web::resource("/actors").get(actors))
        .service(web::resource("/operations").get(operations))
        .service(web::resource("/operations/finished").get(finished))
        .service(web::resource("/operations/{id}").get(operation))
        .service(web::resource("/scheduler/decisions").get(decisions));
}

async fn actors(caller: Caller, state: web::Data<WebState>) -> Result<HttpResponse, Fault> {
    administrator(&caller)?;
    Ok(HttpResponse::Ok().json(json!({
        "node": state.router.node(),
        "healthy": state.router.healthy(),
        "actors": state.router.actors(),
        "peers": state.router.peers(),
        "undelivered": state.router.undelivered(),
    })))
}

async fn operations(
    caller: Caller,
    request: HttpRequest,
    state: web::Data<WebState>,
) -> Result<HttpResponse, Fault> {
    administrator(&caller)?;
    let filter = Filter::parse(request.query_string())?;
    let now = Timestamp::now();
    let mut shown = Vec::new();
    let mut after = filter.marker;
    // Operations are the open ones only, so this ends soon.
    loop {
        let page = state.catalog.operations(after, PAGE).await?;
        let full = page.len() == PAGE;
        after = page.last().map(|operation| operation.id);
        let wanted = page
            .iter()
            .filter(|operation| filter.volume.is_none_or(|id| operation.volume_id == id));
        shown.extend(
            wanted
                .take(filter.limit - shown.len())
                .map(|operation| open_view(&state, operation, now)),
        );
        if !full || shown.len() == filter.limit {
            break;
        }
    }
    let mut answer = json!({ "operations": shown });
    if let Some(last) = shown.last().filter(|_| shown.len() == filter.limit) {
        let query = super::links::next_query(request.query_string(), last["id"].as_str().unwrap_or_default());
        let href = format!("{}/inspect/operations?{query}", caller.base_url);
        answer["operations_links"] = json!([{"rel": "next", "href": href}]);
    }
    Ok(HttpResponse::Ok().json(answer))
}

async fn operation(
    caller: Caller,
    id: web::Path<String>,
    state: web::Data<WebState>,
) -> Result<HttpResponse, Fault> {
    administrator(&caller)?;
    if let Ok(id) = id.parse::<OperationId>() {
        if let Some(open) = state.catalog.operation(id).await? {
            let view = open_view(&state, &open, Timestamp::now());
            return Ok(HttpResponse::Ok().json(json!({ "operation": view })));
        }
        if let Some(finished) = state.insight.operations.get(id) {
            return Ok(HttpResponse::Ok().json(json!({ "operation": finished_view(&finished) })));
        }
    }
    Err(Fault::not_found(format!("Operation {id} could not be found.")))
}

/// Operations that have ended, newest first: as many as this process remembers.
async fn finished(
    caller: Caller,
    request: HttpRequest,
    state: web::Data<WebState>,
) -> Result<HttpResponse, Fault> {
    administrator(&caller)?;
    let filter = Filter::parse(request.query_string())?;
    let ended = match filter.volume {
        Some(volume) => state.insight.operations.of_volume(volume),
        None => state.insight.operations.latest(filter.limit),
    };
    let shown: Vec<Value> = ended.iter().take(filter.limit).map(finished_view).collect();
    Ok(HttpResponse::Ok().json(json!({ "operations": shown })))
}

/// Why a volume is where it is, or nowhere: the scheduler's last decisions, newest first, with the reason for every pool.
async fn decisions(
    caller: Caller,
    request: HttpRequest,
    state: web::Data<WebState>,
) -> Result<HttpResponse, Fault> {
    administrator(&caller)?;
    let filter = Filter::parse(request.query_string())?;
    let shown = match (&state.insight.scheduler, filter.volume) {
        (Some(scheduler), Some(volume)) => scheduler.decisions().of(volume).into_iter().collect(),
        (Some(scheduler), None) => scheduler.decisions().latest(filter.limit),
        (None, _) => Vec::new(),
    };
    let shown: Vec<&Decision> = shown.iter().map(AsRef::as_ref).collect();
    Ok(HttpResponse::Ok().json(json!({ "decisions": shown })))
}

fn administrator(caller: &Caller) -> Result<(), Fault> {
    if caller.context.is_admin {
        Ok(())
    } else {
        Err(Fault::forbidden("Policy doesn't allow inspect to be performed."))
    }
}

/// Which operations.
struct Filter {
    volume: Option<VolumeId>,
    marker: Option<OperationId>,
    limit: usize,
}

impl Filter {
    fn parse(query: &str) -> Result<Self, Fault> {
        let mut filter = Self {
            volume: None,
            marker: None,
            limit: PAGE,
        };
        for (name, value) in decode_query(query) {
            let bad = || Fault::invalid_input(format!("{name} '{value}' is not valid."));
            match name.as_str() {
                "volume_id" => filter.volume = Some(value.parse().map_err(|_| bad())?),
                "marker" => filter.marker = Some(value.parse().map_err(|_| bad())?),
                "limit" => {
                    filter.limit = value
                        .parse::<usize>()
                        .ok()
                        .filter(|limit| *limit > 0)
                        .ok_or_else(bad)?
                        .min(PAGE);
                }
                _ => {}
            }
        }
        Ok(filter)
    }
}

/// An open operation: what its journal entry holds, and the steps that only memory holds.
fn open_view(state: &WebState, operation: &Operation, now: Timestamp) -> Value {
    let mut operation = operation.clone();
    operation
        .steps
        .splice(0..0, state.insight.operations.live_steps(operation.id));
    let mut view = view(&operation, now);
    view["state"] = json!("running");
    view["overdue"] = json!(now > operation.deadline);
    view
}

/// An operation that has ended.
fn finished_view(finished: &Finished) -> Value {
    let mut view = view(&finished.operation, finished.finished_at);
    view["state"] = json!(if finished.failure.is_some() {
        "failed"
    } else {
        "done"
    });
    view["finished_at"] = json!(finished.finished_at.to_string());
    view["error"] = json!(finished.failure);
    view
}

/// An operation with its steps and their times: why is my volume still creating?
fn view(operation: &Operation, now: Timestamp) -> Value {
    let steps: Vec<Value> = operation
        .steps
        .iter()
        .map(|step| {
            let (outcome, error) = match &step.outcome {
                StepOutcome::Running => ("running", None),
                StepOutcome::Done => ("done", None),
                StepOutcome::Failed(why) => ("failed", Some(why)),
                StepOutcome::Reverted => ("reverted", None),
            };
            json!({
                "name": step.name,
                "attempt": step.attempt,
                "started_at": step.started_at.to_string(),
                "finished_at": step.finished_at.map(|time| time.to_string()),
                "seconds": step.finished_at.unwrap_or(now).since(step.started_at).as_secs_f64(),
                "outcome": outcome,
                "error": error,
            })
        })
        .collect();
    let tried: Vec<Value> = operation
        .tried
        .iter()
        .map(|(pool, why)| json!({"pool": pool.to_string(), "error": why}))
        .collect();
    json!({
        "id": operation.id.to_string(),
        "kind": operation.kind.name(),
        "volume_id": operation.volume_id.to_string(),
        "project_id": operation.project_id.as_str(),
        "user_id": operation.user_id.as_str(),
        "request_id": operation.request_id,
        "attempt": operation.attempt,
        "pool": operation.pool.as_ref().map(ToString::to_string),
        "tried": tried,
        "steps": steps,
        "created_at": operation.created_at.to_string(),
        "deadline": operation.deadline.to_string(),
        "seconds": now.since(operation.created_at).as_secs_f64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_what_it_knows_and_refuses_nonsense() {
        let id = VolumeId::new();
        let filter = Filter::parse(&format!("volume_id={id}&limit=5&other=x")).unwrap();
        assert_eq!((filter.volume, filter.limit), (Some(id), 5));
        for nonsense in ["volume_id=x", "limit=0", "limit=-1", "marker=1"] {
            assert_eq!(
                Filter::parse(nonsense).err().map(|fault| fault.status.as_u16()),
                Some(400),
                "{nonsense}"
            );
        }
    }
}
