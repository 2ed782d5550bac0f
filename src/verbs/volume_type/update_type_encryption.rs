//! Change the encryption of a volume type (cinder: `api/contrib/volume_type_encryption.py` `update`).

use super::encryption::{check_unused, commit};
use super::notifications::notify_changed_encryption;
use crate::model::type_encryption::type_encryption_not_found;
use crate::model::{ControlLocation, VolumeTypeId};
use crate::verbs::prelude::*;

/// Change the encryption of a volume type. `None` keeps a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateTypeEncryption {
    /// The type.
    pub volume_type_id: VolumeTypeId,
    /// The provider.
    pub provider: Option<String>,
    /// Where volumes are encrypted.
    pub control_location: Option<ControlLocation>,
    /// The algorithm and mode; `Some(None)` clears it.
    pub cipher: Option<Option<String>>,
    /// The size of a key in bits; `Some(None)` clears it.
    pub key_size: Option<Option<u32>>,
}
call!(UpdateTypeEncryption => ApiTopic, "update_type_encryption", since 5, reply ());

impl Request for UpdateTypeEncryption {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let id = self.volume_type_id;
        let volume_type = at.control.volume_type(id).await?;
        check_unused(at, id, "update").await?;
        let encryption = at.control.catalog.type_encryption(id).await?;
        let was = encryption.ok_or_else(|| type_encryption_not_found(id))?;
        let mut now = was.record.clone();
        if let Some(provider) = &self.provider {
            now.provider.clone_from(provider);
        }
        if let Some(control_location) = self.control_location {
            now.control_location = control_location;
        }
        if let Some(cipher) = &self.cipher {
            now.cipher.clone_from(cipher);
        }
        if let Some(key_size) = self.key_size {
            now.key_size = key_size;
        }
        now.updated_at = Some(Timestamp::now());
        let mut changes = at.control.catalog.change();
        changes.update(&was, &now);
        notify_changed_encryption(at, &mut changes, &now);
        commit(changes, &volume_type, "update").await?;
        Ok(Began::Done(()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let bare = UpdateTypeEncryption {
            volume_type_id: VolumeTypeId(Uuid::from_u128(1)),
            provider: None,
            control_location: None,
            cipher: None,
            key_size: None,
        };
        let full = UpdateTypeEncryption {
            provider: Some("luks2".to_owned()),
            control_location: Some(ControlLocation::BackEnd),
            cipher: Some(None),
            key_size: Some(Some(512)),
            ..bare.clone()
        };
        crate::golden::message(&[("bare", bare), ("full", full)]);
    }
}
