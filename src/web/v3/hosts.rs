//! `/os-hosts`: the hosts of services, and how much of a backend each project uses (cinder: `api/contrib/hosts.py`).
//!
//! Cinder's drivers cannot enable or disable a host (500); here its volume service is enabled or disabled, and a disabled host is
//! listed, so that it can be enabled again.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::prelude::*;
use crate::messages::registry::{ListServices, ServiceView, SetServiceDisabled};
use crate::model::{BackendName, ProjectId};
use crate::store::StoreError;
use crate::store::catalog::Catalog;
use crate::web::routes::answers::{Parameter, query};
use crate::web::schema::prelude::*;
use crate::web::views::service::VOLUME_BINARY;
use crate::web::views::shape::{self, Shape, field};
use crate::web::views::{Time, optional_time};

pub(super) const PARAMETERS: &[Parameter] = &[query("zone", Shape::Text)];

pub(super) const HOSTS: Shape = Shape::Object(&[field(
    "hosts",
    Shape::List(&Shape::Object(&[
        field("host_name", Shape::Text),
        field("service", Shape::Text),
        field("zone", Shape::Text),
        field("service-status", Shape::Enum(&["available", "unavailable"])),
        field("service-state", Shape::Enum(&["enabled", "disabled"])),
        field("last-update", shape::TIME_OR_NULL),
    ])),
)]);

pub(super) const USAGE: Shape = Shape::Object(&[field(
    "host",
    Shape::List(&Shape::Object(&[field("resource", shape::TEXTS)])),
)]);

/// Empty if the body changes nothing.
pub(super) const CHANGED: Shape = Shape::Object(&[
    field("host", Shape::Text).optional(),
    field("status", Shape::Enum(&["enabled", "disabled"])).optional(),
]);

/// How many volumes are read at once.
const PAGE: usize = 1000;

/// Other keys are allowed because `status` may be in upper or mixed case.
pub(super) const UPDATE: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[(
        "status",
        Schema(&[Type(&[Kind::String]), Enum(&["enable", "disable"])]),
    )]),
]);

#[derive(Serialize)]
struct HostView<'a> {
    host_name: &'a str,
    service: &'a str,
    zone: &'a str,
    #[serde(rename = "service-status")]
    status: &'a str,
    #[serde(rename = "service-state")]
    state: &'a str,
    #[serde(rename = "last-update")]
    last_update: Option<Time>,
}

impl<'a> HostView<'a> {
    fn of(seen: &'a ServiceView) -> Self {
        let service = &seen.service;
        Self {
            host_name: &service.host,
            service: &service.binary,
            zone: &service.availability_zone,
            status: if seen.up { "available" } else { "unavailable" },
            state: if service.disabled { "disabled" } else { "enabled" },
            last_update: optional_time(seen.heard_at.max(service.updated_at)),
        }
    }
}

pub(super) async fn list(caller: Caller, state: State, query: Query) -> HandlerResult {
    let services = services(&caller, &state).await?;
    let zone = query.get("zone").filter(|zone| !zone.is_empty());
    let shown = services
        .iter()
        .filter(|seen| zone.is_none_or(|zone| seen.service.availability_zone == zone));
    ok(&Named("hosts", Items(shown.map(HostView::of))))
}

async fn services(caller: &Caller, state: &WebState) -> Result<Vec<ServiceView>, Fault> {
    caller.call(state, &state.registry, ListServices {}).await
}

#[derive(Serialize)]
struct Resource<'a> {
    resource: Usage<'a>,
}

#[derive(Serialize)]
struct Usage<'a> {
    host: &'a str,
    project: &'a str,
    volume_count: String,
    total_volume_gb: String,
    snapshot_count: String,
    total_snapshot_gb: String,
}

/// Counts and sizes in GiB.
#[derive(Clone, Copy, Default)]
struct Sums {
    volumes: u64,
    volume_gb: u64,
    snapshots: u64,
    snapshot_gb: u64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.volumes += other.volumes;
        self.volume_gb += other.volume_gb;
        self.snapshots += other.snapshots;
        self.snapshot_gb += other.snapshot_gb;
    }

    fn view<'a>(self, host: &'a str, project: &'a str) -> Resource<'a> {
        Resource {
            resource: Usage {
                host,
                project,
                volume_count: self.volumes.to_string(),
                total_volume_gb: self.volume_gb.to_string(),
                snapshot_count: self.snapshots.to_string(),
                total_snapshot_gb: self.snapshot_gb.to_string(),
            },
        }
    }
}

/// The volumes and snapshots on a backend: in total, and of each project.
pub(super) async fn show(caller: Caller, state: State, offload: Offload, path: SubjectPath) -> HandlerResult {
    let host = path.into_inner().id;
    let known = services(&caller, &state).await?.into_iter().any(|seen| {
        seen.service.binary == VOLUME_BINARY && seen.service.host == host && !seen.service.disabled
    });
    let backend: Option<BackendName> = host.parse().ok().filter(|_| known);
    let backend = backend.ok_or_else(|| {
        Fault::not_found(format!(
            "Service {VOLUME_BINARY} could not be found on host {host}."
        ))
    })?;
    let read = move || async move {
        let projects = usage(&state.catalog, &backend).await?;
        let mut total = Sums::default();
        projects.values().for_each(|sums| total.add(*sums));
        let of_projects = projects
            .iter()
            .map(|(project, sums)| sums.view(&host, project.as_str()));
        let rows: Vec<Resource<'_>> = std::iter::once(total.view(&host, "(total)"))
            .chain(of_projects)
            .collect();
        Json::of(&Named("host", rows))
    };
    Ok(offload.run(None, read).await?.answer(StatusCode::OK))
}

async fn usage(catalog: &Catalog, backend: &BackendName) -> Result<BTreeMap<ProjectId, Sums>, StoreError> {
    let mut projects: BTreeMap<ProjectId, Sums> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = catalog.backend_volumes(backend, after, PAGE).await?;
        for volume in &page.records {
            let mut sums = Sums {
                volumes: 1,
                volume_gb: u64::from(volume.size),
                ..Sums::default()
            };
            for snapshot in catalog.volume_snapshots(volume.id).await? {
                sums.snapshots += 1;
                sums.snapshot_gb += u64::from(snapshot.volume_size);
            }
            projects.entry(volume.project_id.clone()).or_default().add(sums);
        }
        after = page.next;
        if after.is_none() {
            return Ok(projects);
        }
    }
}

#[derive(Serialize)]
struct Changed<'a> {
    host: &'a str,
    status: &'a str,
}

/// Enables or disables the services of a host.
pub(super) async fn update(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let host = &path.id;
    if !services(&caller, &state)
        .await?
        .iter()
        .any(|seen| seen.service.host == *host)
    {
        return Err(Fault::not_found(format!("Host {host} could not be found.")));
    }
    let mut disabled = None;
    for (key, value) in body.value().as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        match (key.to_lowercase().trim(), value.to_lowercase().trim()) {
            ("status", "enable") => disabled = Some(false),
            ("status", "disable") => disabled = Some(true),
            ("status", _) => return Err(Fault::bad_request(format!("Invalid status: '{value}'"))),
            _ => return Err(Fault::bad_request(format!("Invalid update setting: '{key}'"))),
        }
    }
    let Some(disabled) = disabled else {
        return ok(&Value::Object(serde_json::Map::new()));
    };
    let message = SetServiceDisabled {
        binary: String::new(),
        host: host.clone(),
        disabled,
        reason: None,
    };
    caller.call(&state, &state.registry, message).await?;
    let status = if disabled { "disabled" } else { "enabled" };
    ok(&Changed { host, status })
}
