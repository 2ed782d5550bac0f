//! The OpenAPI 3.1 document of the volume API at `/openapi.json`, one for each microversion, and a readable page of it at
//! `/openapi`. Clients read it before they have a token, as the version documents.
//!
//! The document is written from the table of routes (`routes`), the schemas that bodies are checked against (`schema`) and the
//! shapes of the views (`views::shape`), so a route appears in it as soon as it has a row:
//!
//! | file | part |
//! |---|---|
//! | `document` | the frame: paths, operations, components |
//! | `parameters` | parameters in paths, queries and headers |
//! | `answers` | answers and faults with their statuses |
//! | `links` | from what makes a resource to what can be done with it |
//! | `shapes` | a shape as JSON schema |
//! | `page` | the page |

mod answers;
mod document;
mod links;
mod page;
mod parameters;
mod shapes;

use std::sync::OnceLock;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::caller::VersionEcho;
use super::fault::{Fault, HandlerResult};
use super::links::decode_query;
use super::microversion::{self, Microversion};
use super::routes::answers::{Content, Parameter, query};
use super::routes::{Access, Routes};
use super::views::shape::{OBJECT, Shape};

pub use document::document;

const PARAMETERS: &[Parameter] = &[query("microversion", Shape::Text)];

/// Adds the routes.
pub fn routes(routes: &mut Routes) {
    routes
        .get("/openapi.json", Access::Open, json)
        .parameters(PARAMETERS)
        .ok(OBJECT);
    routes
        .get("/openapi", Access::Open, html)
        .parameters(PARAMETERS)
        .answers(200, Content::Other("text/html"));
}

/// A document or a page as it is sent, with its entity tag.
struct Rendered {
    body: Bytes,
    etag: String,
}

impl Rendered {
    fn of(text: String) -> Self {
        let digest = hex::encode(&Sha256::digest(&text)[..16]);
        Self {
            body: text.into(),
            etag: format!("\"{digest}\""),
        }
    }
}

/// One for each version, written when it is first asked for: they do not change while the program runs.
type Cache = [OnceLock<Rendered>; Microversion::MAX.0 as usize + 1];

async fn json(request: HttpRequest) -> HandlerResult {
    static DOCUMENTS: Cache = [const { OnceLock::new() }; Microversion::MAX.0 as usize + 1];
    let mut response = answer(&request, &DOCUMENTS, |version| document(version).to_string())?;
    insert(&mut response, header::CONTENT_TYPE, "application/json");
    Ok(response)
}

async fn html(request: HttpRequest) -> HandlerResult {
    static PAGES: Cache = [const { OnceLock::new() }; Microversion::MAX.0 as usize + 1];
    let mut response = answer(&request, &PAGES, |version| {
        page::html(version, &document(version))
    })?;
    insert(&mut response, header::CONTENT_TYPE, "text/html; charset=utf-8");
    insert(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    insert(&mut response, header::REFERRER_POLICY, "no-referrer");
    insert(
        &mut response,
        header::CONTENT_SECURITY_POLICY,
        page::security_policy(),
    );
    Ok(response)
}

fn insert(response: &mut HttpResponse, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn answer(request: &HttpRequest, cache: &Cache, write: impl Fn(Microversion) -> String) -> HandlerResult {
    let version = wanted(request)?;
    request
        .extensions_mut()
        .insert(VersionEcho(format!("volume {version}")));
    let slot = cache
        .get(usize::from(version.0))
        .ok_or_else(|| Fault::internal(format!("no place for the document of {version}")))?;
    let rendered = slot.get_or_init(|| Rendered::of(write(version)));
    let known = request.headers().get(header::IF_NONE_MATCH);
    let known = known.and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    let is_known = known
        .split(',')
        .any(|tag| tag.trim().trim_start_matches("W/") == rendered.etag);
    let mut response = if is_known {
        HttpResponse::NotModified().finish()
    } else {
        HttpResponse::Ok().body(rendered.body.clone())
    };
    insert(&mut response, header::ETAG, &rendered.etag);
    insert(&mut response, header::CACHE_CONTROL, "public, max-age=300");
    Ok(response)
}

/// The version of the query, else of the header, else the newest.
fn wanted(request: &HttpRequest) -> Result<Microversion, Fault> {
    let query = decode_query(request.query_string());
    let asked = query.iter().rev().find(|(name, _)| name == "microversion");
    let header = match asked {
        Some((_, version)) => Some(format!("volume {version}")),
        None => request
            .headers()
            .get(microversion::HEADER)
            .map(|value| value.to_str().unwrap_or_default().to_owned()),
    };
    match header {
        None => Ok(Microversion::MAX),
        Some(header) => Ok(Microversion::negotiate(Some(&header))?),
    }
}

/// Adds an entry, if there is none with that key yet.
fn put(object: &mut serde_json::Map<String, Value>, key: &str, value: impl Into<Value>) {
    object.entry(key.to_owned()).or_insert_with(|| value.into());
}

#[cfg(test)]
mod tests;
