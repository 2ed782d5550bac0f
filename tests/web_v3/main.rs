//! The v3 API as clients use it: real HTTP, all the real actors, a fake backend.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]
#![expect(clippy::disallowed_methods, reason = "no run of these is replayed")]

mod access;
#[path = "../api/mod.rs"]
mod api;
mod attachments;
mod bounds;
mod client_trace;
mod idempotency;
mod independent;
mod long_lists;
mod manage;
mod microversions;
mod operators;
mod qos_specs;
mod replay;
mod services;
mod snapshots;
mod states;
mod table;
mod tenants;
mod tls;
mod transfers;
mod type_encryption;
mod volumes;
mod walk;
#[path = "../web_support/mod.rs"]
mod web_support;
