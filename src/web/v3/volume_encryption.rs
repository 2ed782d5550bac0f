//! `GET /volumes/{id}/encryption`: the encryption of a volume. No volume is encrypted yet, so only the absence of a key
//! is shown.

use super::find_volume;
use super::prelude::*;
use crate::web::views::shape::{self, Shape, field};

pub(super) const KEY: Shape = Shape::Object(&[field("encryption_key_id", shape::UUID_OR_NULL)]);

pub(super) async fn list(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let volume = find_volume(&state, &caller, &path.id).await?;
    ok(&Named("encryption_key_id", volume.encryption_key_id))
}

/// A key of an unencrypted volume is 404 (Cinder fails with 500).
pub(super) async fn show(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let volume = find_volume(&state, &caller, &path.id).await?;
    match volume.encryption_key_id {
        Some(key) if path.key == "encryption_key_id" => Ok(HttpResponse::Ok()
            .content_type("text/plain; charset=UTF-8")
            .body(key.to_string())),
        _ => Err(Fault::not_found(format!(
            "Volume {} has no encryption metadata with key {}.",
            path.id, path.key
        ))),
    }
}
