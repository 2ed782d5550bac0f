//! The actors: who decides and who acts.

pub mod api;
pub mod quota;
pub mod registry;
pub mod scheduler;
pub mod volume_manager;
