//! `/types/{id}/extra_specs`: the requirements of a type on its backend.

use super::find_type;
use super::prelude::*;
use crate::verbs::volume_type::{UpdateVolumeType, VolumeTypeChange};
use crate::web::schema::volume_types as schema;
use crate::web::views::shape::{self, Shape, field};
use crate::web::views::volume_type::visible_extra_specs;

pub(super) const ALL: Shape = Shape::Object(&[field("extra_specs", shape::TEXTS)]);
/// What the body said.
pub(super) const SET: Shape = Shape::Object(&[field("extra_specs", Shape::Map(&shape::TEXT_OR_NULL))]);
/// One pair.
pub(super) const ONE: Shape = Shape::Map(&shape::TEXT_OR_NULL);

pub(super) async fn list(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let found = find_type(&state, &caller, &path.id).await?;
    ok(&Named("extra_specs", visible_extra_specs(&caller, &found)))
}

pub(super) async fn show(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let found = find_type(&state, &caller, &path.id).await?;
    match visible_extra_specs(&caller, &found).get(path.key.as_str()) {
        Some(value) => ok(&Named(&path.key, value)),
        None => Err(Fault::not_found(format!(
            "Volume Type {} has no extra specs with key {}.",
            path.id, path.key
        ))),
    }
}

pub(super) async fn create(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let change = schema::set_extra_specs(body.value())?;
    let id = find_type(&state, &caller, &path.id).await?.id;
    caller.ask(&state, UpdateVolumeType { id, change }).await?;
    ok(&body.0)
}

pub(super) async fn update(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let id = find_type(&state, &caller, &path.id).await?.id;
    let change = schema::set_extra_spec(&path.key, body.value())?;
    caller.ask(&state, UpdateVolumeType { id, change }).await?;
    ok(&body.0)
}

pub(super) async fn delete(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let id = find_type(&state, &caller, &path.id).await?.id;
    let change = VolumeTypeChange::UnsetExtraSpec(path.into_inner().key);
    caller.ask(&state, UpdateVolumeType { id, change }).await?;
    Ok(accepted())
}
