//! Create volume, the manager's flow.
//!
//! | step | what is true after it | taken back by |
//! |---|---|---|
//! | `extract_volume_ref` | the command is for a pool of this backend | – |
//! | `allocate` | the volume counts as allocated here | striking it out |
//! | `notify_create_start` | `volume.create.start` was emitted | – |
//! | `create_volume` | the storage exists, of that size and content | deleting it |
//! | `notify_create_end` | `volume.create.end` was emitted | – |
//!
//! The export is not made here but when somebody connects (cinder: `volume/flows/manager/create_volume.py`,
//! `cinder/lvm_iscsi.md` 4). Whether to try another backend is the Api actor's to decide from the failure; what this flow
//! promises for that is that a failure other than `TimedOut` leaves nothing on this backend.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::notify::notify;
use super::parts::Parts;
use super::worker::Claim;
use crate::drivers::{DriverError, VolumeUpdate};
use crate::flow::{Flow, FlowReport, Observer, Step};
use crate::messages::api::Outcome;
use crate::messages::volume::CommandId;
use crate::model::VolumeSpec;
use crate::model::spec::VolumeSource;

/// How long taking a failed create back may take before the volume is left with this backend, to be deleted there.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(60);

/// What the steps share.
pub struct Making {
    /// The backend.
    pub parts: Arc<Parts>,
    /// Whose command this is.
    pub command: CommandId,
    /// What to make.
    pub volume: VolumeSpec,
    /// Time for it.
    pub limit: Duration,
    /// What the driver said of it.
    pub update: VolumeUpdate,
    /// The manager is stopping: the failure is none, the operation stays parked.
    pub parked: bool,
}

impl Making {
    /// At the beginning.
    #[must_use]
    pub fn new(parts: Arc<Parts>, command: CommandId, volume: VolumeSpec, limit: Duration) -> Self {
        Self {
            parts,
            command,
            volume,
            limit,
            update: VolumeUpdate::default(),
            parked: false,
        }
    }
}

/// The flow.
#[must_use]
pub fn flow() -> Flow<Making, DriverError> {
    Flow::new("create_volume")
        .then(ExtractVolumeRef)
        .then(Allocate)
        .then(NotifyCreateStart)
        .then(CreateVolume)
        .then(NotifyCreateEnd)
}

/// Runs the flow for one command. `None` if the manager is stopping.
pub async fn run(
    mut making: Making,
    observer: Rc<dyn Observer<DriverError>>,
) -> Option<FlowReport<DriverError, Outcome>> {
    let attempt = making.command.attempt;
    let report = flow().run(&mut making, attempt, observer).await;
    if making.parked {
        return None;
    }
    Some(report.map(|()| Outcome::Created {
        provider_id: making.update.provider_id,
    }))
}

struct ExtractVolumeRef;

#[async_trait(?Send)]
impl Step<Making, DriverError> for ExtractVolumeRef {
    fn name(&self) -> &'static str {
        "extract_volume_ref"
    }

    async fn execute(&self, making: &mut Making) -> Result<(), DriverError> {
        if making.volume.pool.backend == making.parts.backend {
            return Ok(());
        }
        Err(DriverError::Failed {
            client: "The volume was sent to the wrong backend.".to_owned(),
            operator: format!(
                "a command for {} reached {}",
                making.volume.pool, making.parts.backend
            ),
        })
    }
}

struct Allocate;

#[async_trait(?Send)]
impl Step<Making, DriverError> for Allocate {
    fn name(&self) -> &'static str {
        "allocate"
    }

    async fn execute(&self, making: &mut Making) -> Result<(), DriverError> {
        let volume = &making.volume;
        making
            .parts
            .ledger()
            .enter(volume.id, &volume.pool.pool, volume.size);
        Ok(())
    }

    async fn revert(&self, making: &mut Making, _cause: &DriverError) {
        making.parts.ledger().strike(making.volume.id);
    }
}

struct NotifyCreateStart;

#[async_trait(?Send)]
impl Step<Making, DriverError> for NotifyCreateStart {
    fn name(&self) -> &'static str {
        "notify_create_start"
    }

    async fn execute(&self, making: &mut Making) -> Result<(), DriverError> {
        notify("volume.create.start", &making.volume);
        Ok(())
    }
}

struct CreateVolume;

#[async_trait(?Send)]
impl Step<Making, DriverError> for CreateVolume {
    fn name(&self) -> &'static str {
        "create_volume"
    }

    async fn execute(&self, making: &mut Making) -> Result<(), DriverError> {
        let (volume, parts) = (making.volume.clone(), making.parts.clone());
        let claim = Claim::on(volume.id)
            .and_source(&volume.source)
            .moving_data(volume.source != VolumeSource::Raw && parts.driver.get().moves_data())
            .of_command(making.command);
        let made = making
            .parts
            .drive(claim, making.limit, move |driver, work| {
                // Looked at under the volume's lock: a delete that came later may have been done first.
                if parts.ledger().has_tombstone(volume.id.0) {
                    let client = "The volume was deleted meanwhile.".to_owned();
                    return Err(DriverError::Refused { client });
                }
                match volume.source {
                    VolumeSource::Raw => driver.create_volume(work, &volume),
                    VolumeSource::Snapshot { id, .. } => {
                        driver.create_volume_from_snapshot(work, &volume, id)
                    }
                    VolumeSource::Volume { id, .. } => driver.create_cloned_volume(work, &volume, id),
                }
            })
            .await;
        let error = match made {
            Ok(update) => {
                making.update = update;
                return Ok(());
            }
            Err(None) => {
                making.parked = true;
                return Err(DriverError::Cancelled);
            }
            Err(Some(error)) => error,
        };
        // A step may only say "not done" when it knows: whatever the driver left half-made goes first.
        match clean_up(making).await {
            Ok(()) => Err(error),
            Err(None) => {
                making.parked = true;
                Err(DriverError::Cancelled)
            }
            Err(Some(clean_up)) => {
                tracing::error!(
                    volume = %making.volume.id,
                    %error,
                    %clean_up,
                    "what a failed create left could not be taken away; the volume stays with this backend"
                );
                Err(DriverError::TimedOut)
            }
        }
    }

    async fn revert(&self, making: &mut Making, _cause: &DriverError) {
        if let Err(Some(error)) = clean_up(making).await {
            tracing::error!(volume = %making.volume.id, %error, "a created volume could not be taken back");
        }
    }
}

async fn clean_up(making: &Making) -> Result<(), Option<DriverError>> {
    let volume = making.volume.clone();
    making
        .parts
        .drive(volume.id, CLEAN_UP_LIMIT, move |driver, work| {
            driver.delete_volume(work, &volume)
        })
        .await
}

struct NotifyCreateEnd;

#[async_trait(?Send)]
impl Step<Making, DriverError> for NotifyCreateEnd {
    fn name(&self) -> &'static str {
        "notify_create_end"
    }

    async fn execute(&self, making: &mut Making) -> Result<(), DriverError> {
        notify("volume.create.end", &making.volume);
        Ok(())
    }
}
