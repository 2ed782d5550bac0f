//! The error type of the control plane, classified by who must act.
//!
//! The client's text (`client`, exactly Cinder's) and the operator's text (`operator`, logged, never sent over
//! HTTP) are separate fields. `web` maps [`ErrorKind`] to the HTTP status.

use serde::{Deserialize, Serialize};

/// The kind of an error, by who must act on it. Variants are only appended, since they are sent over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The request can never succeed as it is (400).
    BadRequest,
    /// Not allowed by policy (403).
    Forbidden,
    /// The resource does not exist, or is not visible to the caller (404).
    NotFound,
    /// The state of the resource does not allow it, or it was changed concurrently (409).
    Conflict,
    /// A quota would be exceeded (413 with `Retry-After: 0`).
    OverQuota,
    /// Exists in Cinder, but is not implemented (501).
    NotImplemented,
    /// Temporarily impossible (503 with `Retry-After`).
    Unavailable {
        /// Seconds after which the client may retry.
        retry_after: u32,
    },
    /// The storage failed, for example a driver command (500 with Cinder's generic text by default).
    Backend,
    /// An internal error (500); the client gets Cinder's generic text.
    Internal,
    /// The result would be too large to be stored (413, without `Retry-After`, because a retry cannot succeed).
    TooLarge,
    /// The request contradicts an earlier one (422).
    Unprocessable,
}

/// An error with a text for the client and one for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{client}{}", operator.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
pub struct Error {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The text for the client.
    pub client: String,
    /// The text for the log; `None` if the client's text is sufficient.
    pub operator: Option<String>,
}

/// Shorthand for results of the domain.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Cinder's text for an error whose cause is not disclosed to the client.
pub const GENERIC_FAULT: &str =
    "The server has either erred or is incapable of performing the requested operation.";

impl Error {
    fn new(kind: ErrorKind, client: impl Into<String>) -> Self {
        Self {
            kind,
            client: client.into(),
            operator: None,
        }
    }

    /// 400 with this text.
    pub fn bad_request(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadRequest, client)
    }

    /// 403 with this text.
    pub fn forbidden(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, client)
    }

    /// 403 with Cinder's text for a policy rule.
    pub fn forbidden_by(rule: &str) -> Self {
        Self::forbidden(format!("Policy doesn't allow {rule} to be performed."))
    }

    /// 404 with this text.
    pub fn not_found(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, client)
    }

    /// 404 with Cinder's text for a volume.
    pub fn volume_not_found(id: impl std::fmt::Display) -> Self {
        Self::not_found(format!("Volume {id} could not be found."))
    }

    /// 400 with Cinder's text for a volume in the wrong state (`InvalidVolume`).
    pub fn invalid_volume(reason: impl std::fmt::Display) -> Self {
        Self::bad_request(format!("Invalid volume: {reason}"))
    }

    /// 400 with Cinder's text (`InvalidInput`).
    pub fn invalid_input(reason: impl std::fmt::Display) -> Self {
        Self::bad_request(format!("Invalid input received: {reason}"))
    }

    /// 409 with this text.
    pub fn conflict(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, client)
    }

    /// 413 with this text.
    pub fn over_quota(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::OverQuota, client)
    }

    /// 413 with this text: a retry cannot succeed.
    pub fn too_large(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, client)
    }

    /// 422 for an idempotency key that was used for another request.
    pub fn key_of_another_request() -> Self {
        Self::unprocessable("The Idempotency-Key was used for another request.")
    }

    /// 422 with this text.
    pub fn unprocessable(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unprocessable, client)
    }

    /// 501 with this text.
    pub fn not_implemented(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotImplemented, client)
    }

    /// 503; the reason is in the operator's text.
    pub fn unavailable(client: impl Into<String>, retry_after: u32) -> Self {
        Self::new(ErrorKind::Unavailable { retry_after }, client)
    }

    /// A backend's failure, with a text for the client.
    pub fn backend(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::Backend, client)
    }

    /// An internal error: the client gets Cinder's generic text, this text is logged.
    pub fn internal(operator: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, GENERIC_FAULT).with_operator(operator)
    }

    /// Adds the text for the operator.
    #[must_use]
    pub fn with_operator(mut self, text: impl std::fmt::Display) -> Self {
        self.operator = Some(text.to_string());
        self
    }

    /// The text for the log: the operator's text if there is one, else the client's.
    pub fn for_operator(&self) -> &str {
        self.operator.as_deref().unwrap_or(&self.client)
    }
}
