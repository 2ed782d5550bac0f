//! The Api actor among scripted neighbours, on the memory store and real local transport.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says so by panicking")]
#![expect(clippy::disallowed_methods, reason = "no run of these is replayed")]

mod attach;
mod backend_runs;
mod behind;
mod bounds;
mod cancel;
mod change;
mod cluster_tasks;
mod conflicts;
mod connect;
mod control_nodes;
mod create;
mod delete;
mod extend;
mod followers;
mod idempotency;
mod journal;
mod late;
mod load;
mod manage;
mod measuring;
mod migrate;
mod notifications;
mod sequences;
mod silent_node;
mod snapshots;
mod storage;
mod support;
mod thick_pool;
mod transfers;
#[path = "../transport_support/mod.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod transport_support;
mod types;
