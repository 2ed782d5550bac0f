//! `/capabilities/{host}`: what a backend reports of itself, and the properties that types may ask for (cinder:
//! `api/contrib/capabilities.py`, `volume/driver.py` `_init_standard_capabilities`).

use serde::Serialize;
use serde_json::{Value, json};

use super::prelude::*;
use crate::messages::registry::ListServices;
use crate::messages::scheduler::GetPools;
use crate::model::host::host_matches;
use crate::web::views::service::VOLUME_BINARY;
use crate::web::views::shape::{self, Shape, field};

pub(super) const CAPABILITIES: Shape = Shape::Object(&[
    field("namespace", Shape::Text),
    field("vendor_name", Shape::Text),
    field("volume_backend_name", Shape::Text),
    field("pool_name", shape::TEXT_OR_NULL),
    field("driver_version", Shape::Text),
    field("storage_protocol", Shape::Text),
    field("display_name", shape::TEXT_OR_NULL),
    field("description", shape::TEXT_OR_NULL),
    field("visibility", shape::TEXT_OR_NULL),
    field("replication_targets", Shape::List(&Shape::Any)),
    field("properties", Shape::Map(&shape::TEXTS)),
]);

#[derive(Serialize)]
struct View<'a> {
    namespace: String,
    vendor_name: &'a str,
    volume_backend_name: &'a str,
    pool_name: Option<&'a str>,
    driver_version: &'a str,
    storage_protocol: &'a str,
    display_name: Option<&'a str>,
    description: Option<&'a str>,
    visibility: Option<&'a str>,
    replication_targets: [Value; 0],
    properties: Value,
}

pub(super) async fn show(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let wanted = &path.id;
    let services = caller.call(&state, &state.registry, ListServices {}).await?;
    let service = services
        .iter()
        .map(|seen| &seen.service)
        .find(|service| service.binary == VOLUME_BINARY && host_matches(&service.host, wanted))
        .ok_or_else(|| Fault::not_found(format!("Can't find service: {wanted}")))?;
    let pools = caller.call(&state, &state.scheduler, GetPools {}).await?;
    let reported = pools.iter().map(|pool| &pool.backend);
    let backend = reported
        .into_iter()
        .find(|backend| backend.backend.to_string() == service.host)
        .ok_or_else(|| {
            Fault::unavailable(1).with_operator(format!("{} has not reported yet", service.host))
        })?;
    ok(&View {
        namespace: format!("OS::Storage::Capabilities::{}", service.host),
        vendor_name: &backend.vendor_name,
        volume_backend_name: &backend.volume_backend_name,
        pool_name: None,
        driver_version: &backend.driver_version,
        storage_protocol: &backend.storage_protocol,
        display_name: None,
        description: None,
        visibility: None,
        replication_targets: [],
        properties: properties(),
    })
}

/// The properties of Cinder's own namespace.
fn properties() -> Value {
    let property = |title: &str, description: &str| json!({"title": title, "description": description, "type": "boolean"});
    json!({
        "thin_provisioning": property("Thin Provisioning", "Sets thin provisioning."),
        "compression": property("Compression", "Enables compression."),
        "qos": property("QoS", "Enables QoS."),
        "replication_enabled": property("Replication", "Enables replication."),
    })
}
