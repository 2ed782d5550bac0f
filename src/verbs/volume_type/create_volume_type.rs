//! Create a volume type (cinder: `api/contrib/types_manage.py`).

use std::collections::{BTreeMap, BTreeSet};

use super::notifications::notify_type;
use crate::model::bounds::{EXTRA_SPECS, pairs};
use crate::model::{VolumeType, VolumeTypeId};
use crate::verbs::prelude::*;

/// Create a volume type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolumeType {
    /// Name, unique.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// Open to all.
    pub is_public: bool,
    /// Extra specs.
    pub extra_specs: BTreeMap<String, String>,
}
call!(CreateVolumeType => ApiTopic, "create_volume_type", since 1, reply VolumeType);

impl Request for CreateVolumeType {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<VolumeType>, Interrupt> {
        check_specs(&self.extra_specs)?;
        EXTRA_SPECS.check(0, pairs(&self.extra_specs))?;
        let volume_type = VolumeType {
            id: VolumeTypeId::new(),
            name: self.name.clone(),
            description: self.description.clone(),
            is_public: self.is_public,
            extra_specs: self.extra_specs.clone(),
            projects: BTreeSet::new(),
            qos_specs_id: None,
            created_at: Timestamp::now(),
            updated_at: None,
        };
        let mut changes = at.control.catalog.change();
        changes.insert(&volume_type);
        notify_type(at, &mut changes, "create", &volume_type);
        at.answer(&mut changes, &volume_type, None)?;
        match changes.commit().await.map_err(Interrupt::from) {
            Ok(_) => Ok(Began::Done(volume_type)),
            // The id is new, so the conflict is the name.
            Err(Interrupt::Conflict) => Err(exists(&volume_type.name).into()),
            Err(error) => Err(error),
        }
    }
}

/// 409 with Cinder's text.
pub(super) fn exists(name: &str) -> Error {
    Error::conflict(format!("Volume Type {name} already exists."))
}

/// Refuses invalid combinations of extra specs (cinder: `_check_cacheable`).
pub(super) fn check_specs(specs: &BTreeMap<String, String>) -> Result<()> {
    let is_true = |key: &str| specs.get(key).is_some_and(|value| value == "<is> True");
    if is_true("multiattach") && is_true("cacheable") {
        return Err(Error::bad_request("cacheable cannot be set with multiattach."));
    }
    Ok(())
}
