//! Create snapshot, the manager's flow (cinder: `volume/manager.py`, `create_snapshot`).
//!
//! | step | what is true after it | taken back by |
//! |---|---|---|
//! | `notify_snapshot_create_start` | `snapshot.create.start` was emitted | – |
//! | `create_snapshot` | the snapshot exists, and is whole | deleting it |
//! | `notify_snapshot_create_end` | `snapshot.create.end` was emitted | – |

use async_trait::async_trait;

use super::notify::notify_snapshot;
use super::task::Task;
use super::worker::Claim;
use crate::drivers::DriverError;
use crate::flow::{Flow, Step};
use crate::model::SnapshotId;

type Keeping = Task<SnapshotId>;

/// The flow.
#[must_use]
pub fn flow() -> Flow<Keeping, DriverError> {
    Flow::new("create_snapshot")
        .then(NotifySnapshotCreateStart)
        .then(CreateSnapshot)
        .then(NotifySnapshotCreateEnd)
}

struct NotifySnapshotCreateStart;

#[async_trait(?Send)]
impl Step<Keeping, DriverError> for NotifySnapshotCreateStart {
    fn name(&self) -> &'static str {
        "notify_snapshot_create_start"
    }

    async fn execute(&self, keeping: &mut Keeping) -> Result<(), DriverError> {
        notify_snapshot("snapshot.create.start", &keeping.volume, keeping.about);
        Ok(())
    }
}

struct CreateSnapshot;

#[async_trait(?Send)]
impl Step<Keeping, DriverError> for CreateSnapshot {
    fn name(&self) -> &'static str {
        "create_snapshot"
    }

    async fn execute(&self, keeping: &mut Keeping) -> Result<(), DriverError> {
        let (volume, snapshot) = (keeping.volume.clone(), keeping.about);
        let parts = keeping.parts.clone();
        let claim = Claim::on_snapshot(snapshot)
            .and(Claim::on_content_of(volume.id))
            .moving_data(parts.driver.get().moves_data());
        keeping
            .drive(claim, move |driver, work| {
                // Looked at under the claim: a delete that came later may have been done first.
                if parts.ledger().has_tombstone(snapshot.0) {
                    let client = "The snapshot was deleted meanwhile.".to_owned();
                    return Err(DriverError::Refused { client });
                }
                driver.create_snapshot(work, &volume, snapshot)
            })
            .await
    }

    async fn revert(&self, keeping: &mut Keeping, _cause: &DriverError) {
        let (volume, snapshot) = (keeping.volume.clone(), keeping.about);
        let deleted = keeping
            .drive(Claim::on_snapshot(snapshot), move |driver, work| {
                driver.delete_snapshot(work, &volume, snapshot)
            })
            .await;
        if let Err(error) = deleted {
            tracing::error!(%snapshot, %error, "a snapshot could not be taken back; it stays until it is deleted");
        }
    }
}

struct NotifySnapshotCreateEnd;

#[async_trait(?Send)]
impl Step<Keeping, DriverError> for NotifySnapshotCreateEnd {
    fn name(&self) -> &'static str {
        "notify_snapshot_create_end"
    }

    async fn execute(&self, keeping: &mut Keeping) -> Result<(), DriverError> {
        notify_snapshot("snapshot.create.end", &keeping.volume, keeping.about);
        Ok(())
    }
}
