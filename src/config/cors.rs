//! `[cors]`: which web pages may call the API from a browser.

use super::reading::section;
use super::units::Duration;

fn texts(of: &[&str]) -> Vec<String> {
    of.iter().map(|text| (*text).to_owned()).collect()
}

section! {
    /// Which web pages may call the API from a browser (oslo.middleware: `cors`).
    Cors {
        /// The origins of the pages, such as `https://dashboard.example.org`; `*`: any. None: no page may.
        allowed_origins: Vec<String> = Vec::new(),
        /// Whether their requests may have the credentials of the browser.
        allow_credentials: bool = true,
        /// The headers of answers that pages may read.
        expose_headers: Vec<String> = texts(&["X-Auth-Token", "X-Subject-Token", "X-Service-Token", "X-OpenStack-Request-ID",
            "OpenStack-API-Version", "Idempotency-Replayed"]),
        /// How long a browser keeps what it may do.
        max_age: Duration = Duration::from_secs(3600),
        /// The methods that pages may use.
        allow_methods: Vec<String> = texts(&["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"]),
        /// The headers that pages may send, besides those that any page may.
        allow_headers: Vec<String> = texts(&["X-Auth-Token", "X-Identity-Status", "X-Roles", "X-Service-Catalog", "X-User-Id",
            "X-Tenant-Id", "X-OpenStack-Request-ID", "X-Trace-Info", "X-Trace-HMAC", "OpenStack-API-Version", "Idempotency-Key"]),
    }
}
