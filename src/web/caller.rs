//! The caller and its version: what a handler knows of its request besides path, query and body.
//!
//! Handlers take a [`Caller`] as their first argument. By then the middleware has checked the token and stored a
//! [`Context`]; taking the `Caller` negotiates the version and compares the project in the path with the token's, in that
//! order, and only for requests that some handler serves: unknown routes are 404 before versions are checked, as in
//! Cinder.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use serde_json::{Value, json};

use super::auth::Scope;
use super::fault::Fault;
use super::links;
use super::microversion::{self, Microversion};
use super::policy::{Policy, Rule};
use super::state::{ServerState, WebState};
use super::trusted_proxies::TrustedProxies;
use crate::messages::api::{ApiTopic, RunOnce};
use crate::messages::{Call, Message};
use crate::model::idempotency::IdempotencyKey;
use crate::model::{Context, ProjectId};
use crate::transport::{Handle, codec};

/// An authenticated request. Handlers take it as an argument (it is an extractor); the middleware has put it together.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The request context that is sent with each message.
    pub context: Context,
    /// The negotiated version.
    pub version: Microversion,
    /// `http://host:port`, by which the client reaches this service; public links start with it.
    pub base_url: String,
    /// The project in the path, if there is one.
    pub path_project: Option<String>,
    /// The rule of the route or action. If the gate does not enforce it, the handler does; a handler that forgets cannot send
    /// anything to an actor.
    pub(super) rule: Option<Rule>,
    /// The policy in force.
    pub(super) policy: Arc<Policy>,
    /// What the token is for.
    pub(super) scope: Scope,
    /// The idempotency key, of a request that makes a resource.
    pub(super) once: Option<Arc<Once>>,
}

/// The idempotency key of a request.
#[derive(Debug)]
pub(super) struct Once {
    pub(super) key: IdempotencyKey,
    /// Whether an answer to a request with this key is stored.
    pub(super) is_known: bool,
    /// Whether an answer was repeated.
    pub(super) is_repeated: AtomicBool,
}

/// The value of `OpenStack-API-Version` in the answer, stored for the middleware.
#[derive(Clone, Debug)]
pub(super) struct VersionEcho(pub String);

impl Caller {
    /// 403 unless the caller may do this in its own project.
    pub fn may(&self, rule: Rule) -> Result<(), Fault> {
        self.may_in(rule, &self.context.project_id)
    }

    /// 403 unless the caller may do this in that project: in its own, or in any as an administrator.
    pub fn may_in(&self, rule: Rule, project: &ProjectId) -> Result<(), Fault> {
        if self.policy.allows(rule, &self.context, &self.scope, project) {
            Ok(())
        } else {
            Err(rule.refusal().into())
        }
    }

    /// Stores the rule of the route or action.
    pub(super) fn mark(&mut self, rule: Option<Rule>) {
        self.rule = rule;
    }

    /// The rule of the route or action, if it denies the caller.
    pub(super) fn refused_by(&self) -> Option<Rule> {
        self.rule.filter(|rule| !self.can(*rule))
    }

    /// 403 if the rule of the route or action denies the caller.
    pub fn permitted(&self) -> Result<(), Fault> {
        self.rule.map_or(Ok(()), |rule| self.may(rule))
    }

    /// 403 if that rule denies the caller in that project.
    pub fn permitted_in(&self, project: &ProjectId) -> Result<(), Fault> {
        self.rule.map_or(Ok(()), |rule| self.may_in(rule, project))
    }

    /// Whether a request with the same idempotency key was answered. What it was made from may be gone by now, and must not be looked
    /// up: the Api actor repeats the answer.
    pub fn has_been_answered(&self) -> bool {
        self.once.as_ref().is_some_and(|once| once.is_known)
    }

    /// Sends a change to the Api actor, if the rule of the route or action allows it.
    ///
    /// # Errors
    /// 403, or what the actor answers.
    pub async fn ask<M>(&self, state: &WebState, message: M) -> Result<M::Reply, Fault>
    where
        M: Call + Message<To = ApiTopic>,
    {
        self.permitted()?;
        let Some(once) = &self.once else {
            return self.call(state, &state.api, message).await;
        };
        let message = RunOnce {
            key: once.key.clone(),
            request: M::NAME.to_owned(),
            message: codec::encode(&message).map_err(Fault::internal)?,
        };
        let ran = self.call(state, &state.api, message).await?;
        once.is_repeated.fetch_or(ran.is_repeated, Ordering::Relaxed);
        codec::decode(&ran.reply).map_err(Fault::internal)
    }

    /// Sends a message to an actor. The rule of the route or action was checked.
    ///
    /// # Errors
    /// What the actor answers.
    pub async fn call<M: Call>(
        &self,
        state: &WebState,
        actor: &Handle<M::To>,
        message: M,
    ) -> Result<M::Reply, Fault> {
        let answer = match self.rule.filter(|rule| self.policy.changes(*rule)) {
            // Actors require the role that the rule has by default. The caller's own project and what it sees are as before.
            Some(rule) => {
                let mut context = self.context.clone();
                context.roles.push(rule.level.role().to_owned());
                actor.call(&context, message, state.call_timeout).await
            }
            None => actor.call(&self.context, message, state.call_timeout).await,
        };
        Ok(answer?)
    }

    /// Whether the caller may do this in its own project.
    pub fn can(&self, rule: Rule) -> bool {
        self.may(rule).is_ok()
    }

    /// Whether the caller may see resources of that project: its own, or any as an administrator. Resources that may
    /// not be seen are answered with 404.
    pub fn sees(&self, project: &ProjectId) -> bool {
        self.context.is_admin || self.context.project_id == *project
    }

    /// 404 unless the negotiated version is 3.`minor` or newer.
    pub fn since(&self, minor: u16) -> Result<(), Fault> {
        if self.version.at_least(minor) {
            Ok(())
        } else {
            Err(Fault::no_such_resource())
        }
    }

    /// The link to the next page, as the value of `<collection>_links`. `path` is what follows the project
    /// (`volumes/detail`), `query` the request's own query.
    pub fn next_link(&self, path: &str, query: &str, last_id: &str) -> Value {
        let query = links::next_query(query, last_id);
        json!([{"rel": "next", "href": format!("{}/v3/{}{path}?{query}", self.base_url, self.project_segment())}])
    }

    /// `<project>/` if the request's path contains it; links then contain it, too.
    pub(super) fn project_segment(&self) -> String {
        self.path_project
            .as_ref()
            .map(|project| format!("{project}/"))
            .unwrap_or_default()
    }

    pub(super) fn of(request: &HttpRequest) -> Result<Self, Fault> {
        if let Some(ready) = request.extensions().get::<Self>() {
            return Ok(ready.clone());
        }
        let Some(context) = request.extensions().get::<Context>().cloned() else {
            return Err(Fault::internal(format!(
                "no context for {}: the route is outside the server",
                request.path()
            )));
        };
        let version = agree(request)?;
        // No name and no id has it.
        let url = request.uri().path_and_query();
        if url.is_some_and(|url| url.as_str().contains("%00")) {
            return Err(Fault::bad_request("Malformed request url"));
        }
        let path_project = links::path_project(request.path()).map(str::to_owned);
        if path_project
            .as_deref()
            .is_some_and(|project| project != context.project_id.as_str())
        {
            return Err(Fault::bad_request("Malformed request url"));
        }
        let server = request.app_data::<web::Data<ServerState>>();
        let base_url = match server {
            Some(server) => server.base_url(request),
            None => links::LinkOptions::default().base_url(&TrustedProxies::default(), request),
        };
        let policy = server.map_or_else(Arc::default, |server| Arc::clone(&server.policy));
        Ok(Self {
            context,
            version,
            base_url,
            path_project,
            rule: None,
            policy,
            scope: request.extensions().get::<Scope>().cloned().unwrap_or_default(),
            once: None,
        })
    }
}

/// Negotiates the version, and stores the version header of the answer.
fn agree(request: &HttpRequest) -> Result<Microversion, Fault> {
    let headers: Vec<&str> = request
        .headers()
        .get_all(microversion::HEADER)
        .filter_map(|value| value.to_str().ok())
        .collect();
    let joined = headers.join(",");
    let named = request
        .headers()
        .contains_key(microversion::HEADER)
        .then_some(joined.as_str());
    let agreed = Microversion::negotiate(named);
    let echo = match &agreed {
        Ok(version) => Some(format!("volume {version}")),
        Err(refusal) => refusal.echo(),
    };
    if let Some(echo) = echo {
        request.extensions_mut().insert(VersionEcho(echo));
    }
    agreed.map_err(Fault::from)
}

impl FromRequest for Caller {
    type Error = Fault;
    type Future = Ready<Result<Self, Fault>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::web::views::LinkBase;

    fn caller(path: &str, version: Option<&str>) -> Result<Caller, Fault> {
        let mut request = TestRequest::with_uri(path).insert_header(("Host", "localhost"));
        if let Some(version) = version {
            request = request.insert_header(("OpenStack-API-Version", version));
        }
        let request = request.to_http_request();
        request.extensions_mut().insert(Context {
            project_id: "0a".into(),
            ..Context::internal("test")
        });
        Caller::of(&request)
    }

    #[test]
    fn another_project_in_the_path_is_a_malformed_url() {
        let fault = caller("/v3/0b/volumes", None).unwrap_err();
        assert_eq!(
            (fault.status.as_u16(), fault.message.as_str()),
            (400, "Malformed request url")
        );
        assert!(caller("/v3/volumes", None).unwrap().path_project.is_none());
    }

    #[test]
    fn a_bad_version_is_reported_before_a_bad_project() {
        assert_eq!(
            caller("/v3/0b/volumes", Some("volume 3.72")).unwrap_err().status,
            406
        );
    }

    #[test]
    fn links_have_the_project_only_if_the_path_has_it() {
        let links = |caller: &Caller| json!(LinkBase::new(caller, "volumes").of("v"));
        let with = caller("/v3/0a/volumes", Some("volume 3.71")).unwrap();
        assert_eq!(
            links(&with),
            json!([
                {"rel": "self", "href": "http://localhost/v3/0a/volumes/v"},
                {"rel": "bookmark", "href": "http://localhost/0a/volumes/v"},
            ])
        );
        let without = caller("/v3/volumes?limit=1", None).unwrap();
        assert_eq!(links(&without)[0]["href"], "http://localhost/v3/volumes/v");
        assert_eq!(
            without.next_link("volumes", "limit=1", "v")[0]["href"],
            "http://localhost/v3/volumes?limit=1&marker=v"
        );
    }

    #[test]
    fn a_request_that_came_around_the_door_is_our_fault() {
        let request = TestRequest::with_uri("/v3/volumes").to_http_request();
        assert_eq!(Caller::of(&request).unwrap_err().status, 500);
    }
}
