//! `/os-services`: who is alive, and whom the scheduler shall leave out.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::query::Query;
use crate::messages::registry::{ListServices, SetServiceDisabled};
use crate::model::host::host_matches;
use crate::web::caller::Caller;
use crate::web::fault::{Fault, unknown_route};
use crate::web::offload::Offload;
use crate::web::policy::Rule;
use crate::web::request::Body;
use crate::web::routes::{Access, Routes};
use crate::web::schema::services as schema;
use crate::web::state::WebState;
use crate::web::views::service::ServiceView;
use crate::web::views::{Items, Json, Named, ok};

pub(super) fn routes(routes: &mut Routes) {
    routes.get(
        "/os-services",
        Access::rule("volume_extension:services:index"),
        list,
    );
    routes.put("/os-services/{action}", Access::Rule(UPDATE), act);
}

async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    offload: Offload,
    query: Query,
) -> Result<HttpResponse, Fault> {
    caller.may(Rule("volume_extension:services:index"))?;
    let services = state
        .registry
        .call(&caller.context, ListServices {}, state.call_timeout)
        .await?;
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

#[derive(Deserialize)]
struct OfAction {
    action: String,
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

const UPDATE: Rule = Rule("volume_extension:services:update");

async fn act(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfAction>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let body = body.0.as_ref();
    let later = |what: &str| Err(Fault::not_implemented(format!("{what} is not implemented.")));
    match path.action.as_str() {
        "enable" => set_disabled(&caller, &state, false, false, body).await,
        "disable" => set_disabled(&caller, &state, true, false, body).await,
        "disable-log-reason" => set_disabled(&caller, &state, true, true, body).await,
        "freeze" | "thaw" => {
            schema::freeze_or_thaw(body)?;
            caller.may(UPDATE)?;
            later("Freezing a host")
        }
        "failover_host" => {
            schema::failover(body)?;
            caller.may(UPDATE)?;
            later("Replication")
        }
        "failover" => {
            caller.since(26)?;
            schema::failover(body)?;
            caller.may(UPDATE)?;
            later("Replication")
        }
        "get-log" | "set-log" => {
            caller.since(32)?;
            caller.may(UPDATE)?;
            later("Changing log levels by request")
        }
        _ => Ok(unknown_route()),
    }
}

async fn set_disabled(
    caller: &Caller,
    state: &WebState,
    disabled: bool,
    with_reason: bool,
    body: Option<&serde_json::Value>,
) -> Result<HttpResponse, Fault> {
    let change = schema::change(with_reason, body)?;
    caller.may(UPDATE)?;
    let host = change.host()?;
    let message = SetServiceDisabled {
        binary: change.key().to_owned(),
        host: host.to_owned(),
        disabled,
        reason: change.disabled_reason.clone(),
    };
    state
        .registry
        .call(&caller.context, message, state.call_timeout)
        .await?;
    ok(&Changed {
        host,
        service: &change.service,
        binary: &change.binary,
        status: if disabled { "disabled" } else { "enabled" },
        disabled,
        disabled_reason: change.disabled_reason.as_deref(),
    })
}
