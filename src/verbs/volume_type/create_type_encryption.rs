//! Create the encryption of a volume type (cinder: `api/contrib/volume_type_encryption.py` `create`).

use super::encryption::{check_unused, commit};
use super::notifications::notify_new_encryption;
use crate::model::{ControlLocation, TypeEncryption, TypeEncryptionId, VolumeTypeId};
use crate::verbs::prelude::*;

/// Create the encryption of a volume type. The reply is the encryption's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTypeEncryption {
    /// The type.
    pub volume_type_id: VolumeTypeId,
    /// The provider.
    pub provider: String,
    /// Where volumes are encrypted.
    pub control_location: ControlLocation,
    /// The algorithm and mode.
    pub cipher: Option<String>,
    /// The size of a key in bits.
    pub key_size: Option<u32>,
}
call!(CreateTypeEncryption => ApiTopic, "create_type_encryption", since 5, reply TypeEncryptionId);

impl Request for CreateTypeEncryption {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<TypeEncryptionId>, Interrupt> {
        let id = self.volume_type_id;
        check_unused(at, id, "create").await?;
        let volume_type = at.control.volume_type(id).await?;
        if at.control.catalog.type_encryption(id).await?.is_some() {
            return Err(
                Error::bad_request(format!("Volume type encryption for type {id} already exists.")).into(),
            );
        }
        let encryption = TypeEncryption {
            id: TypeEncryptionId::new(),
            volume_type_id: id,
            provider: self.provider.clone(),
            control_location: self.control_location,
            cipher: self.cipher.clone(),
            key_size: self.key_size,
            created_at: Timestamp::now(),
            updated_at: None,
        };
        let mut changes = at.control.catalog.change();
        changes.insert(&encryption);
        notify_new_encryption(at, &mut changes, &encryption);
        at.answer(&mut changes, &encryption.id, None)?;
        commit(changes, &volume_type, "create").await?;
        Ok(Began::Done(encryption.id))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let bare = CreateTypeEncryption {
            volume_type_id: VolumeTypeId(Uuid::from_u128(1)),
            provider: "luks".to_owned(),
            control_location: ControlLocation::FrontEnd,
            cipher: None,
            key_size: None,
        };
        let full = CreateTypeEncryption {
            control_location: ControlLocation::BackEnd,
            cipher: Some("aes-xts-plain64".to_owned()),
            key_size: Some(256),
            ..bare.clone()
        };
        crate::golden::message(&[("bare", bare), ("full", full)]);
        crate::golden::reply(
            "api.create_type_encryption",
            &[("id", TypeEncryptionId(Uuid::from_u128(2)))],
        );
    }
}
