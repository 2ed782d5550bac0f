//! To be written.

use actix_web::web;

/// Mounts the routes of Cinder v3, relative to `/v3` or `/v3/{project_id}`.
pub fn configure(_cfg: &mut web::ServiceConfig) {}
