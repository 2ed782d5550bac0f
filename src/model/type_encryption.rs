//! The encryption of the volumes of a type (cinder: `db/models.py` `Encryption`). A type has at most one such record, and it changes
//! only while no volume is of that type.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::uuid_id;
use super::{Error, Timestamp, VolumeTypeId};
use crate::rng;

uuid_id!(/// Names the encryption of a volume type.
    TypeEncryptionId, rng::id());

/// Where volumes are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlLocation {
    /// By the compute service.
    FrontEnd,
    /// By the storage.
    BackEnd,
}

impl ControlLocation {
    /// Its text in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FrontEnd => "front-end",
            Self::BackEnd => "back-end",
        }
    }
}

/// The encryption of a volume type as stored in the catalog (version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeEncryption {
    /// Its id.
    pub id: TypeEncryptionId,
    /// The type.
    pub volume_type_id: VolumeTypeId,
    /// The provider: `luks`, `luks2`, `plain`, or the name of a class.
    pub provider: String,
    /// Where volumes are encrypted.
    pub control_location: ControlLocation,
    /// The algorithm and mode, such as `aes-xts-plain64`.
    pub cipher: Option<String>,
    /// The size of a key in bits.
    pub key_size: Option<u32>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
}

/// 404 with Cinder's text.
pub fn type_encryption_not_found(type_id: impl fmt::Display) -> Error {
    Error::not_found(format!(
        "Volume type encryption for type {type_id} does not exist."
    ))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn encryptions_keep_their_form() {
        let bare = TypeEncryption {
            id: TypeEncryptionId(Uuid::from_u128(1)),
            volume_type_id: VolumeTypeId(Uuid::from_u128(2)),
            provider: "luks".to_owned(),
            control_location: ControlLocation::FrontEnd,
            cipher: None,
            key_size: None,
            created_at: Timestamp(1_700_000_000_000_001),
            updated_at: None,
        };
        crate::golden::record("bare", &bare);
        let full = TypeEncryption {
            control_location: ControlLocation::BackEnd,
            cipher: Some("aes-xts-plain64".to_owned()),
            key_size: Some(256),
            updated_at: Some(Timestamp(1_700_000_000_000_002)),
            ..bare
        };
        crate::golden::record("full", &full);
    }
}
