//! `/types/{id}/encryption`: no type is encrypted yet. What is asked of that is answered truly; making one so is 501.

use super::find_type;
use crate::web::caller::Caller;
use crate::web::fault::{Fault, HandlerResult};
use crate::web::routes::SubjectPath;
use crate::web::state::State;
use crate::web::views::ok;

pub(super) async fn list(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    find_type(&state, &caller, &path.id).await?;
    ok(&serde_json::json!({}))
}

/// Show, update and delete: there is none.
pub(super) async fn none(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    find_type(&state, &caller, &path.id).await?;
    let type_id = &path.id;
    Err(Fault::not_found(format!(
        "Volume type encryption for type {type_id} does not exist."
    )))
}
