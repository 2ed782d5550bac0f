//! `/healthcheck`: whether to send requests here (oslo.middleware: `healthcheck`). Asks no actor and no store, so that
//! it answers when they do not.
//!
//! A node that can only be read at present is not taken out: it answers 200, with what is wrong in the place of `OK`. Without it
//! there would be nobody to read from.

use actix_web::{HttpResponse, web};

use super::routes::{Access, Routes};
use super::state::ServerState;

/// Adds it.
pub fn routes(routes: &mut Routes) {
    routes.get("/healthcheck", Access::Open, check);
}

async fn check(server: web::Data<ServerState>) -> HttpResponse {
    let unhealthy = server.unhealthy.as_ref().and_then(|unhealthy| unhealthy());
    let restricted = server.restricted.as_ref().and_then(|restricted| restricted());
    match server
        .readiness
        .obstacle()
        .map(|why| why.to_string())
        .or(unhealthy)
    {
        None => HttpResponse::Ok()
            .content_type("text/plain; charset=UTF-8")
            .body(restricted.unwrap_or_else(|| "OK".to_owned())),
        Some(why) => HttpResponse::ServiceUnavailable()
            .content_type("text/plain; charset=UTF-8")
            .body(why),
    }
}
