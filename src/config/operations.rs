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
        attachment_deadline: Duration = Duration::from_mins(5),
        /// Making a snapshot, deleting one, going back to one.
        snapshot_deadline: Duration = Duration::from_hours(1),
        /// Adopting what exists on a backend, or forgetting it.
        manage_deadline: Duration = Duration::from_mins(5),
        /// What each GiB adds to what may have to move data: copies, wipes, going back to a snapshot.
        deadline_per_gib: Duration = Duration::from_mins(1),
        /// After how long a command that was accepted, but not reported on, is sent again. Much longer than the work
        /// usually takes: repetition is for lost messages, and does no harm.
        resend_after: Duration = Duration::from_secs(10),
        /// The first pause before a command that could not be delivered is sent again; doubled each time, unless it was refused because the
        /// mailbox is full.
        retry_initial: Duration = Duration::from_secs(1),
        /// The longest such pause.
        retry_max: Duration = Duration::from_secs(30),
    }
}
