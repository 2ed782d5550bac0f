//! The configuration of the control plane.

use std::time::Duration;

use crate::model::volume_type::DEFAULT_TYPE_NAME;

/// The options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The type of a volume whose request has none (cinder: `default_volume_type`).
    pub default_volume_type: String,
    /// The zone of a volume whose request has none; `None` takes `storage_availability_zone`.
    pub default_availability_zone: Option<String>,
    /// The zone that always exists (cinder: `storage_availability_zone`).
    pub storage_availability_zone: String,
    /// Whether an unknown zone becomes the default one instead of a 400.
    pub allow_availability_zone_fallback: bool,
    /// Whether a clone must be in its source's zone.
    pub cloned_volume_same_az: bool,
    /// How many pools are tried for one volume (cinder: `scheduler_max_attempts`).
    pub max_attempts: u32,
    /// The deadline of each kind of operation.
    pub deadlines: Deadlines,
    /// The first pause before a command that was refused by the endpoint is sent again.
    pub retry_initial: Duration,
    /// The longest pause between two sendings of one command.
    pub retry_max: Duration,
    /// How long to wait after an accepted command before it is sent again: much longer than the work takes, since
    /// repetition is for lost messages only.
    pub patience: Duration,
    /// How long after a start an unplaced volume waits before it is sent to the scheduler again, which needs reports of
    /// the backends first.
    pub scheduling_grace: Duration,
    /// How long a backend has to revert its work for a cancelled operation. Then the operation ends without it.
    pub cancel_grace: Duration,
    /// How long a request waits for its connection before the client gets a 503 with `Retry-After`; the operation
    /// continues. Less than `web` waits, so that this answer arrives.
    pub wait_limit: Duration,
    /// How many requests may wait for a backend at once. They hold places in the mailbox that reports need, so this
    /// must be well below `mailbox_bound`.
    pub max_waiting: usize,
    /// How long Quota and Scheduler may take to answer. The scheduler itself waits 10 s for the first report of a
    /// backend.
    pub call_timeout: Duration,
    /// How often the journal is read again, for open operations without a timer.
    pub journal_interval: Duration,
    /// The number of records per read in lists of a backend.
    pub page_size: usize,
    /// The most bytes of such records in one message, so that it always fits a frame.
    pub page_bytes: usize,
    /// How long the answer of a request with an idempotency key is kept.
    pub idempotency_ttl: Duration,
    /// The most such answers that are kept of a project.
    pub idempotency_keys_per_project: usize,
    /// The bound of the mailbox.
    pub mailbox_bound: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            default_volume_type: DEFAULT_TYPE_NAME.to_owned(),
            default_availability_zone: None,
            storage_availability_zone: "nova".to_owned(),
            allow_availability_zone_fallback: false,
            cloned_volume_same_az: true,
            max_attempts: 3,
            deadlines: Deadlines::default(),
            retry_initial: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            patience: Duration::from_secs(10),
            scheduling_grace: Duration::from_secs(3),
            cancel_grace: Duration::from_secs(60),
            wait_limit: Duration::from_secs(55),
            max_waiting: 256,
            call_timeout: Duration::from_secs(15),
            journal_interval: Duration::from_secs(60),
            page_size: 200,
            page_bytes: 512 * 1024,
            idempotency_ttl: Duration::from_secs(24 * 3600),
            idempotency_keys_per_project: 10_000,
            mailbox_bound: 1024,
        }
    }
}

impl Options {
    /// The zone of a request without one.
    pub fn default_zone(&self) -> &str {
        self.default_availability_zone
            .as_deref()
            .unwrap_or(&self.storage_availability_zone)
    }
}

/// How long each kind of operation may take, all attempts together, before it is ended with an error: one
/// for each key of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// `creating` → `error`
    pub create: Duration,
    /// `deleting` → `error_deleting`
    pub delete: Duration,
    /// `extending` → `error_extending`
    pub extend: Duration,
    /// Exporting a volume, or ending that (→ `error_attaching` or `error_detaching` of the attachment; without one, no status is
    /// touched).
    pub attachment: Duration,
    /// A snapshot: creating, deleting and reverting to it (`creating` → `error`, `deleting` → `error_deleting`,
    /// `reverting` → `error`).
    pub snapshot: Duration,
    /// Managing and unmanaging (`managing` → `error_managing`).
    pub manage: Duration,
    /// The addition per GiB to operations that may have to move data: copies, wipes, reverts.
    pub per_gib: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        let minutes = Duration::from_secs(300);
        Self {
            create: hour,
            delete: hour,
            extend: hour,
            attachment: minutes,
            snapshot: hour,
            manage: minutes,
            per_gib: Duration::from_secs(60),
        }
    }
}

impl Deadlines {
    /// The addition for a volume of so many GiB if data may have to move.
    pub fn moving_data(&self, size: u32) -> Duration {
        self.per_gib.saturating_mul(size)
    }
}
