//! Checks the consistency of all records while the service runs: the checker reads a snapshot of the store, so that concurrent
//! commits do not appear as faults.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use crate::store::catalog::verify;
use crate::web::caller::Caller;
use crate::web::fault::HandlerResult;
use crate::web::state::State;

/// `{"findings": [{"finding": kind, "what": text}]}`; none if everything is consistent.
pub(super) async fn fsck(_caller: Caller, state: State) -> HandlerResult {
    let _turn = state.checking.lock().await;
    let findings = verify::verify_running(&state.catalog).await?;
    let rows: Vec<Value> = findings
        .iter()
        .map(|finding| json!({"finding": finding.kind(), "what": finding.to_string()}))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "findings": rows })))
}
