//! What the checks know of this machine, all of it read from `/proc` and `/sys` or asked without leaving a trace.

pub mod disk;
pub mod locks;
pub mod modules;
pub mod ports;
