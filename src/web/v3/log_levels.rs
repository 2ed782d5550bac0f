//! `/os-services/get-log` and `set-log` (since 3.32): the levels of the logs of services (cinder: `api/v3/services.py`). The services
//! of one process have one log.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::prelude::*;
use crate::log_levels::{self, LogLevel};
use crate::messages::registry::ListServices;
use crate::messages::volume::{GetLogLevels, SetLogLevels, VolumeTopic};
use crate::model::host::host_matches;
use crate::web::schema::prelude::*;
use crate::web::views::service::VOLUME_BINARY;
use crate::web::views::shape::{self, Shape, field};

pub(super) const LEVELS: Shape = Shape::Object(&[field(
    "log_levels",
    Shape::List(&Shape::Object(&[
        field("host", Shape::Text),
        field("binary", Shape::Text),
        field("levels", shape::TEXTS),
    ])),
)]);

const API_BINARY: &str = "cinder-api";

const BINARY: Schema = Schema(&[
    Type(&[Kind::String]),
    Enum(&[
        "cinder-scheduler",
        VOLUME_BINARY,
        "cinder-backup",
        API_BINARY,
        "",
        "*",
    ]),
]);

pub(super) const GET: Schema = object!([
    ("binary", BINARY),
    ("server", NULLABLE_STRING),
    ("prefix", NULLABLE_STRING)
]);

pub(super) const SET: Schema = object!([
    ("binary", BINARY),
    ("server", NULLABLE_STRING),
    ("prefix", NULLABLE_STRING),
    (
        "level",
        Schema(&[Type(&[Kind::String, Kind::Null]), FormatCheck(Format::LogLevel)])
    )
]);

#[derive(Serialize)]
struct ServiceLevels {
    host: String,
    binary: String,
    levels: BTreeMap<String, String>,
}

/// The services that a body names.
struct Wanted<'a> {
    binary: &'a str,
    server: &'a str,
    prefix: &'a str,
}

impl<'a> Wanted<'a> {
    fn of(body: &'a Value) -> Self {
        let given = |field| text(body, field).unwrap_or_default();
        Self {
            binary: Some(given("binary"))
                .filter(|binary| *binary != "*")
                .unwrap_or_default(),
            server: given("server"),
            prefix: given("prefix"),
        }
    }

    /// Whether the API of this node is meant.
    fn has_api(&self, node: &str) -> bool {
        ["", API_BINARY].contains(&self.binary) && (self.server.is_empty() || self.server == node)
    }

    /// The services that are up, by binary and host.
    async fn services(&self, caller: &Caller, state: &WebState) -> Result<Vec<(String, String)>, Fault> {
        let seen = caller.call(state, &state.registry, ListServices {}).await?;
        let meant = seen.into_iter().filter(|seen| seen.up).map(|seen| seen.service);
        let meant = meant.filter(|service| {
            (self.binary.is_empty() || self.binary == service.binary)
                && (self.server.is_empty() || host_matches(&service.host, self.server))
        });
        Ok(meant.map(|service| (service.binary, service.host)).collect())
    }
}

pub(super) async fn get(caller: Caller, state: State, body: Body) -> HandlerResult {
    let wanted = Wanted::of(body.value());
    let node = state.router.node();
    let mut found = Vec::new();
    if wanted.has_api(node) {
        found.push(ServiceLevels {
            host: node.to_owned(),
            binary: API_BINARY.to_owned(),
            levels: log_levels::levels(wanted.prefix),
        });
    }
    for (binary, host) in wanted.services(&caller, &state).await? {
        let levels = if binary == VOLUME_BINARY {
            let prefix = wanted.prefix.to_owned();
            let manager = state.router.server::<VolumeTopic>(&host);
            caller.call(&state, &manager, GetLogLevels { prefix }).await?
        } else {
            log_levels::levels(wanted.prefix)
        };
        found.push(ServiceLevels { host, binary, levels });
    }
    ok(&Named("log_levels", found))
}

pub(super) async fn set(caller: Caller, state: State, body: Body) -> HandlerResult {
    let wanted = Wanted::of(body.value());
    let level = text(body.value(), "level")
        .and_then(LogLevel::of)
        .ok_or_else(Fault::malformed)?;
    let services = wanted.services(&caller, &state).await?;
    let is_of_this_node = |(binary, _): &(String, String)| binary != VOLUME_BINARY;
    if wanted.has_api(state.router.node()) || services.iter().any(is_of_this_node) {
        log_levels::set(wanted.prefix, level).map_err(Fault::invalid_input)?;
    }
    for (_, host) in services.iter().filter(|service| !is_of_this_node(service)) {
        let message = SetLogLevels {
            prefix: wanted.prefix.to_owned(),
            level,
        };
        let manager = state.router.server::<VolumeTopic>(host);
        caller.call(&state, &manager, message).await?;
    }
    Ok(accepted())
}
