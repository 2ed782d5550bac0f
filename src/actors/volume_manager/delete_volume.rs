//! Delete volume, the manager's flow. It only goes forward: a delete that failed half-way is done again.
//!
//! | step | what is true after it |
//! |---|---|
//! | `notify_delete_start` | `volume.delete.start` was emitted |
//! | `remove_export` | nobody can reach it |
//! | `delete_snapshots` | the snapshots that go with it are gone |
//! | `delete_volume` | its storage is gone (what was not there counts as gone), and it is struck out of the book |
//! | `notify_delete_end` | `volume.delete.end` was emitted |

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::notify::notify;
use super::parts::Parts;
use super::worker::Claim;
use crate::drivers::DriverError;
use crate::flow::{Flow, FlowReport, Observer, Step};
use crate::messages::api::Outcome;
use crate::messages::volume::CommandId;
use crate::model::{SnapshotId, VolumeSpec};

/// What the steps share.
pub struct Deleting {
    parts: Arc<Parts>,
    command: CommandId,
    volume: VolumeSpec,
    snapshots: Vec<SnapshotId>,
    limit: Duration,
    parked: bool,
}

/// Runs the flow for one command. `None` if the manager is stopping.
pub async fn run(
    parts: Arc<Parts>,
    command: CommandId,
    volume: VolumeSpec,
    snapshots: Vec<SnapshotId>,
    limit: Duration,
    observer: Rc<dyn Observer<DriverError>>,
) -> Option<FlowReport<DriverError, Outcome>> {
    let mut deleting = Deleting {
        parts,
        command,
        volume,
        snapshots,
        limit,
        parked: false,
    };
    let report = flow().run(&mut deleting, command.attempt, observer).await;
    if deleting.parked {
        None
    } else {
        Some(report.map(|()| Outcome::Deleted))
    }
}

/// The flow.
#[must_use]
pub fn flow() -> Flow<Deleting, DriverError> {
    Flow::new("delete_volume")
        .then(NotifyDeleteStart)
        .then(RemoveExport)
        .then(DeleteSnapshots)
        .then(DeleteVolume)
        .then(NotifyDeleteEnd)
}

struct NotifyDeleteStart;

#[async_trait(?Send)]
impl Step<Deleting, DriverError> for NotifyDeleteStart {
    fn name(&self) -> &'static str {
        "notify_delete_start"
    }

    async fn execute(&self, deleting: &mut Deleting) -> Result<(), DriverError> {
        notify("volume.delete.start", &deleting.volume);
        Ok(())
    }
}

struct RemoveExport;

#[async_trait(?Send)]
impl Step<Deleting, DriverError> for RemoveExport {
    fn name(&self) -> &'static str {
        "remove_export"
    }

    async fn execute(&self, deleting: &mut Deleting) -> Result<(), DriverError> {
        // Whether or not somebody knows of an export: one may be left of a connection that was never acknowledged.
        let Some(target) = deleting.parts.target.clone() else {
            return Ok(());
        };
        let volume = deleting.volume.clone();
        let parts = Arc::clone(&deleting.parts);
        let removed = deleting
            .parts
            .drive(volume.id, deleting.limit, move |_, work| {
                parts.remove_export(target.as_ref(), work, &volume)
            })
            .await;
        removed.map_err(|error| park(error, &mut deleting.parked))
    }
}

struct DeleteSnapshots;

#[async_trait(?Send)]
impl Step<Deleting, DriverError> for DeleteSnapshots {
    fn name(&self) -> &'static str {
        "delete_snapshots"
    }

    async fn execute(&self, deleting: &mut Deleting) -> Result<(), DriverError> {
        for snapshot in deleting.snapshots.clone() {
            let (volume, parts) = (deleting.volume.clone(), deleting.parts.clone());
            let deleted = deleting
                .parts
                .drive(
                    Claim::on_snapshot(snapshot),
                    deleting.limit,
                    move |driver, work| {
                        parts.ledger().tombstone(snapshot.0);
                        driver.delete_snapshot(work, &volume, snapshot)
                    },
                )
                .await;
            deleted.map_err(|error| park(error, &mut deleting.parked))?;
        }
        Ok(())
    }
}

struct DeleteVolume;

#[async_trait(?Send)]
impl Step<Deleting, DriverError> for DeleteVolume {
    fn name(&self) -> &'static str {
        "delete_volume"
    }

    async fn execute(&self, deleting: &mut Deleting) -> Result<(), DriverError> {
        let (volume, parts) = (deleting.volume.clone(), deleting.parts.clone());
        let id = volume.id.0;
        let claim = Claim::on(volume.id)
            .and(Claim::on_content_of(volume.id))
            .moving_data(parts.driver.get().moves_data())
            .of_command(deleting.command);
        let deleted = deleting
            .parts
            .drive(claim, deleting.limit, move |driver, work| {
                parts.ledger().tombstone(volume.id.0);
                // Whoever was just being connected when this began has been by now.
                let exported = parts.ledger().is_exported(volume.id);
                if let Some(target) = parts.target.as_ref().filter(|_| exported) {
                    parts.remove_export(target.as_ref(), work, &volume)?;
                }
                driver.delete_volume(work, &volume)?;
                let mut ledger = parts.ledger();
                // Again: whoever waited for this may have given it up meanwhile.
                ledger.tombstone(volume.id.0);
                ledger.strike(volume.id);
                Ok(())
            })
            .await;
        if deleted.is_err() {
            deleting.parts.ledger().delete_failed(id);
        }
        deleted.map_err(|error| park(error, &mut deleting.parked))
    }
}

struct NotifyDeleteEnd;

#[async_trait(?Send)]
impl Step<Deleting, DriverError> for NotifyDeleteEnd {
    fn name(&self) -> &'static str {
        "notify_delete_end"
    }

    async fn execute(&self, deleting: &mut Deleting) -> Result<(), DriverError> {
        notify("volume.delete.end", &deleting.volume);
        Ok(())
    }
}

/// A step's error from a worker's: `None` means that the manager is stopping.
pub(super) fn park(error: Option<DriverError>, parked: &mut bool) -> DriverError {
    *parked = error.is_none();
    error.unwrap_or(DriverError::Cancelled)
}
