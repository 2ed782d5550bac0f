//! Change a volume's metadata, key by key or all of it.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::ApiActor;
use super::bounds::check_volume;
use super::lookup::{Unchanged, until_not_overtaken};
use crate::messages::api::{MetadataChange, UpdateVolumeMetadata};
use crate::model::transitions::{Verb, decide};
use crate::model::{Context, Error, Result, Timestamp, Volume};

impl ApiActor {
    /// Serves [`UpdateVolumeMetadata`]: the reply is the metadata then.
    pub(super) async fn update_volume_metadata(
        self: Rc<Self>,
        context: Context,
        request: UpdateVolumeMetadata,
    ) -> Result<BTreeMap<String, String>> {
        until_not_overtaken!(self.try_to_update_metadata(&context, &request).await)
    }

    async fn try_to_update_metadata(
        &self,
        context: &Context,
        request: &UpdateVolumeMetadata,
    ) -> Result<BTreeMap<String, String>, Unchanged> {
        let was = self.find_volume(context, &request.volume_id).await?;
        if request
            .expected
            .as_ref()
            .is_some_and(|expected| *expected != was.metadata)
        {
            return Err(Error::conflict("Precondition Failed").into());
        }
        let metadata = changed(&was, &request.change)?;
        if metadata == was.metadata {
            return Ok(metadata);
        }
        let mut volume = was.record.clone();
        volume.metadata.clone_from(&metadata);
        check_volume(&was, &volume)?;
        volume.updated_at = Some(Timestamp::now());
        let mut changes = self.deps.catalog.change();
        changes.update_volume(&was, &volume);
        changes.commit().await?;
        Ok(metadata)
    }
}

fn changed(volume: &Volume, change: &MetadataChange) -> Result<BTreeMap<String, String>> {
    let mut metadata = volume.metadata.clone();
    match change {
        MetadataChange::Merge(pairs) => {
            decide(volume, &[], Verb::UpdateMetadata)?;
            metadata.extend(pairs.clone());
        }
        MetadataChange::Replace(pairs) => {
            decide(volume, &[], Verb::UpdateMetadata)?;
            metadata.clone_from(pairs);
        }
        MetadataChange::Remove(key) => {
            // Cinder looks for the key first.
            let found = metadata.remove(key).is_some();
            if !found {
                return Err(Error::not_found(format!(
                    "Volume {} has no metadata with key {key}.",
                    volume.id
                )));
            }
            decide(volume, &[], Verb::DeleteMetadata)?;
        }
    }
    Ok(metadata)
}
