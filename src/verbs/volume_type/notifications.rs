//! The notifications of volume types, with Cinder's payloads (cinder: `api/contrib/types_manage.py`, `types_extra_specs.py`,
//! `volume_type_encryption.py`, `volume/volume_types.py`). What is refused has none: nothing is committed.

use serde_json::{Value, json};

use crate::model::{TypeEncryption, VolumeType};
use crate::store::catalog::Changes;
use crate::verbs::BeginContext;

/// Adds the event of a new or deleted type: `create` or `delete`.
pub(super) fn notify_type(
    at: &BeginContext<'_>,
    changes: &mut Changes,
    what: &str,
    volume_type: &VolumeType,
) {
    let event_type = format!("volume_type.{what}");
    let payload = || json!({ "volume_types": view(volume_type) });
    at.notify_about(changes, ("volumeType", &event_type), volume_type.id.0, payload);
}

/// Adds the event of a project's access to a type: `add` or `remove`.
pub(super) fn notify_access(
    at: &BeginContext<'_>,
    changes: &mut Changes,
    what: &str,
    project: &str,
    of: &VolumeType,
) {
    let event_type = format!("volume_type_project.access.{what}");
    let payload = || json!({ "volume_type_id": of.id, "project_id": project });
    at.notify_about(changes, ("volume_type_project", &event_type), of.id.0, payload);
}

/// Adds the events of changed extra specs: one for all that are new, and one for each that was changed or deleted.
pub(super) fn notify_extra_specs(
    at: &BeginContext<'_>,
    changes: &mut Changes,
    was: &VolumeType,
    now: &VolumeType,
) {
    const SERVICE: &str = "volumeTypeExtraSpecs";
    let (created, updated) = (
        now.created_at.to_string(),
        now.updated_at.map(|time| time.to_string()),
    );
    let new: serde_json::Map<String, Value> = now
        .extra_specs
        .iter()
        .filter(|(key, _)| !was.extra_specs.contains_key(*key))
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    if !new.is_empty() {
        let event = (SERVICE, "volume_type_extra_specs.create");
        let payload =
            || json!({ "type_id": now.id, "specs": new, "created_at": created, "updated_at": updated });
        at.notify_about(changes, event, now.id.0, payload);
    }
    for (key, value) in &was.extra_specs {
        match now.extra_specs.get(key) {
            Some(same) if same == value => {}
            Some(_) => {
                let event = (SERVICE, "volume_type_extra_specs.update");
                let payload =
                    || json!({ "type_id": now.id, "id": key, "created_at": created, "updated_at": updated });
                at.notify_about(changes, event, now.id.0, payload);
            }
            None => {
                let event = (SERVICE, "volume_type_extra_specs.delete");
                let payload = || {
                    json!({
                        "type_id": now.id,
                        "id": key,
                        "created_at": created,
                        "updated_at": updated,
                        "deleted_at": null,
                    })
                };
                at.notify_about(changes, event, now.id.0, payload);
            }
        }
    }
}

/// Adds the event of a new encryption.
pub(super) fn notify_new_encryption(at: &BeginContext<'_>, changes: &mut Changes, made: &TypeEncryption) {
    let payload = || {
        let specs = json!({
            "provider": made.provider,
            "control_location": made.control_location.as_str(),
            "cipher": made.cipher,
            "key_size": made.key_size,
        });
        json!({ "type_id": made.volume_type_id, "specs": specs })
    };
    let event = ("volumeTypeEncryption", "volume_type_encryption.create");
    at.notify_about(changes, event, made.volume_type_id.0, payload);
}

/// Adds the event of a changed encryption.
pub(super) fn notify_changed_encryption(at: &BeginContext<'_>, changes: &mut Changes, now: &TypeEncryption) {
    let event = ("volumeTypeEncryption", "volume_type_encryption.update");
    let payload = || json!({ "type_id": now.volume_type_id, "id": now.id });
    at.notify_about(changes, event, now.volume_type_id.0, payload);
}

fn view(volume_type: &VolumeType) -> Value {
    json!({
        "id": volume_type.id,
        "name": volume_type.name,
        "description": volume_type.description,
        "is_public": volume_type.is_public,
        "qos_specs_id": volume_type.qos_specs_id,
        "extra_specs": volume_type.extra_specs,
        "projects": volume_type.projects,
        "created_at": volume_type.created_at.to_string(),
        "updated_at": volume_type.updated_at.map(|time| time.to_string()),
        "deleted_at": null,
        "deleted": false,
    })
}
