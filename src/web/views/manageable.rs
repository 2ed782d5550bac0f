//! Unmanaged resources of a backend, as shown to administrators (cinder: `api/views/manageable_volumes.py`,
//! `manageable_snapshots.py`).

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::messages::api::{ManageableSnapshot, ManageableVolume};
use crate::web::views::shape::{self, Shape, field};

/// A volume of a backend.
pub const VOLUME: Shape = Shape::Object(&[
    field("reference", shape::OBJECT),
    field("size", Shape::Integer),
    field("safe_to_manage", Shape::Boolean),
    field("reason_not_safe", shape::TEXT_OR_NULL).optional(),
    field("cinder_id", shape::UUID_OR_NULL).optional(),
    field("extra_info", Shape::Null).optional(),
]);

/// A snapshot of a backend.
pub const SNAPSHOT: Shape = Shape::Object(&[
    field("reference", shape::OBJECT),
    field("size", Shape::Integer),
    field("safe_to_manage", Shape::Boolean),
    field("reason_not_safe", shape::TEXT_OR_NULL).optional(),
    field("extra_info", Shape::Null).optional(),
    field("cinder_id", shape::UUID_OR_NULL).optional(),
    field("source_reference", shape::OBJECT),
]);

/// A list of volumes.
pub const VOLUMES: Shape = Shape::Object(&[field("manageable-volumes", Shape::List(&VOLUME))]);
/// A list of snapshots.
pub const SNAPSHOTS: Shape = Shape::Object(&[field("manageable-snapshots", Shape::List(&SNAPSHOT))]);

/// A resource of a backend, in a brief list or with all fields.
#[derive(Clone, Copy)]
pub struct Manageable<'a, T> {
    /// The resource.
    pub found: &'a T,
    /// Whether all fields are shown.
    pub detail: bool,
}

impl Serialize for Manageable<'_, ManageableVolume> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let found = self.found;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("reference", &found.reference.to_json())?;
        map.serialize_entry("size", &found.size)?;
        map.serialize_entry("safe_to_manage", &found.safe_to_manage)?;
        if self.detail {
            map.serialize_entry("reason_not_safe", &found.reason_not_safe)?;
            map.serialize_entry("cinder_id", &found.cinder_id)?;
            map.serialize_entry("extra_info", &())?;
        }
        map.end()
    }
}

impl Serialize for Manageable<'_, ManageableSnapshot> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let found = self.found;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("reference", &found.reference.to_json())?;
        map.serialize_entry("size", &found.size)?;
        map.serialize_entry("safe_to_manage", &found.safe_to_manage)?;
        if self.detail {
            map.serialize_entry("reason_not_safe", &found.reason_not_safe)?;
            map.serialize_entry("extra_info", &())?;
            map.serialize_entry("cinder_id", &found.cinder_id)?;
        }
        map.serialize_entry("source_reference", &found.source_reference.to_json())?;
        map.end()
    }
}
