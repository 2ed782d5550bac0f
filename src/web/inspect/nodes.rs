//! A host and what is on it: for draining and removing volume nodes.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::messages::registry::{ListServiceStates, RemoveHost, ServiceStatus};
use crate::model::host::host_matches;
use crate::model::{BackendName, Operation, Timestamp};
use crate::store::StoreError;
use crate::web::caller::Caller;
use crate::web::fault::{Fault, HandlerResult};
use crate::web::state::{State, WebState};
use crate::web::views::service::VOLUME_BINARY;

/// How many volumes or operations are read at once.
const PAGE: usize = 1000;

/// The services of a host (or `host@backend`), the operations that are open on its backends, and the number of its volumes.
pub(super) async fn node(caller: Caller, host: web::Path<String>, state: State) -> HandlerResult {
    let services = services(&caller, &state, &host).await?;
    let backends: Vec<BackendName> = services
        .iter()
        .filter(|status| status.service.binary == VOLUME_BINARY)
        .filter_map(|status| status.service.host.parse().ok())
        .collect();
    let mut volumes = 0;
    for backend in &backends {
        volumes += volumes_on(&state, backend).await?;
    }
    let now = Timestamp::now();
    let operations = open_on(&state, &backends).await?;
    let operations: Vec<Value> = operations
        .iter()
        .map(|operation| {
            json!({
                "id": operation.id.to_string(),
                "kind": operation.verb,
                "volume_id": operation.volume_id.map(|id| id.to_string()),
                "seconds": now.since(operation.created_at).as_secs_f64(),
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({
        "host": *host,
        "services": services.iter().map(service_view).collect::<Vec<_>>(),
        "volumes": volumes,
        "operations": operations,
    })))
}

/// Removes the services of a host that is gone. 409 while it may be up, or has volumes.
pub(super) async fn remove(caller: Caller, host: web::Path<String>, state: State) -> HandlerResult {
    let message = RemoveHost {
        host: host.into_inner(),
    };
    let removed = caller.call(&state, &state.registry, message).await?;
    let removed: Vec<Value> = removed
        .iter()
        .map(|service| json!({"binary": service.binary, "host": service.host}))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "removed": removed })))
}

async fn services(caller: &Caller, state: &WebState, host: &str) -> Result<Vec<ServiceStatus>, Fault> {
    let mut services = caller.call(state, &state.registry, ListServiceStates {}).await?;
    services.retain(|status| host_matches(&status.service.host, host));
    if services.is_empty() {
        return Err(Fault::not_found(format!("No service found with host={host}")));
    }
    Ok(services)
}

pub(super) fn service_view(status: &ServiceStatus) -> Value {
    let service = &status.service;
    json!({
        "binary": service.binary,
        "host": service.host,
        "zone": service.availability_zone,
        "status": if service.disabled { "disabled" } else { "enabled" },
        "disabled_reason": service.disabled_reason,
        "frozen": service.frozen,
        "state": state_text(status),
        "backend_up": status.backend_up,
        "heard_at": status.heard_at.map(|at| at.to_string()),
    })
}

/// `up`, `suspect`, `stopped` or `down`.
pub(super) fn state_text(status: &ServiceStatus) -> String {
    format!("{:?}", status.state).to_lowercase()
}

async fn volumes_on(state: &WebState, backend: &BackendName) -> Result<usize, StoreError> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = state.catalog.backend_volumes(backend, after, PAGE).await?;
        count += page.records.len();
        after = page.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

/// The open operations whose commands go to one of these backends, or whose volume is on one.
async fn open_on(state: &WebState, backends: &[BackendName]) -> Result<Vec<Operation>, StoreError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = state.catalog.operations(after, PAGE).await?;
        for operation in page.records {
            if is_on(state, &operation, backends).await? {
                found.push(operation.record);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

async fn is_on(
    state: &WebState,
    operation: &Operation,
    backends: &[BackendName],
) -> Result<bool, StoreError> {
    if backends.iter().any(|backend| operation.is_on(backend)) {
        return Ok(true);
    }
    let Some(id) = operation.volume_id else {
        return Ok(false);
    };
    let volume = state.catalog.volume(id).await?;
    let host = volume.and_then(|volume| volume.record.host);
    Ok(host.is_some_and(|pool| backends.contains(&pool.backend)))
}
