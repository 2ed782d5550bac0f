//! `POST /workers/cleanup` (since 3.24): which services have unfinished work (cinder: `api/v3/workers.py`).
//!
//! The journal goes on with the work of a service as soon as it is up, so nothing is begun here: a service that is up works on it
//! (`cleaning`), one that is down leaves it to wait (`unavailable`).

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::prelude::*;
use super::python;
use crate::messages::registry::{ListServices, ServiceView};
use crate::model::host::host_matches;
use crate::model::{Operation, ServiceId, Subject};
use crate::store::StoreError;
use crate::store::catalog::Catalog;
use crate::web::schema::prelude::*;
use crate::web::views::service::VOLUME_BINARY;
use crate::web::views::shape::{self, Shape, field};

const SERVICES: Shape = Shape::List(&Shape::Object(&[
    field("id", Shape::Uuid),
    field("host", Shape::Text),
    field("binary", Shape::Text),
    field("cluster_name", shape::TEXT_OR_NULL),
]));

pub(super) const STARTED: Shape =
    Shape::Object(&[field("cleaning", SERVICES), field("unavailable", SERVICES)]);

/// How many operations are read at once.
const PAGE: usize = 1000;

const BINARY: Schema = Schema(&[Enum(&[VOLUME_BINARY, "cinder-scheduler"])]);

const RESOURCE_TYPE: Schema = Schema(&[Type(&[Kind::String, Kind::Null]), MaxLength(40)]);

const SERVICE_ID: Schema = Schema(&[
    Type(&[Kind::Integer, Kind::String, Kind::Null]),
    Matches(DIGITS_OR_NOTHING),
    MaxLength(11),
]);

pub(super) const CLEANUP: Schema = object!([
    ("cluster_name", HOST),
    ("disabled", BOOLEAN),
    ("host", HOST),
    ("is_up", BOOLEAN),
    ("binary", BINARY),
    ("resource_id", OPTIONAL_UUID),
    ("resource_type", RESOURCE_TYPE),
    ("service_id", SERVICE_ID),
]);

#[derive(Serialize)]
struct ServiceWithWork<'a> {
    id: ServiceId,
    host: &'a str,
    binary: &'a str,
    cluster_name: Option<&'a str>,
}

#[derive(Serialize)]
struct Answer<'a> {
    cleaning: Vec<ServiceWithWork<'a>>,
    unavailable: Vec<ServiceWithWork<'a>>,
}

pub(super) async fn cleanup(caller: Caller, state: State, body: Body) -> HandlerResult {
    let body = body.value();
    let resource = Resource::of(body)?;
    let hosts = hosts_with_work(&state.catalog, &resource).await?;
    let is_located = ["service_id", "cluster_name", "host"]
        .iter()
        .any(|field| body.get(field).is_some());
    if let Some(id) = resource.id.filter(|_| !is_located && hosts.is_empty()) {
        return Err(Fault::invalid_input(format!(
            "There is no resource with UUID {id} pending cleanup."
        )));
    }
    let services = caller.call(&state, &state.registry, ListServices {}).await?;
    let mut answer = Answer {
        cleaning: Vec::new(),
        unavailable: Vec::new(),
    };
    let with_work = services.iter().filter(|seen| hosts.contains(&seen.service.host));
    for seen in with_work.filter(|seen| is_meant(seen, body)) {
        let list = if seen.up {
            &mut answer.cleaning
        } else {
            &mut answer.unavailable
        };
        list.push(ServiceWithWork {
            id: seen.service.id,
            host: &seen.service.host,
            binary: &seen.service.binary,
            cluster_name: None,
        });
    }
    crate::web::views::answer(StatusCode::ACCEPTED, &answer)
}

/// Without `is_up`, services that are down are meant. There are no clusters, and services have no numbers.
fn is_meant(seen: &ServiceView, body: &Value) -> bool {
    let ServiceView { service, up, .. } = seen;
    let given = |field| text(body, field).filter(|text| !text.is_empty());
    service.binary == VOLUME_BINARY
        && given("binary").is_none_or(|binary| binary == service.binary)
        && given("host").is_none_or(|host| host_matches(&service.host, host))
        && given("cluster_name").is_none()
        && body.get("service_id").is_none_or(Value::is_null)
        && boolean(body, "disabled").is_none_or(|disabled| disabled == service.disabled)
        && boolean(body, "is_up").unwrap_or(false) == *up
}

/// The resource whose work is meant.
#[derive(Clone, Copy)]
struct Resource {
    id: Option<uuid::Uuid>,
    /// Whether it is a snapshot; `None`: any.
    is_snapshot: Option<bool>,
}

impl Resource {
    fn of(body: &Value) -> Result<Self, Fault> {
        let kind = text(body, "resource_type").unwrap_or_default();
        let is_snapshot = match kind.to_lowercase().as_str() {
            "" => None,
            "volume" => Some(false),
            "snapshot" => Some(true),
            _ => {
                return Err(Fault::invalid_input(format!(
                    "Resource type {} not valid, must be Volume or Snapshot",
                    python::title(kind)
                )));
            }
        };
        let id = text(body, "resource_id").and_then(python::uuid);
        Ok(Self { id, is_snapshot })
    }

    fn has(&self, operation: &Operation) -> bool {
        let snapshot = match operation.subject {
            Subject::Snapshot(id) => Some(id),
            _ => None,
        };
        let id = snapshot.map(|id| id.0).or(operation.volume_id.map(|id| id.0));
        self.is_snapshot.is_none_or(|wanted| wanted == snapshot.is_some())
            && self.id.is_none_or(|wanted| id == Some(wanted))
    }
}

/// The hosts of backends that have to work on this resource, by the journal.
async fn hosts_with_work(catalog: &Catalog, resource: &Resource) -> Result<BTreeSet<String>, StoreError> {
    let (mut hosts, mut after) = (BTreeSet::new(), None);
    loop {
        let page = catalog.operations(after, PAGE).await?;
        let meant = page.records.iter().filter(|operation| resource.has(operation));
        hosts.extend(meant.filter_map(|operation| Some(operation.pool.as_ref()?.backend.to_string())));
        after = page.next;
        if after.is_none() {
            return Ok(hosts);
        }
    }
}
