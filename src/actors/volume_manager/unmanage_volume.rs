//! Unmanage volume, the manager's flow: nothing of it is touched, but it is ours no longer.
//!
//! | step | what is true after it |
//! |---|---|
//! | `remove_export` | nobody reaches it through us |
//! | `forget_volume` | it is struck out of the book, `volume.unmanage` was emitted |

use async_trait::async_trait;

use super::notify::notify;
use super::task::Task;
use crate::drivers::DriverError;
use crate::flow::{Flow, Step};

type Unmanaging = Task<()>;

/// The flow.
#[must_use]
pub fn flow() -> Flow<Unmanaging, DriverError> {
    Flow::new("unmanage_volume").then(RemoveExport).then(ForgetVolume)
}

struct RemoveExport;

#[async_trait(?Send)]
impl Step<Unmanaging, DriverError> for RemoveExport {
    fn name(&self) -> &'static str {
        "remove_export"
    }

    async fn execute(&self, unmanaging: &mut Unmanaging) -> Result<(), DriverError> {
        let volume = unmanaging.volume.clone();
        let Some(target) = unmanaging.parts.target.clone() else {
            return Ok(());
        };
        let parts = unmanaging.parts.clone();
        unmanaging
            .drive(volume.id, move |_, work| {
                // Asked when this is alone on the volume: whoever was just being connected has been by now.
                let is_exported = parts.ledger().is_exported(volume.id) || volume.provider_location.is_some();
                if !is_exported {
                    return Ok(());
                }
                parts.remove_export(target.as_ref(), work, &volume)
            })
            .await
    }
}

struct ForgetVolume;

#[async_trait(?Send)]
impl Step<Unmanaging, DriverError> for ForgetVolume {
    fn name(&self) -> &'static str {
        "forget_volume"
    }

    async fn execute(&self, unmanaging: &mut Unmanaging) -> Result<(), DriverError> {
        unmanaging.parts.ledger().strike(unmanaging.volume.id);
        notify("volume.unmanage", &unmanaging.volume);
        Ok(())
    }
}
