//! What can be done to volumes, and to their exports the old way.

pub mod change_volume;
pub mod create_volume;
pub mod delete_volume;
pub mod extend_volume;
pub mod initialize_connection;
pub mod manage_volume;
pub mod migrate_volume;
pub mod new_type;
pub mod retype_volume;
pub mod revert_to_snapshot;
pub mod terminate_connection;
pub mod unmanage_volume;
pub mod update_volume;
pub mod update_volume_metadata;
