//! One error type for the whole control plane, by who must act.
//!
//! The client's words (`client`, Cinder's text to the letter) and the operator's words (`operator`, logged, never
//! sent over HTTP) are different fields. The HTTP status is chosen from [`ErrorKind`] at the last moment, in `web`.

use serde::{Deserialize, Serialize};

/// What went wrong, seen by who must act on it. Variants are only ever appended: they cross the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The request can never succeed as it is (400).
    BadRequest,
    /// Not allowed by policy (403).
    Forbidden,
    /// No such thing, or not the caller's (404).
    NotFound,
    /// The thing is in a state that does not allow it, or somebody else was faster (409).
    Conflict,
    /// A quota would be exceeded (413 with `Retry-After: 0`).
    OverQuota,
    /// Known to Cinder, not built (501).
    NotImplemented,
    /// Cannot be done now; try again after so many seconds (503 with `Retry-After`).
    Unavailable {
        /// Seconds after which trying again makes sense.
        retry_after: u32,
    },
    /// The storage behind said no: a failed driver command, say (500 with Cinder's generic text unless told otherwise).
    Backend,
    /// A fault of ours (500); the client sees Cinder's generic text.
    Internal,
    /// What it would make is larger than may be kept (413, without `Retry-After`: it will never fit).
    TooLarge,
}

/// An error with a face for the client and one for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{client}{}", operator.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
pub struct Error {
    /// Who must act.
    pub kind: ErrorKind,
    /// What the client reads.
    pub client: String,
    /// What the operator reads in the log; `None` if the client's words say it all.
    pub operator: Option<String>,
}

/// Shorthand for results of the domain.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Cinder's text for a fault whose cause is not the client's business.
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

    /// 403 with Cinder's text for a policy rule.
    #[must_use]
    pub fn forbidden_by(rule: &str) -> Self {
        Self::new(
            ErrorKind::Forbidden,
            format!("Policy doesn't allow {rule} to be performed."),
        )
    }

    /// 404 with this text.
    pub fn not_found(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, client)
    }

    /// 404 in Cinder's words for a volume.
    pub fn volume_not_found(id: impl std::fmt::Display) -> Self {
        Self::not_found(format!("Volume {id} could not be found."))
    }

    /// 400 in Cinder's words for a volume in the wrong state (`InvalidVolume`).
    pub fn invalid_volume(reason: impl std::fmt::Display) -> Self {
        Self::bad_request(format!("Invalid volume: {reason}"))
    }

    /// 400 in Cinder's words (`InvalidInput`).
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

    /// 413 with this text: trying again makes no sense.
    pub fn too_large(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, client)
    }

    /// 501 with this text.
    pub fn not_implemented(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotImplemented, client)
    }

    /// 503; the operator's words say why.
    pub fn unavailable(client: impl Into<String>, retry_after: u32) -> Self {
        Self::new(ErrorKind::Unavailable { retry_after }, client)
    }

    /// A backend's refusal, in words for the client.
    pub fn backend(client: impl Into<String>) -> Self {
        Self::new(ErrorKind::Backend, client)
    }

    /// A fault of ours: the client reads Cinder's generic text, the operator reads this.
    pub fn internal(operator: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, GENERIC_FAULT).with_operator(operator)
    }

    /// Adds words for the operator.
    #[must_use]
    pub fn with_operator(mut self, text: impl std::fmt::Display) -> Self {
        self.operator = Some(text.to_string());
        self
    }

    /// What to write to the log: the operator's words if there are any, else the client's.
    #[must_use]
    pub fn for_operator(&self) -> &str {
        self.operator.as_deref().unwrap_or(&self.client)
    }
}
