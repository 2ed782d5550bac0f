//! The HTTP interface: Cinder's REST API v3, identity, inspection.
//!
//! `web` checks a request's **shape** (JSON, types, lengths, microversion, policy) and renders answers in Cinder's format. It
//! reads from the catalog and sends every change to an actor as a message. It contains no domain rules.

pub mod admission;
pub mod auth;
pub mod body_limits;
pub mod caller;
pub mod client_address;
pub mod connection;
pub mod cors;
pub mod fault;
pub mod forwarded;
pub mod gate;
pub mod healthcheck;
mod idempotency;
pub mod identity;
pub mod inspect;
pub mod links;
pub mod microversion;
pub mod middleware;
mod offload;
pub mod openapi;
pub mod policy;
pub mod readiness;
pub mod request;
pub mod routes;
pub mod schema;
pub mod server;
pub mod state;
pub mod stream;
pub mod tls;
pub mod trusted_proxies;
pub mod v3;
pub mod versions;
pub mod views;
