//! `/types/{id}/os-volume-type-access` and the actions of `/types/{id}/action`: which projects may use a private type.

use serde::Serialize;

use super::find_type;
use super::prelude::*;
use crate::model::{ProjectId, VolumeType, VolumeTypeId};
use crate::store::catalog::Stored;
use crate::verbs::volume_type::{UpdateVolumeType, VolumeTypeChange};
use crate::web::schema::prelude::*;
use crate::web::views::shape::{Shape, field};

pub(super) const ALL: Shape = Shape::Object(&[field(
    "volume_type_access",
    Shape::List(&Shape::Object(&[
        field("volume_type_id", Shape::Uuid),
        field("project_id", Shape::Text),
    ])),
)]);

#[derive(Serialize)]
struct ProjectAccess<'a> {
    volume_type_id: VolumeTypeId,
    project_id: &'a ProjectId,
}

pub(super) async fn list(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let found = find_type(&state, &caller, &path.id).await?;
    if found.is_public {
        return Err(Fault::not_found(
            "Access list not available for public volume types.",
        ));
    }
    let volume_type_id = found.id;
    let projects = found.projects.iter().map(|project_id| ProjectAccess {
        volume_type_id,
        project_id,
    });
    ok(&Named("volume_type_access", Items(projects)))
}

type OnType = ActionOn<Stored<VolumeType>>;

impl Subject for Stored<VolumeType> {
    async fn find(state: &WebState, caller: &Caller, id: &str) -> Result<Self, Fault> {
        find_type(state, caller, id).await
    }
}

pub(super) const PROJECT_ACCESS: Schema = object!([("project", STRING_255)], Required(&["project"]));

/// `addProjectAccess`
pub(super) async fn add(on: OnType) -> HandlerResult {
    change(&on, VolumeTypeChange::AddProjectAccess).await
}

/// `removeProjectAccess`
pub(super) async fn remove(on: OnType) -> HandlerResult {
    change(&on, VolumeTypeChange::RemoveProjectAccess).await
}

async fn change(on: &OnType, change: fn(String) -> VolumeTypeChange) -> HandlerResult {
    let project = text(&on.arguments, "project").unwrap_or_default().to_owned();
    let (id, change) = (on.subject.id, change(project));
    on.ask(UpdateVolumeType { id, change }).await?;
    Ok(accepted())
}
