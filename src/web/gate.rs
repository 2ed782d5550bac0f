//! What a request with a token passes before its handler, whatever its route:
//!
//! ```text
//!   version and project of the path agree?  else 400, 406
//!   is the route there in this version?     else 404
//!   may the caller, by the route's rule?    else 403, or the handler refuses
//!   is the body here in time?               else 408, 413
//!   may the caller, by the action's rule?   else the handler refuses
//!   is there room for one more?             else it waits, or 503   (see `turns`)
//! ```
//!
//! Where Cinder looks for a thing before it looks at the rule, the handler refuses, so that what clients see is Cinder's. Until
//! then the caller is marked: whatever it would send to an actor is refused with the rule that does not allow it
//! (`Caller::permitted`).
//!
//! The order is the point. Who may not change anything has no part in the turns of those who may, and nobody has a turn before
//! the body is here: a body that never comes holds nothing but its connection, and that not for long.

use std::collections::BTreeMap;
use std::rc::Rc;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpMessage, HttpRequest, Resource, Route, web};
use serde::de::IgnoredAny;

use super::body_limits::BodyLimits;
use super::caller::Caller;
use super::fault::{Fault, unknown_route};
use super::middleware::read_out;
use super::offload::HeldTurn;
use super::policy::Rule;
use super::request::{self, ReadBody};
use super::routes::{Access, Action, Admission, RouteInfo, Routes};
use super::state::Door;
use super::turns::Kind;

/// Resources behind the gate. A method that a path does not have is as unknown as a path (Cinder: 404, not 405).
pub(super) fn gated(routes: Routes) -> Vec<Resource> {
    routes.wrapped(with_gate, || web::to(|| async { unknown_route() }))
}

fn with_gate(route: Route, info: &RouteInfo) -> Route {
    let info = Rc::new(info.clone());
    let gate = from_fn(move |request, next: Next<BoxBody>| pass(Rc::clone(&info), request, next));
    route.wrap(gate)
}

/// Lets a request pass to its handler, or answers it.
async fn pass(
    route: Rc<RouteInfo>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody, BoxBody>>, Error> {
    let Some(door) = request.app_data::<web::Data<Door>>().cloned() else {
        let fault = Fault::internal("the door was not hung");
        return Ok(refuse(request, &fault));
    };
    let judged = Caller::of(request.request()).and_then(|mut caller| {
        caller.since(route.since)?;
        if let Access::Rule(rule) = route.access {
            judge(&route, &mut caller, rule)?;
        }
        Ok(caller)
    });
    let mut caller = match judged {
        Ok(caller) => caller,
        Err(fault) => {
            read_out(&mut request).await;
            return Ok(refuse(request, &fault));
        }
    };
    let body = match read_body(&mut request, &door.body).await {
        Ok(body) => body,
        Err(fault) => return Ok(refuse(request, &fault)),
    };
    // What names no action of ours is refused by the handler, in Cinder's words.
    if let Access::Actions(actions) = route.access
        && let Some(action) = action(actions, request.request(), &body)
        && let Err(fault) = judge(&route, &mut caller, action.rule)
    {
        return Ok(refuse(request, &fault));
    }
    let refused_by = caller.refused_by;
    let may = refused_by.is_none();
    let kind = match route.admission {
        Admission::Always => None,
        Admission::AsRead => Some(Kind::Read),
        // Who may not change anything does nothing but read until the handler refuses.
        Admission::ByMethod if request.method().is_safe() || !may => Some(Kind::Read),
        Admission::ByMethod => Some(Kind::Change),
    };
    let turn = match kind {
        None => None,
        Some(kind) => match door.turns.take(kind, caller.context.project_id.clone()).await {
            Ok(turn) => Some(turn),
            Err(busy) => return Ok(refuse(request, &busy.fault())),
        },
    };
    let turn = HeldTurn::new(turn);
    request.extensions_mut().insert(turn.clone());
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(ReadBody(body));
    let response = next.call(request).await;
    // The request's extensions may outlive its answer.
    turn.give_back();
    let response = response?;
    // A handler that forgot to refuse has sent nothing on, and what it found is not told.
    Ok(
        match refused_by.filter(|_| !response.status().is_client_error()) {
            Some(rule) => refused(response.into_parts().0, &rule.refusal().into()),
            None => response.map_into_left_body(),
        },
    )
}

fn refuse<B>(request: ServiceRequest, fault: &Fault) -> ServiceResponse<EitherBody<B, BoxBody>> {
    refused(request.into_parts().0, fault)
}

fn refused<B>(request: HttpRequest, fault: &Fault) -> ServiceResponse<EitherBody<B, BoxBody>> {
    // As an error, so that `edge` finds the operator's words in it.
    let error = Error::from(fault.clone());
    ServiceResponse::from_err(error, request).map_into_right_body()
}

/// Refuses, or marks, a caller whom the rule does not allow.
fn judge(route: &RouteInfo, caller: &mut Caller, rule: Rule) -> Result<(), Fault> {
    match caller.may(rule) {
        Err(_) if route.judged_late => caller.refused_by = Some(rule),
        judged => judged?,
    }
    Ok(())
}

/// The action that a body names: its only key.
fn action(actions: &'static [Action], request: &HttpRequest, body: &[u8]) -> Option<&'static Action> {
    let content_type = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    if !request::is_json(content_type) {
        return None;
    }
    let object: BTreeMap<String, IgnoredAny> = serde_json::from_slice(body).ok()?;
    let name = object.keys().next().filter(|_| object.len() == 1)?;
    actions.iter().find(|action| action.name == name.as_str())
}

async fn read_body(request: &mut ServiceRequest, limits: &BodyLimits) -> Result<bytes::BytesMut, Fault> {
    let mut payload = request.take_payload();
    request::read(request.request(), &mut payload, limits).await
}
