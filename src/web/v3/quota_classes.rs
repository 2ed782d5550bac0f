//! `/os-quota-class-sets`: limits of classes. The class `default` has the site's defaults; other classes have no effect
//! yet.

use super::quotas;
use crate::messages::quota::UpdateQuotaClass;
use crate::model::bounds::check_length;
use crate::web::caller::Caller;
use crate::web::fault::HandlerResult;
use crate::web::request::Body;
use crate::web::routes::SubjectPath;
use crate::web::schema;
use crate::web::state::State;
use crate::web::views::quota::QuotaSet;
use crate::web::views::{Named, ok};

pub(super) async fn show(state: State, path: SubjectPath) -> HandlerResult {
    let quotas = quotas::of_class(&state, &path.id).await?;
    ok(&Named(
        "quota_class_set",
        QuotaSet {
            quotas: &quotas,
            with_usage: false,
            id: Some(&path.id),
        },
    ))
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
    state
        .quota
        .call(&caller.context, message, state.call_timeout)
        .await?;
    let quotas = quotas::of_class(&state, &path.id).await?;
    ok(&Named(
        "quota_class_set",
        QuotaSet {
            quotas: &quotas,
            with_usage: false,
            id: None,
        },
    ))
}
