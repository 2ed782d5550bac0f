//! `/snapshots/{id}/metadata`: all of it, or key by key.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::snapshots::OfSnapshot;
use super::{ask, find_snapshot};
use crate::messages::api::MetadataChange;
use crate::verbs::snapshot::update_snapshot::UpdateSnapshotMetadata;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::request::Body;
use crate::web::routes::{Access, Routes};
use crate::web::schema::snapshots as schema;
use crate::web::state::WebState;
use crate::web::views::{Named, ok};

pub(super) fn routes(routes: &mut Routes) {
    routes.get(
        "/snapshots/{snapshot_id}/metadata",
        Access::rule("volume:get_snapshot_metadata"),
        list,
    );
    routes.post(
        "/snapshots/{snapshot_id}/metadata",
        Access::rule("volume:update_snapshot_metadata"),
        merge,
    );
    routes.put(
        "/snapshots/{snapshot_id}/metadata",
        Access::rule("volume:update_snapshot_metadata"),
        replace,
    );
    routes.get(
        "/snapshots/{snapshot_id}/metadata/{key}",
        Access::rule("volume:get_snapshot_metadata"),
        show,
    );
    routes.put(
        "/snapshots/{snapshot_id}/metadata/{key}",
        Access::rule("volume:update_snapshot_metadata"),
        set,
    );
    routes
        .delete(
            "/snapshots/{snapshot_id}/metadata/{key}",
            Access::rule("volume:delete_snapshot_metadata"),
            remove,
        )
        .judged_late();
}

/// The part of a path that names a key.
#[derive(Deserialize)]
struct OfKey {
    snapshot_id: String,
    key: String,
}

async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfSnapshot>,
) -> Result<HttpResponse, Fault> {
    let metadata = metadata(&caller, &state, &path.snapshot_id).await?;
    ok(&Named("metadata", metadata))
}

async fn show(
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

async fn merge(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfSnapshot>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let change = MetadataChange::Merge(schema::metadata(body.0.as_ref())?);
    let changed = update(&caller, &state, &path.snapshot_id, change).await?;
    ok(&Named("metadata", changed))
}

async fn replace(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfSnapshot>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let change = MetadataChange::Replace(schema::metadata(body.0.as_ref())?);
    let changed = update(&caller, &state, &path.snapshot_id, change).await?;
    ok(&Named("metadata", changed))
}

async fn set(
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

async fn remove(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfKey>,
) -> Result<HttpResponse, Fault> {
    let metadata = metadata(&caller, &state, &path.snapshot_id).await?;
    // Cinder looks for the key before it looks whether it may be deleted.
    if !metadata.contains_key(&path.key) {
        return Err(no_such_key(&path));
    }
    caller.may(Rule("volume:delete_snapshot_metadata"))?;
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
    caller.may(Rule("volume:get_snapshot_metadata"))?;
    Ok(snapshot.record.metadata)
}

async fn update(
    caller: &Caller,
    state: &WebState,
    id: &str,
    change: MetadataChange,
) -> Result<BTreeMap<String, String>, Fault> {
    find_snapshot(state, caller, id).await?;
    caller.may(Rule("volume:update_snapshot_metadata"))?;
    change_metadata(caller, state, id, change).await
}

async fn change_metadata(
    caller: &Caller,
    state: &WebState,
    id: &str,
    change: MetadataChange,
) -> Result<BTreeMap<String, String>, Fault> {
    let snapshot_id = id.to_owned();
    ask(state, caller, UpdateSnapshotMetadata { snapshot_id, change }).await
}
