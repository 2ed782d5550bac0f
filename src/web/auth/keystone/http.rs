//! Requests to Keystone: bounded in time and size, without redirects, over TLS if its address says so.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use awc::error::{PayloadError, SendRequestError};
use bytes::Bytes;
use rustls::ClientConfig;
use serde_json::Value;

use super::KeystoneError;
pub use crate::tls_client::{TlsError, tls};

/// The largest answer. A token with the most roles and access rules has some hundred KiB.
const LONGEST_ANSWER: usize = 1 << 20;

/// How many connections there are at most, and so how many questions at once.
pub(super) const CONNECTIONS: usize = 32;

/// How long a connection without requests is kept. Less than servers do, so that a request seldom meets one that is being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// A client with these settings of TLS and this time limit of a request.
pub fn client(tls: Option<Arc<ClientConfig>>, timeout: Duration) -> awc::Client {
    let mut connector = awc::Connector::new()
        .timeout(timeout)
        .limit(CONNECTIONS)
        .conn_keep_alive(KEEP_ALIVE)
        .max_http_version(awc::http::Version::HTTP_11);
    if let Some(tls) = tls {
        connector = connector.rustls_0_23(tls);
    }
    // A redirect would take the token to another address.
    awc::Client::builder()
        .connector(connector)
        .disable_redirects()
        .timeout(timeout)
        .finish()
}

/// An answer of any status.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A client of one Keystone. It belongs to one thread.
pub struct Http {
    client: awc::Client,
    base: String,
}

impl Http {
    /// A client of the Keystone at this address, with or without `/v3`. `timeout` is that of each request.
    pub fn new(url: &str, tls: Option<Arc<ClientConfig>>, timeout: Duration) -> Self {
        let client = client(tls, timeout);
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix("/v3").unwrap_or(base);
        Self {
            client,
            base: format!("{base}/v3"),
        }
    }

    /// Keystone's address, with `/v3`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request to a path below `/v3` and reads its answer. `to` is what the request is, for errors. A GET is sent once more if
    /// its connection ended before there was an answer: Keystone may have closed it meanwhile.
    ///
    /// # Errors
    /// If there is no answer, or if it is too large.
    pub async fn send(
        &self,
        to: &'static str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, KeystoneError> {
        let mut attempts = if method == "GET" { 2 } else { 1 };
        loop {
            attempts -= 1;
            match self.attempt(to, method, path, headers, body).await {
                Err(KeystoneError::Unreachable { .. }) if attempts > 0 => {}
                answer => return answer,
            }
        }
    }

    async fn attempt(
        &self,
        to: &'static str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, KeystoneError> {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method.parse().unwrap_or_default(), url);
        for header in headers {
            request = request.insert_header(*header);
        }
        let sent = match body {
            Some(body) => request.send_json(body).await,
            None => request.send().await,
        };
        let mut response = sent.map_err(|error| self.not_sent(to, &error))?;
        let body = response.body().limit(LONGEST_ANSWER).await;
        let body = body.map_err(|error| match error {
            PayloadError::Overflow => garbled(to, format!("more than {LONGEST_ANSWER} bytes")),
            PayloadError::Io(error) => self.unreachable(error),
            PayloadError::Incomplete(_) => self.unreachable("the connection ended within the answer"),
            error => garbled(to, error),
        })?;
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body,
        })
    }

    fn not_sent(&self, to: &'static str, error: &SendRequestError) -> KeystoneError {
        match error {
            SendRequestError::Response(error) => garbled(to, error),
            error => self.unreachable(error),
        }
    }

    fn unreachable(&self, why: impl std::fmt::Display) -> KeystoneError {
        KeystoneError::Unreachable {
            url: self.base.clone(),
            why: why.to_string(),
        }
    }
}

pub(super) fn garbled(to: &'static str, why: impl std::fmt::Display) -> KeystoneError {
    KeystoneError::Garbled {
        to,
        why: why.to_string(),
    }
}
