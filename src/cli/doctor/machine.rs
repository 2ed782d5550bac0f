//! The state of this machine, read from `/proc` and `/sys`, or determined without side effects.

pub mod disk;
pub mod locks;
pub mod modules;
pub mod ports;
