//! `[web]`: the REST API.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::reading::section;
use super::units::{ByteSize, Duration};
use crate::model::IpNetwork;

section! {
    /// The REST API.
    Web {
        /// Where it listens. Plain HTTP without `tls_certificate`: then put a TLS proxy in front before leaving the loopback.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8776)),
        /// A certificate with its chain, PEM: HTTPS. It and its key are read again when a file changes. Empty: HTTP.
        tls_certificate: PathBuf = PathBuf::new(),
        /// The private key of `tls_certificate`, PEM.
        tls_key: PathBuf = PathBuf::new(),
        /// Threads that handle requests.
        workers: usize = 2,
        /// The largest request body (cinder: `osapi_max_request_body_size`).
        max_body_size: ByteSize = ByteSize::kib(112),
        /// How long a request's body may take to come, and one second more for each `min_transfer_rate` of it; then it is 408 and the
        /// connection ends.
        body_timeout: Duration = Duration::from_secs(10),
        /// How fast clients send bodies and take answers at least, in a second.
        min_transfer_rate: ByteSize = ByteSize::kib(8),
        /// How long a client may take to send a request's head, and how long it may take nothing of its answer.
        client_timeout: Duration = Duration::from_secs(10),
        /// How long a connection without requests is kept.
        keep_alive: Duration = Duration::from_secs(75),
        /// The most connections; fewer if the process may not open so many files (an eighth of those, and 128 at least, is kept for
        /// the store, backends and other nodes).
        max_connections: usize = 10_000,
        /// The most connections from one address (of IPv6: one /64); none of those that a proxy brings are counted. 0: half of
        /// what there may be in all.
        max_connections_per_address: usize = 0,
        /// The URL that links in answers and the catalog begin with. Empty: as the client addressed us (cinder: `public_endpoint`).
        public_endpoint: String = String::new(),
        /// How long a request waits for an actor before it is answered with 503.
        call_timeout: Duration = Duration::from_secs(60),
        /// How long the answer of a request with an `Idempotency-Key` is kept: until then a repeat makes nothing, and gets that answer.
        idempotency_ttl: Duration = Duration::from_secs(86_400),
        /// The most such answers that are kept of one project; of more, the oldest are forgotten first.
        idempotency_keys_per_project: usize = 10_000,
        /// How many requests are in work at once; reading and changing are counted apart.
        requests_at_once: usize = 256,
        /// Of them, how many of one project: what one leaves is there for the others.
        requests_per_project: usize = 64,
        /// How many more of a project wait for their turn; further requests are answered with 503.
        requests_waiting: usize = 256,
        /// How long they wait before they are answered with 503.
        request_patience: Duration = Duration::from_secs(5),
        /// The most items of one page of a list (cinder: `osapi_max_limit`).
        max_page_size: usize = 1000,
        /// Whether links follow `Forwarded`, `X-Forwarded-Proto`, `-Host` and `-Prefix`, from `trusted_proxies`; where none are named, from this machine (cinder: `enable_proxy_headers_parsing`).
        enable_proxy_headers: bool = false,
        /// The proxies, addresses or networks: their `X-Forwarded-For` says who is counted for failed logins, links may follow their headers, and their connections are counted in the total alone.
        trusted_proxies: Vec<IpNetwork> = Vec::new(),
    }
}

impl Web {
    /// Whether it serves HTTPS.
    pub fn has_tls(&self) -> bool {
        !self.tls_certificate.as_os_str().is_empty()
    }

    /// The public URL, if one is set.
    pub fn public_endpoint(&self) -> Option<&str> {
        Some(self.public_endpoint.as_str()).filter(|url| !url.is_empty())
    }
}
