//! Manage snapshot and unmanage snapshot, the manager's flows: a snapshot that exists becomes ours, or is ours no longer.
//!
//! | flow | step | what is true after it |
//! |---|---|---|
//! | `manage_snapshot` | `manage_snapshot` | it has the snapshot's name |
//! | | `notify_manage_end` | `snapshot.manage_existing.end` was emitted |
//! | `unmanage_snapshot` | `forget_snapshot` | `snapshot.unmanage` was emitted; the book does not hold snapshots |

use async_trait::async_trait;

use super::notify::notify_snapshot;
use super::task::Task;
use super::worker::Claim;
use crate::drivers::DriverError;
use crate::flow::{Flow, Step};
use crate::model::{Reference, SnapshotId};

type Managing = Task<(SnapshotId, Reference)>;

/// The flow that adopts.
#[must_use]
pub fn flow() -> Flow<Managing, DriverError> {
    Flow::new("manage_snapshot")
        .then(ManageSnapshot)
        .then(NotifyManageEnd)
}

/// The flow that forgets.
#[must_use]
pub fn unmanage_flow() -> Flow<Task<SnapshotId>, DriverError> {
    Flow::new("unmanage_snapshot").then(ForgetSnapshot)
}

struct ManageSnapshot;

#[async_trait(?Send)]
impl Step<Managing, DriverError> for ManageSnapshot {
    fn name(&self) -> &'static str {
        "manage_snapshot"
    }

    async fn execute(&self, managing: &mut Managing) -> Result<(), DriverError> {
        let (volume, (snapshot, reference)) = (managing.volume.clone(), managing.about.clone());
        managing.managed = managing
            .drive(Claim::on_snapshot(snapshot), move |driver, work| {
                driver.manage_snapshot(work, &volume, snapshot, &reference)
            })
            .await?;
        Ok(())
    }
}

struct NotifyManageEnd;

#[async_trait(?Send)]
impl Step<Managing, DriverError> for NotifyManageEnd {
    fn name(&self) -> &'static str {
        "notify_manage_end"
    }

    async fn execute(&self, managing: &mut Managing) -> Result<(), DriverError> {
        notify_snapshot("snapshot.manage_existing.end", &managing.volume, managing.about.0);
        Ok(())
    }
}

struct ForgetSnapshot;

#[async_trait(?Send)]
impl Step<Task<SnapshotId>, DriverError> for ForgetSnapshot {
    fn name(&self) -> &'static str {
        "forget_snapshot"
    }

    async fn execute(&self, unmanaging: &mut Task<SnapshotId>) -> Result<(), DriverError> {
        notify_snapshot("snapshot.unmanage", &unmanaging.volume, unmanaging.about);
        Ok(())
    }
}
