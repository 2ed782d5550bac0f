//! `/types/{id}/os-volume-type-access` and the actions of `/types/{id}/action`: which projects may use a private type.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::types::OfType;
use super::{accepted, ask, find_type};
use crate::model::{ProjectId, VolumeTypeId};
use crate::verbs::volume_type::update_volume_type::UpdateVolumeType;
use crate::verbs::volume_type::update_volume_type::VolumeTypeChange;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::request::Body;
use crate::web::routes::{Access, Action, Routes};
use crate::web::schema::volume_types as schema;
use crate::web::state::WebState;
use crate::web::views::{Items, Named, ok};

/// Each action and its rule.
const ACTIONS: &[Action] = &[
    Action::new(
        "addProjectAccess",
        "volume_extension:volume_type_access:addProjectAccess",
    ),
    Action::new(
        "removeProjectAccess",
        "volume_extension:volume_type_access:removeProjectAccess",
    ),
];

pub(super) fn routes(routes: &mut Routes) {
    routes.get(
        "/types/{type_id}/os-volume-type-access",
        Access::rule("volume_extension:volume_type_access:get_all_for_type"),
        list,
    );
    routes.post("/types/{type_id}/action", Access::Actions(ACTIONS), act);
}

#[derive(Serialize)]
struct ProjectAccess<'a> {
    volume_type_id: VolumeTypeId,
    project_id: &'a ProjectId,
}

async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfType>,
) -> Result<HttpResponse, Fault> {
    caller.may(Rule("volume_extension:volume_type_access:get_all_for_type"))?;
    let found = find_type(&state, &caller, &path.type_id).await?;
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

async fn act(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfType>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let change = schema::access_action(body.0.as_ref())?;
    caller.may(Rule(match change {
        VolumeTypeChange::RemoveProjectAccess(_) => "volume_extension:volume_type_access:removeProjectAccess",
        _ => "volume_extension:volume_type_access:addProjectAccess",
    }))?;
    let id = find_type(&state, &caller, &path.type_id).await?.id;
    ask(&state, &caller, UpdateVolumeType { id, change }).await?;
    Ok(accepted())
}
