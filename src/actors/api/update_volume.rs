//! Change name, description or all metadata of a volume.

use std::rc::Rc;

use super::ApiActor;
use super::bounds::check_volume;
use super::lookup::{Unchanged, until_not_overtaken};
use crate::messages::api::UpdateVolume;
use crate::model::transitions::{Verb, decide};
use crate::model::{Context, Result, Timestamp, Volume};

impl ApiActor {
    /// Serves [`UpdateVolume`]: the reply is the volume then.
    pub(super) async fn update_volume(
        self: Rc<Self>,
        context: Context,
        request: UpdateVolume,
    ) -> Result<Volume> {
        until_not_overtaken!(self.try_to_update(&context, &request).await)
    }

    async fn try_to_update(&self, context: &Context, request: &UpdateVolume) -> Result<Volume, Unchanged> {
        let was = self.find_volume(context, &request.volume_id).await?;
        decide(&was, &[], Verb::Update)?;
        let mut volume = was.record.clone();
        if let Some(name) = &request.name {
            volume.name.clone_from(name);
        }
        if let Some(description) = &request.description {
            volume.description.clone_from(description);
        }
        if let Some(metadata) = &request.metadata {
            volume.metadata.clone_from(metadata);
        }
        check_volume(&was, &volume)?;
        if volume == was.record {
            return Ok(volume);
        }
        volume.updated_at = Some(Timestamp::now());
        let mut changes = self.deps.catalog.change();
        changes.update_volume(&was, &volume);
        changes.commit().await?;
        Ok(volume)
    }
}
