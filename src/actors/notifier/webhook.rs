//! The sink that is a web server: a `POST` for each notification, over TLS if its address says so.
//!
//! | answer | then |
//! |---|---|
//! | 2xx | accepted |
//! | none in time, 408, 429, 5xx | published again until it is accepted |
//! | any other (a redirection, too) | published again a few times, then dropped and logged |
//!
//! The body is the message as oslo.messaging has it, without the envelope. With a secret, `X-Pumice-Signature: sha256=<hex>` is the
//! HMAC of the body's bytes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use awc::http::StatusCode;
use hmac::{Hmac, KeyInit, Mac};
use rustls::ClientConfig;
use sha2::Sha256;

use super::message::message;
use super::sink::{Sink, SinkError};
use crate::model::Notification;
use crate::model::volume::Secret;

/// The most requests at once.
const WIDTH: usize = 8;
/// How much of an answer is read; it is not used, but without it the connection could not be used again.
const ANSWER: usize = 64 * 1024;

/// The options of the sink.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// Where notifications are posted to. May have credentials, so it is not logged.
    pub url: Secret,
    /// The key of the signatures, if there are any.
    pub secret: Option<Secret>,
    /// The time limit of a request, with its answer.
    pub timeout: Duration,
    /// The settings of TLS, for `https://`.
    pub tls: Option<Arc<ClientConfig>>,
}

/// See the module.
pub(super) struct WebhookSink {
    client: awc::Client,
    options: WebhookOptions,
}

impl WebhookSink {
    pub(super) fn new(options: WebhookOptions) -> Self {
        let mut connector = awc::Connector::new()
            .timeout(options.timeout)
            .max_http_version(awc::http::Version::HTTP_11);
        if let Some(tls) = &options.tls {
            connector = connector.rustls_0_23(Arc::clone(tls));
        }
        let client = awc::Client::builder()
            .connector(connector)
            .disable_redirects()
            .timeout(options.timeout)
            .finish();
        Self { client, options }
    }

    async fn post(&self, notification: &Notification) -> Result<StatusCode, String> {
        let body = message(notification).to_string();
        let mut request = self
            .client
            .post(self.options.url.reveal())
            .content_type("application/json")
            .insert_header(("X-Pumice-Message-Id", notification.message_id.to_string()))
            .insert_header(("X-Pumice-Event-Type", notification.event_type.clone()));
        if let Some(secret) = &self.options.secret {
            request = request.insert_header(("X-Pumice-Signature", signature(secret, body.as_bytes())));
        }
        let mut answer = request.send_body(body).await.map_err(|error| error.to_string())?;
        // Not used, whatever it is.
        let _ = answer.body().limit(ANSWER).await;
        Ok(answer.status())
    }
}

#[async_trait(?Send)]
impl Sink for WebhookSink {
    fn width(&self) -> usize {
        WIDTH
    }

    async fn publish(&self, notification: &Notification) -> Result<(), SinkError> {
        let answer = tokio::time::timeout(self.options.timeout, self.post(notification)).await;
        match answer {
            Err(_) => Err(SinkError::Unavailable("no answer in time".to_owned())),
            Ok(Err(error)) => Err(SinkError::Unavailable(error)),
            Ok(Ok(status)) => result_of(status),
        }
    }
}

/// See the table of the module.
fn result_of(status: StatusCode) -> Result<(), SinkError> {
    let why = || format!("the answer is {status}");
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(SinkError::Unavailable(why())),
        _ if status.is_server_error() => Err(SinkError::Unavailable(why())),
        _ => Err(SinkError::Refused(why())),
    }
}

/// `sha256=` and the HMAC of the body in hexadecimal digits.
pub fn signature(secret: &Secret, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes())
        .expect("HMAC accepts keys of every length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
