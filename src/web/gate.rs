//! The checks of an authenticated request before its handler, the same for every route:
//!
//! ```text
//!   do version and path project match?      else 400, 406
//!   does the route exist in this version?   else 404
//!   does the route's rule allow it?         else 403, or the handler refuses
//!   does the body arrive in time?           else 408, 413
//!   does the action's rule allow it?        else it is refused later (see `routes::actions`)
//!   is a permit free?                       else it waits, or 503   (see `admission`)
//!   does the body match the schema?         else 400, 415
//! ```
//!
//! Where Cinder looks up a resource before it checks the rule, the handler refuses, so that clients see Cinder's answer. Until
//! then the denying rule is stored in the caller, and every message to an actor is refused with it (`Caller::permitted`).
//!
//! The order matters. A caller that may not make a change takes no change permit, and no permit is taken before the body is
//! complete: a body that never arrives holds nothing but its connection, for a limited time.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{BoxBody, EitherBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpMessage, HttpRequest, Resource, Route, web};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::admission::Kind;
use super::body_limits::BodyLimits;
use super::caller::Caller;
use super::fault::{Fault, unknown_route};
use super::idempotency::{self, Found};
use super::middleware::read_out;
use super::offload::HeldPermit;
use super::request::{self, DecodedBody, ReadBody};
use super::routes::{Admission, Endpoint, Makes, RouteInfo, Routes, RuleOrder};
use super::state::ServerState;

/// Resources behind the gate. An unknown method is answered like an unknown path (Cinder: 404, not 405).
pub(super) fn gated(routes: Routes) -> Vec<Resource> {
    routes.wrapped(with_gate, || web::to(|| async { unknown_route() }))
}

fn with_gate(route: Route, endpoint: Endpoint) -> Route {
    let endpoint = Rc::new(endpoint);
    let gate = from_fn(move |request, next: Next<BoxBody>| pass(Rc::clone(&endpoint), request, next));
    route.wrap(gate)
}

/// Passes a request to its handler, or refuses it.
async fn pass(
    endpoint: Rc<Endpoint>,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<EitherBody<BoxBody>>, Error> {
    let Some(server) = request.app_data::<web::Data<ServerState>>().cloned() else {
        let fault = Fault::internal("the server has no state");
        return Ok(refuse(request, &fault));
    };
    let admitted = Caller::of(request.request()).and_then(|mut caller| {
        if let Endpoint::Route(route) = &*endpoint {
            admit(route, &mut caller)?;
        }
        Ok(caller)
    });
    let mut caller = match admitted {
        Ok(caller) => caller,
        Err(fault) => {
            read_out(&mut request).await;
            return Ok(refuse(request, &fault));
        }
    };
    let body = match read_body(&mut request, &server.body).await {
        Ok(body) => body,
        Err(fault) => return Ok(refuse(request, &fault)),
    };
    let row = match &*endpoint {
        Endpoint::Route(route) => Some(&**route),
        // A body that names no known action is refused by the handler with Cinder's text.
        Endpoint::Actions(actions) => action(actions, request.request(), &body),
    };
    if let (Endpoint::Actions(_), Some(action)) = (&*endpoint, row) {
        caller.mark(action.rule());
    }
    let makes = row.map_or(Makes::Nothing, |row| row.makes);
    let key = match makes != Makes::Nothing {
        true => match idempotency::key(request.request(), &caller, &body) {
            Ok(key) => key,
            Err(fault) => return Ok(refuse(request, &fault)),
        },
        false => None,
    };
    let refused_by = caller.refused_by();
    let may = refused_by.is_none();
    let kind = match row.map_or(Admission::ByMethod, |row| row.admission) {
        Admission::Always => None,
        Admission::AsRead => Some(Kind::Read),
        // A request that will be refused only reads until then.
        Admission::ByMethod if request.method().is_safe() || !may => Some(Kind::Read),
        Admission::ByMethod => Some(Kind::Change),
    };
    let permit = match kind {
        None => None,
        Some(kind) => match server
            .admission
            .take(kind, caller.context.project_id.clone())
            .await
        {
            Ok(permit) => Some(permit),
            Err(busy) => return Ok(refuse(request, &busy.fault())),
        },
    };
    let permit = HeldPermit::new(permit);
    if let Some(key) = key {
        match idempotency::find(request.request(), &caller, key).await {
            Ok(Found::Answer(answer)) if may => {
                permit.give_back();
                return Ok(request.into_response(answer.map_into_right_body()));
            }
            Ok(Found::Answer(_)) => {}
            Ok(Found::None(once)) => caller.once = Some(Arc::new(once)),
            Err(fault) => {
                permit.give_back();
                return Ok(refuse(request, &fault));
            }
        }
    }
    match checked_body(&endpoint, &caller, request.request(), &body) {
        Err(fault) => {
            permit.give_back();
            return Ok(refuse(request, &fault));
        }
        Ok(Some(decoded)) => request.extensions_mut().insert(DecodedBody(decoded)).is_some(),
        Ok(None) => request.extensions_mut().insert(ReadBody(body)).is_some(),
    };
    let once = caller.once.clone().map(|once| (once, caller.context.clone()));
    request.extensions_mut().insert(permit.clone());
    request.extensions_mut().insert(caller);
    let response = next.call(request).await;
    // The request's extensions may outlive its answer.
    permit.give_back();
    let mut response = response?;
    if let Some((once, context)) = once {
        response = idempotency::keep(response, &context, &once, makes).await;
    }
    // If a handler forgot to check the rule, it sent nothing to an actor, and its answer is replaced.
    Ok(
        match refused_by.filter(|_| !response.status().is_client_error()) {
            Some(rule) => refused(response.into_parts().0, &rule.refusal().into()),
            None => response.map_into_left_body(),
        },
    )
}

/// Whether the route exists in the caller's version and its rule allows the caller, as far as this is known
/// without the body.
fn admit(route: &RouteInfo, caller: &mut Caller) -> Result<(), Fault> {
    caller.mark(route.rule());
    if route.rule_order == RuleOrder::BeforeVersion {
        caller.permitted()?;
    }
    caller.since(route.since)?;
    if route.rule_order == RuleOrder::BeforeBody {
        caller.permitted()?;
    }
    Ok(())
}

/// The decoded body of a route that has a schema, checked against it. The body of an action is checked by its handler. No body may
/// contain NUL.
fn checked_body(
    endpoint: &Endpoint,
    caller: &Caller,
    request: &HttpRequest,
    body: &[u8],
) -> Result<Option<Value>, Fault> {
    request::refuse_nul(request::content_type(request), body)?;
    let Endpoint::Route(route) = endpoint else {
        return Ok(None);
    };
    let Some(schema) = route.body.in_version(caller.version) else {
        return Ok(None);
    };
    let decoded = request::decode(request::content_type(request), body)?;
    let decoded = decoded.or_else(|| route.body.is_optional.then(|| json!({})));
    schema.check_body(decoded.as_ref())?;
    Ok(decoded)
}

fn refuse<B>(request: ServiceRequest, fault: &Fault) -> ServiceResponse<EitherBody<B, BoxBody>> {
    refused(request.into_parts().0, fault)
}

fn refused<B>(request: HttpRequest, fault: &Fault) -> ServiceResponse<EitherBody<B, BoxBody>> {
    // As an error, so that `edge` finds the operator's text in it.
    let error = Error::from(fault.clone());
    ServiceResponse::from_err(error, request).map_into_right_body()
}

/// The action that a body names: its only key.
fn action<'a>(actions: &'a [RouteInfo], request: &HttpRequest, body: &[u8]) -> Option<&'a RouteInfo> {
    let content_type = request::content_type(request)?;
    if !request::is_json(content_type) {
        return None;
    }
    let object: BTreeMap<String, IgnoredAny> = serde_json::from_slice(body).ok()?;
    let name = object.keys().next().filter(|_| object.len() == 1)?;
    actions.iter().find(|action| action.action == Some(name.as_str()))
}

async fn read_body(request: &mut ServiceRequest, limits: &BodyLimits) -> Result<bytes::BytesMut, Fault> {
    let mut payload = request.take_payload();
    request::read(request.request(), &mut payload, limits).await
}
