//! `os-migrate_volume` and `os-migrate_volume_completion`.

use actix_web::HttpResponse;

use super::OnVolume;
use super::extend::ERROR;
use crate::web::fault::Fault;
use crate::web::schema::Check::{MaxLength, Required, Type};
use crate::web::schema::parameter_types::{BOOLEAN, NULLABLE_STRING, UUID};
use crate::web::schema::{Kind, Schema, object, text};

pub(in crate::web::v3) const MIGRATE: Schema = object!(
    [
        ("host", Schema(&[Type(&[Kind::String]), MaxLength(255)])),
        ("force_host_copy", BOOLEAN),
        ("lock_volume", BOOLEAN),
    ],
    Required(&["host"]),
);
pub(in crate::web::v3) const MIGRATE_V316: Schema = object!([
    ("host", NULLABLE_STRING),
    ("force_host_copy", BOOLEAN),
    ("lock_volume", BOOLEAN),
    ("cluster", NULLABLE_STRING),
]);

/// `os-migrate_volume`: not yet.
pub(in crate::web::v3) async fn migrate(on: OnVolume) -> Result<HttpResponse, Fault> {
    let clustered = on.caller.version.at_least(16);
    let is_given = |field| text(&on.arguments, field).is_some_and(|text| !text.is_empty());
    if is_given("host") == (clustered && is_given("cluster")) {
        return Err(Fault::invalid_input(if clustered {
            "One and only one of cluster and host must be set."
        } else {
            "Host field is missing."
        }));
    }
    Err(Fault::not_implemented("Migrating a volume is not implemented."))
}

pub(in crate::web::v3) const COMPLETION: Schema = object!(
    [("new_volume", UUID), ("error", ERROR)],
    Required(&["new_volume"])
);
