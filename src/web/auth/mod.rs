//! Authentication: from a token to a user in a project, by the configured strategy.
//!
//! Nothing but version documents, logins and the health check is answered without a token. Unauthenticated clients
//! receive the answer of keystonemiddleware, which tells them where to log in.

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
    /// The project the token is for; empty for a token without scope, which no policy lets through.
    pub project_id: ProjectId,
    /// The roles there, implied ones included.
    pub roles: Vec<String>,
    /// Whether policy counts the user as an administrator.
    pub is_admin: bool,
}

/// Validates tokens.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// The user of this token; `None` if the token is not valid (any more).
    ///
    /// # Errors
    /// If the store or the identity service is unavailable.
    async fn authenticate(&self, token: &str) -> Result<Option<Principal>, Fault>;

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
                Some(token) => authenticator.authenticate(token).await,
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
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    text("x-auth-token")
        .or_else(|| text("x-storage-token"))
        .map(str::trim)
        .filter(|token| !token.is_empty())
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
