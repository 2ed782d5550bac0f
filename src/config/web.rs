//! `[web]`: the REST API.

use std::net::{Ipv4Addr, SocketAddr};

use super::reading::section;
use super::units::{ByteSize, Duration};
use crate::model::IpNetwork;

section! {
    /// The REST API.
    Web {
        /// Where it listens. Plain HTTP: put a TLS proxy in front before leaving the loopback.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8776)),
        /// Threads that handle requests.
        workers: usize = 2,
        /// The largest request body (cinder: `osapi_max_request_body_size`).
        max_body_size: ByteSize = ByteSize::kib(112),
        /// The URL that links in answers and the catalog begin with. Empty: as the client addressed us (cinder: `public_endpoint`).
        public_endpoint: String = String::new(),
        /// How long a request waits for an actor before it is answered with 503.
        call_timeout: Duration = Duration::from_secs(60),
        /// How many requests are in work at once; reading and changing are counted apart.
        requests_at_once: usize = 256,
        /// Of them, how many of one project: what one leaves is there for the others.
        requests_per_project: usize = 64,
        /// How many more of a project wait for their turn; whoever comes next is answered with 503.
        requests_waiting: usize = 256,
        /// How long they wait before they are answered with 503.
        request_patience: Duration = Duration::from_secs(5),
        /// The most items of one page of a list (cinder: `osapi_max_limit`).
        max_page_size: usize = 1000,
        /// Whether links follow `X-Forwarded-Proto` and `X-Forwarded-Host`. Only behind a proxy that sets them (cinder: `enable_proxy_headers_parsing`).
        enable_proxy_headers: bool = false,
        /// The proxies whose `X-Forwarded-For` says who is counted for failed logins: addresses or networks. Nobody else's is believed.
        trusted_proxies: Vec<IpNetwork> = Vec::new(),
    }
}

impl Web {
    /// The public URL, if one is set.
    #[must_use]
    pub fn public_endpoint(&self) -> Option<&str> {
        Some(self.public_endpoint.as_str()).filter(|url| !url.is_empty())
    }
}
