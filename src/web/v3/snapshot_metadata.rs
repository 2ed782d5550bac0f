//! `/snapshots/{id}/metadata`: all of it, or key by key.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::find_snapshot;
use super::snapshots::OfSnapshot;
use crate::messages::api::MetadataChange;
use crate::verbs::snapshot::update_snapshot::UpdateSnapshotMetadata;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::request::Body;
use crate::web::schema::snapshots as schema;
use crate::web::state::WebState;
use crate::web::views::{Named, ok};

/// The part of a path that names a key.
#[derive(Deserialize)]
pub(super) struct OfKey {
    snapshot_id: String,
    key: String,
}

pub(super) async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfSnapshot>,
) -> Result<HttpResponse, Fault> {
    let metadata = metadata(&caller, &state, &path.snapshot_id).await?;
    ok(&Named("metadata", metadata))
}

pub(super) async fn show(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfKey>,
) -> Result<HttpResponse, Fault> {
    let metadata = metadata(&caller, &state, &path.snapshot_id).await?;
    match metadata.get(&path.key) {
        Some(value) => ok(&Named("meta", Named(&path.key, value))),
        None => Err(no_such_key(&path)),
    }
}

pub(super) async fn merge(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfSnapshot>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let change = MetadataChange::Merge(schema::metadata(body.0.as_ref())?);
    let changed = update(&caller, &state, &path.snapshot_id, change).await?;
    ok(&Named("metadata", changed))
}

pub(super) async fn replace(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfSnapshot>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let change = MetadataChange::Replace(schema::metadata(body.0.as_ref())?);
    let changed = update(&caller, &state, &path.snapshot_id, change).await?;
    ok(&Named("metadata", changed))
}

pub(super) async fn set(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfKey>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let pair = schema::meta(&path.key, body.0.as_ref())?;
    let change = MetadataChange::Merge(pair.clone());
    update(&caller, &state, &path.snapshot_id, change).await?;
    ok(&Named("meta", pair))
}

pub(super) async fn remove(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfKey>,
) -> Result<HttpResponse, Fault> {
    let metadata = metadata(&caller, &state, &path.snapshot_id).await?;
    // Cinder looks for the key before it looks whether it may be deleted.
    if !metadata.contains_key(&path.key) {
        return Err(no_such_key(&path));
    }
    caller.permitted()?;
    let change = MetadataChange::Remove(path.key.clone());
    change_metadata(&caller, &state, &path.snapshot_id, change).await?;
    Ok(HttpResponse::Ok().finish())
}

fn no_such_key(path: &OfKey) -> Fault {
    Fault::not_found(format!(
        "Snapshot {} has no metadata with key {}.",
        path.snapshot_id, path.key
    ))
}

async fn metadata(caller: &Caller, state: &WebState, id: &str) -> Result<BTreeMap<String, String>, Fault> {
    let snapshot = find_snapshot(state, caller, id).await?;
    Ok(snapshot.record.metadata)
}

async fn update(
    caller: &Caller,
    state: &WebState,
    id: &str,
    change: MetadataChange,
) -> Result<BTreeMap<String, String>, Fault> {
    find_snapshot(state, caller, id).await?;
    change_metadata(caller, state, id, change).await
}

async fn change_metadata(
    caller: &Caller,
    state: &WebState,
    id: &str,
    change: MetadataChange,
) -> Result<BTreeMap<String, String>, Fault> {
    let snapshot_id = id.to_owned();
    caller
        .ask(state, UpdateSnapshotMetadata { snapshot_id, change })
        .await
}
