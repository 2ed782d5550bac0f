//! `/types/{id}/encryption`: no type is encrypted yet. What is asked of that is answered truly; making one so is 501.

use actix_web::{HttpResponse, web};

use super::find_type;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::routes::SubjectPath;
use crate::web::state::WebState;
use crate::web::views::ok;

pub(super) async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<SubjectPath>,
) -> Result<HttpResponse, Fault> {
    find_type(&state, &caller, &path.id).await?;
    ok(&serde_json::json!({}))
}

/// Show, update and delete: there is none.
pub(super) async fn none(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<SubjectPath>,
) -> Result<HttpResponse, Fault> {
    find_type(&state, &caller, &path.id).await?;
    let type_id = &path.id;
    Err(Fault::not_found(format!(
        "Volume type encryption for type {type_id} does not exist."
    )))
}
