//! `/os-quota-sets`: the limits of a project, and its usage.

use actix_web::web;

use super::prelude::*;
use super::quotas;
use crate::messages::quota::{DeleteQuotaSet, UpdateQuotaSet};
use crate::model::ProjectId;
use crate::model::bounds::check_length;
use crate::web::identity::Identity;
use crate::web::routes::answers::{Parameter, query};
use crate::web::schema;
use crate::web::views::quota::QuotaSet;
use crate::web::views::shape::Shape;

pub(super) const USAGE: &[Parameter] = &[query("usage", Shape::Boolean)];

pub(super) async fn show(caller: Caller, state: State, path: SubjectPath, query: Query) -> HandlerResult {
    let project = ProjectId::from(path.id.as_str());
    caller.permitted_in(&project)?;
    let with_usage = query.bool("usage")?;
    let quotas = quotas::of_project(&state, &project).await?;
    ok(&Named(
        "quota_set",
        QuotaSet {
            quotas: &quotas,
            with_usage,
            id: Some(project.as_str()),
        },
    ))
}

pub(super) async fn defaults(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let project = ProjectId::from(path.id.as_str());
    caller.permitted_in(&project)?;
    let quotas = quotas::of_class(&state, quotas::DEFAULT_CLASS).await?;
    quotas::limits("quota_set", &quotas, Some(project.as_str()))
}

/// A project that the embedded identity does not know is 404: its limits would never count, and be kept for ever.
pub(super) async fn update(
    caller: Caller,
    state: State,
    identity: Option<web::Data<Identity>>,
    path: SubjectPath,
    body: Body,
) -> HandlerResult {
    let known = quotas::resources_by_name(&state).await?;
    let named = |key: &str| known.get(key).cloned();
    let limits = schema::quotas::quota_set(body.value(), named)?;
    let project_id = ProjectId::from(path.id.as_str());
    caller.permitted_in(&project_id)?;
    check_length(project_id.as_str(), "quota_set_name")?;
    if let Some(identity) = identity
        && !identity.has_project(&project_id).await?
    {
        return Err(Fault::not_found(format!(
            "Project {project_id} could not be found."
        )));
    }
    let message = UpdateQuotaSet {
        project_id: project_id.clone(),
        limits,
    };
    caller.call(&state, &state.quota, message).await?;
    let quotas = quotas::of_project(&state, &project_id).await?;
    quotas::limits("quota_set", &quotas, None)
}

pub(super) async fn delete(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let project_id = ProjectId::from(path.id.as_str());
    caller.permitted_in(&project_id)?;
    caller
        .call(&state, &state.quota, DeleteQuotaSet { project_id })
        .await?;
    Ok(HttpResponse::Ok().finish())
}
