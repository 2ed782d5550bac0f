//! The caller of the identity service: the extractor of its handlers.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use super::directory::Directory;
use super::refusal::Refusal;
use super::tokens::Session;
use super::{Identity, view};
use crate::messages::api::ApiTopic;
use crate::messages::{Call, Message};
use crate::model::{ProjectId, UserId};
use crate::web::auth::{self, Principal, Scope};
use crate::web::middleware::context_of;
use crate::web::state::ServerState;

/// `http://host`, as the client reaches this service.
pub(super) fn base(request: &HttpRequest) -> String {
    request
        .app_data::<web::Data<ServerState>>()
        .map(|server| server.base_url(request))
        .unwrap_or_default()
}

/// The caller of the identity service, with the service's state.
pub(super) struct Requester {
    pub(super) identity: web::Data<Identity>,
    pub(super) session: Session,
    /// `http://host`.
    pub(super) base: String,
    /// `http://host/identity/v3`.
    pub(super) api: String,
    request: HttpRequest,
}

impl Requester {
    /// 403 unless the requester is an administrator.
    pub(super) fn administrates(&self, action: &str) -> Result<(), Refusal> {
        if self.is_admin() {
            Ok(())
        } else {
            Err(Refusal::forbidden(action))
        }
    }

    /// 403 unless the requester is this user or an administrator.
    pub(super) fn is_or_administrates(&self, user: &str, action: &str) -> Result<(), Refusal> {
        match self.is(user) {
            true => Ok(()),
            false => self.administrates(action),
        }
    }

    /// Whether the requester is this user.
    pub(super) fn is(&self, user: &str) -> bool {
        self.session.user.id.as_str() == user
    }

    pub(super) fn is_admin(&self) -> bool {
        self.session.is_admin()
    }

    /// Users, projects and roles.
    pub(super) fn directory(&self) -> &Directory {
        &self.identity.directory
    }

    /// Sends a change to the Api actor.
    pub(super) async fn call<M>(&self, message: M) -> Result<M::Reply, Refusal>
    where
        M: Call + Message<To = ApiTopic>,
    {
        call_as_service(&self.identity, &self.request, &self.session.user.id, message).await
    }

    /// The catalog of the token's project; `None` for a token without one.
    pub(super) fn catalog(&self, session: &Session) -> Option<serde_json::Value> {
        let project = session.token.project_id.as_ref()?;
        Some(view::catalog(
            &self.base,
            &self.identity.options.region,
            project.as_str(),
        ))
    }

    async fn of(request: HttpRequest) -> Result<Self, Refusal> {
        let identity = request
            .app_data::<web::Data<Identity>>()
            .cloned()
            .ok_or_else(|| Refusal::internal("the identity service is not mounted"))?;
        let token = auth::token(&request).ok_or_else(Refusal::unauthorized)?;
        let session = identity.session(token).await?.ok_or_else(Refusal::unauthorized)?;
        let base = base(&request);
        Ok(Self {
            identity,
            session,
            api: format!("{base}/identity/v3"),
            base,
            request,
        })
    }
}

/// Sends a change to the Api actor, with the rights of the service: it has checked those of the user, who may change what is its
/// own without a role.
pub(super) async fn call_as_service<M>(
    identity: &Identity,
    request: &HttpRequest,
    user: &UserId,
    message: M,
) -> Result<M::Reply, Refusal>
where
    M: Call + Message<To = ApiTopic>,
{
    let service = Principal {
        user_id: user.clone(),
        project_id: ProjectId(String::new()),
        roles: Vec::new(),
        is_admin: true,
        scope: Scope::None,
    };
    let context = context_of(request, service);
    Ok(identity
        .api
        .call(&context, message, identity.options.call_timeout)
        .await?)
}

impl FromRequest for Requester {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        Box::pin(Self::of(request.clone()))
    }
}
