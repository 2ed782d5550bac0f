//! Checks the consistency of all records while the service runs: the checker reads a snapshot of the store, so that concurrent
//! commits do not appear as faults.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::store::StoreError;
use crate::store::catalog::Catalog;
use crate::store::catalog::verify::{self, Finding};
use crate::web::caller::Caller;
use crate::web::fault::HandlerResult;
use crate::web::state::State;

/// `{"findings": [{"finding": kind, "what": text}]}`; none if everything is consistent.
pub(super) async fn fsck(_caller: Caller, state: State) -> HandlerResult {
    let _turn = state.checking.lock().await;
    let catalog = state.catalog.clone();
    let checked = web::block(move || check(&catalog)).await;
    let findings = checked.map_err(|error| StoreError::new("the check was given up").caused_by(error))??;
    let rows: Vec<Value> = findings
        .iter()
        .map(|finding| json!({"finding": finding.kind(), "what": finding.to_string()}))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "findings": rows })))
}

fn check(catalog: &Catalog) -> Result<Vec<Finding>, StoreError> {
    let runtime = actix_rt::Runtime::new()
        .map_err(|error| StoreError::new("no thread to check in").caused_by(error))?;
    runtime.block_on(verify::verify_running(catalog))
}
