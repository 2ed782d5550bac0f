//! `[service]`: who counts as alive.

use super::reading::section;
use super::units::Duration;

section! {
    /// Who counts as alive.
    Service {
        /// How often a service says that it is alive (cinder: `report_interval`).
        report_interval: Duration = Duration::from_secs(10),
        /// After how much silence it counts as down (cinder: `service_down_time`).
        down_time: Duration = Duration::from_secs(60),
    }
}
