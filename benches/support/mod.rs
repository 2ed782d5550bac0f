//! What the benchmarks share.

pub mod authority;
pub mod bare;
pub mod calls;
pub mod control_nodes;
pub mod copies;
pub mod decisions;
pub mod etcd;
pub mod fleet;
pub mod http;
pub mod lists;
pub mod populate;
pub mod server;
