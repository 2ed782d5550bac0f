//! What the benchmarks share.

pub mod bare;
pub mod http;
pub mod server;
