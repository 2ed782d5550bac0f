//! Errors in Cinder's format: the mapping from internal errors to status, body and headers.
//!
//! A [`Fault`] has two texts, as [`Error`] has: `message` is sent to the client; `operator` is logged once, when the
//! answer is sent (by `middleware::edge`, so that the line has the request id). Nothing else of an error is exposed.
//! Bodies are those of `cinder: api/openstack/wsgi.py` (`Fault`), observed against Cinder itself.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value, json};

use crate::model::error::GENERIC_FAULT;
use crate::model::{Error, ErrorKind};
use crate::store::StoreError;
use crate::store::catalog::ListError;
use crate::transport::CallError;

/// webob's text of a 400 without an explanation; Cinder sends it wherever a type is wrong.
pub const GENERIC_BAD_REQUEST: &str =
    "The server could not comply with the request since it is either malformed or otherwise incorrect.";

/// webob's plain text for an unknown path or method.
pub const UNKNOWN_ROUTE: &str = "404 Not Found\n\nThe resource could not be found.\n\n   ";

/// The client's text of a 503.
const UNAVAILABLE: &str = "The server is currently unavailable. Please try again at a later time.";

/// An answer that is an error: `{"<name>": {"code": N, "message": "..."}}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Fault {
    /// The HTTP status.
    pub status: StatusCode,
    /// The client's text.
    pub message: String,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// Text for the operator: logged when the answer is sent, never part of it.
    pub operator: Option<String>,
}

/// The result of a handler.
pub type HandlerResult = Result<HttpResponse, Fault>;

impl Fault {
    /// Any status with this text.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
            operator: None,
        }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400 with webob's own text, as in Cinder where an error has no text.
    pub fn malformed() -> Self {
        Self::bad_request(GENERIC_BAD_REQUEST)
    }

    /// 400 with Cinder's text (`InvalidInput`).
    pub fn invalid_input(reason: impl std::fmt::Display) -> Self {
        Self::bad_request(format!("Invalid input received: {reason}"))
    }

    /// 403 with this text.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404 with the text for an unknown route or version.
    pub fn no_such_resource() -> Self {
        Self::not_found("The resource could not be found.")
    }

    /// 404 with this text.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 409 with this text.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 412, whose body is empty (Cinder: `If-Match` on metadata).
    pub fn precondition_failed() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "")
    }

    /// 408 for a body that arrives too slowly (webob: `HTTPRequestTimeout`). The connection is closed: what follows on it is the rest
    /// of that body.
    pub fn body_timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "The server has waited too long for the request to be sent by the client.",
        )
    }

    /// 413 for a body beyond the limit (oslo.middleware: sizelimit). No `Retry-After`: a retry cannot succeed.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Request is too large. Larger than max_request_body_size ({limit})."),
        )
    }

    /// 413 for a quota: a retry can succeed as soon as something is deleted.
    pub fn over_limit(message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(0),
            ..Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
        }
    }

    /// 415.
    pub fn unsupported_media_type() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Content-Type")
    }

    /// 501 with this text.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// 503 with `Retry-After` in seconds.
    pub fn unavailable(retry_after: u32) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)
        }
    }

    /// 500 with Cinder's generic text; `operator` is logged.
    pub fn internal(operator: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, GENERIC_FAULT).with_operator(operator)
    }

    /// Adds the text for the operator.
    #[must_use]
    pub fn with_operator(mut self, text: impl std::fmt::Display) -> Self {
        self.operator = Some(text.to_string());
        self
    }

    /// The key of the error in the body (cinder: `Fault._fault_names`).
    pub fn name(&self) -> &'static str {
        match self.status.as_u16() {
            400 => "badRequest",
            401 => "unauthorized",
            403 => "forbidden",
            404 => "itemNotFound",
            405 => "badMethod",
            409 => "conflictingRequest",
            413 => "overLimit",
            415 => "badMediaType",
            422 => "unprocessableEntity",
            501 => "notImplemented",
            503 => "serviceUnavailable",
            _ => "computeFault",
        }
    }

    /// The body, `None` where Cinder sends none.
    pub fn body(&self) -> Option<Value> {
        if self.status == StatusCode::PRECONDITION_FAILED {
            return None;
        }
        let mut fault = Map::new();
        fault.insert("code".to_owned(), json!(self.status.as_u16()));
        fault.insert("message".to_owned(), json!(self.message));
        if let (StatusCode::PAYLOAD_TOO_LARGE, Some(seconds)) = (self.status, self.retry_after) {
            // Text, as header values are in Python.
            fault.insert("retryAfter".to_owned(), json!(seconds.to_string()));
        }
        let mut body = Map::new();
        body.insert(self.name().to_owned(), Value::Object(fault));
        Some(Value::Object(body))
    }
}

impl ResponseError for Fault {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if self.status == StatusCode::REQUEST_TIMEOUT {
            response.force_close();
        }
        match self.body() {
            Some(body) => response.json(body),
            None => response.finish(),
        }
    }
}

/// The answer for an unknown path or method: plain text, as the Routes library sends.
pub fn unknown_route() -> HttpResponse {
    HttpResponse::NotFound()
        .content_type("text/plain; charset=UTF-8")
        .body(UNKNOWN_ROUTE)
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let Error {
            kind,
            client,
            operator,
        } = error;
        let mut fault = match kind {
            ErrorKind::BadRequest => Self::bad_request(client),
            ErrorKind::Forbidden => Self::forbidden(client),
            ErrorKind::NotFound => Self::not_found(client),
            ErrorKind::Conflict => Self::conflict(client),
            ErrorKind::OverQuota => Self::over_limit(client),
            ErrorKind::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, client),
            ErrorKind::Unprocessable => Self::new(StatusCode::UNPROCESSABLE_ENTITY, client),
            ErrorKind::NotImplemented => Self::not_implemented(client),
            ErrorKind::Unavailable { retry_after } => Self {
                message: client,
                ..Self::unavailable(retry_after)
            },
            ErrorKind::Backend => Self::new(StatusCode::INTERNAL_SERVER_ERROR, client),
            // The text of an internal error is never sent to clients.
            ErrorKind::Internal => Self::new(StatusCode::INTERNAL_SERVER_ERROR, GENERIC_FAULT)
                .with_operator(operator.as_deref().unwrap_or(&client)),
        };
        fault.operator = fault.operator.or(operator);
        fault
    }
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        Error::from(error).into()
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let shown = error.for_client();
        match shown.kind {
            ErrorKind::Internal => Self::internal(chain(&error)),
            _ => shown.into(),
        }
    }
}

impl From<ListError> for Fault {
    fn from(error: ListError) -> Self {
        match error {
            ListError::UnknownMarker(marker) => {
                Self::not_found(format!("Marker {marker} could not be found."))
            }
            ListError::Store(error) => error.into(),
        }
    }
}

/// An error with all its causes, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    async fn answer(fault: &Fault) -> (u16, Option<String>, String) {
        let response = fault.error_response();
        let status = response.status().as_u16();
        let retry = response
            .headers()
            .get("Retry-After")
            .map(|value| value.to_str().unwrap().to_owned());
        let body = to_bytes(response.into_body()).await.unwrap();
        (status, retry, String::from_utf8(body.to_vec()).unwrap())
    }

    #[actix_web::test]
    async fn each_status_has_the_name_that_clients_look_for() {
        for (status, name) in [
            (400, "badRequest"),
            (401, "unauthorized"),
            (403, "forbidden"),
            (404, "itemNotFound"),
            (405, "badMethod"),
            (406, "computeFault"),
            (409, "conflictingRequest"),
            (415, "badMediaType"),
            (500, "computeFault"),
            (501, "notImplemented"),
            (503, "serviceUnavailable"),
        ] {
            let fault = Fault::new(StatusCode::from_u16(status).unwrap(), "t");
            let (code, _, body) = answer(&fault).await;
            assert_eq!(code, status);
            assert_eq!(body, format!(r#"{{"{name}":{{"code":{status},"message":"t"}}}}"#));
        }
    }

    #[actix_web::test]
    async fn a_quota_fault_says_when_to_come_again_and_an_oversized_body_does_not() {
        let (status, retry, body) = answer(&Error::over_quota("VolumeLimitExceeded: x").into()).await;
        assert_eq!((status, retry.as_deref()), (413, Some("0")));
        assert_eq!(
            body,
            r#"{"overLimit":{"code":413,"message":"VolumeLimitExceeded: x","retryAfter":"0"}}"#
        );
        let (status, retry, body) = answer(&Fault::too_large(114_688)).await;
        assert_eq!((status, retry), (413, None));
        assert!(!body.contains("retryAfter"), "{body}");
    }

    #[actix_web::test]
    async fn an_unmet_precondition_has_no_body() {
        assert_eq!(
            answer(&Fault::precondition_failed()).await,
            (412, None, String::new())
        );
    }

    #[actix_web::test]
    async fn inner_words_never_reach_the_client() {
        let mut error = Error::internal("password of the pool is hunter2");
        error.client = "careless text".to_owned();
        let fault = Fault::from(error);
        assert_eq!(fault.operator.as_deref(), Some("password of the pool is hunter2"));
        let (_, _, body) = answer(&fault).await;
        assert!(!body.contains("hunter2") && !body.contains("careless"), "{body}");

        let store = StoreError::new("reading").caused_by(std::io::Error::other("bad sector"));
        let fault = Fault::from(store);
        assert_eq!(fault.operator.as_deref(), Some("store: reading: bad sector"));
        assert_eq!(fault.message, GENERIC_FAULT);
    }

    #[actix_web::test]
    async fn an_overloaded_actor_is_a_503_with_a_time() {
        let fault = Fault::from(CallError::Overloaded(crate::transport::Address::any("api")));
        let (status, retry, body) = answer(&fault).await;
        assert_eq!((status, retry.as_deref()), (503, Some("1")));
        assert!(body.contains("serviceUnavailable"));
        assert_eq!(fault.operator.as_deref(), Some("api is overloaded"));
    }
}
