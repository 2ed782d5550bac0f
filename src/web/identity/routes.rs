//! The routes: versions and tokens (keystone: `api/discovery.py`, `api/auth.py`), and those of the other files.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpRequest, HttpResponse, Scope, web};
use serde_json::json;

use super::body::Json;
use super::login::Login;
use super::refusal::Refusal;
use super::requester::{Requester, base};
use super::resource::find;
use super::tokens::Session;
use super::{Identity, application_credentials, assignments, lookups, own_password, resource, view};
use crate::model::{Project, Role, User};
use crate::web::client_address::client_address;
use crate::web::links::decode_query;
use crate::web::middleware;
use crate::web::routes::{Access, Routes};

/// Adds the routes, relative to `/identity`.
pub fn add_routes(routes: &mut Routes) {
    routes.get("", Access::Open, versions);
    routes.get("/v3", Access::Open, version);
    routes.post("/v3/auth/tokens", Access::Open, issue);
    routes.get("/v3/auth/tokens", Access::Identity, show);
    routes.delete("/v3/auth/tokens", Access::Identity, revoke);
    routes.delete("/v3/users/{id}/tokens", Access::Identity, revoke_all);
    routes.post("/v3/users/{id}/password", Access::Open, own_password::change);
    resource::routes::<User>(routes);
    resource::routes::<Project>(routes);
    resource::routes::<Role>(routes);
    application_credentials::routes(routes);
    assignments::routes(routes);
    lookups::routes(routes);
}

/// Mounts the routes.
#[expect(clippy::disallowed_methods, reason = "the place where the table is mounted")]
pub fn configure(cfg: &mut web::ServiceConfig) {
    let scope = web::scope("/identity")
        .wrap(from_fn(middleware::wait_durable))
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

const SUBJECT: HeaderName = HeaderName::from_static("x-subject-token");

async fn issue(
    request: HttpRequest,
    identity: web::Data<Identity>,
    Json(body): Json,
) -> Result<HttpResponse, Refusal> {
    let login = Login::parse(body.as_ref())?;
    let (text, session) = identity.login(&login, client_address(&request)).await?;
    let catalog = session
        .token
        .project_id
        .as_ref()
        .filter(|_| wants_catalog(&request))
        .map(|project| view::catalog(&base(&request), &identity.options.region, project.as_str()));
    Ok(HttpResponse::Created()
        .insert_header((SUBJECT, text.reveal()))
        .json(view::token(&session, catalog)))
}

async fn show(request: HttpRequest, requester: Requester) -> Result<HttpResponse, Refusal> {
    let (text, subject) = subject(&request, &requester, "identity:validate_token").await?;
    let catalog = requester.catalog(&subject).filter(|_| wants_catalog(&request));
    Ok(HttpResponse::Ok()
        .insert_header((SUBJECT, text))
        .json(view::token(&subject, catalog)))
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
    requester.is_or_administrates(&id, "identity:revoke_tokens")?;
    // Disabled users are included.
    let id = find::<User>(&requester, &id).await?.record.id;
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
