//! `/healthcheck`: whether a load balancer should send requests to this node (oslo.middleware: `healthcheck`). It uses
//! neither actors nor the store, so that it answers when they do not.
//!
//! A node that is read-only at present stays in service: it answers 200, with the reason in place of `OK`. Otherwise no node
//! might be left to read from.

use actix_web::{HttpResponse, web};

use super::routes::answers::Content;
use super::routes::{Access, Routes};
use super::state::ServerState;

/// Adds the route.
pub fn routes(routes: &mut Routes) {
    let text = Content::Other("text/plain");
    let row = routes.get("/healthcheck", Access::Open, check);
    row.answers(200, text).answers(503, text);
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
