//! Tables of routes. A row describes a route: method, path, action, first microversion, rule,
//! schema of the body, handler, and whether it is served.
//!
//! The rows are mounted (`server`), enforced (`gate`, `routes::actions`) and listed: `docs/reference/api.md` is generated from
//! them, and the test that walks all routes (`tests/web_v3/walk.rs`) covers everything that clients can reach. `clippy.toml`
//! forbids building resources elsewhere. Cinder's table is `v3::table`.

use std::future::Future;
use std::rc::Rc;

use actix_web::http::Method;
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route, guard, web};

use super::caller::Caller;
use super::fault::{Fault, HandlerResult};
use super::microversion::Microversion;
use super::policy::Rule;
use super::schema::Schema;
use super::views::shape::Shape;
use actions::ActionHandler;
use answers::{Parameter, Success};

mod actions;
pub mod answers;

#[cfg(test)]
pub(super) use actions::read as read_action;
pub use actions::{ActionOn, Subject, SubjectNames, SubjectPath};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every client, without a token: version documents, logins, the health check.
    Open,
    /// Every client with a token, whatever its project and roles. The handler shows the caller's own resources only.
    Token,
    /// Callers that the rule allows in the project of their token.
    Rule(Rule),
    /// Administrators of the embedded identity service, and users about themselves: its handlers decide.
    Identity,
}

impl From<Rule> for Access {
    fn from(rule: Rule) -> Self {
        Self::Rule(rule)
    }
}

/// Which permit a request needs (see `admission`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// That of reads or of changes, by its method and by whether the caller is allowed.
    ByMethod,
    /// That of reads, though it changes something: cancelling a change must not wait behind changes.
    AsRead,
    /// None: what administrators need when everything else waits.
    Always,
}

/// What a request makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes {
    /// Nothing that has an answer of its own.
    Nothing,
    /// A resource.
    Resource,
    /// A resource whose answer must not be stored, because it has a secret.
    Secret,
}

/// When the rule is checked. Of several faults of a request the first one found is reported, so the order is Cinder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleOrder {
    /// Before the version.
    BeforeVersion,
    /// After the version, before the body is read: of most routes.
    BeforeBody,
    /// After the check of the body, before the resource is looked up: of some actions.
    BeforeResource,
    /// When the resource is found: of most actions.
    AfterResource,
    /// When the handler calls [`Caller::permitted`], because Cinder checks something else first.
    InHandler,
}

impl RuleOrder {
    /// Whether the gate checks the rule.
    pub fn is_in_gate(self) -> bool {
        matches!(self, Self::BeforeVersion | Self::BeforeBody)
    }
}

/// The schemas of the body, by the minor version since which they apply.
#[derive(Clone, Debug, Default)]
pub struct BodySchema {
    schemas: Vec<(u16, Schema)>,
    /// Whether a request without a body is as one whose body is an empty object.
    pub is_optional: bool,
}

impl BodySchema {
    /// The schema in that version; `None` if the body is not checked, or not read.
    pub fn in_version(&self, version: Microversion) -> Option<Schema> {
        let mut latest_first = self.schemas.iter().rev();
        let known = latest_first.find(|(since, _)| version.at_least(*since));
        known.map(|(_, schema)| *schema)
    }
}

/// The row of a route or an action, without its handler.
#[derive(Clone, Debug)]
pub struct RouteInfo {
    /// The method; `None` for any.
    pub method: Option<Method>,
    /// The path's pattern, relative to where the table is mounted.
    pub path: &'static str,
    /// The only key of the body, for an action.
    pub action: Option<&'static str>,
    /// Who may call it.
    pub access: Access,
    /// When the rule is checked.
    pub rule_order: RuleOrder,
    /// The first minor version that has it.
    pub since: u16,
    /// The schema of the body, or of the value of an action's key.
    pub body: BodySchema,
    /// Which permit it needs.
    pub admission: Admission,
    /// Whether it makes a resource: it takes an idempotency key.
    pub makes: Makes,
    /// Whether it is served; else it answers 501.
    pub is_served: bool,
    /// The section of the reference that lists it.
    pub section: &'static str,
    /// Its purpose, as in the reference; empty if it is not in Cinder's reference either.
    pub purpose: &'static str,
    /// Its parameters in the query and in headers.
    pub parameters: Vec<Parameter>,
    /// Its answers that are no faults.
    pub successes: Vec<Success>,
    /// Whether it refuses every request.
    pub is_always_refused: bool,
    /// Faults that do not follow from the rest of the row.
    pub faults: Vec<u16>,
}

impl RouteInfo {
    /// Sets the purpose.
    pub fn does(&mut self, purpose: &'static str) -> &mut Self {
        self.purpose = purpose;
        self
    }

    /// Sets the first minor version that has it.
    pub fn since(&mut self, minor: u16) -> &mut Self {
        self.since = minor;
        self
    }

    /// Sets the schema of the body.
    pub fn body(&mut self, schema: Schema) -> &mut Self {
        self.body_since(0, schema)
    }

    /// Sets the schema of a body that may be absent.
    pub fn optional_body(&mut self, schema: Schema) -> &mut Self {
        self.body.is_optional = true;
        self.body(schema)
    }

    /// Adds the schema of the body since that minor version, in ascending order.
    pub fn body_since(&mut self, minor: u16, schema: Schema) -> &mut Self {
        self.body.schemas.push((minor, schema));
        self
    }

    /// Sets when the rule is checked, if not at the default.
    pub fn rule_order(&mut self, order: RuleOrder) -> &mut Self {
        self.rule_order = order;
        self
    }

    /// Sets which permit it needs, if not by its method.
    pub fn admitted(&mut self, admission: Admission) -> &mut Self {
        self.admission = admission;
        self
    }

    /// Marks that it makes a resource, and so takes an idempotency key.
    pub fn makes(&mut self) -> &mut Self {
        self.makes = Makes::Resource;
        self.parameters.push(Parameter {
            shape: Shape::Pattern("^[!-~]{1,255}$"),
            ..answers::header("Idempotency-Key")
        });
        self.faults.push(422);
        self
    }

    /// The same, and the answer has a secret that must not be stored.
    pub fn makes_secret(&mut self) -> &mut Self {
        self.makes();
        self.makes = Makes::Secret;
        self
    }

    /// Marks it as not served: its handler answers 501.
    pub fn not_served(&mut self) -> &mut Self {
        self.is_served = false;
        self
    }

    /// Its rule, if it has one.
    pub fn rule(&self) -> Option<Rule> {
        match self.access {
            Access::Rule(rule) => Some(rule),
            _ => None,
        }
    }
}

enum Target {
    Route(Route),
    Action(ActionHandler),
}

/// Routes that are mounted under one prefix.
#[derive(Default)]
pub struct Routes {
    rows: Vec<(RouteInfo, Target)>,
    section: &'static str,
}

impl Routes {
    /// The routes that a function adds.
    pub fn of(add: impl FnOnce(&mut Self)) -> Self {
        let mut routes = Self::default();
        add(&mut routes);
        routes
    }

    /// Lists the following rows under that title.
    pub fn section(&mut self, title: &'static str) {
        self.section = title;
    }

    /// Answers GET, and HEAD without the body.
    pub fn get<A: FromRequest + 'static>(
        &mut self,
        path: &'static str,
        access: impl Into<Access>,
        handler: impl Handler<A, Output: Responder + 'static>,
    ) -> &mut RouteInfo {
        self.add(Some(Method::GET), path, access, handler)
    }

    /// Answers POST.
    pub fn post<A: FromRequest + 'static>(
        &mut self,
        path: &'static str,
        access: impl Into<Access>,
        handler: impl Handler<A, Output: Responder + 'static>,
    ) -> &mut RouteInfo {
        self.add(Some(Method::POST), path, access, handler)
    }

    /// Answers PUT.
    pub fn put<A: FromRequest + 'static>(
        &mut self,
        path: &'static str,
        access: impl Into<Access>,
        handler: impl Handler<A, Output: Responder + 'static>,
    ) -> &mut RouteInfo {
        self.add(Some(Method::PUT), path, access, handler)
    }

    /// Answers PATCH.
    pub fn patch<H, A>(&mut self, path: &'static str, access: impl Into<Access>, handler: H) -> &mut RouteInfo
    where
        H: Handler<A>,
        A: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        self.add(Some(Method::PATCH), path, access, handler)
    }

    /// Answers DELETE.
    pub fn delete<A: FromRequest + 'static>(
        &mut self,
        path: &'static str,
        access: impl Into<Access>,
        handler: impl Handler<A, Output: Responder + 'static>,
    ) -> &mut RouteInfo {
        self.add(Some(Method::DELETE), path, access, handler)
    }

    /// Answers any method.
    pub fn any<A: FromRequest + 'static>(
        &mut self,
        path: &'static str,
        access: impl Into<Access>,
        handler: impl Handler<A, Output: Responder + 'static>,
    ) -> &mut RouteInfo {
        self.add(None, path, access, handler)
    }

    /// Answers 501 with that text. A path or method that Cinder does not have either is a plain 404, by which clients
    /// distinguish "unknown" from "not implemented".
    pub fn later(
        &mut self,
        method: Method,
        path: &'static str,
        access: impl Into<Access>,
        text: &'static str,
    ) -> &mut RouteInfo {
        let answer = move |_: Caller| async move { Err::<HttpResponse, Fault>(Fault::not_implemented(text)) };
        self.later_with(method, path, access, answer)
    }

    /// The same, in another service's words.
    pub fn later_with<H, A>(
        &mut self,
        method: Method,
        path: &'static str,
        access: impl Into<Access>,
        answer: H,
    ) -> &mut RouteInfo
    where
        H: Handler<A>,
        A: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        self.add(Some(method), path, access, answer).not_served()
    }

    /// Answers a POST whose body has that one key: an action on the subject that the path names.
    pub fn action<S, F>(
        &mut self,
        path: &'static str,
        action: &'static str,
        rule: Rule,
        handler: impl Fn(ActionOn<S>) -> F + Copy + 'static,
    ) -> &mut RouteInfo
    where
        S: Subject,
        F: Future<Output = HandlerResult> + 'static,
    {
        let target = Target::Action(actions::erased(handler));
        let row = self.push(Some(Method::POST), path, rule.into(), target);
        row.action = Some(action);
        row.rule_order(RuleOrder::AfterResource)
    }

    /// Answers such a POST with 501, if the body matches the schema and the subject exists.
    pub fn later_action<S: Subject>(
        &mut self,
        path: &'static str,
        action: &'static str,
        rule: Rule,
        text: &'static str,
    ) -> &mut RouteInfo {
        let answer = move |_: ActionOn<S>| async move { Err(Fault::not_implemented(text)) };
        self.action(path, action, rule, answer).not_served()
    }

    fn add<A: FromRequest + 'static>(
        &mut self,
        method: Option<Method>,
        path: &'static str,
        access: impl Into<Access>,
        handler: impl Handler<A, Output: Responder + 'static>,
    ) -> &mut RouteInfo {
        let route = match &method {
            Some(method) if *method == Method::GET => {
                web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
            }
            Some(method) => web::method(method.clone()),
            None => web::route(),
        };
        self.push(method, path, access.into(), Target::Route(route.to(handler)))
    }

    fn push(
        &mut self,
        method: Option<Method>,
        path: &'static str,
        access: Access,
        target: Target,
    ) -> &mut RouteInfo {
        let info = RouteInfo {
            method,
            path,
            action: None,
            access,
            rule_order: RuleOrder::BeforeBody,
            since: 0,
            body: BodySchema::default(),
            admission: Admission::ByMethod,
            makes: Makes::Nothing,
            is_served: true,
            section: self.section,
            purpose: "",
            parameters: Vec::new(),
            successes: Vec::new(),
            is_always_refused: false,
            faults: Vec::new(),
        };
        &mut self.rows.push_mut((info, target)).0
    }

    /// The table, without the handlers.
    pub fn infos(&self) -> Vec<RouteInfo> {
        self.rows.iter().map(|(info, _)| info.clone()).collect()
    }

    /// Resources that do not pass the gate: the versions, the health check and the identity service, whose handlers authenticate
    /// the caller. `fallback` answers a method that a path does not have.
    pub(super) fn ungated(self, fallback: fn() -> Route) -> Vec<Resource> {
        self.wrapped(|route, _| route, fallback)
    }

    /// Resources whose handlers are wrapped by `wrap`. `fallback` answers a method that a path does not
    /// have.
    pub(super) fn wrapped(
        self,
        wrap: impl Fn(Route, Endpoint) -> Route,
        fallback: fn() -> Route,
    ) -> Vec<Resource> {
        let routes = endpoints(self.rows).into_iter().map(|(route, endpoint)| {
            let path = endpoint.path();
            (path, wrap(route, endpoint))
        });
        resources(routes.collect(), fallback)
    }
}

/// The target of one method of one path.
pub(super) enum Endpoint {
    /// One handler.
    Route(Box<RouteInfo>),
    /// The handler of the action that the body names: at least one.
    Actions(Rc<[RouteInfo]>),
}

impl Endpoint {
    fn path(&self) -> &'static str {
        match self {
            Self::Route(route) => route.path,
            Self::Actions(actions) => actions.first().map_or("", |action| action.path),
        }
    }
}

/// Merges the actions of each path to one route, at the position of the first.
fn endpoints(rows: Vec<(RouteInfo, Target)>) -> Vec<(Route, Endpoint)> {
    let mut endpoints = Vec::new();
    let mut of_paths: Vec<Vec<(RouteInfo, ActionHandler)>> = Vec::new();
    for (info, target) in rows {
        match target {
            Target::Route(route) => endpoints.push((route, Endpoint::Route(Box::new(info)))),
            Target::Action(handler) => {
                match of_paths.iter_mut().find(|actions| actions[0].0.path == info.path) {
                    Some(actions) => actions.push((info, handler)),
                    None => of_paths.push(vec![(info, handler)]),
                }
            }
        }
    }
    // No path of another route matches a path of actions, so those may come first.
    let actions = of_paths.into_iter().map(|actions| {
        let infos = actions.iter().map(|(info, _)| info.clone()).collect();
        (actions::route(actions), Endpoint::Actions(infos))
    });
    actions.chain(endpoints).collect()
}

/// One resource for each path, in the order in which paths were added: the first that matches answers.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place where routes are made of the table"
)]
fn resources(routes: Vec<(&'static str, Route)>, fallback: fn() -> Route) -> Vec<Resource> {
    let mut by_path: Vec<(&'static str, Vec<Route>)> = Vec::new();
    for (path, route) in routes {
        match by_path.iter_mut().find(|(known, _)| *known == path) {
            Some((_, routes)) => routes.push(route),
            None => by_path.push((path, vec![route])),
        }
    }
    let resource = |(path, routes): (&str, Vec<Route>)| {
        let resource = web::resource(path).default_service(fallback());
        routes.into_iter().fold(resource, Resource::route)
    };
    by_path.into_iter().map(resource).collect()
}
