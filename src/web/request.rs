//! The body of a request, read as Cinder reads it (cinder: `api/openstack/wsgi.py`, `get_body` and `deserialize`).
//!
//! An empty body, or one without a `Content-Type`, is no body at all. A type other than JSON is 415, invalid JSON 400; a body
//! larger than the limit is 413 and not read any further. A body that arrives too slowly is 408, and the connection is closed.

use std::future::{Future, ready};
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::Instant;

use super::body_limits::BodyLimits;
use super::fault::Fault;
use super::schema::python;
use super::state::ServerState;

/// A body that the gate has read; the handler's [`Body`] takes it.
pub(super) struct ReadBody(pub(super) BytesMut);

/// A body that the gate has decoded, too, because the route has a schema.
pub(super) struct DecodedBody(pub(super) Value);

/// A JSON body. `None` if the request had none.
#[derive(Clone, Debug, PartialEq)]
pub struct Body(pub Option<Value>);

impl Body {
    /// The body of a route that has a schema, which is always present.
    pub fn value(&self) -> &Value {
        self.0.as_ref().unwrap_or(&Value::Null)
    }
}

/// The `Content-Type` of the request.
pub(super) fn content_type(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::CONTENT_TYPE)?.to_str().ok()
}

/// Whether the type is accepted as JSON. Parameters (`; charset=…`) do not matter.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.eq_ignore_ascii_case("application/vnd.openstack.volume+json")
}

/// Reads a body within its limits.
///
/// # Errors
/// 413 if it is too large, 408 if it arrives too slowly, 400 if the connection breaks.
pub async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    limits: &BodyLimits,
) -> Result<BytesMut, Fault> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limits.size) {
        return Err(Fault::too_large(limits.size));
    }
    let began = Instant::now();
    let mut body = BytesMut::new();
    loop {
        let until = began + limits.time_for(body.len());
        let chunk = match tokio::time::timeout_at(until, payload.next()).await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) => chunk.map_err(|error| Fault::malformed().with_operator(error))?,
            Err(_) => {
                let report = format!(
                    "{} bytes of the body came within {:?}",
                    body.len(),
                    began.elapsed()
                );
                return Err(Fault::body_timeout().with_operator(report));
            }
        };
        if body.len() + chunk.len() > limits.size {
            return Err(Fault::too_large(limits.size));
        }
        body.extend_from_slice(&chunk);
    }
}

/// Decodes a body of this type.
///
/// # Errors
/// 415 for a type other than JSON, 400 for invalid JSON.
pub fn decode(content_type: Option<&str>, body: &[u8]) -> Result<Option<Value>, Fault> {
    let Some(content_type) = content_type.filter(|_| !body.is_empty()) else {
        return Ok(None);
    };
    if !is_json(content_type) {
        return Err(Fault::unsupported_media_type());
    }
    serde_json::from_slice(body)
        .map(Some)
        .map_err(|_| Fault::bad_request("Malformed request body"))
}

/// Refuses a JSON body in which a text or a key contains NUL: no name, description or identifier of any resource has one, and
/// what reads it later (a target's configuration, a database of another service) may take it for the end.
///
/// # Errors
/// 400.
pub(super) fn refuse_nul(content_type: Option<&str>, body: &[u8]) -> Result<(), Fault> {
    // In JSON it is always written as an escape.
    let may_have = body.windows(NUL.len()).any(|part| part == NUL);
    if !may_have || !content_type.is_some_and(is_json) {
        return Ok(());
    }
    match serde_json::from_slice(body).ok().as_ref().and_then(with_nul) {
        Some(field) if field.is_empty() => Err(Fault::bad_request("Malformed request body")),
        Some(field) => Err(Fault::invalid_input(format!(
            "{field} contains the character NUL."
        ))),
        None => Ok(()),
    }
}

const NUL: &[u8] = b"\\u0000";

/// The innermost field whose text contains NUL, or that has a key with it, as Python writes it; empty outside of fields.
pub(super) fn with_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => items.iter().find_map(with_nul),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let inner = match name.contains('\0') {
                true => Some(String::new()),
                false => with_nul(value),
            };
            let shown = || python::repr_text(name).trim_matches('\'').to_owned();
            inner.map(|inner| if inner.is_empty() { shown() } else { inner })
        }),
        _ => None,
    }
}

impl FromRequest for Body {
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Fault>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if let Some(DecodedBody(decoded)) = request.extensions_mut().remove() {
            return Box::pin(ready(Ok(Self(Some(decoded)))));
        }
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            let ready = request.extensions_mut().remove::<ReadBody>();
            let body = match ready {
                Some(ReadBody(body)) => body,
                None => {
                    let limits = request
                        .app_data::<web::Data<ServerState>>()
                        .map(|server| server.body.clone())
                        .unwrap_or_default();
                    read(&request, &mut payload, &limits).await?
                }
            };
            decode(content_type(&request), &body).map(Body)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::test::TestRequest;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_json_is_read() {
        let json = Some("application/json; charset=utf-8");
        assert_eq!(decode(json, br#"{"a": 1}"#), Ok(Some(json!({"a": 1}))));
        assert_eq!(
            decode(Some("application/vnd.openstack.volume+json"), b"{}"),
            Ok(Some(json!({})))
        );
        assert_eq!(decode(None, b"{}"), Ok(None));
        assert_eq!(decode(Some("text/xml"), b""), Ok(None));
        assert_eq!(decode(Some("text/xml"), b"<a/>").unwrap_err().status, 415);
        let broken = decode(json, b"{").unwrap_err();
        assert_eq!(
            (broken.status.as_u16(), broken.message.as_str()),
            (400, "Malformed request body")
        );
        let deep = "[".repeat(100_000);
        assert_eq!(decode(json, deep.as_bytes()).unwrap_err().status, 400);
    }

    #[test]
    fn nul_is_refused_wherever_it_stands_and_named_by_its_field() {
        let json = Some("application/json");
        let refuse = |body: &str| refuse_nul(json, body.as_bytes()).map_err(|fault| fault.message);
        for (body, field) in [
            (r#"{"volume": {"name": "a\u0000b"}}"#, "name"),
            (r#"{"volume": {"metadata": {"k\u0000": "v"}}}"#, "k\\x00"),
            (r#"{"keys": ["a", "\u0000"]}"#, "keys"),
        ] {
            let text = format!("Invalid input received: {field} contains the character NUL.");
            assert_eq!(refuse(body), Err(text), "{body}");
        }
        assert_eq!(refuse(r#""\u0000""#), Err("Malformed request body".to_owned()));
        // A backslash and digits, and what is no JSON anyway.
        for body in [r#"{"name": "\\u0000"}"#, r#"{"name": "\u0001"}"#, r#"{"\u0000"#] {
            assert_eq!(refuse(body), Ok(()), "{body}");
        }
        assert_eq!(refuse_nul(None, br#""\u0000""#), Ok(()));
    }

    fn limits(size: usize) -> BodyLimits {
        BodyLimits {
            size,
            ..BodyLimits::default()
        }
    }

    /// A body whose chunks arrive every tenth of a second.
    fn slow(chunks: &'static [&'static [u8]]) -> Payload {
        let stream = futures_util::stream::iter(chunks).then(|chunk| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(bytes::Bytes::from_static(chunk))
        });
        Payload::Stream {
            payload: Box::pin(stream),
        }
    }

    #[actix_web::test]
    async fn a_body_that_comes_too_slowly_is_ended_and_one_that_keeps_the_rate_is_read() {
        let request = TestRequest::post().to_http_request();
        let limits = BodyLimits {
            size: 100,
            time: Duration::from_millis(250),
            bytes_per_second: 20,
        };
        let mut steady = slow(&[b"ab", b"cd", b"ef", b"gh"]);
        let read_whole = read(&request, &mut steady, &limits).await;
        assert_eq!(read_whole.unwrap(), &b"abcdefgh"[..]);
        let trickle = slow(&[b"a", b"", b"", b"b"]);
        let never: Payload = Payload::Stream {
            payload: Box::pin(futures_util::stream::pending()) as Pin<Box<_>>,
        };
        for mut payload in [trickle, never] {
            assert_eq!(
                read(&request, &mut payload, &limits).await.unwrap_err().status,
                408
            );
        }
    }

    #[actix_web::test]
    async fn a_body_beyond_the_limit_is_refused_whether_announced_or_not() {
        for announce in [true, false] {
            let mut request = TestRequest::post().set_payload(vec![b' '; 11]);
            if announce {
                request = request.insert_header((header::CONTENT_LENGTH, 11));
            }
            let (request, mut payload) = request.to_http_parts();
            let refused = read(&request, &mut payload, &limits(10)).await;
            assert_eq!(refused.unwrap_err().status, 413);
        }
        let (request, mut payload) = TestRequest::post().set_payload(vec![b' '; 10]).to_http_parts();
        assert_eq!(read(&request, &mut payload, &limits(10)).await.unwrap().len(), 10);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body: Vec<u8>, kind in proptest::option::of(".*")) {
            let _ = decode(kind.as_deref(), &body);
            let _ = decode(Some("application/json"), &body);
        }
    }
}
