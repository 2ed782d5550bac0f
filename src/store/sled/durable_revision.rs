//! How far what is read is durable: sled shows a batch before it is flushed, and a crash in between takes it back.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::store::{Health, Revision, StoreError};

/// The last commit that readers may see, and the last that no crash takes back.
pub(super) struct DurableRevision {
    applied: AtomicU64,
    durable: watch::Sender<u64>,
}

impl DurableRevision {
    /// Of a store that was just opened: all of it is durable.
    pub(super) fn at(revision: Revision) -> Self {
        Self {
            applied: AtomicU64::new(revision.0),
            durable: watch::Sender::new(revision.0),
        }
    }

    /// From now on readers may see this commit.
    pub(super) fn applying(&self, revision: Revision) {
        self.applied.store(revision.0, Ordering::Release);
    }

    /// It is on the disk.
    pub(super) fn is_durable(&self, revision: Revision) {
        self.durable.send_replace(revision.0);
    }

    /// Waits until all that was seen before this was asked is on the disk: one flush at most, and mostly none.
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
