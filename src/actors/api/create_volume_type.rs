//! Make a volume type (cinder: `api/contrib/types_manage.py`).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::ApiActor;
use super::lookup::Unchanged;
use crate::messages::api::CreateVolumeType;
use crate::model::bounds::{EXTRA_SPECS, pairs};
use crate::model::{Context, Error, Result, Timestamp, VolumeType, VolumeTypeId};

impl ApiActor {
    /// Serves [`CreateVolumeType`].
    pub(super) async fn create_volume_type(
        self: Rc<Self>,
        _context: Context,
        request: CreateVolumeType,
    ) -> Result<VolumeType> {
        check_specs(&request.extra_specs)?;
        EXTRA_SPECS.check(0, pairs(&request.extra_specs))?;
        let volume_type = VolumeType {
            id: VolumeTypeId::new(),
            name: request.name,
            description: request.description,
            is_public: request.is_public,
            extra_specs: request.extra_specs,
            projects: BTreeSet::new(),
            qos_specs_id: None,
            created_at: Timestamp::now(),
            updated_at: None,
        };
        let mut changes = self.deps.catalog.change();
        changes.insert_volume_type(&volume_type);
        match changes.commit().await.map_err(Unchanged::from) {
            Ok(_) => Ok(volume_type),
            // The id is fresh, so it is the name.
            Err(Unchanged::Overtaken) => Err(exists(&volume_type.name)),
            Err(Unchanged::Refused(error)) => Err(error),
        }
    }
}

/// 409 in Cinder's words.
pub(super) fn exists(name: &str) -> Error {
    Error::conflict(format!("Volume Type {name} already exists."))
}

/// What extra specs may not say together (cinder: `_check_cacheable`).
pub(super) fn check_specs(specs: &BTreeMap<String, String>) -> Result<()> {
    let is_true = |key: &str| specs.get(key).is_some_and(|value| value == "<is> True");
    if is_true("multiattach") && is_true("cacheable") {
        return Err(Error::bad_request("cacheable cannot be set with multiattach."));
    }
    Ok(())
}
