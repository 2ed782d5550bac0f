//! The table of routes: method, path, who may call it, since which version, and the handler.
//!
//! A route is added to a [`Routes`] and nowhere else, and none can be added without an [`Access`]. The same table is mounted
//! and listed, so the test that walks all routes (`tests/web_v3/walk.rs`) sees whatever clients can reach. `clippy.toml` keeps
//! everybody else from building resources of their own.

use actix_web::http::Method;
use actix_web::{FromRequest, Handler, Resource, Responder, Route, guard, web};

use super::policy::Rule;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token: version documents, logins, the health check.
    Open,
    /// Whoever has a token, whatever its project and roles. The handler shows only what is the caller's.
    Token,
    /// Whom the rule allows in the project of its token.
    Rule(Rule),
    /// The only key of the body names an action, and each has its rule. Its handler refuses, for Cinder looks for the thing first.
    Actions(&'static [Action]),
    /// Administrators of the embedded identity service, or whoever asks about itself: its handlers decide.
    Identity,
}

impl Access {
    /// Whom the rule of that name allows.
    #[must_use]
    pub const fn rule(name: &'static str) -> Self {
        Self::Rule(Rule(name))
    }
}

/// An action in the body of a `POST …/action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// The body's key.
    pub name: &'static str,
    /// The rule that allows it.
    pub rule: Rule,
}

impl Action {
    /// An action with its rule.
    #[must_use]
    pub const fn new(name: &'static str, rule: &'static str) -> Self {
        Self {
            name,
            rule: Rule(rule),
        }
    }
}

/// How a request is admitted beside others (see `turns`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As a read or as a change, by its method and by what the caller may.
    ByMethod,
    /// As a read, though it changes something: what ends a change must not wait behind changes.
    AsRead,
    /// Always: what administrators need when all else waits.
    Always,
}

/// A route, without its handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The method; `None` for any.
    pub method: Option<Method>,
    /// The path's pattern, relative to where the table is mounted.
    pub path: String,
    /// Who may call it.
    pub access: Access,
    /// The first minor version that has it.
    pub since: u16,
    /// How it is admitted.
    pub admission: Admission,
    /// Whether Cinder looks for the thing before it looks at the rule, so that the handler has to refuse. Nothing can be changed until
    /// it does (see `gate`).
    pub judged_late: bool,
}

impl RouteInfo {
    /// The handler refuses whom the rule does not allow.
    pub fn judged_late(&mut self) -> &mut Self {
        self.judged_late = true;
        self
    }

    /// The first minor version that has it.
    pub fn since(&mut self, minor: u16) -> &mut Self {
        self.since = minor;
        self
    }

    /// How it is admitted, if not by its method.
    pub fn admitted(&mut self, admission: Admission) -> &mut Self {
        self.admission = admission;
        self
    }
}

/// Routes that are mounted in one place.
#[derive(Default)]
pub struct Routes(Vec<(RouteInfo, Route)>);

impl Routes {
    /// The routes that a function adds.
    #[must_use]
    pub fn of(add: impl FnOnce(&mut Self)) -> Self {
        let mut routes = Self::default();
        add(&mut routes);
        routes
    }

    /// Answers GET, and HEAD without the body.
    pub fn get<H, A>(&mut self, path: &str, access: Access, handler: H) -> &mut RouteInfo
    where
        H: Handler<A>,
        A: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        let route = web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
        self.add(Some(Method::GET), path, access, route.to(handler))
    }

    /// Answers POST.
    pub fn post<H, A>(&mut self, path: &str, access: Access, handler: H) -> &mut RouteInfo
    where
        H: Handler<A>,
        A: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        self.add(Some(Method::POST), path, access, web::post().to(handler))
    }

    /// Answers PUT.
    pub fn put<H, A>(&mut self, path: &str, access: Access, handler: H) -> &mut RouteInfo
    where
        H: Handler<A>,
        A: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        self.add(Some(Method::PUT), path, access, web::put().to(handler))
    }

    /// Answers DELETE.
    pub fn delete<H, A>(&mut self, path: &str, access: Access, handler: H) -> &mut RouteInfo
    where
        H: Handler<A>,
        A: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        self.add(Some(Method::DELETE), path, access, web::delete().to(handler))
    }

    /// Answers any method.
    pub fn any<H, A>(&mut self, path: &str, access: Access, handler: H) -> &mut RouteInfo
    where
        H: Handler<A>,
        A: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        self.add(None, path, access, web::route().to(handler))
    }

    fn add(&mut self, method: Option<Method>, path: &str, access: Access, route: Route) -> &mut RouteInfo {
        let info = RouteInfo {
            method,
            path: path.to_owned(),
            access,
            since: 0,
            admission: Admission::ByMethod,
            judged_late: matches!(access, Access::Actions(_)),
        };
        &mut self.0.push_mut((info, route)).0
    }

    /// The table, without the handlers.
    #[must_use]
    pub fn infos(&self) -> Vec<RouteInfo> {
        self.0.iter().map(|(info, _)| info.clone()).collect()
    }

    /// Resources that are reached without passing the gate: those of the door and of the identity service, whose handlers find
    /// out who asks. `fallback` answers a method that a path does not have.
    pub(super) fn ungated(self, fallback: fn() -> Route) -> Vec<Resource> {
        resources(self.0, fallback)
    }

    /// Resources whose handlers are reached through what `wrap` puts before each. `fallback` answers a method that a path does not
    /// have.
    pub(super) fn wrapped(
        self,
        wrap: impl Fn(Route, &RouteInfo) -> Route,
        fallback: fn() -> Route,
    ) -> Vec<Resource> {
        let rows = self.0.into_iter().map(|(info, route)| {
            let route = wrap(route, &info);
            (info, route)
        });
        resources(rows.collect(), fallback)
    }
}

/// One resource for each path, in the order in which paths were added: the first that matches answers.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place where routes are made of the table"
)]
fn resources(rows: Vec<(RouteInfo, Route)>, fallback: fn() -> Route) -> Vec<Resource> {
    let mut by_path: Vec<(String, Vec<Route>)> = Vec::new();
    for (info, route) in rows {
        match by_path.iter_mut().find(|(path, _)| *path == info.path) {
            Some((_, routes)) => routes.push(route),
            None => by_path.push((info.path, vec![route])),
        }
    }
    let resource = |(path, routes): (String, Vec<Route>)| {
        let resource = web::resource(path).default_service(fallback());
        routes.into_iter().fold(resource, Resource::route)
    };
    by_path.into_iter().map(resource).collect()
}
