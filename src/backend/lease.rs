//! The lease of a volume node: it begins no command while it is cut off from all control nodes.
//!
//! Commands that were received wait for locks and workers. What the control nodes decide while the node cannot be reached, for example that
//! an operation has failed because its time is over, is not known here. So after a short time without any control node a command
//! that has not begun is dropped; its operation is in the journal, and if it is still open when the node is back, its command is sent
//! again. What has begun is finished, and exports are served on.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long commands are begun without a control node: longer than it takes to notice a broken connection and to make a new one.
pub const LEASE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct ControlLease {
    renewed: Mutex<Instant>,
}

impl Default for ControlLease {
    fn default() -> Self {
        Self {
            renewed: Mutex::new(Instant::now()),
        }
    }
}

impl ControlLease {
    /// A control node is connected.
    pub fn renew(&self) {
        *self.renewed.lock() = Instant::now();
    }

    /// Ends it, as if no control node had been connected for long enough.
    #[cfg(test)]
    pub(crate) fn expire(&self) {
        *self.renewed.lock() -= LEASE;
    }

    /// Whether commands may be begun.
    pub fn is_held(&self) -> bool {
        let renewed = *self.renewed.lock();
        renewed.elapsed() < LEASE
    }
}
