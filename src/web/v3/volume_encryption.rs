//! `GET /volumes/{id}/encryption`: how a volume is encrypted. None is yet, so there are no facts but the key's absence.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::find_volume;
use super::volumes::OfVolume;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::routes::{Access, Routes};
use crate::web::state::WebState;
use crate::web::views::{Named, ok};

const RULE: Rule = Rule("volume_extension:volume_encryption_metadata");

pub(super) fn routes(routes: &mut Routes) {
    routes.get("/volumes/{volume_id}/encryption", Access::Rule(RULE), list);
    routes.get("/volumes/{volume_id}/encryption/{fact}", Access::Rule(RULE), show);
}

#[derive(Deserialize)]
struct OfFact {
    volume_id: String,
    fact: String,
}

async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfVolume>,
) -> Result<HttpResponse, Fault> {
    let volume = find_volume(&state, &caller, &path.volume_id).await?;
    caller.may(RULE)?;
    ok(&Named("encryption_key_id", volume.encryption_key_id))
}

/// A fact of an unencrypted volume is not there (Cinder stumbles over it: 500).
async fn show(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfFact>,
) -> Result<HttpResponse, Fault> {
    let volume = find_volume(&state, &caller, &path.volume_id).await?;
    caller.may(RULE)?;
    match volume.encryption_key_id {
        Some(key) if path.fact == "encryption_key_id" => Ok(HttpResponse::Ok()
            .content_type("text/plain; charset=UTF-8")
            .body(key.to_string())),
        _ => Err(Fault::not_found(format!(
            "Volume {} has no encryption metadata with key {}.",
            path.volume_id, path.fact
        ))),
    }
}
