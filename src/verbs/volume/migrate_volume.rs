//! Migrate a volume to another backend: the parts that run on the backends.

pub mod copy_data;
pub mod open_source;
pub mod read_volume_data;
