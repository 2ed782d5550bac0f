//! `os-migrate_volume` and `os-migrate_volume_completion`.

use serde_json::json;

use super::OnVolume;
use super::extend::ERROR;
use crate::verbs::volume::{CompleteMigration, MigrateVolume};
use crate::web::schema::manage::Place;
use crate::web::schema::prelude::*;
use crate::web::v3::prelude::*;
use crate::web::views::shape::{Shape, field};

pub(in crate::web::v3) const COMPLETED: Shape = Shape::Object(&[field("save_volume_id", Shape::Uuid)]);

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

/// `os-migrate_volume`
pub(in crate::web::v3) async fn migrate(on: OnVolume) -> HandlerResult {
    let clustered = on.caller.version.at_least(16);
    let given = |field| text(&on.arguments, field);
    let destination = match Place::of(given("host"), given("cluster"), clustered)? {
        Place::Host(name) | Place::Cluster(name) => name,
    };
    let message = MigrateVolume {
        volume_id: on.volume_id(),
        destination,
        lock_volume: boolean(&on.arguments, "lock_volume").unwrap_or(false),
    };
    on.ask(message).await?;
    Ok(accepted())
}

pub(in crate::web::v3) const COMPLETION: Schema = object!(
    [("new_volume", UUID), ("error", ERROR)],
    Required(&["new_volume"])
);

/// `os-migrate_volume_completion`
pub(in crate::web::v3) async fn complete(on: OnVolume) -> HandlerResult {
    let new_volume = text(&on.arguments, "new_volume").unwrap_or_default().to_owned();
    let request = CompleteMigration {
        volume_id: on.volume_id(),
        new_volume,
        error: boolean(&on.arguments, "error").unwrap_or(false),
    };
    let stays = on.ask(request).await?;
    ok(&json!({"save_volume_id": stays}))
}
