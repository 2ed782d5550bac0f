//! Manage volume, the manager's flow: what exists becomes this volume (cinder: `volume/flows/manager/manage_existing.py`).
//!
//! | step | what is true after it | taken back by |
//! |---|---|---|
//! | `notify_manage_start` | `volume.manage_existing.start` was emitted | – |
//! | `manage_volume` | it has the volume's name, and we know its size | – (nothing of it was changed but its name) |
//! | `notify_manage_end` | it is in the book, `volume.manage_existing.end` was emitted | striking it out |

use async_trait::async_trait;

use super::notify::notify;
use super::task::Task;
use crate::drivers::DriverError;
use crate::flow::{Flow, Step};
use crate::model::{Reference, VolumeSpec};

type Managing = Task<Reference>;

/// The flow.
#[must_use]
pub fn flow() -> Flow<Managing, DriverError> {
    Flow::new("manage_volume")
        .then(NotifyManageStart)
        .then(ManageVolume)
        .then(NotifyManageEnd)
}

struct NotifyManageStart;

#[async_trait(?Send)]
impl Step<Managing, DriverError> for NotifyManageStart {
    fn name(&self) -> &'static str {
        "notify_manage_start"
    }

    async fn execute(&self, managing: &mut Managing) -> Result<(), DriverError> {
        notify("volume.manage_existing.start", &managing.volume);
        Ok(())
    }
}

struct ManageVolume;

#[async_trait(?Send)]
impl Step<Managing, DriverError> for ManageVolume {
    fn name(&self) -> &'static str {
        "manage_volume"
    }

    async fn execute(&self, managing: &mut Managing) -> Result<(), DriverError> {
        let (volume, reference) = (managing.volume.clone(), managing.about.clone());
        managing.managed = managing
            .drive(volume.id, move |driver, work| {
                driver.manage_volume(work, &volume, &reference)
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
        let size = managing.managed.size;
        let volume = &managing.volume;
        managing.parts.ledger().enter(volume.id, &volume.pool.pool, size);
        notify(
            "volume.manage_existing.end",
            &VolumeSpec {
                size,
                ..volume.clone()
            },
        );
        Ok(())
    }

    async fn revert(&self, managing: &mut Managing, _cause: &DriverError) {
        managing.parts.ledger().strike(managing.volume.id);
    }
}
