//! `/os-services`: the services with their state, and enabling or disabling them for the scheduler.

use serde::Serialize;

use super::prelude::*;
use crate::messages::registry::{ListServices, SetServiceDisabled, SetServiceFrozen};
use crate::model::Service;
use crate::model::host::host_matches;
use crate::web::fault::unknown_route;
use crate::web::routes::answers::{Parameter, query};
use crate::web::schema::manage::Place;
use crate::web::schema::prelude::text;
use crate::web::schema::services as schema;
use crate::web::views::service::{ServiceView, VOLUME_BINARY};
use crate::web::views::shape::{Shape, field};

pub(super) const PARAMETERS: &[Parameter] = &[query("host", Shape::Text), query("binary", Shape::Text)];

pub(super) const CHANGED: Shape = Shape::Object(&[
    field("host", Shape::Text),
    field("service", Shape::Text),
    field("binary", Shape::Text),
    field("status", Shape::Enum(&["enabled", "disabled"])),
    field("disabled", Shape::Boolean),
    field("disabled_reason", Shape::Text).optional(),
]);

pub(super) async fn list(caller: Caller, state: State, offload: Offload, query: Query) -> HandlerResult {
    let services = caller.call(&state, &state.registry, ListServices {}).await?;
    let rows = Some(services.len());
    let read = move || async move {
        let (host, binary) = (query.get("host"), query.get("binary"));
        let shown = services
            .iter()
            .filter(|seen| {
                host.is_none_or(|host| host_matches(&seen.service.host, host))
                    && binary.is_none_or(|binary| binary == seen.service.binary)
            })
            .map(|seen| ServiceView {
                seen,
                version: caller.version,
            });
        Json::of(&Named("services", Items(shown)))
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

#[derive(Serialize)]
struct Changed<'a> {
    host: &'a str,
    service: &'a str,
    binary: &'a str,
    status: &'a str,
    disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<&'a str>,
}

pub(super) async fn enable(caller: Caller, state: State, body: Body) -> HandlerResult {
    set_disabled(&caller, &state, false, &body).await
}

/// With a reason, or without.
pub(super) async fn disable(caller: Caller, state: State, body: Body) -> HandlerResult {
    set_disabled(&caller, &state, true, &body).await
}

pub(super) async fn unknown(_: Caller) -> HttpResponse {
    unknown_route()
}

async fn set_disabled(caller: &Caller, state: &WebState, disabled: bool, body: &Body) -> HandlerResult {
    let change = schema::change(body.value());
    let host = change.host()?;
    let message = SetServiceDisabled {
        binary: change.key().to_owned(),
        host: host.to_owned(),
        disabled,
        reason: change.disabled_reason.clone(),
    };
    caller.call(state, &state.registry, message).await?;
    ok(&Changed {
        host,
        service: &change.service,
        binary: &change.binary,
        status: if disabled { "disabled" } else { "enabled" },
        disabled,
        disabled_reason: change.disabled_reason.as_deref(),
    })
}

pub(super) async fn freeze(caller: Caller, state: State, body: Body) -> HandlerResult {
    set_frozen(&caller, &state, true, &body).await
}

pub(super) async fn thaw(caller: Caller, state: State, body: Body) -> HandlerResult {
    set_frozen(&caller, &state, false, &body).await
}

async fn set_frozen(caller: &Caller, state: &WebState, frozen: bool, body: &Body) -> HandlerResult {
    let host = host(caller, body)?;
    let message = SetServiceFrozen { host, frozen };
    caller.call(state, &state.registry, message).await?;
    Ok(HttpResponse::Ok().finish())
}

/// `failover_host` and `failover`: no driver replicates, so no backend can be failed over.
pub(super) async fn failover(caller: Caller, state: State, body: Body) -> HandlerResult {
    let host = host(&caller, &body)?;
    let services = caller.call(&state, &state.registry, ListServices {}).await?;
    let is_meant = |service: &Service| service.binary == VOLUME_BINARY && host_matches(&service.host, &host);
    if !services.iter().any(|seen| is_meant(&seen.service)) {
        return Err(Fault::bad_request(format!("No service found with host={host}")));
    }
    Err(Fault::invalid_input(format!(
        "No service could be changed: replication_status in ['{host}'] must be ['enabled', 'failed-over'] and must be up to \
         failover."
    )))
}

/// The host in the body; there are no clusters.
fn host(caller: &Caller, body: &Body) -> Result<String, Fault> {
    let given = |field| text(body.value(), field).filter(|text| !text.is_empty());
    let clustered = caller.version.at_least(26);
    if !clustered && given("host").is_none() {
        return Err(Fault::invalid_input("Host field is missing."));
    }
    match Place::of(given("host"), given("cluster"), clustered)? {
        Place::Host(host) => Ok(host),
        Place::Cluster(cluster) => Err(Fault::bad_request(format!(
            "No service found with cluster={cluster}"
        ))),
    }
}
