//! The durable revision: sled shows a batch before it is flushed, and a crash in between reverts it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::store::{Health, Revision, StoreError};

/// The last commit that is visible to readers, and the last durable one.
pub(super) struct DurableRevision {
    applied: AtomicU64,
    durable: watch::Sender<u64>,
}

impl DurableRevision {
    /// The state of a store that was just opened: everything is durable.
    pub(super) fn at(revision: Revision) -> Self {
        Self {
            applied: AtomicU64::new(revision.0),
            durable: watch::Sender::new(revision.0),
        }
    }

    /// Records that this commit becomes visible to readers.
    pub(super) fn applying(&self, revision: Revision) {
        self.applied.store(revision.0, Ordering::Release);
    }

    /// The last commit that readers may see.
    pub(super) fn applied(&self) -> Revision {
        Revision(self.applied.load(Ordering::Acquire))
    }

    /// Records that this commit is durable.
    pub(super) fn is_durable(&self, revision: Revision) {
        self.durable.send_replace(revision.0);
    }

    /// Waits until everything that was visible at the time of the call is on the disk: at most one flush, and mostly
    /// none.
    ///
    /// # Errors
    /// The store failed before.
    pub(super) async fn wait_durable(&self, mut health: watch::Receiver<Health>) -> Result<(), StoreError> {
        let applied = self.applied.load(Ordering::Acquire);
        if *self.durable.borrow() >= applied {
            return Ok(());
        }
        let mut durable = self.durable.subscribe();
        let is_durable = tokio::select! {
            biased;
            reached = durable.wait_for(|durable| *durable >= applied) => reached.is_ok(),
            _ = health.wait_for(|health| matches!(health, Health::Broken(_))) => false,
        };
        match is_durable {
            true => Ok(()),
            false => Err(StoreError {
                broken: true,
                ..StoreError::new("the store failed before what was read was on the disk")
            }),
        }
    }
}
