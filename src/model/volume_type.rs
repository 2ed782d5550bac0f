//! Volume types: named kinds of volumes, with extra specs for the scheduler.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::id::uuid_id;
use super::{ProjectId, QosSpecsId, Timestamp};
use crate::rng;

uuid_id!(/// Names a volume type.
    VolumeTypeId, rng::id());

/// The type of a new catalog (cinder: migration `add default volume type`).
pub const DEFAULT_TYPE_NAME: &str = "__DEFAULT__";

/// A volume type, as stored in the catalog (version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeType {
    /// Its id.
    pub id: VolumeTypeId,
    /// Its name, unique.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// Whether every project may use it.
    pub is_public: bool,
    /// Requirements and hints for the scheduler and the driver.
    pub extra_specs: BTreeMap<String, String>,
    /// The projects that may use a private type.
    pub projects: BTreeSet<ProjectId>,
    /// Its QoS specs.
    pub qos_specs_id: Option<QosSpecsId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
}

/// The type of a project's volumes whose request has none, as stored in the catalog (version 1). Other projects use the
/// service's default type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectDefaultType {
    /// The project.
    pub project_id: ProjectId,
    /// Its default type.
    pub volume_type_id: VolumeTypeId,
}

impl VolumeType {
    /// Whether a project may see and use it.
    pub fn is_open_to(&self, project: &ProjectId) -> bool {
        self.is_public || self.projects.contains(project)
    }

    /// Whether its volumes may have several attachments: extra spec `multiattach` = `<is> True`.
    pub fn is_multiattach(&self) -> bool {
        self.extra_specs
            .get("multiattach")
            .is_some_and(|spec| spec == "<is> True")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_types_keep_their_form() {
        let default = ProjectDefaultType {
            project_id: "p".into(),
            volume_type_id: VolumeTypeId(uuid::Uuid::from_u128(1)),
        };
        crate::golden::record("full", &default);
    }
}
