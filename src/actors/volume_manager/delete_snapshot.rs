//! Delete snapshot, the manager's flow. It only goes forward: a delete that failed half-way is done again.
//!
//! | step | what is true after it |
//! |---|---|
//! | `notify_snapshot_delete_start` | `snapshot.delete.start` was emitted |
//! | `delete_snapshot` | its storage is gone (what was not there counts as gone) |
//! | `notify_snapshot_delete_end` | `snapshot.delete.end` was emitted |

use async_trait::async_trait;

use super::notify::notify_snapshot;
use super::task::Task;
use super::worker::Claim;
use crate::drivers::DriverError;
use crate::flow::{Flow, Step};
use crate::model::SnapshotId;

type Deleting = Task<SnapshotId>;

/// The flow.
#[must_use]
pub fn flow() -> Flow<Deleting, DriverError> {
    Flow::new("delete_snapshot")
        .then(NotifySnapshotDeleteStart)
        .then(DeleteSnapshot)
        .then(NotifySnapshotDeleteEnd)
}

struct NotifySnapshotDeleteStart;

#[async_trait(?Send)]
impl Step<Deleting, DriverError> for NotifySnapshotDeleteStart {
    fn name(&self) -> &'static str {
        "notify_snapshot_delete_start"
    }

    async fn execute(&self, deleting: &mut Deleting) -> Result<(), DriverError> {
        notify_snapshot("snapshot.delete.start", &deleting.volume, deleting.about);
        Ok(())
    }
}

struct DeleteSnapshot;

#[async_trait(?Send)]
impl Step<Deleting, DriverError> for DeleteSnapshot {
    fn name(&self) -> &'static str {
        "delete_snapshot"
    }

    async fn execute(&self, deleting: &mut Deleting) -> Result<(), DriverError> {
        let (volume, snapshot) = (deleting.volume.clone(), deleting.about);
        let parts = deleting.parts.clone();
        // What a thick snapshot kept of its volume is wiped.
        let claim = Claim::on_snapshot(snapshot).moving_data(parts.driver.get().moves_data());
        deleting
            .drive(claim, move |driver, work| {
                parts.ledger().tombstone(snapshot.0);
                driver.delete_snapshot(work, &volume, snapshot)
            })
            .await
    }
}

struct NotifySnapshotDeleteEnd;

#[async_trait(?Send)]
impl Step<Deleting, DriverError> for NotifySnapshotDeleteEnd {
    fn name(&self) -> &'static str {
        "notify_snapshot_delete_end"
    }

    async fn execute(&self, deleting: &mut Deleting) -> Result<(), DriverError> {
        notify_snapshot("snapshot.delete.end", &deleting.volume, deleting.about);
        Ok(())
    }
}
