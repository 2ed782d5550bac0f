//! Bodies of `POST /volumes` and `PUT /volumes/{id}` (cinder: `api/schemas/volumes.py`, `api/schemas/scheduler_hints.py`).
//!
//! Clients send explicit nulls for everything they do not set: null equals absent throughout.

use serde_json::Value;

use super::Check::Items;
use super::prelude::*;
use super::python;
use crate::verbs::volume::{CreateVolume, UpdateVolume};
use crate::web::fault::Fault;

const VOLUME_NAME: Schema = Schema(&[Type(&[Kind::String, Kind::Null]), FormatCheck(Format::VolumeName)]);

const VOLUME_DESCRIPTION: Schema = Schema(&[
    Type(&[Kind::String, Kind::Null]),
    FormatCheck(Format::VolumeDescription),
]);

const IMAGE: Schema = Schema(&[Type(&[Kind::String, Kind::Null]), MaxLength(255)]);

/// The properties of a new volume: those of 3.0, then those added in 3.13 and 3.47.
macro_rules! new_volume {
    ([$($later:expr),*], [$($strict:expr)?]) => {
        object!(
            [
                ("volume", Schema(&[
                    Type(&[Kind::Object]),
                    Properties(&[
                        ("name", VOLUME_NAME),
                        ("description", VOLUME_DESCRIPTION),
                        ("display_name", VOLUME_NAME),
                        ("display_description", VOLUME_DESCRIPTION),
                        ("volume_type", NULLABLE_STRING),
                        ("metadata", METADATA_ALLOWS_NULL),
                        ("snapshot_id", OPTIONAL_UUID),
                        ("source_volid", OPTIONAL_UUID),
                        ("consistencygroup_id", OPTIONAL_UUID),
                        ("size", VOLUME_SIZE_ALLOWS_NULL),
                        ("availability_zone", AVAILABILITY_ZONE),
                        ("multiattach", OPTIONAL_BOOLEAN),
                        ("image_id", IMAGE),
                        ("imageRef", IMAGE),
                        $($later,)*
                    ]),
                    $($strict,)?
                ])),
                (HINTS, Schema(&[Type(&[Kind::Object, Kind::Null])])),
            ],
            Required(&["volume"])
        )
    };
}

/// The key of the scheduler hints in a body.
const HINTS: &str = "OS-SCH-HNT:scheduler_hints";

pub(in crate::web) const CREATE: Schema = new_volume!([], []);
pub(in crate::web) const CREATE_V313: Schema = new_volume!([("group_id", NULLABLE_STRING)], []);
pub(in crate::web) const CREATE_V347: Schema =
    new_volume!([("group_id", NULLABLE_STRING), ("backup_id", OPTIONAL_UUID)], []);
pub(in crate::web) const CREATE_V353: Schema = new_volume!(
    [("group_id", NULLABLE_STRING), ("backup_id", OPTIONAL_UUID)],
    [NoOthers]
);

/// One volume or several different ones.
const HINTED_VOLUMES: Schema = Schema(&[AnyOf(&[
    UUID,
    Schema(&[Type(&[Kind::Array]), Items(UUID), UniqueItems]),
])]);

const SCHEDULER_HINTS: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[(
        HINTS,
        Schema(&[
            Type(&[Kind::Object, Kind::Null]),
            Properties(&[
                ("local_to_instance", OPTIONAL_UUID),
                ("different_host", HINTED_VOLUMES),
                ("same_host", HINTED_VOLUMES),
                ("query", Schema(&[Type(&[Kind::String, Kind::Object])])),
            ]),
        ]),
    )]),
]);

/// The text of the refusal of `multiattach`.
const MULTIATTACH_REMOVED: &str = "multiattach parameter has been removed. The default behavior is to use multiattach \
     enabled volume types. Contact your administrator to create a multiattach enabled volume type and use it to create \
     multiattach volumes.";

/// Reads `POST /volumes`.
///
/// # Errors
/// 400 for invalid hints and for `multiattach`; 404 for a group or backup with a malformed id.
pub fn create(body: &Value) -> Result<CreateVolume, Fault> {
    SCHEDULER_HINTS.check(body)?;
    let volume = &body["volume"];
    if boolean(volume, "multiattach") == Some(true) {
        return Err(Fault::bad_request(MULTIATTACH_REMOVED));
    }
    Ok(CreateVolume {
        size: whole(&volume["size"]),
        name: trimmed(volume, "name").or_else(|| trimmed(volume, "display_name")),
        description: trimmed(volume, "description").or_else(|| trimmed(volume, "display_description")),
        volume_type: text(volume, "volume_type")
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        metadata: text_map(volume, "metadata").unwrap_or_default(),
        availability_zone: text(volume, "availability_zone").map(str::to_owned),
        snapshot_id: uuid(volume, "snapshot_id"),
        source_volid: uuid(volume, "source_volid"),
        image: text(volume, "image_id")
            .or_else(|| text(volume, "imageRef"))
            .map(str::to_owned),
        backup_id: loose_id(&volume["backup_id"], "Backup")?,
        group_id: match loose_id(&volume["group_id"], "Group")? {
            Some(group) => Some(group),
            None => uuid(volume, "consistencygroup_id"),
        },
        hints: hints(&body[HINTS]),
    })
}

/// An id that some versions of the schema do not check. A malformed id is answered with 404.
fn loose_id(value: &Value, what: &str) -> Result<Option<uuid::Uuid>, Fault> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => match python::uuid(text) {
            Some(id) => Ok(Some(id)),
            None => Err(Fault::not_found(format!("{what} {text} could not be found."))),
        },
        other => Err(Fault::not_found(format!(
            "{what} {} could not be found.",
            python::text(other)
        ))),
    }
}

fn hints(value: &Value) -> Option<String> {
    value
        .as_object()
        .filter(|hints| !hints.is_empty())
        .map(|_| value.to_string())
}

/// The properties of a changed volume, and the schema since 3.53.
macro_rules! changed_volume {
    ($($strict:expr)?) => {
        envelope!("volume", Schema(&[
            Type(&[Kind::Object]),
            Properties(&[
                ("name", VOLUME_NAME),
                ("description", VOLUME_DESCRIPTION),
                ("display_name", VOLUME_NAME),
                ("display_description", VOLUME_DESCRIPTION),
                ("metadata", METADATA),
            ]),
            NoOthers,
            $($strict,)?
        ]))
    };
}

pub(in crate::web) const UPDATE: Schema = changed_volume!();
pub(in crate::web) const UPDATE_V353: Schema = changed_volume!(AnyOf(&[
    Schema(&[Required(&["name"])]),
    Schema(&[Required(&["description"])]),
    Schema(&[Required(&["display_name"])]),
    Schema(&[Required(&["display_description"])]),
    Schema(&[Required(&["metadata"])]),
]));

/// Reads `PUT /volumes/{id}`.
pub fn update(volume_id: &str, body: &Value) -> UpdateVolume {
    let volume = &body["volume"];
    UpdateVolume {
        volume_id: volume_id.to_owned(),
        name: either(volume, "name", "display_name"),
        description: either(volume, "description", "display_description"),
        metadata: text_map(volume, "metadata"),
    }
}
