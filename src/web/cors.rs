//! Cross-origin requests: what a browser lets the pages of other origins do (oslo.middleware: `cors`, with Cinder's defaults).
//!
//! Without allowed origins nothing changes: browsers refuse such requests by themselves.

use std::sync::Arc;
use std::time::Duration;

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, http};

/// Headers that any page may send.
const SIMPLE_HEADERS: [&str; 8] = [
    "Accept",
    "Accept-Language",
    "Content-Type",
    "Cache-Control",
    "Content-Language",
    "Expires",
    "Last-Modified",
    "Pragma",
];

/// Which pages may call, and what they may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// The origins, or `*`.
    pub allowed_origins: Vec<String>,
    /// Whether requests may have the credentials of the browser.
    pub allow_credentials: bool,
    /// The headers of answers that pages may read.
    pub expose_headers: Vec<String>,
    /// How long a browser keeps the answer to its question.
    pub max_age: Duration,
    /// The methods.
    pub allow_methods: Vec<String>,
    /// The headers of requests.
    pub allow_headers: Vec<String>,
}

/// Answers the question of a browser (`OPTIONS`) and marks the answers to its requests.
///
/// # Errors
/// Those of the inner service.
pub(super) async fn cors(
    cors: Option<Arc<Cors>>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let Some(cors) = cors.filter(|cors| !cors.allowed_origins.is_empty()) else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    if request.method() == Method::OPTIONS {
        let mut answer = HttpResponse::Ok().finish();
        for (name, value) in cors.of_question(request.headers()).into_iter().flatten() {
            answer.headers_mut().insert(name, value);
        }
        return Ok(request.into_response(answer.map_into_right_body()));
    }
    let origin = cors.origin(request.headers());
    let mut response = next.call(request).await?;
    if let Some(origin) = origin {
        cors.mark(response.headers_mut(), origin);
    }
    Ok(response.map_into_left_body())
}

impl Cors {
    /// The value of `Access-Control-Allow-Origin`, if the page may call.
    fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let is = |allowed: &str| self.allowed_origins.iter().any(|one| one == allowed);
        if origin.to_str().is_ok_and(is) {
            return Some(origin.clone());
        }
        is("*").then(|| HeaderValue::from_static("*"))
    }

    /// The headers of the answer to a browser's question; `None` if the page may not do that.
    fn of_question(&self, headers: &HeaderMap) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let origin = self.origin(headers)?;
        let method = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let is_allowed = |text: &str| self.allow_methods.iter().any(|allowed| allowed == text);
        method.to_str().is_ok_and(is_allowed).then_some(())?;
        let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let wanted: Vec<&str> = match wanted {
            Some(wanted) => wanted
                .to_str()
                .ok()?
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .collect(),
            None => Vec::new(),
        };
        let may_send = |name: &&str| {
            let simple = SIMPLE_HEADERS.iter().copied();
            let own = self.allow_headers.iter().map(String::as_str);
            simple
                .chain(own)
                .any(|allowed| allowed.eq_ignore_ascii_case(name))
        };
        wanted.iter().all(may_send).then_some(())?;
        let mut answer = vec![
            (header::VARY, HeaderValue::from_static("Origin")),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        ];
        if self.allow_credentials {
            let yes = HeaderValue::from_static("true");
            answer.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes));
        }
        if !self.max_age.is_zero() {
            let seconds = HeaderValue::from(self.max_age.as_secs());
            answer.push((header::ACCESS_CONTROL_MAX_AGE, seconds));
        }
        answer.push((header::ACCESS_CONTROL_ALLOW_METHODS, method.clone()));
        if !wanted.is_empty() {
            let wanted = HeaderValue::try_from(wanted.join(",")).ok()?;
            answer.push((header::ACCESS_CONTROL_ALLOW_HEADERS, wanted));
        }
        Some(answer)
    }

    /// Marks an answer for the page.
    fn mark(&self, headers: &mut http::header::HeaderMap, origin: HeaderValue) {
        let vary = match headers.get(header::VARY).and_then(|vary| vary.to_str().ok()) {
            Some(vary) => HeaderValue::try_from(format!("{vary},Origin")),
            None => Ok(HeaderValue::from_static("Origin")),
        };
        if let Ok(vary) = vary {
            headers.insert(header::VARY, vary);
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.allow_credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        if let Ok(exposed) = HeaderValue::try_from(self.expose_headers.join(","))
            && !exposed.is_empty()
        {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}
