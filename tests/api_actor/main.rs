//! The Api actor among scripted neighbours, on the memory store and real local transport.

mod attach;
mod change;
mod connect;
mod create;
mod delete;
mod extend;
mod journal;
mod sequences;
mod support;
mod types;
