//! `[scheduler]`: how a pool is chosen.

use super::reading::section;
use super::units::Duration;

/// The filters there are, by Cinder's names.
pub const FILTERS: &[&str] = &["AvailabilityZoneFilter", "CapacityFilter", "CapabilitiesFilter"];

/// The weighers there are, by Cinder's names.
pub const WEIGHERS: &[&str] = &["CapacityWeigher"];

section! {
    /// How a pool is chosen for a volume.
    Scheduler {
        /// What a pool must pass, in this order (cinder: `scheduler_default_filters`).
        filters: Vec<String> = FILTERS.iter().map(|name| (*name).to_owned()).collect(),
        /// What makes one pool better than another (cinder: `scheduler_default_weighers`).
        weighers: Vec<String> = WEIGHERS.iter().map(|name| (*name).to_owned()).collect(),
        /// How many pools are tried for one volume (cinder: `scheduler_max_attempts`).
        max_attempts: u32 = 3,
        /// The weight of free space; negative fills pools one after the other (cinder: `capacity_weight_multiplier`).
        capacity_weight_multiplier: f64 = 1.0,
        /// How long after a start a volume that no pool is right for waits for backends that did not report yet
        /// (cinder: `scheduler_driver_init_wait_time`).
        init_wait: Duration = Duration::from_secs(60),
    }
}
