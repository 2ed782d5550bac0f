//! Routes for logging in: versions and tokens (keystone: `api/discovery.py`, `api/auth.py`).

use std::future::Future;
use std::pin::Pin;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, FromRequest, HttpRequest, HttpResponse, Scope, web};
use serde_json::json;

use super::login::Login;
use super::refusal::Refusal;
use super::requester::{Requester, base};
use super::tokens::Session;
use super::{Identity, lookups, view};
use crate::model::UserId;
use crate::web::client_address::client_address;
use crate::web::links::decode_query;
use crate::web::request::Body;
use crate::web::routes::{Access, Routes};

/// Adds the routes, relative to `/identity`.
pub fn add_routes(routes: &mut Routes) {
    routes.get("", Access::Open, versions);
    routes.get("/v3", Access::Open, version);
    routes.post("/v3/auth/tokens", Access::Open, issue);
    routes.get("/v3/auth/tokens", Access::Identity, show);
    routes.delete("/v3/auth/tokens", Access::Identity, revoke);
    routes.delete("/v3/users/{id}/tokens", Access::Identity, revoke_all);
    lookups::routes(routes);
}

/// Mounts the routes.
#[expect(clippy::disallowed_methods, reason = "the place where the table is mounted")]
pub fn configure(cfg: &mut web::ServiceConfig) {
    let scope = web::scope("/identity")
        .wrap(from_fn(common_headers))
        .default_service(web::to(nowhere));
    let resources = Routes::of(add_routes).ungated(|| web::to(nowhere));
    cfg.service(resources.into_iter().fold(scope, Scope::service));
}

async fn nowhere() -> Result<HttpResponse, Refusal> {
    Err(Refusal::no_such_route())
}

/// Headers that Keystone adds to its answers: where to log in, and that answers vary by token.
async fn common_headers(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let base = base(request.request());
    let mut response = next.call(request).await?;
    let refused = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("X-Auth-Token"));
    if let (true, Ok(value)) = (
        refused,
        HeaderValue::try_from(format!("Keystone uri=\"{base}/identity/v3\"")),
    ) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    Ok(response)
}

async fn versions(request: HttpRequest) -> HttpResponse {
    let api = format!("{}/identity/v3", base(&request));
    HttpResponse::MultipleChoices()
        .insert_header((header::LOCATION, format!("{api}/")))
        .json(json!({"versions": {"values": [view::version(&api)]}}))
}

async fn version(request: HttpRequest) -> HttpResponse {
    let api = format!("{}/identity/v3", base(&request));
    HttpResponse::Ok().json(json!({"version": view::version(&api)}))
}

/// A JSON body with Keystone's errors.
struct Json(Option<serde_json::Value>);

impl FromRequest for Json {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Body::from_request(request, payload);
        Box::pin(async move { Ok(Self(body.await?.0)) })
    }
}

const SUBJECT: HeaderName = HeaderName::from_static("x-subject-token");

async fn issue(
    request: HttpRequest,
    identity: web::Data<Identity>,
    Json(body): Json,
) -> Result<HttpResponse, Refusal> {
    let login = Login::parse(body.as_ref())?;
    let (text, token) = identity.login(&login, client_address(&request)).await?;
    let catalog = token
        .project_id
        .as_ref()
        .filter(|_| wants_catalog(&request))
        .map(|project| view::catalog(&base(&request), &identity.options.region, project.as_str()));
    let body = view::token(&token, &identity.directory, catalog).ok_or_else(Refusal::unauthorized)?;
    Ok(HttpResponse::Created()
        .insert_header((SUBJECT, text.reveal()))
        .json(body))
}

async fn show(request: HttpRequest, requester: Requester) -> Result<HttpResponse, Refusal> {
    let (text, subject) = subject(&request, &requester, "identity:validate_token").await?;
    let catalog = requester.catalog(&subject).filter(|_| wants_catalog(&request));
    let body = view::token(&subject.token, &requester.directory, catalog).ok_or_else(|| no_token(""))?;
    Ok(HttpResponse::Ok().insert_header((SUBJECT, text)).json(body))
}

async fn revoke(request: HttpRequest, requester: Requester) -> Result<HttpResponse, Refusal> {
    let (_, subject) = subject(&request, &requester, "identity:revoke_token").await?;
    requester.identity.tokens.revoke(&subject.token).await?;
    tracing::info!(user_id = %subject.token.user_id, audit_id = %subject.token.audit_id, "token revoked");
    Ok(HttpResponse::NoContent().finish())
}

/// Revokes all tokens of a user: the caller's own, or as an administrator those of any user. Keystone does so when a password
/// changes; a separate call is Pumice's own.
async fn revoke_all(requester: Requester, id: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let id = UserId(id.into_inner());
    if requester.session.token.user_id != id {
        requester.administrates("identity:revoke_tokens")?;
    }
    // Disabled users are included.
    if !requester.directory.users().any(|user| user.id == id) {
        return Err(Refusal::not_found("user", id.as_str()));
    }
    requester.identity.tokens.revoke_all(&id).await?;
    tracing::info!(user_id = %id, by = %requester.session.token.user_id, "all tokens of a user revoked");
    Ok(HttpResponse::NoContent().finish())
}

/// The token in `X-Subject-Token`, if the requester may see it: its own tokens, or all for an administrator.
async fn subject(
    request: &HttpRequest,
    requester: &Requester,
    action: &str,
) -> Result<(String, Session), Refusal> {
    let text = request
        .headers()
        .get(SUBJECT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let subject = requester.identity.session(text).await?;
    match subject {
        Some(subject) if requester.is_admin() || subject.token.user_id == requester.session.token.user_id => {
            Ok((text.to_owned(), subject))
        }
        // Whether the token of another user is valid is not disclosed.
        Some(_) => Err(Refusal::forbidden(action)),
        None if requester.is_admin() => Err(no_token(text)),
        None => Err(Refusal::forbidden(action)),
    }
}

/// The text is not repeated: the token may be valid elsewhere.
fn no_token(_text: &str) -> Refusal {
    Refusal::not_found("token", "the one in X-Subject-Token")
}

fn wants_catalog(request: &HttpRequest) -> bool {
    !decode_query(request.query_string())
        .iter()
        .any(|(name, _)| name == "nocatalog")
}
