//! `/volumes`: create, show, update and delete volumes. Lists are in `volume_list`.

use super::find_volume;
use super::prelude::*;
use crate::model::{AttachStatus, Attachment, Volume};
use crate::verbs::volume::DeleteVolume;
use crate::web::policy::{admin, member};
use crate::web::routes::answers::{Parameter, query};
use crate::web::schema;
use crate::web::views::shape::Shape;
use crate::web::views::volume::{TypeNames, VolumeViews, type_names};

pub(super) const DELETE: &[Parameter] = &[
    query("cascade", Shape::Boolean),
    query("force", Shape::Boolean).since(23),
];

pub(super) async fn create(caller: Caller, state: State, body: Body) -> HandlerResult {
    let mut message = schema::volumes::create(body.value())?;
    if !caller.version.at_least(47) {
        message.backup_id = None;
    }
    if message.image.is_some() {
        caller.may(member("volume:create_from_image"))?;
    }
    let volume = caller.ask(&state, message).await?;
    let views = VolumeViews::plain(&caller);
    one(&state, &views, StatusCode::ACCEPTED, &volume).await
}

pub(super) async fn show(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let volume = find_volume(&state, &caller, &path.id).await?;
    one(&state, &VolumeViews::extended(&caller), StatusCode::OK, &volume).await
}

pub(super) async fn update(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let message = schema::volumes::update(&path.id, body.value());
    find_volume(&state, &caller, &path.id).await?;
    let volume = caller.ask(&state, message).await?;
    one(&state, &VolumeViews::plain(&caller), StatusCode::OK, &volume).await
}

pub(super) async fn delete(caller: Caller, state: State, path: SubjectPath, query: Query) -> HandlerResult {
    let cascade = query.bool("cascade")?;
    let force = caller.version.at_least(23) && query.bool("force")?;
    find_volume(&state, &caller, &path.id).await?;
    if force {
        caller.may(admin("volume:force_delete"))?;
    }
    let message = DeleteVolume {
        volume_id: path.into_inner().id,
        cascade,
        force,
    };
    caller.ask(&state, message).await?;
    Ok(accepted())
}

/// An answer with one volume.
pub(super) async fn one(
    state: &WebState,
    views: &VolumeViews,
    status: StatusCode,
    volume: &Volume,
) -> HandlerResult {
    let types = type_of(state, volume).await?;
    let attachments = attachments_of(state, volume).await?;
    answer(
        status,
        &Named("volume", views.detail(volume, &types, &attachments)),
    )
}

async fn type_of(state: &WebState, volume: &Volume) -> Result<TypeNames, Fault> {
    let Some(id) = volume.volume_type_id else {
        return Ok(TypeNames::new());
    };
    let found = state.catalog.volume_type(id).await?;
    Ok(type_names(found.iter().map(|stored| &stored.record)))
}

async fn attachments_of(state: &WebState, volume: &Volume) -> Result<Vec<Attachment>, Fault> {
    if volume.attach_status == AttachStatus::Detached {
        return Ok(Vec::new());
    }
    let found = state.catalog.volume_attachments(volume.id).await?;
    Ok(found.into_iter().map(|stored| stored.record).collect())
}
