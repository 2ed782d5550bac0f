//! Delete a volume type that no volume uses (cinder: `volume/volume_types.py` `destroy`).

use std::rc::Rc;

use super::ApiActor;
use super::lookup::{Unchanged, until_not_overtaken};
use crate::messages::api::DeleteVolumeType;
use crate::model::{Context, Error, Result};
use crate::store::CommitError;
use crate::store::catalog::TYPE_IN_USE;

impl ApiActor {
    /// Serves [`DeleteVolumeType`].
    pub(super) async fn delete_volume_type(
        self: Rc<Self>,
        _context: Context,
        request: DeleteVolumeType,
    ) -> Result<()> {
        until_not_overtaken!(self.try_to_delete_type(&request).await)
    }

    async fn try_to_delete_type(&self, request: &DeleteVolumeType) -> Result<(), Unchanged> {
        let was = self.volume_type(request.id).await?;
        if self.default_volume_type().await?.id == was.id {
            return Err(Error::bad_request(format!(
                "The volume type {} is a default volume type and cannot be deleted.",
                was.id
            ))
            .into());
        }
        let mut changes = self.deps.catalog.change();
        changes.delete_volume_type(&was);
        match changes.commit().await {
            Ok(_) => Ok(()),
            Err(CommitError::OverCeiling { name, .. }) if name == TYPE_IN_USE => {
                Err(Error::bad_request("Target volume type is still in use.").into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
