//! The Api actor among scripted neighbours, on the memory store and real local transport.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says so by panicking")]

mod attach;
mod cancel;
mod change;
mod connect;
mod create;
mod delete;
mod extend;
mod journal;
mod late;
mod load;
mod manage;
mod sequences;
mod snapshots;
mod storage;
mod support;
mod types;
