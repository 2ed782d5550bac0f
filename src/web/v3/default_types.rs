//! `/default-types` (since 3.62): the types of projects for requests without one (cinder: `api/v3/default_types.py`).

use serde::Serialize;

use actix_web::web;

use super::prelude::*;
use crate::model::{ProjectDefaultType, ProjectId, VolumeTypeId};
use crate::verbs::volume_type::{SetDefaultType, UnsetDefaultType};
use crate::web::schema::prelude::*;
use crate::web::state::ServerState;
use crate::web::views::shape::{Shape, field};

const DEFAULT: Shape = Shape::Object(&[
    field("project_id", Shape::Text),
    field("volume_type_id", Shape::Uuid),
]);

pub(super) const ONE: Shape = Shape::Object(&[field("default_type", DEFAULT)]);
pub(super) const ALL: Shape = Shape::Object(&[field("default_types", Shape::List(&DEFAULT))]);

/// Cinder does not require the envelope, and answers its absence with 500.
pub(super) const SET: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[(
        "default_type",
        object!([("volume_type", NAME)], Required(&["volume_type"])),
    )]),
    Required(&["default_type"]),
]);

#[derive(Serialize)]
struct View<'a> {
    project_id: &'a ProjectId,
    volume_type_id: VolumeTypeId,
}

impl<'a> View<'a> {
    fn of(default: &'a ProjectDefaultType) -> Self {
        Self {
            project_id: &default.project_id,
            volume_type_id: default.volume_type_id,
        }
    }
}

pub(super) async fn list(_: Caller, state: State) -> HandlerResult {
    let defaults = state.catalog.project_default_types().await?;
    ok(&Named(
        "default_types",
        Items(defaults.iter().map(|stored| View::of(stored))),
    ))
}

pub(super) async fn show(_: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let project_id = ProjectId::from(path.id.as_str());
    let found = state.catalog.project_default_type(&project_id).await?;
    let default =
        found.ok_or_else(|| Fault::not_found(format!("Default type for project {project_id} not found.")))?;
    ok(&Named("default_type", View::of(&default)))
}

/// A project that the identity service does not know is 404 (cinder: `api_utils.py`, `validate_project_and_authorize`).
pub(super) async fn set(
    caller: Caller,
    state: State,
    server: web::Data<ServerState>,
    path: SubjectPath,
    body: Body,
) -> HandlerResult {
    let volume_type = text(&body.value()["default_type"], "volume_type").unwrap_or_default();
    let project_id = ProjectId::from(path.id.as_str());
    caller.permitted()?;
    if !server.strategy.has_project(&project_id).await? {
        return Err(Fault::not_found(format!(
            "Project with id {project_id} not found."
        )));
    }
    let message = SetDefaultType {
        project_id,
        volume_type: volume_type.to_owned(),
    };
    let default = caller.ask(&state, message).await?;
    ok(&Named("default_type", View::of(&default)))
}

pub(super) async fn unset(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let project_id = ProjectId::from(path.id.as_str());
    caller.ask(&state, UnsetDefaultType { project_id }).await?;
    Ok(HttpResponse::NoContent().finish())
}
