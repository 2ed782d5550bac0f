//! Revert to snapshot, the manager's flow (cinder: `volume/manager.py`, `revert_to_snapshot`). It only goes forward: what has
//! begun to go back is half of each, and is only whole again at the end.
//!
//! | step | what is true after it |
//! |---|---|
//! | `notify_revert_start` | `volume.revert.start` and `snapshot.revert.start` were emitted |
//! | `revert_to_snapshot` | the volume's content and size are the snapshot's, and the book says so |
//! | `notify_revert_end` | `volume.revert.end` and `snapshot.revert.end` were emitted |

use async_trait::async_trait;

use super::notify::{notify, notify_snapshot};
use super::task::Task;
use super::worker::Claim;
use crate::drivers::DriverError;
use crate::flow::{Flow, Step};
use crate::model::SnapshotId;

/// The snapshot, and the size that the volume shall have again.
type Reverting = Task<(SnapshotId, u32)>;

/// The flow.
#[must_use]
pub fn flow() -> Flow<Reverting, DriverError> {
    Flow::new("revert_to_snapshot")
        .then(NotifyRevertStart)
        .then(RevertToSnapshot)
        .then(NotifyRevertEnd)
}

struct NotifyRevertStart;

#[async_trait(?Send)]
impl Step<Reverting, DriverError> for NotifyRevertStart {
    fn name(&self) -> &'static str {
        "notify_revert_start"
    }

    async fn execute(&self, reverting: &mut Reverting) -> Result<(), DriverError> {
        notify("volume.revert.start", &reverting.volume);
        notify_snapshot("snapshot.revert.start", &reverting.volume, reverting.about.0);
        Ok(())
    }
}

struct RevertToSnapshot;

#[async_trait(?Send)]
impl Step<Reverting, DriverError> for RevertToSnapshot {
    fn name(&self) -> &'static str {
        "revert_to_snapshot"
    }

    async fn execute(&self, reverting: &mut Reverting) -> Result<(), DriverError> {
        let (volume, (snapshot, size)) = (reverting.volume.clone(), reverting.about);
        let claim = Claim::on(volume.id)
            .and(Claim::on_content_of(volume.id))
            .and(Claim::on_snapshot(snapshot))
            .moving_data(reverting.parts.driver.get().moves_data())
            .of_command(reverting.command);
        let parts = reverting.parts.clone();
        reverting
            .drive(claim, move |driver, work| {
                driver.revert_to_snapshot(work, &volume, snapshot)?;
                parts.ledger().enter(volume.id, &volume.pool.pool, size);
                Ok(())
            })
            .await
    }
}

struct NotifyRevertEnd;

#[async_trait(?Send)]
impl Step<Reverting, DriverError> for NotifyRevertEnd {
    fn name(&self) -> &'static str {
        "notify_revert_end"
    }

    async fn execute(&self, reverting: &mut Reverting) -> Result<(), DriverError> {
        notify("volume.revert.end", &reverting.volume);
        notify_snapshot("snapshot.revert.end", &reverting.volume, reverting.about.0);
        Ok(())
    }
}
