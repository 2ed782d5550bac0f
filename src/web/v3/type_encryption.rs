//! `/types/{id}/encryption`: no type is encrypted yet. What is asked of that is answered truly; making one so is 501.

use actix_web::{HttpResponse, web};

use super::find_type;
use super::types::OfType;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::routes::{Access, Routes};
use crate::web::state::WebState;
use crate::web::views::ok;

pub(super) fn routes(routes: &mut Routes) {
    routes.get(
        "/types/{type_id}/encryption",
        Access::rule("volume_extension:volume_type_encryption:get"),
        list,
    );
    routes.post(
        "/types/{type_id}/encryption",
        Access::rule("volume_extension:volume_type_encryption:create"),
        create,
    );
    routes.get(
        "/types/{type_id}/encryption/{encryption_id}",
        Access::rule("volume_extension:volume_type_encryption:get"),
        show,
    );
    routes.put(
        "/types/{type_id}/encryption/{encryption_id}",
        Access::rule("volume_extension:volume_type_encryption:update"),
        update,
    );
    routes.delete(
        "/types/{type_id}/encryption/{encryption_id}",
        Access::rule("volume_extension:volume_type_encryption:delete"),
        delete,
    );
}

async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfType>,
) -> Result<HttpResponse, Fault> {
    caller.may(Rule("volume_extension:volume_type_encryption:get"))?;
    find_type(&state, &caller, &path.type_id).await?;
    ok(&serde_json::json!({}))
}

async fn none(
    caller: &Caller,
    state: &WebState,
    rule: &'static str,
    type_id: &str,
) -> Result<HttpResponse, Fault> {
    caller.may(Rule(rule))?;
    find_type(state, caller, type_id).await?;
    Err(Fault::not_found(format!(
        "Volume type encryption for type {type_id} does not exist."
    )))
}

async fn show(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfType>,
) -> Result<HttpResponse, Fault> {
    none(
        &caller,
        &state,
        "volume_extension:volume_type_encryption:get",
        &path.type_id,
    )
    .await
}

async fn update(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfType>,
) -> Result<HttpResponse, Fault> {
    none(
        &caller,
        &state,
        "volume_extension:volume_type_encryption:update",
        &path.type_id,
    )
    .await
}

async fn delete(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfType>,
) -> Result<HttpResponse, Fault> {
    none(
        &caller,
        &state,
        "volume_extension:volume_type_encryption:delete",
        &path.type_id,
    )
    .await
}

async fn create(caller: Caller) -> Result<HttpResponse, Fault> {
    caller.may(Rule("volume_extension:volume_type_encryption:create"))?;
    Err(Fault::not_implemented(
        "Encrypting volume types is not implemented.",
    ))
}
