//! `/types/{id}/encryption`: how the volumes of a type are encrypted (cinder: `api/contrib/volume_type_encryption.py`,
//! `api/schemas/volume_type_encryption.py`).

use serde_json::{Map, Value, json};

use super::prelude::*;
use super::{find_type, python};
use crate::model::type_encryption::type_encryption_not_found;
use crate::model::{ControlLocation, TypeEncryption, VolumeTypeId};
use crate::verbs::volume_type::{CreateTypeEncryption, DeleteTypeEncryption, UpdateTypeEncryption};
use crate::web::schema::prelude::*;
use crate::web::views::shape::{self, Shape, field};
use crate::web::views::{optional_time, time};

const LOCATION: Shape = Shape::Enum(&["front-end", "back-end"]);
const SIZE_OR_NULL: Shape = Shape::Nullable(&Shape::Integer);

/// Empty if there is none.
pub(super) const ALL: Shape = Shape::Object(&[
    field("encryption_id", Shape::Uuid).optional(),
    field("volume_type_id", Shape::Uuid).optional(),
    field("provider", Shape::Text).optional(),
    field("control_location", LOCATION).optional(),
    field("cipher", shape::TEXT_OR_NULL).optional(),
    field("key_size", SIZE_OR_NULL).optional(),
    field("created_at", Shape::Time).optional(),
    field("updated_at", shape::TIME_OR_NULL).optional(),
    field("deleted", Shape::Boolean).optional(),
    field("deleted_at", Shape::Null).optional(),
]);

/// One field.
pub(super) const ONE: Shape = Shape::Map(&Shape::Any);

/// What the body said, which may have other keys.
pub(super) const SET: Shape = Shape::Object(&[field("encryption", shape::OBJECT)]);

const LOCATIONS: [ControlLocation; 2] = [ControlLocation::FrontEnd, ControlLocation::BackEnd];

const FIELDS: crate::web::schema::Check = Properties(&[
    (
        "key_size",
        Schema(&[
            Type(&[Kind::String, Kind::Integer, Kind::Null]),
            Minimum(0),
            Maximum(i32::MAX as i64),
            FormatCheck(Format::KeySize),
        ]),
    ),
    ("provider", Schema(&[Type(&[Kind::String]), MaxLength(255)])),
    ("control_location", Schema(&[Enum(&["front-end", "back-end"])])),
    ("cipher", NULLABLE_STRING),
]);

pub(super) const CREATE: Schema = envelope!(
    "encryption",
    Schema(&[
        Type(&[Kind::Object]),
        FIELDS,
        Required(&["provider", "control_location"]),
    ])
);

pub(super) const UPDATE: Schema = envelope!("encryption", Schema(&[Type(&[Kind::Object]), FIELDS]));

/// All that is known, or an empty object.
pub(super) async fn list(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let id = find_type(&state, &caller, &path.id).await?.id;
    match state.catalog.type_encryption(id).await? {
        Some(encryption) => ok(&view(&encryption)),
        None => ok(&json!({})),
    }
}

/// One of its fields.
pub(super) async fn show(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let id = find_type(&state, &caller, &path.id).await?.id;
    let encryption = state.catalog.type_encryption(id).await?;
    let fields = encryption.map(|encryption| view(&encryption));
    match fields.unwrap_or_default().get(&path.key) {
        Some(value) => ok(&Named(&path.key, value)),
        None => Err(type_encryption_not_found(&path.id).into()),
    }
}

pub(super) async fn create(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let given = &body.value()["encryption"];
    let answered = python::uuid(&path.id).filter(|_| caller.has_been_answered());
    let volume_type_id = match answered {
        Some(id) => VolumeTypeId(id),
        None => find_type(&state, &caller, &path.id).await?.id,
    };
    let message = CreateTypeEncryption {
        volume_type_id,
        provider: text(given, "provider").unwrap_or_default().to_owned(),
        control_location: location(given).ok_or_else(Fault::malformed)?,
        cipher: text(given, "cipher").map(str::to_owned),
        key_size: whole(&given["key_size"]),
    };
    let encryption_id = caller.ask(&state, message).await?;
    let mut made = echo(given);
    made.insert("volume_type_id".to_owned(), json!(volume_type_id));
    made.insert("encryption_id".to_owned(), json!(encryption_id));
    ok(&Named("encryption", made))
}

/// The last part of the path is not looked at, as in Cinder.
pub(super) async fn update(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let given = &body.value()["encryption"];
    let message = UpdateTypeEncryption {
        volume_type_id: find_type(&state, &caller, &path.id).await?.id,
        provider: text(given, "provider").map(str::to_owned),
        control_location: location(given),
        cipher: given
            .get("cipher")
            .map(|cipher| cipher.as_str().map(str::to_owned)),
        key_size: given.get("key_size").map(whole),
    };
    caller.ask(&state, message).await?;
    ok(&Named("encryption", echo(given)))
}

/// The same. A type that is not there has no encryption.
pub(super) async fn delete(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let volume_type_id = python::uuid(&path.id)
        .map(VolumeTypeId)
        .ok_or_else(|| type_encryption_not_found(&path.id))?;
    caller
        .ask(&state, DeleteTypeEncryption { volume_type_id })
        .await?;
    Ok(accepted())
}

fn location(given: &Value) -> Option<ControlLocation> {
    let given = text(given, "control_location")?;
    LOCATIONS.into_iter().find(|location| location.as_str() == given)
}

/// What was given, with the key's size as a number.
fn echo(given: &Value) -> Map<String, Value> {
    let mut fields = given.as_object().cloned().unwrap_or_default();
    if let Some(size) = fields.get_mut("key_size") {
        *size = json!(whole(size));
    }
    fields
}

fn view(encryption: &TypeEncryption) -> Map<String, Value> {
    let fields = [
        ("encryption_id", json!(encryption.id)),
        ("volume_type_id", json!(encryption.volume_type_id)),
        ("provider", json!(encryption.provider)),
        ("control_location", json!(encryption.control_location.as_str())),
        ("cipher", json!(encryption.cipher)),
        ("key_size", json!(encryption.key_size)),
        ("created_at", json!(time(encryption.created_at))),
        ("updated_at", json!(optional_time(encryption.updated_at))),
        ("deleted", json!(false)),
        ("deleted_at", Value::Null),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}
