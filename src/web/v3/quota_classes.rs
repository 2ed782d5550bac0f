//! `/os-quota-class-sets`: limits of classes. The class `default` is the site's default; nothing is in another class yet.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::quotas;
use crate::messages::quota::UpdateQuotaClass;
use crate::model::bounds::check_length;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::request::Body;
use crate::web::schema;
use crate::web::state::WebState;
use crate::web::views::quota::QuotaSet;
use crate::web::views::{Named, ok};

#[derive(Deserialize)]
pub(super) struct OfClass {
    class: String,
}

pub(super) async fn show(
    state: web::Data<WebState>,
    path: web::Path<OfClass>,
) -> Result<HttpResponse, Fault> {
    let quotas = quotas::of_class(&state, &path.class).await?;
    ok(&Named(
        "quota_class_set",
        QuotaSet {
            quotas: &quotas,
            with_usage: false,
            id: Some(&path.class),
        },
    ))
}

pub(super) async fn update(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfClass>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let known = quotas::resources_by_name(&state).await?;
    let named = |key: &str| known.get(key).cloned();
    let limits = schema::quotas::class_set(body.0.as_ref(), named)?;
    check_length(&path.class, "quota_class_name")?;
    let message = UpdateQuotaClass {
        class: path.class.clone(),
        limits,
    };
    state
        .quota
        .call(&caller.context, message, state.call_timeout)
        .await?;
    let quotas = quotas::of_class(&state, &path.class).await?;
    ok(&Named(
        "quota_class_set",
        QuotaSet {
            quotas: &quotas,
            with_usage: false,
            id: None,
        },
    ))
}
