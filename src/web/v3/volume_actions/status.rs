//! Actions that change the record only, or delete it.

use super::OnVolume;
use crate::model::{AttachStatus, MigrationStatus, VolumeStatus};
use crate::verbs::volume::{DeleteVolume, UnmanageVolume, VolumeChange};
use crate::web::schema::prelude::*;
use crate::web::v3::prelude::*;

pub(in crate::web::v3) const UPDATE_READONLY_FLAG: Schema =
    object!([("readonly", BOOLEAN)], Required(&["readonly"]));

/// `os-update_readonly_flag`
pub(in crate::web::v3) async fn update_readonly_flag(on: OnVolume) -> HandlerResult {
    let readonly = boolean(&on.arguments, "readonly").unwrap_or_default();
    on.accept_change(VolumeChange::UpdateReadonlyFlag { readonly })
        .await
}

pub(in crate::web::v3) const SET_BOOTABLE: Schema = object!([("bootable", BOOLEAN)], Required(&["bootable"]));

/// `os-set_bootable`
pub(in crate::web::v3) async fn set_bootable(on: OnVolume) -> HandlerResult {
    let bootable = boolean(&on.arguments, "bootable").unwrap_or_default();
    on.change(VolumeChange::SetBootable { bootable }).await?;
    Ok(HttpResponse::Ok().finish())
}

macro_rules! word {
    ($format:ident) => {
        Schema(&[Type(&[Kind::String, Kind::Null]), FormatCheck(Format::$format)])
    };
}

pub(in crate::web::v3) const RESET_STATUS: Schema = Schema(&[
    Type(&[Kind::Object]),
    FormatCheck(Format::ResetBody),
    Properties(&[
        ("status", word!(VolumeStatus)),
        ("attach_status", word!(AttachStatus)),
        ("migration_status", word!(MigrationStatus)),
    ]),
    NoOthers,
]);

/// `os-reset_status`: the values were checked by the schema. Empty ones change nothing.
pub(in crate::web::v3) async fn reset_status(on: OnVolume) -> HandlerResult {
    let word = |field: &str| text(&on.arguments, field).unwrap_or_default().to_lowercase();
    let status = word("status").parse::<VolumeStatus>().ok();
    if status == Some(VolumeStatus::Deleting) {
        return Err(Fault::bad_request("Cannot reset-state to deleting"));
    }
    on.accept_change(VolumeChange::ResetStatus {
        status,
        attach_status: word("attach_status").parse::<AttachStatus>().ok(),
        migration_status: word("migration_status").parse::<MigrationStatus>().ok(),
    })
    .await
}

/// `os-force_delete`
pub(in crate::web::v3) async fn force_delete(on: OnVolume) -> HandlerResult {
    let message = DeleteVolume {
        volume_id: on.volume_id(),
        cascade: false,
        force: true,
    };
    on.ask(message).await?;
    Ok(accepted())
}

/// `os-unmanage`
pub(in crate::web::v3) async fn unmanage(on: OnVolume) -> HandlerResult {
    let volume_id = on.volume_id();
    on.ask(UnmanageVolume { volume_id }).await?;
    Ok(accepted())
}
