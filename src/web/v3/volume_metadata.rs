//! `/volumes/{id}/metadata`: all of it, or key by key. Since 3.15 with an `Etag`, which `If-Match` compares (412).

use std::collections::BTreeMap;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::find_volume;
use super::volumes::OfVolume;
use crate::messages::api::MetadataChange;
use crate::verbs::volume::update_volume_metadata::UpdateVolumeMetadata;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::request::Body;
use crate::web::schema::volume_metadata as schema;
use crate::web::state::WebState;
use crate::web::views::{Named, ok};

/// Metadata of a volume.
type Metadata = BTreeMap<String, String>;

/// The part of a path that names a key.
#[derive(Deserialize)]
pub(super) struct OfKey {
    volume_id: String,
    key: String,
}

pub(super) async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfVolume>,
) -> Result<HttpResponse, Fault> {
    let volume = find_volume(&state, &caller, &path.volume_id).await?;
    let mut answer = ok(&Named("metadata", &volume.metadata))?;
    if caller.version.at_least(15) {
        let tag = header::HeaderValue::from_str(&etag(&volume.metadata));
        answer
            .headers_mut()
            .insert(header::ETAG, tag.map_err(Fault::internal)?);
    }
    Ok(answer)
}

pub(super) async fn show(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfKey>,
) -> Result<HttpResponse, Fault> {
    let volume = find_volume(&state, &caller, &path.volume_id).await?;
    match volume.metadata.get(&path.key) {
        Some(value) => ok(&Named("meta", Named(&path.key, value))),
        None => Err(no_such_key(&path)),
    }
}

pub(super) async fn merge(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfVolume>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let metadata = schema::all(body.0.as_ref())?;
    find_volume(&state, &caller, &path.volume_id).await?;
    let changed = change(
        &caller,
        &state,
        &path.volume_id,
        MetadataChange::Merge(metadata),
        None,
    )
    .await?;
    ok(&Named("metadata", changed))
}

pub(super) async fn replace(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfVolume>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let metadata = schema::all(body.0.as_ref())?;
    let volume = find_volume(&state, &caller, &path.volume_id).await?;
    let seen = precondition(&caller, &request, &volume.metadata)?;
    let changed = change(
        &caller,
        &state,
        &path.volume_id,
        MetadataChange::Replace(metadata),
        seen,
    )
    .await?;
    ok(&Named("metadata", changed))
}

pub(super) async fn set(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfKey>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let pair = schema::one(&path.key, body.0.as_ref())?;
    let volume = find_volume(&state, &caller, &path.volume_id).await?;
    let seen = precondition(&caller, &request, &volume.metadata)?;
    change(
        &caller,
        &state,
        &path.volume_id,
        MetadataChange::Merge(pair.clone()),
        seen,
    )
    .await?;
    ok(&Named("meta", pair))
}

pub(super) async fn remove(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfKey>,
) -> Result<HttpResponse, Fault> {
    let volume = find_volume(&state, &caller, &path.volume_id).await?;
    // Cinder looks for the key before it looks at policy.
    if !volume.metadata.contains_key(&path.key) {
        return Err(no_such_key(&path));
    }
    caller.permitted()?;
    change(
        &caller,
        &state,
        &path.volume_id,
        MetadataChange::Remove(path.key.clone()),
        None,
    )
    .await?;
    Ok(HttpResponse::Ok().finish())
}

fn no_such_key(path: &OfKey) -> Fault {
    Fault::not_found(format!(
        "Volume {} has no metadata with key {}.",
        path.volume_id, path.key
    ))
}

/// Has the actor change it. Where the client had a precondition, a change in between is its failure.
async fn change(
    caller: &Caller,
    state: &WebState,
    volume_id: &str,
    change: MetadataChange,
    expected: Option<Metadata>,
) -> Result<Metadata, Fault> {
    let conditional = expected.is_some();
    let message = UpdateVolumeMetadata {
        volume_id: volume_id.to_owned(),
        change,
        expected,
    };
    caller
        .ask(state, message)
        .await
        .map_err(|fault| match fault.status {
            actix_web::http::StatusCode::CONFLICT if conditional => Fault::precondition_failed(),
            _ => fault,
        })
}

/// What stands for a state of the metadata. (Cinder's is an MD5 sum; clients hand back what they got.)
fn etag(metadata: &Metadata) -> String {
    let mut digest = Sha256::new();
    for (key, value) in metadata {
        // Lengths keep `{"a": "b"}` and `{"ab": ""}` apart.
        digest.update(key.len().to_be_bytes());
        digest.update(key);
        digest.update(value.len().to_be_bytes());
        digest.update(value);
    }
    hex::encode(&digest.finalize()[..16])
}

/// The metadata that the client has seen, if it said so (`If-Match`, since 3.15) and it is still that.
///
/// # Errors
/// 412 if it is another.
fn precondition(
    caller: &Caller,
    request: &HttpRequest,
    metadata: &Metadata,
) -> Result<Option<Metadata>, Fault> {
    let Some(tags) = request
        .headers()
        .get(header::IF_MATCH)
        .filter(|_| caller.version.at_least(15))
    else {
        return Ok(None);
    };
    let tags = tags.to_str().unwrap_or_default();
    if tags.trim() == "*" {
        return Ok(None);
    }
    let now = etag(metadata);
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"') == now;
    if tags.split(',').any(bare) {
        Ok(Some(metadata.clone()))
    } else {
        Err(Fault::precondition_failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_metadata_apart() {
        let of = |pairs: &[(&str, &str)]| {
            etag(
                &pairs
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
            )
        };
        assert_eq!(of(&[("z", "1")]), of(&[("z", "1")]));
        assert_ne!(of(&[("a", "b")]), of(&[("ab", "")]));
        assert_ne!(of(&[]), of(&[("", "")]));
        assert_eq!(of(&[]).len(), 32);
    }
}
