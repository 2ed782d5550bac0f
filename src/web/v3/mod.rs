//! Cinder's REST API v3: a table of all routes (`table`), and one file per resource with their handlers.
//!
//! Every handler has the same steps, in Cinder's order: does the route exist in this version (404) → does the body match
//! the schema (400) → does the resource exist, and may the caller see it (404) → may the caller do it (403) → send the
//! message to the actor → render the result. Reads use the catalog; changes are made by actors.

use actix_web::HttpResponse;

use super::caller::Caller;
use super::fault::Fault;
use super::policy::reader;
use super::schema::python;
use super::state::WebState;
use crate::model::{Snapshot, Volume, VolumeType};
use crate::store::catalog::Stored;

mod attachments;
mod availability_zones;
mod capabilities;
mod cleanup;
mod clusters;
mod default_types;
mod extensions;
mod hosts;
mod limits;
mod list;
mod list_rows;
mod log_levels;
mod manageable;
mod manageable_snapshots;
mod manageable_volumes;
mod messages;
mod metadata;
mod prelude;
mod qos_specs;
mod query;
mod quota_classes;
mod quota_sets;
mod quotas;
mod resource_filters;
mod scheduler_stats;
mod services;
mod snapshot_actions;
mod snapshot_list;
mod snapshots;
mod table;
mod transfers;
mod type_access;
mod type_encryption;
mod type_extra_specs;
mod types;
mod volume_actions;
mod volume_encryption;
mod volume_list;
mod volumes;

pub use table::routes;

/// `202` without a body.
fn accepted() -> HttpResponse {
    HttpResponse::Accepted().finish()
}

/// A volume that the caller may see, by the id in the request.
async fn find_volume(state: &WebState, caller: &Caller, id: &str) -> Result<Stored<Volume>, Fault> {
    let volume = list::find::<volume_list::Volumes>(state, caller, id).await?;
    caller.may(reader("volume:get"))?;
    Ok(volume)
}

/// A snapshot that the caller may see, by the id in the request.
async fn find_snapshot(state: &WebState, caller: &Caller, id: &str) -> Result<Stored<Snapshot>, Fault> {
    let snapshot = list::find::<snapshot_list::Snapshots>(state, caller, id).await?;
    caller.may(reader("volume:get_snapshot"))?;
    Ok(snapshot)
}

/// A type that the caller may see, by the id in the request. Names are not accepted: clients find those in the list.
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
