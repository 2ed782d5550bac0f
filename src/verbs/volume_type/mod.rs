//! What can be done to volume types.

pub mod create_volume_type;
pub mod delete_volume_type;
pub mod update_volume_type;
