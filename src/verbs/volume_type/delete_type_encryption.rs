//! Delete the encryption of a volume type (cinder: `api/contrib/volume_type_encryption.py` `delete`).

use super::encryption::{check_unused, commit};
use crate::model::VolumeTypeId;
use crate::model::type_encryption::type_encryption_not_found;
use crate::verbs::prelude::*;

/// Delete the encryption of a volume type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTypeEncryption {
    /// The type.
    pub volume_type_id: VolumeTypeId,
}
call!(DeleteTypeEncryption => ApiTopic, "delete_type_encryption", since 5, reply ());

impl Request for DeleteTypeEncryption {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let id = self.volume_type_id;
        check_unused(at, id, "delete").await?;
        let encryption = at.control.catalog.type_encryption(id).await?;
        let was = encryption.ok_or_else(|| type_encryption_not_found(id))?;
        let volume_type = at.control.volume_type(id).await?;
        let mut changes = at.control.catalog.change();
        changes.delete(&was);
        commit(changes, &volume_type, "delete").await?;
        Ok(Began::Done(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let volume_type_id = VolumeTypeId(uuid::Uuid::from_u128(1));
        crate::golden::message(&[("full", DeleteTypeEncryption { volume_type_id })]);
    }
}
