//! The version documents: the first thing that every client reads (cinder: `api/versions.py`).
//!
//! `/` answers 300 and `/v3/` 200 with the same document; `/v3` redirects to `/v3/`. No token is needed, also
//! under `/v3/{project_id}/`, where clients look first to choose a microversion.

use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::caller::VersionEcho;
use super::microversion::Microversion;
use super::routes::answers::Content;
use super::routes::{Access, Routes};
use super::state::ServerState;
use super::views::shape::OBJECT;

/// The date of the newest version (cinder: `api_version_request.UPDATED`).
const UPDATED: &str = "2023-08-31T00:00:00Z";

/// Adds the routes, before those of `/v3`, which would match them. Any method is accepted, as in Cinder, whose router checks only
/// the path here: load balancers send OPTIONS or HEAD as health checks.
pub fn routes(routes: &mut Routes) {
    routes
        .any("/", Access::Open, all)
        .answers(300, Content::Json(OBJECT));
    routes.any("/v3", Access::Open, redirect).empty(302);
    routes.any("/v3/", Access::Open, index).ok(OBJECT);
    routes
        .get("/v3/{project_id:[0-9a-f-]+}", Access::Open, index)
        .ok(OBJECT);
}

/// The document, with links that start with this base.
pub fn document(base_url: &str) -> Value {
    json!({"versions": [{
        "id": "v3.0",
        "status": "CURRENT",
        "version": Microversion::MAX.to_string(),
        "min_version": Microversion::MIN.to_string(),
        "updated": UPDATED,
        "links": [
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
            {"rel": "self", "href": format!("{base_url}/v3/")},
        ],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.volume+json;version=3",
        }],
    }]})
}

async fn all(request: HttpRequest, server: web::Data<ServerState>) -> HttpResponse {
    note_version(&request);
    HttpResponse::MultipleChoices().json(document(&server.base_url(&request)))
}

async fn index(request: HttpRequest, server: web::Data<ServerState>) -> HttpResponse {
    note_version(&request);
    HttpResponse::Ok().json(document(&server.base_url(&request)))
}

async fn redirect(request: HttpRequest, server: web::Data<ServerState>) -> HttpResponse {
    HttpResponse::Found()
        .insert_header((header::LOCATION, format!("{}/v3/", server.base_url(&request))))
        .finish()
}

/// The answer is the same for all versions, so unsupported versions are not refused here: the document lists the
/// supported ones.
fn note_version(request: &HttpRequest) {
    let header = request
        .headers()
        .get(super::microversion::HEADER)
        .and_then(|value| value.to_str().ok());
    let version = Microversion::negotiate(header).unwrap_or(Microversion::MIN);
    request
        .extensions_mut()
        .insert(VersionEcho(format!("volume {version}")));
}
