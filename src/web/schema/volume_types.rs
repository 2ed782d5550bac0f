//! Bodies of `/types`, their extra specs and their access lists (cinder: `api/schemas/volume_types.py`,
//! `types_extra_specs.py`, `volume_type_access.py`).

use serde_json::Value;

use super::format::EXTRA_SPEC_KEY;
use super::prelude::*;
use crate::verbs::volume_type::{CreateVolumeType, VolumeTypeChange};
use crate::web::fault::Fault;

const IS_PUBLIC: &str = "os-volume-type-access:is_public";

pub(in crate::web) const CREATE: Schema = envelope!(
    "volume_type",
    object!(
        [
            ("name", NAME),
            ("description", DESCRIPTION),
            ("extra_specs", EXTRA_SPECS_WITH_NULL),
            (IS_PUBLIC, BOOLEAN),
        ],
        Required(&["name"])
    )
);

pub(in crate::web) const UPDATE: Schema = envelope!(
    "volume_type",
    object!([
        ("name", UPDATE_NAME),
        ("description", DESCRIPTION),
        ("is_public", BOOLEAN),
        // openstackclient sends the key of the answer (`volume type set --public`), which Cinder refuses.
        (IS_PUBLIC, BOOLEAN),
    ])
);

pub(in crate::web) const SET_EXTRA_SPECS: Schema = envelope!("extra_specs", EXTRA_SPECS_WITHOUT_BLANKS);

pub(in crate::web) const SET_EXTRA_SPEC: Schema = Schema(&[
    Type(&[Kind::Object]),
    PatternProperties(EXTRA_SPEC_KEY, NULLABLE_STRING),
    NoOthers,
    NotEmpty,
    AtMostOne,
]);

/// Reads `POST /types`.
pub fn create(body: &Value) -> CreateVolumeType {
    let volume_type = &body["volume_type"];
    CreateVolumeType {
        name: text(volume_type, "name").unwrap_or_default().trim().to_owned(),
        description: text(volume_type, "description").map(str::to_owned),
        is_public: boolean(volume_type, IS_PUBLIC).unwrap_or(true),
        extra_specs: text_map(volume_type, "extra_specs").unwrap_or_default(),
    }
}

/// Reads `PUT /types/{id}`. [`check_update`] is called after the policy check.
pub fn update(body: &Value) -> VolumeTypeChange {
    let volume_type = &body["volume_type"];
    VolumeTypeChange::Update {
        name: text(volume_type, "name").map(|name| name.trim().to_owned()),
        // Null cannot clear it: Cinder treats it as absent.
        description: text(volume_type, "description").map(|text| Some(text.to_owned())),
        is_public: boolean(volume_type, "is_public").or_else(|| boolean(volume_type, IS_PUBLIC)),
    }
}

/// Refuses an update that changes nothing or clears the name. Cinder checks this after policy.
///
/// # Errors
/// 400.
pub fn check_update(change: &VolumeTypeChange) -> Result<(), Fault> {
    match change {
        VolumeTypeChange::Update { name: Some(name), .. } if name.is_empty() => {
            Err(Fault::bad_request("Volume type name can not be empty."))
        }
        VolumeTypeChange::Update {
            name: None,
            description: None,
            is_public: None,
        } => Err(Fault::bad_request(
            "Specify volume type name, description, is_public or a combination thereof.",
        )),
        _ => Ok(()),
    }
}

/// Reads `POST /types/{id}/extra_specs`.
///
/// # Errors
/// 400 for a body that does not match the schema.
pub fn set_extra_specs(body: &Value) -> Result<VolumeTypeChange, Fault> {
    let specs = body["extra_specs"].as_object();
    Ok(change_of(specs.ok_or_else(Fault::malformed)?))
}

/// A spec that is set to null is dropped. Cinder keeps it without a value, which schedulers and drivers ignore.
fn change_of(specs: &serde_json::Map<String, Value>) -> VolumeTypeChange {
    if !specs.values().any(Value::is_null) {
        return VolumeTypeChange::SetExtraSpecs(texts(specs));
    }
    let specs = specs
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().map(str::to_owned)))
        .collect();
    VolumeTypeChange::ChangeExtraSpecs(specs)
}

/// Reads `PUT /types/{id}/extra_specs/{key}`, a single pair, whose key must be the URL's.
///
/// # Errors
/// 400 for another key.
pub fn set_extra_spec(key: &str, body: &Value) -> Result<VolumeTypeChange, Fault> {
    match body.as_object().filter(|pair| pair.contains_key(key)) {
        Some(pair) => Ok(change_of(pair)),
        None => Err(Fault::bad_request("Request body and URI mismatch")),
    }
}
