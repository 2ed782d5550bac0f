//! The caller of the identity service: the extractor of its handlers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use super::directory::Directory;
use super::refusal::Refusal;
use super::tokens::Session;
use super::{Identity, view};
use crate::web::auth;
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
    pub(super) directory: Arc<Directory>,
    pub(super) session: Session,
    /// `http://host`.
    pub(super) base: String,
    /// `http://host/identity/v3`.
    pub(super) api: String,
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

    pub(super) fn is_admin(&self) -> bool {
        self.session.principal.is_admin
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
        let directory = Arc::clone(&identity.directory);
        Ok(Self {
            identity,
            directory,
            session,
            api: format!("{base}/identity/v3"),
            base,
        })
    }
}

impl FromRequest for Requester {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        Box::pin(Self::of(request.clone()))
    }
}
