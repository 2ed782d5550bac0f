//! Volume types as clients see them (cinder: `api/v3/views/types.py`, `api/views/types.py`, `contrib/volume_type_access.py`).

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::model::VolumeType;
use crate::web::caller::Caller;
use crate::web::policy::{admin, member, reader};
use crate::web::views::shape::{self, Shape, field};

/// A type in a list, or alone.
pub const TYPE: Shape = Shape::Named(
    "volume_type",
    &Shape::Object(&[
        field("id", Shape::Uuid),
        field("name", Shape::Text),
        field("is_public", Shape::Boolean),
        field("description", shape::TEXT_OR_NULL),
        field("extra_specs", shape::TEXTS).optional(),
        field("qos_specs_id", shape::UUID_OR_NULL).optional(),
        field(IS_PUBLIC, Shape::Boolean).optional(),
    ]),
);

/// An answer with one type.
pub const ONE: Shape = Shape::Object(&[field("volume_type", TYPE)]);

/// An answer with one type that was created or changed.
pub const MANAGED: Shape = Shape::Object(&[field(
    "volume_type",
    Shape::Named(
        "managed_volume_type",
        &Shape::Object(&[
            field("id", Shape::Uuid),
            field("name", Shape::Text),
            field("is_public", Shape::Boolean),
            field("extra_specs", shape::TEXTS),
            field("description", shape::TEXT_OR_NULL),
            field(IS_PUBLIC, Shape::Boolean).optional(),
        ]),
    ),
)]);

/// Extra specs that are visible to all users; the others describe the backend (cinder: `USER_VISIBLE_EXTRA_SPECS`).
const USER_VISIBLE: [&str; 3] = ["RESKEY:availability_zones", "multiattach", "replication_enabled"];

/// Whether all users may see (and filter by) this extra spec.
pub fn is_user_visible(key: &str) -> bool {
    USER_VISIBLE.contains(&key)
}

/// Extra specs, as far as this caller may see them.
pub fn visible_extra_specs<'t>(caller: &Caller, volume_type: &'t VolumeType) -> BTreeMap<&'t str, &'t str> {
    let all = caller.can(admin("volume_extension:types_extra_specs:read_sensitive"));
    volume_type
        .extra_specs
        .iter()
        .filter(|(key, _)| all || is_user_visible(key))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// The key that the access extension adds.
const IS_PUBLIC: &str = "os-volume-type-access:is_public";

/// A type in a list, or alone.
pub struct TypeView<'a> {
    volume_type: &'a VolumeType,
    extra_specs: Option<BTreeMap<&'a str, &'a str>>,
    with_qos: bool,
    with_access: bool,
}

impl<'a> TypeView<'a> {
    /// As `GET` answers.
    pub fn new(caller: &Caller, volume_type: &'a VolumeType) -> Self {
        Self {
            volume_type,
            extra_specs: caller
                .can(reader("volume_extension:access_types_extra_specs"))
                .then(|| visible_extra_specs(caller, volume_type)),
            with_qos: caller.can(admin("volume_extension:access_types_qos_specs_id")),
            with_access: caller.can(member("volume_extension:volume_type_access")),
        }
    }

    /// As `GET /types/default` answers: without the key of the access extension.
    pub fn of_default(caller: &Caller, volume_type: &'a VolumeType) -> Self {
        Self {
            with_access: false,
            ..Self::new(caller, volume_type)
        }
    }
}

impl Serialize for TypeView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let volume_type = self.volume_type;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &volume_type.id)?;
        map.serialize_entry("name", &volume_type.name)?;
        map.serialize_entry("is_public", &volume_type.is_public)?;
        map.serialize_entry("description", &volume_type.description)?;
        if let Some(extra_specs) = &self.extra_specs {
            map.serialize_entry("extra_specs", extra_specs)?;
        }
        if self.with_qos {
            map.serialize_entry("qos_specs_id", &volume_type.qos_specs_id)?;
        }
        if self.with_access {
            map.serialize_entry(IS_PUBLIC, &volume_type.is_public)?;
        }
        map.end()
    }
}

/// A type as its administrator gets it back: from `POST` with the access extension's key, from `PUT` without.
pub struct ManagedTypeView<'a> {
    /// The type.
    pub volume_type: &'a VolumeType,
    /// Whether the access extension adds its key.
    pub with_access: bool,
}

impl Serialize for ManagedTypeView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let volume_type = self.volume_type;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &volume_type.id)?;
        map.serialize_entry("name", &volume_type.name)?;
        map.serialize_entry("is_public", &volume_type.is_public)?;
        map.serialize_entry("extra_specs", &volume_type.extra_specs)?;
        map.serialize_entry("description", &volume_type.description)?;
        if self.with_access {
            map.serialize_entry(IS_PUBLIC, &volume_type.is_public)?;
        }
        map.end()
    }
}
