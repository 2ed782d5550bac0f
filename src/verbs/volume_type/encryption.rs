//! Common parts of the changes of a type's encryption. Cinder checks for volumes of the type before it writes; here the
//! commit does both, and a concurrent creation of a volume gets a conflict, because the type changes with its
//! encryption.

use crate::model::{VolumeType, VolumeTypeId};
use crate::store::CommitError;
use crate::store::catalog::{Changes, Stored, TYPE_IN_USE};
use crate::verbs::prelude::*;

/// Refuses to `change` the encryption of a type that has volumes.
pub(super) async fn check_unused(
    at: &BeginContext<'_>,
    id: VolumeTypeId,
    change: &str,
) -> Result<(), Interrupt> {
    match at.control.catalog.type_in_use(id).await? {
        true => Err(in_use(change).into()),
        false => Ok(()),
    }
}

/// Commits a `change` of the encryption of this type.
pub(super) async fn commit(
    mut changes: Changes,
    volume_type: &Stored<VolumeType>,
    change: &str,
) -> Result<(), Interrupt> {
    changes.update(volume_type, &volume_type.record);
    match changes.commit().await {
        Ok(_) => Ok(()),
        Err(CommitError::OverCeiling { name, .. }) if name == TYPE_IN_USE => Err(in_use(change).into()),
        Err(error) => Err(error.into()),
    }
}

fn in_use(change: &str) -> Error {
    Error::bad_request(format!("Cannot {change} encryption specs. Volume type in use."))
}
