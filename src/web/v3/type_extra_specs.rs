//! `/types/{id}/extra_specs`: what a type asks of the storage behind it.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::types::OfType;
use super::{accepted, ask, find_type};
use crate::verbs::volume_type::update_volume_type::UpdateVolumeType;
use crate::verbs::volume_type::update_volume_type::VolumeTypeChange;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::request::Body;
use crate::web::routes::{Access, Routes};
use crate::web::schema::volume_types as schema;
use crate::web::state::WebState;
use crate::web::views::volume_type::visible_extra_specs;
use crate::web::views::{Named, ok};

pub(super) fn routes(routes: &mut Routes) {
    routes.get(
        "/types/{type_id}/extra_specs",
        Access::rule("volume_extension:types_extra_specs:index"),
        list,
    );
    routes.post(
        "/types/{type_id}/extra_specs",
        Access::rule("volume_extension:types_extra_specs:create"),
        create,
    );
    routes.get(
        "/types/{type_id}/extra_specs/{key}",
        Access::rule("volume_extension:types_extra_specs:show"),
        show,
    );
    routes.put(
        "/types/{type_id}/extra_specs/{key}",
        Access::rule("volume_extension:types_extra_specs:update"),
        update,
    );
    routes.delete(
        "/types/{type_id}/extra_specs/{key}",
        Access::rule("volume_extension:types_extra_specs:delete"),
        delete,
    );
}

#[derive(Deserialize)]
struct OfKey {
    type_id: String,
    key: String,
}

async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfType>,
) -> Result<HttpResponse, Fault> {
    caller.may(Rule("volume_extension:types_extra_specs:index"))?;
    let found = find_type(&state, &caller, &path.type_id).await?;
    ok(&Named("extra_specs", visible_extra_specs(&caller, &found)))
}

async fn show(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfKey>,
) -> Result<HttpResponse, Fault> {
    caller.may(Rule("volume_extension:types_extra_specs:show"))?;
    let found = find_type(&state, &caller, &path.type_id).await?;
    match visible_extra_specs(&caller, &found).get(path.key.as_str()) {
        Some(value) => ok(&Named(&path.key, value)),
        None => Err(Fault::not_found(format!(
            "Volume Type {} has no extra specs with key {}.",
            path.type_id, path.key
        ))),
    }
}

async fn create(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfType>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let change = schema::set_extra_specs(body.0.as_ref())?;
    caller.may(Rule("volume_extension:types_extra_specs:create"))?;
    let id = find_type(&state, &caller, &path.type_id).await?.id;
    ask(&state, &caller, UpdateVolumeType { id, change }).await?;
    ok(&body.0)
}

async fn update(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfKey>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let pair = schema::set_extra_spec(body.0.as_ref())?;
    caller.may(Rule("volume_extension:types_extra_specs:update"))?;
    let id = find_type(&state, &caller, &path.type_id).await?.id;
    let change = schema::check_key(&path.key, pair)?;
    ask(&state, &caller, UpdateVolumeType { id, change }).await?;
    ok(&body.0)
}

async fn delete(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfKey>,
) -> Result<HttpResponse, Fault> {
    let id = find_type(&state, &caller, &path.type_id).await?.id;
    caller.may(Rule("volume_extension:types_extra_specs:delete"))?;
    let change = VolumeTypeChange::UnsetExtraSpec(path.into_inner().key);
    ask(&state, &caller, UpdateVolumeType { id, change }).await?;
    Ok(accepted())
}
