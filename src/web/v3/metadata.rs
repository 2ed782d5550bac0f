//! `…/metadata` of any kind of resource: as a whole, or key by key. For some kinds the metadata has an `Etag` since a version,
//! which `If-Match` compares (412).

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::http::header;
use sha2::{Digest, Sha256};

use super::prelude::*;
use crate::messages::api::MetadataChange;
use crate::model::{Snapshot, Volume};
use crate::store::catalog::Stored;
use crate::verbs::snapshot::UpdateSnapshotMetadata;
use crate::verbs::volume::UpdateVolumeMetadata;
use crate::web::routes::SubjectNames;
use crate::web::routes::answers::{Parameter, header};
use crate::web::schema::text_map;
use crate::web::views::shape::{self, Shape, field};

/// All pairs.
pub(super) const ALL: Shape = Shape::Object(&[field("metadata", shape::TEXTS)]);
/// One pair.
pub(super) const ONE: Shape = Shape::Object(&[field("meta", shape::TEXTS)]);
/// What the metadata must be.
pub(super) const IF_MATCH: &[Parameter] = &[header("If-Match").since(15)];

pub(super) type Metadata = BTreeMap<String, String>;

/// A kind of resource that has metadata.
pub(super) trait HasMetadata: Subject {
    /// Its name in faults.
    const NAME: &'static str;
    /// Since which minor version the metadata have an `Etag`, if ever.
    const ETAG_SINCE: Option<u16>;

    fn metadata(&self) -> &Metadata;

    /// Has the actor change it, if it still equals `expected`.
    async fn change(
        caller: &Caller,
        state: &WebState,
        id: String,
        change: MetadataChange,
        expected: Option<Metadata>,
    ) -> Result<Metadata, Fault>;
}

impl HasMetadata for Stored<Volume> {
    const NAME: &'static str = "Volume";
    const ETAG_SINCE: Option<u16> = Some(15);

    fn metadata(&self) -> &Metadata {
        &self.record.metadata
    }

    async fn change(
        caller: &Caller,
        state: &WebState,
        volume_id: String,
        change: MetadataChange,
        expected: Option<Metadata>,
    ) -> Result<Metadata, Fault> {
        let message = UpdateVolumeMetadata {
            volume_id,
            change,
            expected,
        };
        caller.ask(state, message).await
    }
}

impl HasMetadata for Stored<Snapshot> {
    const NAME: &'static str = "Snapshot";
    const ETAG_SINCE: Option<u16> = None;

    fn metadata(&self) -> &Metadata {
        &self.record.metadata
    }

    async fn change(
        caller: &Caller,
        state: &WebState,
        snapshot_id: String,
        change: MetadataChange,
        _: Option<Metadata>,
    ) -> Result<Metadata, Fault> {
        caller
            .ask(state, UpdateSnapshotMetadata { snapshot_id, change })
            .await
    }
}

pub(super) async fn list<S: HasMetadata>(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let subject = S::find(&state, &caller, &path.id).await?;
    let mut answer = ok(&Named("metadata", subject.metadata()))?;
    if has_etag::<S>(&caller) {
        let tag = header::HeaderValue::from_str(&etag(subject.metadata()));
        answer
            .headers_mut()
            .insert(header::ETAG, tag.map_err(Fault::internal)?);
    }
    Ok(answer)
}

pub(super) async fn show<S: HasMetadata>(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let subject = S::find(&state, &caller, &path.id).await?;
    match subject.metadata().get(&path.key) {
        Some(value) => ok(&Named("meta", Named(&path.key, value))),
        None => Err(no_such_key::<S>(&path)),
    }
}

pub(super) async fn merge<S: HasMetadata>(
    caller: Caller,
    state: State,
    path: SubjectPath,
    body: Body,
) -> HandlerResult {
    let id = path.into_inner().id;
    S::find(&state, &caller, &id).await?;
    let merge = MetadataChange::Merge(all(&body));
    ok(&Named(
        "metadata",
        S::change(&caller, &state, id, merge, None).await?,
    ))
}

pub(super) async fn replace<S: HasMetadata>(
    caller: Caller,
    state: State,
    path: SubjectPath,
    request: HttpRequest,
    body: Body,
) -> HandlerResult {
    let replace = MetadataChange::Replace(all(&body));
    let changed = change::<S>(&caller, &state, path.into_inner().id, &request, replace).await?;
    ok(&Named("metadata", changed))
}

pub(super) async fn set<S: HasMetadata>(
    caller: Caller,
    state: State,
    path: SubjectPath,
    request: HttpRequest,
    body: Body,
) -> HandlerResult {
    let pair = one(&path.key, &body)?;
    let merge = MetadataChange::Merge(pair.clone());
    change::<S>(&caller, &state, path.into_inner().id, &request, merge).await?;
    ok(&Named("meta", pair))
}

/// Cinder looks up the key before it checks policy.
pub(super) async fn remove<S: HasMetadata>(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let subject = S::find(&state, &caller, &path.id).await?;
    if !subject.metadata().contains_key(&path.key) {
        return Err(no_such_key::<S>(&path));
    }
    caller.permitted()?;
    let SubjectNames { id, key } = path.into_inner();
    S::change(&caller, &state, id, MetadataChange::Remove(key), None).await?;
    Ok(HttpResponse::Ok().finish())
}

fn no_such_key<S: HasMetadata>(path: &SubjectNames) -> Fault {
    let (name, SubjectNames { id, key }) = (S::NAME, path);
    Fault::not_found(format!("{name} {id} has no metadata with key {key}."))
}

/// The metadata of a body.
fn all(body: &Body) -> Metadata {
    text_map(body.value(), "metadata").unwrap_or_default()
}

/// The single pair of a body, whose key is the URL's.
fn one(key: &str, body: &Body) -> Result<Metadata, Fault> {
    let pair = text_map(body.value(), "meta").unwrap_or_default();
    match pair.contains_key(key) {
        true => Ok(pair),
        false => Err(Fault::bad_request("Request body and URI mismatch")),
    }
}

/// A change with an optional precondition, which fails if the metadata was changed meanwhile.
async fn change<S: HasMetadata>(
    caller: &Caller,
    state: &WebState,
    id: String,
    request: &HttpRequest,
    change: MetadataChange,
) -> Result<Metadata, Fault> {
    let subject = S::find(state, caller, &id).await?;
    let expected = match has_etag::<S>(caller) {
        true => precondition(request, subject.metadata())?,
        false => None,
    };
    let is_conditional = expected.is_some();
    let changed = S::change(caller, state, id, change, expected).await;
    changed.map_err(|fault| match fault.status {
        StatusCode::CONFLICT if is_conditional => Fault::precondition_failed(),
        _ => fault,
    })
}

fn has_etag<S: HasMetadata>(caller: &Caller) -> bool {
    S::ETAG_SINCE.is_some_and(|since| caller.version.at_least(since))
}

/// The entity tag of the metadata. (Cinder's is an MD5 sum; clients treat it as opaque.)
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

/// The metadata that the client expects (`If-Match`), if it is unchanged; `None` without the header.
///
/// # Errors
/// 412 if it has changed.
fn precondition(request: &HttpRequest, metadata: &Metadata) -> Result<Option<Metadata>, Fault> {
    let Some(tags) = request.headers().get(header::IF_MATCH) else {
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
