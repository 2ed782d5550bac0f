//! `POST /volumes/{id}/action`: one route, many verbs. The body's only key says which.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::volumes::OfVolume;
use super::{accepted, ask, find_type_by_name, find_volume};
use crate::model::transitions::snapshots;
use crate::model::{AttachmentId, Volume, VolumeStatus};
use crate::verbs::volume::change_volume::ChangeVolume;
use crate::verbs::volume::change_volume::VolumeChange;
use crate::verbs::volume::delete_volume::DeleteVolume;
use crate::verbs::volume::extend_volume::ExtendVolume;
use crate::verbs::volume::initialize_connection::InitializeConnection;
use crate::verbs::volume::revert_to_snapshot::RevertToSnapshot;
use crate::verbs::volume::terminate_connection::TerminateConnection;
use crate::verbs::volume::unmanage_volume::UnmanageVolume;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::request::Body;
use crate::web::routes::{Access, Action, Routes};
use crate::web::schema::volume_actions::{self, ActionConnector, VolumeAction};
use crate::web::state::WebState;
use crate::web::views::{Named, ok};

/// Each action and its rule.
const ACTIONS: &[Action] = &[
    Action::new("os-reserve", "volume_extension:volume_actions:reserve"),
    Action::new("os-unreserve", "volume_extension:volume_actions:unreserve"),
    Action::new(
        "os-begin_detaching",
        "volume_extension:volume_actions:begin_detaching",
    ),
    Action::new(
        "os-roll_detaching",
        "volume_extension:volume_actions:roll_detaching",
    ),
    Action::new("os-attach", "volume_extension:volume_actions:attach"),
    Action::new("os-detach", "volume_extension:volume_actions:detach"),
    Action::new("os-extend", "volume:extend"),
    Action::new(
        "os-initialize_connection",
        "volume_extension:volume_actions:initialize_connection",
    ),
    Action::new(
        "os-terminate_connection",
        "volume_extension:volume_actions:terminate_connection",
    ),
    Action::new("os-update_readonly_flag", "volume:update_readonly_flag"),
    Action::new("os-set_bootable", "volume:update"),
    Action::new("os-show_image_metadata", "volume:get_volume_metadata"),
    Action::new(
        "os-set_image_metadata",
        "volume_extension:volume_image_metadata:set",
    ),
    Action::new(
        "os-unset_image_metadata",
        "volume_extension:volume_image_metadata:remove",
    ),
    Action::new(
        "os-reset_status",
        "volume_extension:volume_admin_actions:reset_status",
    ),
    Action::new(
        "os-force_delete",
        "volume_extension:volume_admin_actions:force_delete",
    ),
    Action::new(
        "os-force_detach",
        "volume_extension:volume_admin_actions:force_detach",
    ),
    Action::new("os-retype", "volume:retype"),
    Action::new(
        "os-migrate_volume",
        "volume_extension:volume_admin_actions:migrate_volume",
    ),
    Action::new(
        "os-migrate_volume_completion",
        "volume_extension:volume_admin_actions:migrate_volume_completion",
    ),
    Action::new(
        "os-extend_volume_completion",
        "volume_extension:volume_admin_actions:extend_volume_completion",
    ),
    Action::new(
        "os-volume_upload_image",
        "volume_extension:volume_actions:upload_image",
    ),
    Action::new("os-reimage", "volume:reimage"),
    Action::new("os-unmanage", "volume_extension:volume_unmanage"),
    Action::new("revert", "volume:revert_to_snapshot"),
];

pub(super) fn routes(routes: &mut Routes) {
    routes.post("/volumes/{volume_id}/action", Access::Actions(ACTIONS), act);
}

async fn act(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfVolume>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let action = volume_actions::read(caller.version, body.0.as_ref())?;
    let volume = find_volume(&state, &caller, &path.volume_id).await?;
    let volume_id = volume.id.to_string();
    match action {
        VolumeAction::Change(change) => self::change(&caller, &state, &volume, change).await,
        VolumeAction::Extend(new_size) => {
            let attached = caller.version.at_least(42) && volume.status == VolumeStatus::InUse;
            caller.may(Rule(if attached {
                "volume:extend_attached_volume"
            } else {
                "volume:extend"
            }))?;
            let attached_too =
                caller.version.at_least(42) && caller.can(Rule("volume:extend_attached_volume"));
            ask(
                &state,
                &caller,
                ExtendVolume {
                    volume_id,
                    new_size,
                    attached_too,
                },
            )
            .await?;
            Ok(accepted())
        }
        VolumeAction::InitializeConnection(ActionConnector {
            connector,
            enforce_multipath,
        }) => {
            caller.may(Rule("volume_extension:volume_actions:initialize_connection"))?;
            let info = ask(&state, &caller, InitializeConnection { volume_id, connector }).await?;
            ok(&json!({"connection_info": {
                "driver_volume_type": info.driver_volume_type,
                "data": info.data(),
                "enforce_multipath": enforce_multipath,
            }}))
        }
        VolumeAction::TerminateConnection(connector) => {
            caller.may(Rule("volume_extension:volume_actions:terminate_connection"))?;
            terminate(&caller, &state, volume_id, connector).await?;
            Ok(accepted())
        }
        VolumeAction::ForceDetach {
            connector,
            attachment_id,
        } => {
            caller.may(Rule("volume_extension:volume_admin_actions:force_detach"))?;
            let attachment_id = named_attachment(attachment_id)?;
            terminate(&caller, &state, volume_id.clone(), connector).await?;
            let change = VolumeChange::Detach { attachment_id };
            ask(&state, &caller, ChangeVolume { volume_id, change }).await?;
            Ok(accepted())
        }
        VolumeAction::ForceDelete => {
            caller.may(Rule("volume_extension:volume_admin_actions:force_delete"))?;
            ask(
                &state,
                &caller,
                DeleteVolume {
                    volume_id,
                    cascade: false,
                    force: true,
                },
            )
            .await?;
            Ok(accepted())
        }
        VolumeAction::ShowImageMetadata => {
            caller.may(Rule("volume:get_volume_metadata"))?;
            ok(&Named("metadata", &volume.image_metadata))
        }
        VolumeAction::Unmanage => {
            caller.may(Rule("volume_extension:volume_unmanage"))?;
            ask(&state, &caller, UnmanageVolume { volume_id }).await?;
            Ok(accepted())
        }
        VolumeAction::Revert(snapshot_id) => {
            // Cinder looks whether it is the latest one before it looks whether the caller may.
            let latest = state.catalog.latest_snapshot(volume.id).await?;
            snapshots::is_latest(&volume, latest, snapshot_id.as_deref())?;
            caller.may(Rule("volume:revert_to_snapshot"))?;
            let message = RevertToSnapshot {
                volume_id,
                snapshot_id,
            };
            ask(&state, &caller, message).await?;
            Ok(accepted())
        }
        later => not_yet(&caller, &state, &volume, later).await,
    }
}

/// Changes of the record alone: policy, what is refused at sight, and what is answered.
async fn change(
    caller: &Caller,
    state: &WebState,
    volume: &Volume,
    change: VolumeChange,
) -> Result<HttpResponse, Fault> {
    caller.may(Rule(rule_of(&change)))?;
    let volume_id = volume.id.to_string();
    match &change {
        VolumeChange::ResetStatus {
            status: Some(VolumeStatus::Deleting),
            ..
        } => {
            return Err(Fault::bad_request("Cannot reset-state to deleting"));
        }
        VolumeChange::UnsetImageMetadata(key) if !volume.image_metadata.contains_key(key) => {
            return Err(Fault::not_found(format!(
                "Glance metadata for volume/snapshot {volume_id} cannot be found."
            )));
        }
        _ => {}
    }
    let with_metadata = matches!(change, VolumeChange::SetImageMetadata(_));
    let done = matches!(
        change,
        VolumeChange::UnsetImageMetadata(_) | VolumeChange::SetBootable { .. }
    );
    let changed = ask(state, caller, ChangeVolume { volume_id, change }).await?;
    if with_metadata {
        return ok(&Named("metadata", &changed.image_metadata));
    }
    Ok(if done {
        HttpResponse::Ok().finish()
    } else {
        accepted()
    })
}

fn rule_of(change: &VolumeChange) -> &'static str {
    match change {
        VolumeChange::Reserve => "volume_extension:volume_actions:reserve",
        VolumeChange::Unreserve => "volume_extension:volume_actions:unreserve",
        VolumeChange::BeginDetaching => "volume_extension:volume_actions:begin_detaching",
        VolumeChange::RollDetaching => "volume_extension:volume_actions:roll_detaching",
        VolumeChange::Attach { .. } => "volume_extension:volume_actions:attach",
        VolumeChange::Detach { .. } => "volume_extension:volume_actions:detach",
        VolumeChange::UpdateReadonlyFlag { .. } => "volume:update_readonly_flag",
        VolumeChange::SetBootable { .. } => "volume:update",
        VolumeChange::ResetStatus { .. } => "volume_extension:volume_admin_actions:reset_status",
        VolumeChange::SetImageMetadata(_) => "volume_extension:volume_image_metadata:set",
        VolumeChange::UnsetImageMetadata(_) => "volume_extension:volume_image_metadata:remove",
    }
}

async fn terminate(
    caller: &Caller,
    state: &WebState,
    volume_id: String,
    connector: Option<ActionConnector>,
) -> Result<(), Fault> {
    let connector = connector.map(|connector| connector.connector);
    ask(state, caller, TerminateConnection { volume_id, connector }).await
}

/// An attachment that `os-force_detach` names. What cannot be an id names none.
fn named_attachment(text: Option<String>) -> Result<Option<AttachmentId>, Fault> {
    let Some(text) = text else { return Ok(None) };
    match volume_actions::attachment_id(&text) {
        Some(id) => Ok(Some(AttachmentId(id))),
        None => Err(Fault::bad_request(format!(
            "Error force detaching volume - VolumeAttachmentNotFound: Volume attachment could not be found with \
             filter: attachment_id = {text}."
        ))),
    }
}

/// Verbs that Cinder has and this service has not yet. Whatever can be told truly without doing them is told as Cinder
/// tells it; then comes an honest 501.
async fn not_yet(
    caller: &Caller,
    state: &WebState,
    volume: &Volume,
    action: VolumeAction,
) -> Result<HttpResponse, Fault> {
    let verb = match action {
        VolumeAction::Retype(new_type) => {
            caller.may(Rule("volume:retype"))?;
            find_type_by_name(state, caller, &new_type).await?;
            "Retyping a volume"
        }
        VolumeAction::Migrate { host, cluster } => {
            caller.may(Rule("volume_extension:volume_admin_actions:migrate_volume"))?;
            if host.is_some() == cluster.is_some() {
                let clustered = caller.version.at_least(16);
                return Err(Fault::invalid_input(if clustered {
                    "One and only one of cluster and host must be set."
                } else {
                    "Host field is missing."
                }));
            }
            "Migrating a volume"
        }
        VolumeAction::MigrateCompletion => {
            caller.may(Rule(
                "volume_extension:volume_admin_actions:migrate_volume_completion",
            ))?;
            "Completing a migration"
        }
        VolumeAction::ExtendCompletion => {
            caller.may(Rule(
                "volume_extension:volume_admin_actions:extend_volume_completion",
            ))?;
            // No driver of ours waits for a compute service, so nothing is ever there to be completed.
            return Err(Fault::bad_request(if volume.status == VolumeStatus::Extending {
                "Invalid volume: Required volume admin metadata is malformed or missing."
            } else {
                "Invalid volume: Volume is not being extended."
            }));
        }
        VolumeAction::UploadImage { public } => {
            caller.may(Rule("volume_extension:volume_actions:upload_image"))?;
            if public {
                caller.may(Rule("volume_extension:volume_actions:upload_public"))?;
            }
            "Uploading a volume to an image"
        }
        VolumeAction::Reimage => {
            caller.may(Rule("volume:reimage"))?;
            "Writing an image to a volume"
        }
        other => return Err(Fault::internal(format!("no handler for {other:?}"))),
    };
    Err(Fault::not_implemented(format!("{verb} is not implemented.")))
}
