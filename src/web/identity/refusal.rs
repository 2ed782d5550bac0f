//! Errors in Keystone's format: `{"error": {"code": 401, "message": "…", "title": "Unauthorized"}}`.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

use super::password_error::PasswordError;
use super::tokens::IssueError;
use crate::model::{Error, ErrorKind};
use crate::store::{CommitError, StoreError};
use crate::transport::CallError;
use crate::web::fault::{Fault, chain};

/// Keystone's text for a failed authentication.
const UNAUTHENTICATED: &str = "The request you have made requires authentication.";
/// Keystone's text for an internal error.
const UNEXPECTED: &str = "An unexpected error prevented the server from fulfilling your request.";

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The client's text.
    pub message: String,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
        }
    }

    /// 400 with this text.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400 because something is missing (keystone: `ValidationError`).
    pub fn expecting(attribute: &str, target: &str) -> Self {
        Self::bad_request(format!(
            "Expecting to find {attribute} in {target}. The server could not comply with the request since it is \
             either malformed or otherwise incorrect. The client is assumed to be in error."
        ))
    }

    /// 401 that does not say which part was wrong.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, UNAUTHENTICATED)
    }

    /// 401 with a reason that discloses no secret.
    pub fn unauthorized_because(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// 403 for an action by its Keystone name.
    pub fn forbidden(action: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            format!("You are not authorized to perform the requested action: {action}."),
        )
    }

    /// 403 with this text.
    pub fn forbidden_because(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404 for a resource of that kind.
    pub fn not_found(kind: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Could not find {kind}: {id}."))
    }

    /// 403 for what the configuration defines.
    pub fn is_configured(kind: &str, name: &str) -> Self {
        Self::forbidden_because(format!(
            "The {kind} {name} is defined by the configuration of this service, and can be changed only there."
        ))
    }

    /// 409 because something else changes it at the same time.
    pub fn changed_meanwhile() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "It is being changed by other requests. Try again.",
        )
    }

    /// 501 for what Keystone does and this service does not.
    pub fn not_implemented() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "The action you have requested has not been implemented.",
        )
    }

    /// 404 for a route.
    pub fn no_such_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "The resource could not be found.")
    }

    /// 429: too many failures.
    pub fn slow_down(wait: std::time::Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self {
            retry_after: Some(seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("Too many failed logins. Try again in {seconds} seconds."),
            )
        }
    }

    /// 503: too many logins.
    pub fn busy() -> Self {
        Self {
            retry_after: Some(5),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The service is currently unavailable. Please try again later.",
            )
        }
    }

    /// 500; the operator's text is logged at once, within the request's span.
    pub fn internal(operator: impl std::fmt::Display) -> Self {
        tracing::error!(error = %operator, "identity request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, UNEXPECTED)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        response.json(json!({"error": {
            "code": self.status.as_u16(),
            "message": self.message,
            "title": self.status.canonical_reason().unwrap_or("Error"),
        }}))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let shown = error.for_client();
        match shown.kind {
            ErrorKind::Unavailable { retry_after } => Self {
                retry_after: Some(retry_after.into()),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, shown.client)
            },
            _ => Self::internal(chain(&error)),
        }
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => error.into(),
            other => Self::internal(chain(&other)),
        }
    }
}

impl From<IssueError> for Refusal {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Store(error) => error.into(),
            IssueError::Seal(_) => Self::internal(chain(&error)),
        }
    }
}

impl From<PasswordError> for Refusal {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => {
                tracing::warn!(%error, "login refused");
                Self::busy()
            }
            _ => Self::internal(error),
        }
    }
}

impl From<Fault> for Refusal {
    /// For bodies that are too large, of the wrong type, or not JSON, and answers of actors.
    fn from(fault: Fault) -> Self {
        if let Some(operator) = &fault.operator {
            tracing::warn!(error = %operator, status = fault.status.as_u16(), "identity request failed");
        }
        Self {
            retry_after: fault.retry_after.map(u64::from),
            ..Self::new(fault.status, fault.message)
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Fault::from(error).into()
    }
}
