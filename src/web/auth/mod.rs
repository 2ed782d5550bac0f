//! Authentication: from a token to a user in a project, by the configured strategy.
//!
//! Nothing but version documents, logins and the health check is answered without a token. Unauthenticated clients
//! receive the answer of keystonemiddleware, which tells them where to log in.

pub mod keystone;
mod noauth;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;

use super::fault::Fault;
use crate::model::{ProjectId, UserId};

/// The user of a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user.
    pub user_id: UserId,
    /// The project the token is for; empty for a token without one, which by default only administrators can use.
    pub project_id: ProjectId,
    /// The roles there, implied ones included.
    pub roles: Vec<String>,
    /// Whether policy counts the user as an administrator.
    pub is_admin: bool,
    /// What the token is for.
    pub scope: Scope,
}

/// What a token is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// A project.
    #[default]
    Project,
    /// All of the deployment (keystone: `system_scope:all`).
    System,
    /// The domain with this id.
    Domain(String),
    /// Nothing: it only says who the user is.
    None,
}

/// What a request says of its sender.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The user's token.
    pub token: &'a str,
    /// The token of the service that sends the request for the user (`X-Service-Token`).
    pub service_token: Option<&'a str>,
    /// The method of the request.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
}

/// Validates tokens.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// The user of the token; `None` if the token is not valid (any more), or not for this request.
    ///
    /// # Errors
    /// If the store or the identity service is unavailable.
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<Principal>, Fault>;

    /// Whether there is this project, as far as can be known.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`].
    async fn has_project(&self, _project: &ProjectId) -> Result<bool, Fault> {
        Ok(true)
    }

    /// Where to log in, for `WWW-Authenticate`.
    fn login_uri(&self, base_url: &str) -> String;
}

/// How callers are authenticated.
#[derive(Clone)]
pub enum Strategy {
    /// By tokens of an identity service.
    Tokens(Arc<dyn Authenticator>),
    /// No authentication: a token is `user:project`, and everyone is an administrator (cinder: `auth_strategy =
    /// noauth`). For local tests.
    NoAuth,
}

impl Strategy {
    /// Whether there is this project, as far as can be known.
    ///
    /// # Errors
    /// If the identity service is unavailable.
    pub async fn has_project(&self, project: &ProjectId) -> Result<bool, Fault> {
        match self {
            Self::Tokens(authenticator) => authenticator.has_project(project).await,
            Self::NoAuth => Ok(true),
        }
    }
}

/// The result of authentication.
pub enum Admission {
    /// The request continues.
    Come(Principal),
    /// The request is answered with this.
    Answer(HttpResponse),
}

/// Checks a request's token. `base_url` is the URL by which the client reaches this service; a client without
/// a token receives the address to log in at.
pub async fn admit(strategy: &Strategy, base_url: impl Fn() -> String, request: &HttpRequest) -> Admission {
    let token = token(request);
    match strategy {
        Strategy::NoAuth => {
            let admission = match token {
                Some(token) => noauth::principal(token).map(Admission::Come),
                None => noauth::hand_out(request, &base_url()).map(Admission::Answer),
            };
            admission.unwrap_or_else(|error| Admission::Answer(HttpResponse::from_error(Fault::from(error))))
        }
        Strategy::Tokens(authenticator) => {
            let found = match token {
                Some(token) => authenticator.authenticate(&credentials(request, token)).await,
                None => Ok(None),
            };
            match found {
                Ok(Some(principal)) => Admission::Come(principal),
                Ok(None) => Admission::Answer(unauthorized(&authenticator.login_uri(&base_url()))),
                Err(fault) => Admission::Answer(HttpResponse::from_error(fault)),
            }
        }
    }
}

/// The token in a request's headers.
pub fn token(request: &HttpRequest) -> Option<&str> {
    header(request, "x-auth-token")
        .or_else(|| header(request, "x-storage-token"))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

fn credentials<'a>(request: &'a HttpRequest, token: &'a str) -> Credentials<'a> {
    let service_token = request.headers().get("x-service-token");
    Credentials {
        token,
        // A header that is not text is no valid token.
        service_token: service_token.map(|value| value.to_str().unwrap_or_default().trim()),
        method: request.method().as_str(),
        path: request.path(),
    }
}

/// keystonemiddleware's 401.
fn unauthorized(login_uri: &str) -> HttpResponse {
    let mut response = HttpResponse::Unauthorized();
    if let Ok(value) = HeaderValue::try_from(format!("Keystone uri=\"{login_uri}\"")) {
        response.insert_header((header::WWW_AUTHENTICATE, value));
    }
    response.json(json!({"error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }}))
}
