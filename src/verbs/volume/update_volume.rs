//! Change name, description or all metadata of a volume.

use std::collections::BTreeMap;

use crate::control::bounds::check_volume;
use crate::verbs::prelude::*;

/// Change a volume's record; the reply is the changed volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateVolume {
    /// Its id, as the client wrote it.
    pub volume_id: String,
    /// `Some(None)` clears it.
    pub name: Option<Option<String>>,
    /// `Some(None)` clears it.
    pub description: Option<Option<String>>,
    /// Replaces all metadata.
    pub metadata: Option<BTreeMap<String, String>>,
}
call!(UpdateVolume => ApiTopic, "update_volume", since 1, reply Volume);

impl Request for UpdateVolume {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Volume>, Interrupt> {
        let was = at.control.find_volume(at.context, &self.volume_id).await?;
        decide(&was, &[], Asked::Update)?;
        let mut volume = was.record.clone();
        if let Some(name) = &self.name {
            volume.name.clone_from(name);
        }
        if let Some(description) = &self.description {
            volume.description.clone_from(description);
        }
        if let Some(metadata) = &self.metadata {
            volume.metadata.clone_from(metadata);
        }
        check_volume(&was, &volume)?;
        if volume == was.record {
            return Ok(Began::Done(volume));
        }
        volume.updated_at = Some(Timestamp::now());
        let mut changes = at.control.catalog.change();
        changes.update(&was, &volume);
        at.notify_change(&mut changes, "volume.update", &was, &volume)
            .await?;
        changes.commit().await?;
        Ok(Began::Done(volume))
    }
}
