//! Cinder's REST API v3: one file per resource, each with its routes and what they do.
//!
//! Every handler is the same few lines, in Cinder's order: is the route there in this version (404) → is the body as it
//! should be (400) → is there such a thing, and may the caller see it (404) → may the caller do it (403) → ask the actor
//! → show what came of it. What is read is read from the catalog; what is changed is changed by an actor.

use actix_web::HttpResponse;

use super::caller::Caller;
use super::fault::Fault;
use super::policy::Rule;
use super::routes::Routes;
use super::schema::python;
use super::state::WebState;
use crate::messages::api::ApiTopic;
use crate::messages::{Call, Message};
use crate::model::{Snapshot, SnapshotId, Volume, VolumeId, VolumeType};
use crate::store::catalog::Stored;

mod attachments;
mod availability_zones;
mod clusters;
mod default_types;
mod extensions;
mod later;
mod limits;
mod manageable;
mod manageable_snapshots;
mod manageable_volumes;
mod messages;
mod query;
mod quota_classes;
mod quota_sets;
mod quotas;
mod resource_filters;
mod scheduler_stats;
mod services;
mod snapshot_actions;
mod snapshot_list;
mod snapshot_metadata;
mod snapshot_query;
mod snapshots;
mod type_access;
mod type_encryption;
mod type_extra_specs;
mod types;
mod volume_actions;
mod volume_encryption;
mod volume_list;
mod volume_metadata;
mod volume_query;
mod volumes;

/// Adds the routes of Cinder v3, relative to `/v3` or `/v3/{project_id}`. Of two paths that match, the first answers.
pub fn routes(routes: &mut Routes) {
    for resource in [
        attachments::routes,
        availability_zones::routes,
        clusters::routes,
        default_types::routes,
        extensions::routes,
        limits::routes,
        manageable::routes::<manageable_snapshots::Snapshots>,
        manageable::routes::<manageable_volumes::Volumes>,
        messages::routes,
        quota_classes::routes,
        quota_sets::routes,
        resource_filters::routes,
        scheduler_stats::routes,
        services::routes,
        snapshot_metadata::routes,
        snapshot_actions::routes,
        snapshot_list::routes,
        snapshots::routes,
        type_access::routes,
        type_encryption::routes,
        type_extra_specs::routes,
        types::routes,
        volume_encryption::routes,
        volume_metadata::routes,
        volume_actions::routes,
        volume_list::routes,
        volumes::routes,
        later::routes,
    ] {
        resource(routes);
    }
}

/// `202` without a body.
fn accepted() -> HttpResponse {
    HttpResponse::Accepted().finish()
}

/// Asks the Api actor, unless the gate found that the caller may not.
async fn ask<M>(state: &WebState, caller: &Caller, message: M) -> Result<M::Reply, Fault>
where
    M: Call + Message<To = ApiTopic>,
{
    caller.permitted()?;
    Ok(state
        .api
        .call(&caller.context, message, state.call_timeout)
        .await?)
}

/// A volume that the caller may see, by the id it wrote.
async fn find_volume(state: &WebState, caller: &Caller, id: &str) -> Result<Stored<Volume>, Fault> {
    let not_found = || Fault::not_found(format!("Volume {id} could not be found."));
    let volume_id = python::uuid(id).map(VolumeId).ok_or_else(not_found)?;
    let volume = state
        .catalog
        .volume(volume_id)
        .await?
        .filter(|volume| caller.sees(&volume.project_id));
    let volume = volume.ok_or_else(not_found)?;
    caller.may(Rule("volume:get"))?;
    Ok(volume)
}

/// A snapshot that the caller may see, by the id it wrote.
async fn find_snapshot(state: &WebState, caller: &Caller, id: &str) -> Result<Stored<Snapshot>, Fault> {
    let not_found = || Fault::not_found(format!("Snapshot {id} could not be found."));
    let snapshot_id = python::uuid(id).map(SnapshotId).ok_or_else(not_found)?;
    let snapshot = state
        .catalog
        .snapshot(snapshot_id)
        .await?
        .filter(|snapshot| caller.sees(&snapshot.project_id));
    let snapshot = snapshot.ok_or_else(not_found)?;
    caller.may(Rule("volume:get_snapshot"))?;
    Ok(snapshot)
}

/// A type that the caller may see, by the id it wrote. Names are not looked at: clients find those in the list.
async fn find_type(state: &WebState, caller: &Caller, id: &str) -> Result<Stored<VolumeType>, Fault> {
    let not_found = || Fault::not_found(format!("Volume type {id} could not be found."));
    let type_id = python::uuid(id)
        .map(crate::model::VolumeTypeId)
        .ok_or_else(not_found)?;
    let found = state.catalog.volume_type(type_id).await?;
    found
        .filter(|volume_type| sees_type(caller, volume_type))
        .ok_or_else(not_found)
}

/// A type that the caller may see, by name or id.
async fn find_type_by_name(
    state: &WebState,
    caller: &Caller,
    name: &str,
) -> Result<Stored<VolumeType>, Fault> {
    if python::uuid(name).is_some() {
        return find_type(state, caller, name).await;
    }
    let found = state.catalog.volume_type_by_name(name).await?;
    found
        .filter(|volume_type| sees_type(caller, volume_type))
        .ok_or_else(|| Fault::not_found(format!("Volume type with name {name} could not be found.")))
}

fn sees_type(caller: &Caller, volume_type: &VolumeType) -> bool {
    caller.context.is_admin || volume_type.is_open_to(&caller.context.project_id)
}
