//! `GET /resource_filters`, and its rule: which filters a member may use on which list (since 3.31).
//!
//! The table is Cinder's default file (`etc/cinder/resource_filters.json`).

use serde::Serialize;

use super::prelude::*;
use crate::web::routes::answers::{Parameter, query};
use crate::web::views::shape::{Shape, field};

pub(super) const PARAMETERS: &[Parameter] = &[query("resource", Shape::Text)];

pub(super) const ALL: Shape = Shape::Object(&[field(
    "resource_filters",
    Shape::List(&Shape::Object(&[
        field("resource", Shape::Text),
        field("filters", Shape::List(&Shape::Text)),
    ])),
)]);

/// Filters by resource.
const FILTERS: [(&str, &[&str]); 9] = [
    (
        "volume",
        &[
            "name",
            "status",
            "metadata",
            "bootable",
            "migration_status",
            "availability_zone",
            "group_id",
            "size",
            "created_at",
            "updated_at",
            "consumes_quota",
        ],
    ),
    ("backup", &["name", "status", "volume_id"]),
    (
        "snapshot",
        &[
            "name",
            "status",
            "volume_id",
            "metadata",
            "availability_zone",
            "consumes_quota",
        ],
    ),
    ("group", &["name"]),
    ("group_snapshot", &["name", "status", "group_id"]),
    (
        "attachment",
        &["volume_id", "status", "instance_id", "attach_status"],
    ),
    (
        "message",
        &[
            "resource_uuid",
            "resource_type",
            "event_id",
            "request_id",
            "message_level",
        ],
    ),
    ("pool", &["name", "volume_type"]),
    ("volume_type", &["is_public", "extra_specs"]),
];

/// The filters of a resource; empty if there are none.
pub(super) fn of(resource: &str) -> &'static [&'static str] {
    FILTERS
        .iter()
        .find(|(name, _)| *name == resource)
        .map_or(&[], |(_, filters)| filters)
}

/// Refuses filters that a member may not use. Administrators may use all, except on pools, which only they can list.
///
/// `all_tenants` is always accepted, because clients always send it (cinder: `reject_invalid_filters`).
///
/// # Errors
/// 400 that names them.
pub(super) fn reject_invalid(caller: &Caller, query: &Query, resource: &str) -> Result<(), Fault> {
    let filters = query.filters();
    if filters.iter().any(|(name, _)| !name.is_ascii()) {
        return Err(Fault::bad_request(
            "Filter keys can only contain ASCII characters.",
        ));
    }
    if caller.context.is_admin && resource != "pool" {
        return Ok(());
    }
    let allowed = of(resource);
    let invalid: Vec<&str> = filters
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !allowed.contains(name) && *name != "all_tenants")
        .collect();
    if invalid.is_empty() {
        Ok(())
    } else {
        Err(Fault::bad_request(format!(
            "Invalid filters {} are found in query options.",
            invalid.join(",")
        )))
    }
}

#[derive(Serialize)]
struct ResourceFilters {
    resource: &'static str,
    filters: &'static [&'static str],
}

pub(super) async fn list(_caller: Caller, query: Query) -> HandlerResult {
    let wanted = query.get("resource").filter(|resource| !resource.is_empty());
    let shown: Vec<ResourceFilters> = FILTERS
        .iter()
        .filter(|(resource, _)| wanted.is_none_or(|wanted| wanted == *resource))
        .map(|(resource, filters)| ResourceFilters { resource, filters })
        .collect();
    ok(&Named("resource_filters", shown))
}
