//! The middleware of every request.
//!
//! ```text
//!   edge:  request id, span, access log, panic guard, version echo, uniform 404          (all routes)
//!   guard: authentication: a Context for the handlers, or 401 (204 with noauth)         (/v3 and /inspect)
//!   wait_durable: delays a request until reads are current, and an answer until what it shows is durable  (also /identity)
//!   gate:  policy, body, admission                                                      (/v3 and /inspect; see `gate`)
//! ```
//!
//! `edge` is cinder's `request_id` and `faultwrap` in one, `guard` its `authtoken` and `keystonecontext`.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse, Url};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, VARY, WARNING};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, web};
use futures_util::{FutureExt, StreamExt};
use tracing::Instrument;
use uuid::Uuid;

use super::auth::{self, Admission, Principal};
use super::caller::VersionEcho;
use super::connection::Activity;
use super::fault::{self, Fault};
use super::microversion;
use super::state::{ServerState, WebState};
use crate::model::Context;
use crate::rng;

/// The longest path with its query (eventlet, under which Cinder runs: `url_length_limit`). It bounds the number of filters,
/// values and sort keys of a query.
const MAX_URI: usize = 8192;

/// Says that a read may show an earlier state.
const STALE: HeaderValue = HeaderValue::from_static("110 - \"Response is Stale\"");

/// How long the body of a refused request is read at most.
const READ_OUT: Duration = Duration::from_secs(1);

/// The local and the global request id.
#[derive(Clone, Debug)]
pub struct RequestIds {
    /// `req-<uuid>`, created here.
    pub local: String,
    /// `X-OpenStack-Request-ID` of the request, if it is well-formed.
    pub global: Option<String>,
}

impl RequestIds {
    fn of(headers: &HeaderMap) -> Self {
        let global = headers
            .get("x-openstack-request-id")
            .and_then(|value| value.to_str().ok());
        Self {
            local: format!("req-{}", rng::id()),
            global: global.filter(|id| is_request_id(id)).map(str::to_owned),
        }
    }
}

/// Whether a text is `req-` and a UUID in lower case (oslo.middleware: `ID_FORMAT`). Any other text could forge a log
/// line.
pub fn is_request_id(text: &str) -> bool {
    text.strip_prefix("req-").is_some_and(|id| {
        id.len() == 36
            && id
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f' | b'-'))
            && Uuid::try_parse(id).is_ok()
    })
}

/// The outermost middleware: request ids, span, access log, and the handler of last resort for panics.
///
/// # Errors
/// If a handler panicked; the error's answer is Cinder's 500.
pub async fn edge(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let began = Instant::now();
    let activity = request.conn_data::<Activity>().cloned();
    let _in_work = activity.as_ref().map(Activity::begin);
    let ids = RequestIds::of(request.headers());
    let method = request.method().clone();
    let path = request.path().to_owned();
    let peer = request.peer_addr();
    let span = tracing::info_span!("request", request_id = %ids.local, %method, %path);
    if let Some(global) = &ids.global {
        span.in_scope(|| tracing::debug!(global_request_id = %global, "linked"));
    }
    request.extensions_mut().insert(ids.clone());
    let is_too_long = request
        .uri()
        .path_and_query()
        .is_some_and(|text| text.as_str().len() > MAX_URI);
    if is_too_long {
        let mut answer = HttpResponse::UriTooLong().force_close().finish();
        stamp(answer.headers_mut(), &ids.local);
        tracing::info!(parent: &span, status = 414, "request refused");
        return Ok(request.into_response(answer.map_into_right_body()));
    }
    trim_slash(&mut request);

    let answered = AssertUnwindSafe(next.call(request))
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let _inside = span.enter();
    let mut response = match answered {
        Ok(Ok(response)) => refine(response),
        Ok(Err(error)) => return Err(error),
        Err(panic) => {
            let text = panic_words(&*panic);
            tracing::error!(error = %text, status = 500, "handler panicked");
            let mut answer = HttpResponse::from_error(Fault::internal(text));
            stamp(answer.headers_mut(), &ids.local);
            return Err(actix_web::error::InternalError::from_response("panic", answer).into());
        }
    };
    stamp(response.headers_mut(), &ids.local);
    let status = response.status().as_u16();
    if let Some(activity) = activity.filter(|_| response.status() == StatusCode::REQUEST_TIMEOUT) {
        activity.close();
    }
    if let Some(text) = response.response().error().and_then(|error| {
        let fault: &Fault = error.as_error()?;
        fault.operator.as_deref()
    }) {
        match status {
            503 => tracing::warn!(status, error = %text, "request failed"),
            500.. => tracing::error!(status, error = %text, "request failed"),
            _ => tracing::info!(status, error = %text, "request refused"),
        }
    }
    tracing::info!(
        status,
        duration_ms = milliseconds(began.elapsed()),
        peer = peer.map(tracing::field::display),
        "answered"
    );
    Ok(response)
}

/// Rounded to microseconds.
fn milliseconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}

/// Replaces actix's own answers by Cinder's, and adds the version header.
fn refine<B: MessageBody>(response: ServiceResponse<B>) -> ServiceResponse<EitherBody<B>> {
    // A known path with an unknown method: the Routes library has no 405.
    let bare = response.response().error().is_none() && response.headers().get("content-type").is_none();
    if response.status() == StatusCode::METHOD_NOT_ALLOWED && bare {
        return response
            .into_response(fault::unknown_route())
            .map_into_right_body();
    }
    let echo = response
        .request()
        .extensions()
        .get::<VersionEcho>()
        .map(|VersionEcho(echo)| echo.clone());
    let mut response = response.map_into_left_body();
    if let Some(value) = echo.and_then(|echo| HeaderValue::try_from(echo).ok()) {
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static(microversion::HEADER), value);
        // With allowed origins it has `Origin` already.
        let varies_by_origin = headers.contains_key(VARY);
        let vary = match varies_by_origin {
            true => "OpenStack-API-Version,Origin",
            false => "OpenStack-API-Version",
        };
        headers.insert(VARY, HeaderValue::from_static(vary));
    }
    response
}

fn stamp(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-compute-request-id"), value.clone());
        headers.insert(HeaderName::from_static("x-openstack-request-id"), value);
    }
}

/// `/identity/<…>/` is `/identity/<…>` (keystone: `middleware/url_normalize.py`), and the same of this service's own paths and of
/// `/v3/{project}/`. Other paths of Cinder are kept: its router knows none with a trailing slash but `/v3/`, whose answer differs from
/// that of `/v3`.
fn trim_slash(request: &mut ServiceRequest) {
    let Some(trimmed) = trimmed(request.uri()) else {
        return;
    };
    request.match_info_mut().set(Url::new(trimmed.clone()));
    request.head_mut().uri = trimmed;
}

fn trimmed(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let short = path.strip_suffix('/')?;
    let is_of_project = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    let below_v3 = short.strip_prefix("/v3/");
    let is_resource = below_v3.is_some_and(|path| !path.bytes().all(is_of_project));
    if short.is_empty() || short == "/v3" || is_resource || short.ends_with('/') {
        return None;
    }
    let text = match uri.query() {
        Some(query) => format!("{short}?{query}"),
        None => short.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(text.try_into().ok()?);
    Uri::from_parts(parts).ok()
}

fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

/// Authenticates a request and adds a [`Context`] for the handlers; refuses requests without a valid token.
///
/// # Errors
/// None of its own.
pub async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let server = request.app_data::<web::Data<ServerState>>().cloned();
    let admission = match &server {
        Some(server) => {
            let request = request.request();
            auth::admit(&server.strategy, || server.base_url(request), request).await
        }
        None => Admission::Answer(HttpResponse::from_error(Fault::internal(
            "the server has no state",
        ))),
    };
    let principal = match admission {
        Admission::Come(principal) => principal,
        Admission::Answer(answer) => {
            read_out(&mut request).await;
            return Ok(request.into_response(answer).map_into_right_body());
        }
    };
    let scope = principal.scope.clone();
    let context = context_of(request.request(), principal);
    let context = match &server {
        Some(server) => server.policy.with_admin(context, &scope),
        None => context,
    };
    request.extensions_mut().insert(scope);
    request.extensions_mut().insert(context);
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

/// The context of a request of this user.
pub(super) fn context_of(request: &HttpRequest, principal: Principal) -> Context {
    let ids = request.extensions().get::<RequestIds>().cloned();
    let ids = ids.unwrap_or_else(|| RequestIds::of(request.headers()));
    let traceparent = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok());
    Context {
        request_id: ids.local,
        global_request_id: ids.global,
        user_id: principal.user_id,
        project_id: principal.project_id,
        roles: principal.roles,
        is_admin: principal.is_admin,
        // A valid value has 55 characters (W3C trace context, version 00).
        traceparent: traceparent.filter(|text| text.len() == 55).map(str::to_owned),
        sender: None,
    }
}

/// Delays a request until the store shows what any node has answered before it, and an answer that shows data from the store until
/// that data is durable: else a client could miss its own changes, or see some that a crash reverts. The results of changes are
/// durable before they are answered.
///
/// If the servers of the store cannot be reached, reads show what they showed last, which their answers say (`Warning: 110`, RFC 7234), and
/// changes are refused: what one would be decided on, such as that there is no such volume, may be out of date. A login changes nothing: without it nothing could be read.
///
/// # Errors
/// None of its own.
pub async fn wait_durable(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let state = request.app_data::<web::Data<WebState>>().cloned();
    let is_read = request.method().is_safe();
    let mut is_stale = false;
    if let Some(state) = &state
        && let Err(error) = state.catalog.wait_current().await
    {
        if !is_read && !is_login(&request) {
            read_out(&mut request).await;
            let answer = HttpResponse::from_error(Fault::from(error));
            return Ok(request.into_response(answer).map_into_right_body());
        }
        tracing::debug!(%error, "the store may show an earlier state");
        is_stale = true;
    }
    let mut response = next.call(request).await?;
    if is_stale {
        response.headers_mut().insert(WARNING, STALE);
    }
    // Refusals show data from the store, too.
    let Some(state) = state.filter(|_| is_read || response.status().is_client_error()) else {
        return Ok(response.map_into_left_body());
    };
    Ok(match state.catalog.wait_durable().await {
        Ok(()) => response.map_into_left_body(),
        Err(error) => {
            let answer = HttpResponse::from_error(Fault::from(error));
            response.into_response(answer).map_into_right_body()
        }
    })
}

/// Whether a token is asked for (keystone: `POST /v3/auth/tokens`).
fn is_login(request: &ServiceRequest) -> bool {
    request.method() == Method::POST && request.path().ends_with("/v3/auth/tokens")
}

/// Reads the rest of a request that is refused before its body was read, up to the limit. Otherwise the connection is reset
/// after the answer, and a client that is still sending may lose the answer.
pub(super) async fn read_out(request: &mut ServiceRequest) {
    let limit = request
        .app_data::<web::Data<ServerState>>()
        .map_or(0, |server| server.body.size);
    let mut body = request.take_payload();
    let reading = async {
        let mut length = 0_usize;
        while let Some(Ok(chunk)) = body.next().await {
            length = length.saturating_add(chunk.len());
            if length > limit {
                break;
            }
        }
    };
    // After the timeout the connection is reset; the request is refused either way.
    let _ = tokio::time::timeout(READ_OUT, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_id_is_linked() {
        assert!(is_request_id("req-0e9c2b1a-7a3f-4f5e-9c1d-2b3a4c5d6e7f"));
        for forged in [
            "0e9c2b1a-7a3f-4f5e-9c1d-2b3a4c5d6e7f",
            "req-0E9C2B1A-7A3F-4F5E-9C1D-2B3A4C5D6E7F",
            "req-0e9c2b1a7a3f4f5e9c1d2b3a4c5d6e7f",
            "req-0e9c2b1a-7a3f-4f5e-9c1d-2b3a4c5d6e7f\nadmin logged in",
            "",
        ] {
            assert!(!is_request_id(forged), "{forged}");
        }
    }

    #[test]
    fn a_slash_at_the_end_means_nothing_but_behind_v3() {
        let trimmed = |uri: &str| trimmed(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(
            trimmed("/identity/v3/users/?name=a"),
            Some("/identity/v3/users?name=a".to_owned())
        );
        assert_eq!(trimmed("/v3/0a/volumes/?limit=1"), None);
        assert_eq!(trimmed("/v3/volumes/"), None);
        assert_eq!(trimmed("/v3/0a/"), Some("/v3/0a".to_owned()));
        assert_eq!(trimmed("/v3/"), None);
        assert_eq!(trimmed("/"), None);
        assert_eq!(trimmed("/v3/0a//"), None);
        assert_eq!(trimmed("/v3/0a"), None);
    }
}
