//! The request context: user, project and request id. It is sent with each message.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Error, NodeIncarnation, ProjectId, Result, UserId};

/// The request context (that of oslo.context, without unused fields). The deadline is not part of it, but of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// `req-<uuid>`, in every log line of the request.
    pub request_id: String,
    /// The id of the originating request (`X-OpenStack-Request-ID` of the request).
    pub global_request_id: Option<String>,
    /// The user.
    pub user_id: UserId,
    /// The project the token is for.
    pub project_id: ProjectId,
    /// Its roles in the project.
    pub roles: Vec<String>,
    /// Whether policy counts the caller as an administrator.
    pub is_admin: bool,
    /// W3C `traceparent`, if the caller sent one.
    pub traceparent: Option<String>,
    /// The run of the node that sent the message, from the handshake of its connection; `None` is this process. The transport sets it, so it
    /// is not sent.
    #[serde(skip)]
    pub sender: Option<Arc<NodeIncarnation>>,
}

impl Context {
    /// The caller's project, for what is made in it.
    ///
    /// # Errors
    /// 403 for a token without a project. Cinder makes a volume of no project then.
    pub fn own_project(&self) -> Result<&ProjectId> {
        match self.project_id.as_str() {
            "" => Err(Error::forbidden(
                "The token is for no project, so nothing can be made with it.",
            )),
            _ => Ok(&self.project_id),
        }
    }

    /// This context as that of a node that may not act for users: what it says of a user, a project, and roles is not believed. Its
    /// request ids and its trace are kept.
    pub fn without_authority(self, node: &str) -> Self {
        Self {
            user_id: UserId::from(node),
            project_id: ProjectId(String::new()),
            roles: Vec::new(),
            is_admin: false,
            ..self
        }
    }

    /// A context for work without a request: resumes, timers, reports.
    pub fn internal(why: &str) -> Self {
        Self {
            request_id: format!("req-{}", crate::rng::id()),
            global_request_id: None,
            user_id: UserId::from(why),
            project_id: ProjectId::from("pumice"),
            roles: vec!["admin".to_owned()],
            is_admin: true,
            traceparent: None,
            sender: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_without_authority_has_no_user() {
        let made_up = Context::internal("evil");
        let context = made_up.clone().without_authority("vol/volume");
        assert_eq!(context.request_id, made_up.request_id);
        assert!(!context.is_admin && context.roles.is_empty() && context.own_project().is_err());
        assert_eq!(context.user_id.as_str(), "vol/volume");
    }

    #[test]
    fn a_token_without_a_project_makes_nothing() {
        let context = Context::internal("test");
        assert_eq!(context.own_project().unwrap().as_str(), "pumice");
        let context = Context {
            project_id: ProjectId(String::new()),
            ..context
        };
        let error = context.own_project().unwrap_err();
        assert_eq!(error.kind, crate::model::ErrorKind::Forbidden);
    }
}
