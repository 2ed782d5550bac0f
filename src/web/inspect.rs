//! Inspection: actors, operations and undelivered messages, as JSON for administrators. The owner of an operation sees it, too,
//! without its host, and may cancel it.
//!
//! Inspection of this node sends no messages: counters are read from outside the actors and operations from the journal, so
//! that a stuck actor can be inspected, too.
//!
//! | route | answer |
//! |---|---|
//! | `/inspect/actors` | actors, what each does now, peers, undelivered messages |
//! | `/inspect/operations` | open operations, with steps and times (`volume_id`, `limit`, `marker`) |
//! | `/inspect/operations/finished` | recently ended operations, and their results (`volume_id`, `limit`) |
//! | `/inspect/operations/{id}` | one of them; `DELETE` cancels it |
//! | `/inspect/scheduler/decisions` | which pools were considered for a volume, and why each was or was not chosen |
//! | `/inspect/quota` | whether the usage of projects (`project_id`) is what their records sum up to; `POST /inspect/quota/repair` repairs it |
//! | `/inspect/notifications` | for each sink: how many notifications wait, were published and dropped, and why it fails |
//! | `/inspect/cluster` | nodes with their versions, who runs the open operations, and the store; the other nodes are asked |
//! | `/inspect/nodes/{host}` | a host's services, open operations and number of volumes; `DELETE` removes the services of one that is gone |
//! | `/inspect/fsck` | whether records, index rows, operations and quota are consistent at this moment |

mod cluster;
mod fsck;
mod nodes;
mod quota;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::caller::Caller;
use super::fault::{Fault, HandlerResult};
use super::links::decode_query;
use super::offload::Offload;
use super::policy::{Rule, admin, member, reader};
use super::routes::answers::{Parameter, query};
use super::routes::{Access, Admission, Routes};
use super::state::{State, WebState};
use super::views::Json;
use super::views::shape::{OBJECT, Shape};
use crate::control::decisions::Decision;
use crate::control::{Advance, Finished};
use crate::messages::api::CancelOperation;
use crate::model::{ClusterTask, Operation, OperationId, StepOutcome, Timestamp, VolumeId};
use crate::verbs::verb_of;

/// The most operations on a page.
const PAGE: usize = 1000;

/// Adds `/inspect/…`. Administrators' reads need no permit: they must work when everything else waits. For the same reason cancelling
/// an operation does not wait behind changes.
#[rustfmt::skip]
pub fn routes(routes: &mut Routes) {
    let always = Admission::Always;
    routes.get("/actors", admin("inspect:get_actors"), actors).admitted(always).ok(OBJECT);
    routes.get("/operations", Access::Token, operations).parameters(OPERATIONS).ok(OBJECT);
    routes.get("/operations/finished", admin("inspect:get_finished_operations"), finished).admitted(always).parameters(FINISHED).ok(OBJECT);
    routes.get("/operations/{id}", GET_OPERATION, operation).ok(OBJECT);
    routes.delete("/operations/{id}", member("inspect:cancel_operation"), cancel_operation).admitted(Admission::AsRead).faults(&[409]).empty(202);
    routes.get("/scheduler/decisions", admin("inspect:get_decisions"), decisions).admitted(always).parameters(FINISHED).ok(OBJECT);
    routes.get("/quota", admin("inspect:check_quota"), quota::check).admitted(always).parameters(OF_PROJECT).ok(OBJECT);
    routes.post("/quota/repair", admin("inspect:repair_quota"), quota::repair).admitted(Admission::AsRead).parameters(OF_PROJECT).ok(OBJECT);
    routes.get("/notifications", admin("inspect:get_notifications"), notifications).admitted(always).ok(OBJECT);
    routes.get("/cluster", admin("inspect:get_cluster"), cluster::cluster).admitted(always).ok(OBJECT);
    routes.get("/nodes/{host}", admin("inspect:get_node"), nodes::node).admitted(always).ok(OBJECT);
    routes.delete("/nodes/{host}", admin("inspect:remove_node"), nodes::remove).admitted(Admission::AsRead).faults(&[409]).ok(OBJECT);
    routes.get("/fsck", admin("inspect:check"), fsck::fsck).admitted(always).ok(OBJECT);
}

const VOLUME: Parameter = query("volume_id", Shape::Uuid);
const LIMIT: Parameter = query("limit", Shape::Integer);
const OPERATIONS: &[Parameter] = &[VOLUME, LIMIT, query("marker", Shape::Uuid)];
const FINISHED: &[Parameter] = &[VOLUME, LIMIT];
const OF_PROJECT: &[Parameter] = &[query("project_id", Shape::Text)];

const GET_OPERATION: Rule = reader("inspect:get_operation");

async fn actors(_caller: Caller, state: State) -> HandlerResult {
    Ok(HttpResponse::Ok().json(json!({
        "node": state.router.node(),
        "healthy": state.router.healthy(),
        "actors": state.router.actors(),
        "peers": state.router.peers(),
        "undelivered": state.router.undelivered(),
    })))
}

async fn notifications(_caller: Caller, state: State) -> HandlerResult {
    let queues = state
        .catalog
        .outbox()
        .map(|outbox| outbox.queues())
        .unwrap_or_default();
    let mut sinks = Vec::new();
    for queue in queues {
        state.catalog.count_pending(queue).await?;
        let publisher = state
            .catalog
            .cluster_task(&ClusterTask::publishing(queue.sink()))
            .await?;
        sinks.push(json!({
            "sink": queue.sink(),
            "publisher": publisher.map_or_else(|| state.router.node().to_owned(), |task| task.record.owner.node),
            "pending": queue.pending(),
            "published": queue.published(),
            "dropped": queue.dropped(),
            "failure": queue.failure(),
        }));
    }
    Ok(HttpResponse::Ok().json(json!({ "sinks": sinks })))
}

async fn operations(caller: Caller, request: HttpRequest, state: State, offload: Offload) -> HandlerResult {
    let query = request.query_string().to_owned();
    let filter = Filter::parse(&query)?;
    let read = move || async move {
        let now = Timestamp::now();
        let may_look = caller.can(GET_OPERATION);
        let mut shown = Vec::new();
        let mut after = filter.marker;
        loop {
            let page = state.catalog.operations(after, PAGE).await?;
            after = page.next;
            let wanted = page.records.iter().filter(|operation| {
                may_look
                    && caller.sees(&operation.project_id)
                    && filter.volume.is_none_or(|id| operation.volume_id == Some(id))
            });
            shown.extend(
                wanted
                    .take(filter.limit - shown.len())
                    .map(|operation| open_view(&caller, &state, operation, now)),
            );
            if after.is_none() || shown.len() == filter.limit {
                break;
            }
        }
        let mut answer = json!({ "operations": shown });
        if let Some(last) = shown.last().filter(|_| shown.len() == filter.limit) {
            let query = super::links::next_query(&query, last["id"].as_str().unwrap_or_default());
            let href = format!("{}/inspect/operations?{query}", caller.base_url);
            answer["operations_links"] = json!([{"rel": "next", "href": href}]);
        }
        Json::of(&answer)
    };
    // Operations of other projects are skipped.
    Ok(offload.run(None, read).await?.answer(StatusCode::OK))
}

async fn operation(caller: Caller, id: web::Path<String>, state: State) -> HandlerResult {
    if let Ok(id) = id.parse::<OperationId>() {
        let open = state.catalog.operation(id).await?;
        if let Some(open) = open.filter(|open| caller.sees(&open.project_id)) {
            let view = open_view(&caller, &state, &open, Timestamp::now());
            return Ok(HttpResponse::Ok().json(json!({ "operation": view })));
        }
        let finished = state.insight.operations.get(id);
        if let Some(finished) = finished.filter(|ended| caller.sees(&ended.operation.project_id)) {
            let view = finished_view(&caller, &finished);
            return Ok(HttpResponse::Ok().json(json!({ "operation": view })));
        }
    }
    Err(not_found(&id))
}

/// 202: the operation ends as soon as its backend has reverted its work, and within a minute in any case.
async fn cancel_operation(caller: Caller, id: web::Path<String>, state: State) -> HandlerResult {
    let operation = id.parse().map_err(|_| not_found(&id))?;
    state
        .api
        .call(&caller.context, CancelOperation { operation }, state.call_timeout)
        .await?;
    Ok(HttpResponse::Accepted().finish())
}

fn not_found(id: &str) -> Fault {
    Fault::not_found(format!("Operation {id} could not be found."))
}

/// Ended operations, newest first, as far as this process remembers them.
async fn finished(caller: Caller, request: HttpRequest, state: State) -> HandlerResult {
    let filter = Filter::parse(request.query_string())?;
    let ended = match filter.volume {
        Some(volume) => state.insight.operations.of_volume(volume),
        None => state.insight.operations.latest(filter.limit),
    };
    let shown: Vec<Value> = ended
        .iter()
        .take(filter.limit)
        .map(|finished| finished_view(&caller, finished))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "operations": shown })))
}

/// The scheduler's last decisions, newest first, with the reason for every pool: why a volume is where it is, or was not
/// placed.
async fn decisions(_caller: Caller, request: HttpRequest, state: State) -> HandlerResult {
    let filter = Filter::parse(request.query_string())?;
    let shown = match (&state.insight.decisions, filter.volume) {
        (Some(decisions), Some(volume)) => decisions.of(volume).into_iter().collect(),
        (Some(decisions), None) => decisions.latest(filter.limit),
        (None, _) => Vec::new(),
    };
    let shown: Vec<&Decision> = shown.iter().map(AsRef::as_ref).collect();
    Ok(HttpResponse::Ok().json(json!({ "decisions": shown })))
}

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

/// An open operation: its journal entry, and the steps that are only in memory.
fn open_view(caller: &Caller, state: &WebState, operation: &Operation, now: Timestamp) -> Value {
    let mut operation = operation.clone();
    operation
        .steps
        .splice(0..0, state.insight.operations.live_steps(operation.id));
    let mut view = view(caller, &operation, now);
    view["state"] = json!(if operation.is_cancelled() {
        "cancelling"
    } else {
        "running"
    });
    view["progress"] = json!(state.insight.operations.advance(operation.id).map(progress_view));
    view["overdue"] = json!(now > operation.deadline);
    view
}

fn finished_view(caller: &Caller, finished: &Finished) -> Value {
    let mut view = view(caller, &finished.operation, finished.finished_at);
    view["state"] = json!(if finished.failure.is_some() {
        "failed"
    } else {
        "done"
    });
    view["finished_at"] = json!(finished.finished_at.to_string());
    if caller.context.is_admin {
        view["error"] = json!(finished.failure);
    }
    view
}

fn progress_view(advance: Advance) -> Value {
    // If there is nothing to do, it is complete.
    let percent = advance.done.saturating_mul(100).checked_div(advance.total);
    json!({
        "percent": percent.unwrap_or(100),
        "bytes_done": advance.done,
        "bytes_total": advance.total,
        "bytes_per_second": advance.bytes_per_second,
        "updated_at": advance.at.to_string(),
    })
}

/// An operation with its steps and their times. Its host, and errors there, are shown to administrators only.
fn view(caller: &Caller, operation: &Operation, now: Timestamp) -> Value {
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
            let error = error.filter(|_| caller.context.is_admin);
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
    let mut view = json!({
        "id": operation.id.to_string(),
        "kind": operation.verb,
        "volume_id": operation.volume_id.map(|id| id.to_string()),
        "project_id": operation.project_id.as_str(),
        "user_id": operation.user_id.as_str(),
        "request_id": operation.request_id,
        "attempt": operation.attempt,
        "steps": steps,
        "created_at": operation.created_at.to_string(),
        "deadline": operation.deadline.to_string(),
        "seconds": now.since(operation.created_at).as_secs_f64(),
        "can_be_cancelled": verb_of(operation).is_ok_and(|verb| verb.may_be_cancelled()),
    });
    if caller.context.is_admin {
        view["pool"] = json!(operation.pool.as_ref().map(ToString::to_string));
        view["tried"] = json!(tried);
    }
    view
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
