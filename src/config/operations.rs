//! `[operations]`: how long a change may take, and how often its command is sent again.

use super::reading::section;
use super::units::Duration;

section! {
    /// How long a change may take before it ends with an error, and how often its command is sent again meanwhile.
    Operations {
        /// Making a volume.
        create_deadline: Duration = Duration::from_hours(1),
        /// Deleting one.
        delete_deadline: Duration = Duration::from_hours(1),
        /// Growing one.
        extend_deadline: Duration = Duration::from_hours(1),
        /// Exporting one, or ending that.
        attachment_deadline: Duration = Duration::from_mins(10),
        /// After how long a command without report is sent again for the first time; doubled each time.
        retry_initial: Duration = Duration::from_secs(1),
        /// The longest wait between two sendings.
        retry_max: Duration = Duration::from_secs(30),
    }
}
