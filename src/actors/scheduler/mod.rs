//! The **Scheduler** actor: finds a pool for a volume, and knows the pools.

pub mod capability;
pub mod capacity;
pub mod decisions;
pub mod filters;
pub mod pick;
pub mod pools;
pub mod weighers;

#[cfg(test)]
mod testing;
