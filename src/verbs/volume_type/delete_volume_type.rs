//! Delete a volume type that no volume uses (cinder: `volume/volume_types.py` `destroy`).

use super::notifications::notify_type;
use crate::model::VolumeTypeId;
use crate::store::CommitError;
use crate::store::catalog::TYPE_IN_USE;
use crate::verbs::prelude::*;

/// Delete a volume type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolumeType {
    /// Its id.
    pub id: VolumeTypeId,
}
call!(DeleteVolumeType => ApiTopic, "delete_volume_type", since 1, reply ());

impl Request for DeleteVolumeType {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let was = at.control.volume_type(self.id).await?;
        let project_defaults = at.control.catalog.project_default_types().await?;
        if project_defaults
            .iter()
            .any(|default| default.volume_type_id == was.id)
            || at.control.default_volume_type().await?.id == was.id
        {
            return Err(Error::bad_request(format!(
                "The volume type {} is a default volume type and cannot be deleted.",
                was.id
            ))
            .into());
        }
        let mut changes = at.control.catalog.change();
        changes.delete(&was);
        notify_type(at, &mut changes, "delete", &was);
        if let Some(encryption) = at.control.catalog.type_encryption(was.id).await? {
            changes.delete(&encryption);
        }
        match changes.commit().await {
            Ok(_) => Ok(Began::Done(())),
            Err(CommitError::OverCeiling { name, .. }) if name == TYPE_IN_USE => {
                Err(Error::bad_request("Target volume type is still in use.").into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
