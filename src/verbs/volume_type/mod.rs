//! The verbs of volume types.

mod create_type_encryption;
mod create_volume_type;
mod delete_type_encryption;
mod delete_volume_type;
mod encryption;
mod notifications;
mod set_default_type;
mod unset_default_type;
mod update_type_encryption;
mod update_volume_type;

pub use self::create_type_encryption::CreateTypeEncryption;
pub use self::create_volume_type::CreateVolumeType;
pub use self::delete_type_encryption::DeleteTypeEncryption;
pub use self::delete_volume_type::DeleteVolumeType;
pub use self::set_default_type::SetDefaultType;
pub use self::unset_default_type::UnsetDefaultType;
pub use self::update_type_encryption::UpdateTypeEncryption;
pub use self::update_volume_type::{UpdateVolumeType, VolumeTypeChange};
use super::RequestVisitor;

pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<CreateVolumeType>();
    visitor.request::<UpdateVolumeType>();
    visitor.request::<DeleteVolumeType>();
    visitor.request::<CreateTypeEncryption>();
    visitor.request::<UpdateTypeEncryption>();
    visitor.request::<DeleteTypeEncryption>();
    visitor.request::<SetDefaultType>();
    visitor.request::<UnsetDefaultType>();
}
