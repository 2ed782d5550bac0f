//! `Idempotency-Key`: a repeat of a request that makes something is answered with the stored answer of the first one.
//!
//! ```text
//!   no answer is stored             the handler runs; the Api actor makes the resource, or repeats its reply (`RunOnce`)
//!   the handler has succeeded       its answer is stored, then sent
//!   an answer is stored             it is sent, and the handler does not run
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::caller::{Caller, Once};
use super::fault::Fault;
use super::routes::Makes;
use super::state::State;
use crate::messages::api::KeepAnswer;
use crate::model::idempotency::{IdempotencyKey, StoredAnswer};
use crate::model::{Context, Error, Timestamp};

/// The header with the key.
const KEY: &str = "idempotency-key";
/// The header of an answer that is a repetition of an earlier one.
const REPLAYED: &str = "idempotency-replayed";

/// The longest body that is stored. A longer one is made again from the reply of the Api actor.
const LONGEST: u64 = 64 * 1024;

/// What is known of a key.
pub(super) enum Found {
    /// The answer.
    Answer(HttpResponse),
    /// No answer is stored.
    None(Once),
}

/// The idempotency key of a request, with a hash of all that the request asks for.
///
/// # Errors
/// 400 if it is not one key.
pub(super) fn key(
    request: &HttpRequest,
    caller: &Caller,
    body: &[u8],
) -> Result<Option<IdempotencyKey>, Fault> {
    let mut given = request.headers().get_all(KEY);
    let Some(text) = given.next() else {
        return Ok(None);
    };
    if given.next().is_some() {
        return Err(Fault::bad_request("A request has one Idempotency-Key."));
    }
    let version = caller.version.to_string();
    let of = [
        request.method().as_str().as_bytes(),
        request.uri().path().as_bytes(),
        version.as_bytes(),
        body,
    ];
    let key = IdempotencyKey::new(text.to_str().unwrap_or_default(), of).map_err(Fault::bad_request)?;
    Ok(Some(key))
}

/// What is known of a key.
///
/// # Errors
/// 422 if it was used for another request.
pub(super) async fn find(
    request: &HttpRequest,
    caller: &Caller,
    key: IdempotencyKey,
) -> Result<Found, Fault> {
    let state = request
        .app_data::<State>()
        .ok_or_else(|| Fault::internal("the server has no state"))?;
    let name = key.name(&caller.context.user_id);
    let project = &caller.context.project_id;
    let found = state.catalog.idempotent_request(project, &name).await?;
    let found = found.filter(|found| found.expires_at > Timestamp::now());
    if let Some(found) = &found {
        if found.fingerprint != key.fingerprint {
            return Err(Error::key_of_another_request().into());
        }
        if let Some(StoredAnswer { status, body }) = &found.answer {
            return Ok(Found::Answer(replayed(*status, body)?));
        }
    }
    Ok(Found::None(Once {
        key,
        is_known: found.is_some(),
        is_repeated: AtomicBool::new(false),
    }))
}

fn replayed(status: u16, body: &[u8]) -> Result<HttpResponse, Fault> {
    let status = StatusCode::from_u16(status).map_err(Fault::internal)?;
    let mut answer = HttpResponse::build(status);
    answer.content_type("application/json");
    answer.insert_header((REPLAYED, "true"));
    Ok(answer.body(body.to_vec()))
}

/// Stores a handler's answer. If the Api actor has repeated its reply, another request may have stored its own meanwhile: then it is
/// that one.
pub(super) async fn keep(
    response: ServiceResponse<BoxBody>,
    context: &Context,
    once: &Arc<Once>,
    makes: Makes,
) -> ServiceResponse<BoxBody> {
    let (request, mut answer) = response.into_parts();
    let state = request.app_data::<State>().cloned();
    if once.is_repeated.load(Ordering::Relaxed) {
        if let Some(state) = &state
            && let Ok(Some(found)) = state
                .catalog
                .idempotent_request(&context.project_id, &once.key.name(&context.user_id))
                .await
            && let Some(StoredAnswer { status, body }) = &found.answer
            && let Ok(stored) = replayed(*status, body)
        {
            return ServiceResponse::new(request, stored);
        }
        let name = HeaderName::from_static(REPLAYED);
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static("true"));
    }
    let is_short = matches!(answer.body().size(), BodySize::Sized(size) if size <= LONGEST);
    let (Some(state), true) = (
        state,
        answer.status().is_success() && is_short && makes != Makes::Secret,
    ) else {
        return ServiceResponse::new(request, answer);
    };
    let status = answer.status().as_u16();
    let (head, body) = answer.into_parts();
    let Ok(bytes) = body.try_into_bytes() else {
        return ServiceResponse::from_err(Fault::internal("an answer is not in memory"), request);
    };
    let message = KeepAnswer {
        key: once.key.clone(),
        answer: StoredAnswer {
            status,
            body: bytes.to_vec(),
        },
    };
    // Without it a repeat is answered by the reply of the Api actor.
    if let Err(error) = state.api.call(context, message, state.call_timeout).await {
        tracing::warn!(%error, "the answer of a request with an idempotency key is not stored");
    }
    ServiceResponse::new(request, head.set_body(BoxBody::new(bytes)))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::web::views::tests::caller;

    #[test]
    fn a_request_has_one_idempotency_key() {
        let asked = |keys: &[&str]| {
            let mut request = TestRequest::post();
            for key in keys {
                request = request.append_header((KEY, *key));
            }
            let key = key(&request.to_http_request(), &caller(0, false), b"{}");
            key.map(|key| key.is_some())
                .map_err(|fault| fault.status.as_u16())
        };
        assert_eq!(asked(&[]), Ok(false));
        assert_eq!(asked(&["a"]), Ok(true));
        assert_eq!(asked(&["a", "b"]), Err(400));
        assert_eq!(asked(&["a b"]), Err(400));
    }
}
