//! `/os-quota-class-sets`: limits of classes. The class `default` has the site's defaults; other classes have no effect
//! yet.

use super::prelude::*;
use super::quotas;
use crate::messages::quota::UpdateQuotaClass;
use crate::model::bounds::check_length;
use crate::web::schema;

pub(super) async fn show(state: State, path: SubjectPath) -> HandlerResult {
    let quotas = quotas::of_class(&state, &path.id).await?;
    quotas::limits("quota_class_set", &quotas, Some(&path.id))
}

pub(super) async fn update(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let known = quotas::resources_by_name(&state).await?;
    let named = |key: &str| known.get(key).cloned();
    let limits = schema::quotas::class_set(body.value(), named)?;
    check_length(&path.id, "quota_class_name")?;
    let message = UpdateQuotaClass {
        class: path.id.clone(),
        limits,
    };
    caller.call(&state, &state.quota, message).await?;
    let quotas = quotas::of_class(&state, &path.id).await?;
    quotas::limits("quota_class_set", &quotas, None)
}
