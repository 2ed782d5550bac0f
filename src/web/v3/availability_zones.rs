//! `GET /os-availability-zone`: the zones of the volume services. A zone is available unless all in it are disabled.

use std::collections::BTreeMap;

use serde::Serialize;

use super::prelude::*;
use crate::messages::registry::ListServices;
use crate::web::views::service::VOLUME_BINARY;
use crate::web::views::shape::{Shape, field};

pub(super) const ZONES: Shape = Shape::Object(&[field(
    "availabilityZoneInfo",
    Shape::List(&Shape::Object(&[
        field("zoneName", Shape::Text),
        field("zoneState", Shape::Object(&[field("available", Shape::Boolean)])),
    ])),
)]);

#[derive(Serialize)]
struct Zone {
    #[serde(rename = "zoneName")]
    name: String,
    #[serde(rename = "zoneState")]
    state: ZoneState,
}

#[derive(Serialize)]
struct ZoneState {
    available: bool,
}

pub(super) async fn list(caller: Caller, state: State) -> HandlerResult {
    let services = caller.call(&state, &state.registry, ListServices {}).await?;
    let mut zones: BTreeMap<String, bool> = BTreeMap::new();
    for seen in services
        .into_iter()
        .filter(|seen| seen.service.binary == VOLUME_BINARY)
    {
        *zones.entry(seen.service.availability_zone).or_default() |= !seen.service.disabled;
    }
    let zones: Vec<Zone> = zones
        .into_iter()
        .map(|(name, available)| Zone {
            name,
            state: ZoneState { available },
        })
        .collect();
    ok(&Named("availabilityZoneInfo", zones))
}
