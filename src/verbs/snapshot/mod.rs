//! What can be done to snapshots.

pub mod create_snapshot;
pub mod delete_snapshot;
mod ending;
pub mod manage_snapshot;
pub mod unmanage_snapshot;
pub mod update_snapshot;
