//! `POST /volumes/{id}/action`: a handler for each action, beside the schema of its arguments (cinder:
//! `api/schemas/volume_actions.py`, `admin_actions.py`, `volume_image_metadata.py`, `volumes.py` for `revert`).

use super::find_volume;
use super::prelude::*;
use crate::model::Volume;
use crate::store::catalog::Stored;
use crate::verbs::volume::{ChangeVolume, VolumeChange};

pub(super) mod attaching;
pub(super) mod extend;
pub(super) mod image;
pub(super) mod migrate;
pub(super) mod retype;
pub(super) mod revert;
pub(super) mod status;

pub(super) type OnVolume = ActionOn<Stored<Volume>>;

impl Subject for Stored<Volume> {
    async fn find(state: &WebState, caller: &Caller, id: &str) -> Result<Self, Fault> {
        find_volume(state, caller, id).await
    }
}

impl OnVolume {
    /// The volume's id as text, for messages.
    fn volume_id(&self) -> String {
        self.subject.id.to_string()
    }

    /// Changes the record only, without a driver.
    async fn change(&self, change: VolumeChange) -> Result<Volume, Fault> {
        let volume_id = self.volume_id();
        self.ask(ChangeVolume { volume_id, change }).await
    }

    /// The same, answered with 202.
    async fn accept_change(&self, change: VolumeChange) -> HandlerResult {
        self.change(change).await?;
        Ok(accepted())
    }
}
