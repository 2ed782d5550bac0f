//! Change a volume's metadata, key by key or all of it.

use std::collections::BTreeMap;

use crate::control::bounds::check_volume;
use crate::messages::api::MetadataChange;
use crate::verbs::prelude::*;

/// Change a volume's metadata; the reply is the new metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateVolumeMetadata {
    /// Its id, as the client wrote it.
    pub volume_id: String,
    /// The change.
    pub change: MetadataChange,
    /// The metadata that the client expects (`If-Match`), compared before the change.
    pub expected: Option<BTreeMap<String, String>>,
}
call!(UpdateVolumeMetadata => ApiTopic, "update_volume_metadata", since 1, reply BTreeMap<String, String>);

impl Request for UpdateVolumeMetadata {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<BTreeMap<String, String>>, Interrupt> {
        let was = at.control.find_volume(at.context, &self.volume_id).await?;
        if self
            .expected
            .as_ref()
            .is_some_and(|expected| *expected != was.metadata)
        {
            return Err(Error::conflict("Precondition Failed").into());
        }
        let mut volume = was.record.clone();
        volume.metadata = changed(&was, &self.change)?;
        check_volume(&was, &volume)?;
        let volume = at.control.commit_volume(&was, volume).await?;
        Ok(Began::Done(volume.metadata))
    }
}

fn changed(volume: &Volume, change: &MetadataChange) -> Result<BTreeMap<String, String>> {
    let mut metadata = volume.metadata.clone();
    match change {
        MetadataChange::Merge(pairs) => {
            decide(volume, &[], Asked::UpdateMetadata)?;
            metadata.extend(pairs.clone());
        }
        MetadataChange::Replace(pairs) => {
            decide(volume, &[], Asked::UpdateMetadata)?;
            metadata.clone_from(pairs);
        }
        MetadataChange::Remove(key) => {
            // Cinder looks up the key first.
            let found = metadata.remove(key).is_some();
            if !found {
                return Err(Error::not_found(format!(
                    "Volume {} has no metadata with key {key}.",
                    volume.id
                )));
            }
            decide(volume, &[], Asked::DeleteMetadata)?;
        }
    }
    Ok(metadata)
}
