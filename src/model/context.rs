//! Who asks, on whose behalf, under which request id: it travels with each message.

use serde::{Deserialize, Serialize};

use super::{ProjectId, UserId};

/// The request context (oslo.context's, less what nobody reads). The deadline is not in here: it is the call's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// `req-<uuid>`, on every line of the request's way.
    pub request_id: String,
    /// The id the caller's caller gave (`X-OpenStack-Request-ID` of the request).
    pub global_request_id: Option<String>,
    /// The user.
    pub user_id: UserId,
    /// The project the token is for.
    pub project_id: ProjectId,
    /// The roles it has there.
    pub roles: Vec<String>,
    /// Whether policy counts the caller as an administrator.
    pub is_admin: bool,
    /// W3C `traceparent`, if the caller sent one.
    pub traceparent: Option<String>,
}

impl Context {
    /// A context for work that no request asked for: resumes, timers, reports.
    #[must_use]
    pub fn internal(why: &str) -> Self {
        Self {
            request_id: format!("req-{}", crate::rng::id()),
            global_request_id: None,
            user_id: UserId::from(why),
            project_id: ProjectId::from("pumice"),
            roles: vec!["admin".to_owned()],
            is_admin: true,
            traceparent: None,
        }
    }
}
