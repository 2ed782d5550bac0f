//! Specimens for this room's tests.

pub(crate) mod fence;

use std::collections::BTreeMap;

use serde_json::{Map, json};

use super::ownership::{Ownership, Place};
use super::{DriverError, DriverResult, Work};

use crate::model::spec::VolumeSource;
use crate::model::{BackendName, Connector, ProjectId, VolumeId, VolumeSpec};

/// An empty volume of so many GiB.
pub(crate) fn volume(size: u32) -> VolumeSpec {
    VolumeSpec {
        id: VolumeId::new(),
        project_id: ProjectId::from("p"),
        size,
        pool: BackendName::new("h", "file").pool("file"),
        multiattach: false,
        readonly: false,
        encrypted: false,
        extra_specs: BTreeMap::new(),
        source: VolumeSource::Raw,
        provider_location: None,
        provider_auth: None,
    }
}

/// A connector that has nothing but an initiator.
pub(crate) fn connector(initiator: &str) -> Connector {
    let mut object = Map::new();
    object.insert("initiator".to_owned(), json!(initiator));
    Connector::from_json(&object)
}
