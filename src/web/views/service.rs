//! Services as administrators see them (cinder: `api/v3/services.py`).

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::optional_time;
use crate::messages::registry::ServiceView as Seen;
use crate::web::microversion::Microversion;
use crate::web::views::shape::{self, Shape, field};

const STATE: Shape = Shape::Enum(&["up", "down"]);

/// The list of services.
pub const SERVICES: Shape = Shape::Object(&[field("services", Shape::List(&SERVICE))]);

const SERVICE: Shape = Shape::Object(&[
    field("binary", Shape::Text),
    field("host", Shape::Text),
    field("zone", Shape::Text),
    field("status", Shape::Enum(&["enabled", "disabled"])),
    field("state", STATE),
    field("updated_at", shape::TIME_OR_NULL),
    field("backend_state", Shape::Nullable(&STATE))
        .since(49)
        .optional(),
    field("cluster", Shape::Null).since(7),
    field("disabled_reason", shape::TEXT_OR_NULL),
    field("replication_status", Shape::Text).optional(),
    field("active_backend_id", Shape::Null).optional(),
    field("frozen", Shape::Boolean).optional(),
]);

/// The binary that has a storage backend behind it.
pub const VOLUME_BINARY: &str = "cinder-volume";

/// A service in the list.
#[derive(Clone, Copy)]
pub struct ServiceView<'a> {
    /// The service, and whether it is alive.
    pub seen: &'a Seen,
    /// The version asked for.
    pub version: Microversion,
}

impl Serialize for ServiceView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Seen {
            service,
            heard_at,
            up,
            backend_up,
        } = self.seen;
        let has_backend = service.binary == VOLUME_BINARY;
        // A heartbeat updates the row in Cinder; here it is not stored.
        let updated_at = (*heard_at).max(service.updated_at);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("binary", &service.binary)?;
        map.serialize_entry("host", &service.host)?;
        map.serialize_entry("zone", &service.availability_zone)?;
        map.serialize_entry("status", if service.disabled { "disabled" } else { "enabled" })?;
        map.serialize_entry("state", up_or_down(*up))?;
        map.serialize_entry("updated_at", &optional_time(updated_at))?;
        if has_backend && self.version.at_least(49) {
            map.serialize_entry("backend_state", &backend_up.map(up_or_down))?;
        }
        if self.version.at_least(7) {
            map.serialize_entry("cluster", &())?;
        }
        map.serialize_entry("disabled_reason", &service.disabled_reason)?;
        if has_backend {
            map.serialize_entry("replication_status", "not-capable")?;
            map.serialize_entry("active_backend_id", &())?;
            map.serialize_entry("frozen", &service.frozen)?;
        }
        map.end()
    }
}

fn up_or_down(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}
