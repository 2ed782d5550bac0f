//! What TLS between nodes keeps out, and what a node with a certificate may do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod capture;
mod certificates;
mod cluster;
mod rights;
mod strangers;

#[path = "../transport_support/mod.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod transport_support;
