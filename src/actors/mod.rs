//! The actors: who decides and who acts.

pub mod volume_manager;
