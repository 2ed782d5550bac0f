//! `/types/{id}/encryption`: no type is encrypted yet. What is asked of that is answered truly; making one so is 501.

use actix_web::{HttpResponse, web};

use super::find_type;
use super::types::OfType;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::state::WebState;
use crate::web::views::ok;

pub(super) async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfType>,
) -> Result<HttpResponse, Fault> {
    find_type(&state, &caller, &path.type_id).await?;
    ok(&serde_json::json!({}))
}

/// Show, update and delete: there is none.
pub(super) async fn none(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfType>,
) -> Result<HttpResponse, Fault> {
    find_type(&state, &caller, &path.type_id).await?;
    let type_id = &path.type_id;
    Err(Fault::not_found(format!(
        "Volume type encryption for type {type_id} does not exist."
    )))
}
