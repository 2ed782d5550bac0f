//! The face to clients: Cinder's REST API v3, identity, inspection.
//!
//! `web` checks a request's **shape** (JSON, types, lengths, microversion, policy) and permits answers into Cinder's words. It
//! reads from the catalog; every change it asks of an actor, by message. No rule of the domain lives here.

pub mod admission;
pub mod auth;
pub mod body_limits;
pub mod caller;
pub mod client_address;
pub mod connection;
pub mod fault;
pub mod forwarded;
pub mod gate;
pub mod healthcheck;
pub mod identity;
pub mod inspect;
pub mod links;
pub mod microversion;
pub mod middleware;
mod offload;
pub mod policy;
pub mod readiness;
pub mod request;
pub mod routes;
pub mod schema;
pub mod server;
pub mod state;
pub mod trusted_proxies;
pub mod v3;
pub mod versions;
pub mod views;
