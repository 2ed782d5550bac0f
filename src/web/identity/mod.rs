//! The embedded identity service: as much of Keystone v3 as clients need to log in.

use actix_web::web;

/// Users, projects and tokens.
pub struct Identity {}

/// Mounts `/identity/…`.
pub fn configure(_cfg: &mut web::ServiceConfig) {}
