//! `[volume]`: what holds for new volumes.

use super::reading::section;

section! {
    /// What holds for new volumes.
    Volume {
        /// The type of a volume that names none (cinder: `default_volume_type`).
        default_volume_type: String = "__DEFAULT__".to_owned(),
        /// The zone of a volume that names none. Empty: `node.availability_zone` (cinder: `default_availability_zone`).
        default_availability_zone: String = String::new(),
        /// Whether a copy must be in its source's zone (cinder: `cloned_volume_same_az`).
        cloned_volume_same_az: bool = true,
        /// Whether an unknown zone becomes the default one instead of an error (cinder: `allow_availability_zone_fallback`).
        allow_availability_zone_fallback: bool = false,
    }
}
