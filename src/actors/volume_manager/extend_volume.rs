//! Extend volume, the manager's flow. It only goes forward: storage that has grown is not shrunk again.
//!
//! | step | what is true after it |
//! |---|---|
//! | `notify_resize_start` | `volume.resize.start` was emitted |
//! | `extend_volume` | the storage has the new size, and the book says so |
//! | `announce_size` | an initiator that has it can see the new size |
//! | `notify_resize_end` | `volume.resize.end` was emitted |

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::delete_volume::park;
use super::notify::notify;
use super::parts::Parts;
use super::worker::Claim;
use crate::drivers::target::outliving;
use crate::drivers::{DriverError, DriverResult, VolumeDriver, Work};
use crate::flow::{Flow, FlowReport, Observer, Step};
use crate::messages::api::Outcome;
use crate::model::VolumeSpec;

/// What the steps share.
pub struct Extending {
    parts: Arc<Parts>,
    volume: VolumeSpec,
    new_size: u32,
    limit: Duration,
    parked: bool,
}

/// Runs the flow for one command. `None` if the manager is stopping.
pub async fn run(
    parts: Arc<Parts>,
    volume: VolumeSpec,
    new_size: u32,
    limit: Duration,
    attempt: u32,
    observer: Rc<dyn Observer<DriverError>>,
) -> Option<FlowReport<DriverError, Outcome>> {
    let mut extending = Extending {
        parts,
        volume,
        new_size,
        limit,
        parked: false,
    };
    let report = flow().run(&mut extending, attempt, observer).await;
    if extending.parked {
        None
    } else {
        Some(report.map(|()| Outcome::Extended))
    }
}

/// The flow.
#[must_use]
pub fn flow() -> Flow<Extending, DriverError> {
    Flow::new("extend_volume")
        .then(NotifyResizeStart)
        .then(ExtendVolume)
        .then(AnnounceSize)
        .then(NotifyResizeEnd)
}

struct NotifyResizeStart;

#[async_trait(?Send)]
impl Step<Extending, DriverError> for NotifyResizeStart {
    fn name(&self) -> &'static str {
        "notify_resize_start"
    }

    async fn execute(&self, extending: &mut Extending) -> Result<(), DriverError> {
        notify("volume.resize.start", &extending.volume);
        Ok(())
    }
}

struct ExtendVolume;

#[async_trait(?Send)]
impl Step<Extending, DriverError> for ExtendVolume {
    fn name(&self) -> &'static str {
        "extend_volume"
    }

    async fn execute(&self, extending: &mut Extending) -> Result<(), DriverError> {
        let (volume, new_size) = (extending.volume.clone(), extending.new_size);
        let claim = Claim::on(volume.id).and(Claim::on_content_of(volume.id));
        let parts = Arc::clone(&extending.parts);
        let extended = extending
            .parts
            .drive(claim, extending.limit, move |driver, work| {
                let extended = driver.extend_volume(work, &volume, new_size);
                extended.or_else(|error| judge(driver, work, &volume, new_size, error))?;
                parts.ledger().enter(volume.id, &volume.pool.pool, new_size);
                Ok(())
            })
            .await;
        extended.map_err(|error| park(error, &mut extending.parked))
    }
}

/// What came of a growth that failed, by looking: a command may fail after it has done its work. Only what surely has its old
/// size is told to have failed; of anything else nobody knows.
fn judge(
    driver: &dyn VolumeDriver,
    work: &Work,
    volume: &VolumeSpec,
    new_size: u32,
    error: DriverError,
) -> DriverResult<()> {
    let is_certain = matches!(
        error,
        DriverError::NoSpace { .. } | DriverError::Busy { .. } | DriverError::Refused { .. }
    );
    let name = volume.storage_name();
    let seen = driver.list_existing(work).ok();
    let found = seen.and_then(|all| all.into_iter().find(|found| found.name == name));
    match found.map(|found| found.gib()) {
        Some(size) if size == new_size => Ok(()),
        Some(size) if size == volume.size => Err(error),
        _ if is_certain => Err(DriverError::Failed {
            client: "The storage backend failed.".to_owned(),
            operator: format!("{error}; its size is not known now"),
        }),
        _ => Err(error),
    }
}

struct AnnounceSize;

#[async_trait(?Send)]
impl Step<Extending, DriverError> for AnnounceSize {
    fn name(&self) -> &'static str {
        "announce_size"
    }

    async fn execute(&self, extending: &mut Extending) -> Result<(), DriverError> {
        let Some(target) = extending.parts.target.clone() else {
            return Ok(());
        };
        let parts = Arc::clone(&extending.parts);
        let volume = VolumeSpec {
            size: extending.new_size,
            ..extending.volume.clone()
        };
        let told = extending
            .parts
            .drive(volume.id, extending.limit, move |_, work| {
                if !parts.ledger().is_exported(volume.id) {
                    return Ok(());
                }
                outliving(target.as_ref(), work, || target.resized(work, &volume))
            })
            .await;
        match told {
            Err(None) => Err(park(None, &mut extending.parked)),
            // The storage has grown: that the initiator learns of it at its next login only is no failure.
            Err(Some(error)) => {
                tracing::warn!(volume = %extending.volume.id, %error, "an initiator was not told of the new size");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

struct NotifyResizeEnd;

#[async_trait(?Send)]
impl Step<Extending, DriverError> for NotifyResizeEnd {
    fn name(&self) -> &'static str {
        "notify_resize_end"
    }

    async fn execute(&self, extending: &mut Extending) -> Result<(), DriverError> {
        notify(
            "volume.resize.end",
            &VolumeSpec {
                size: extending.new_size,
                ..extending.volume.clone()
            },
        );
        Ok(())
    }
}
