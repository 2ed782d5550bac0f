//! The actors.

pub mod api;
pub mod logins;
pub mod notifier;
mod permission;
pub mod quota;
pub mod registry;
pub mod relay;
pub mod scheduler;
pub mod volume_manager;
