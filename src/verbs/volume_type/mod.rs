//! What can be done to volume types.

mod create_volume_type;
mod delete_volume_type;
mod update_volume_type;

pub use self::create_volume_type::CreateVolumeType;
pub use self::delete_volume_type::DeleteVolumeType;
pub use self::update_volume_type::{UpdateVolumeType, VolumeTypeChange};
use super::RequestVisitor;

/// Shows the requests that begin them.
pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<CreateVolumeType>();
    visitor.request::<UpdateVolumeType>();
    visitor.request::<DeleteVolumeType>();
}
