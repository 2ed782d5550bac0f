//! Volume types, and messages that their reader wants gone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ApiTopic;
use crate::messages::call;
use crate::model::{VolumeType, VolumeTypeId};

/// Make a volume type.
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

/// Change a volume type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeTypeChange {
    /// Name, description, openness: whichever is given.
    Update {
        /// New name.
        name: Option<String>,
        /// New description; `Some(None)` clears it.
        description: Option<Option<String>>,
        /// New openness.
        is_public: Option<bool>,
    },
    /// Add or overwrite extra specs.
    SetExtraSpecs(BTreeMap<String, String>),
    /// Drop one extra spec; 404 if it is not there.
    UnsetExtraSpec(String),
    /// Open a private type to a project.
    AddProjectAccess(String),
    /// And close it.
    RemoveProjectAccess(String),
    /// Add or overwrite extra specs, and drop those that are `None`, whether or not they are there.
    ChangeExtraSpecs(BTreeMap<String, Option<String>>),
}

/// Change a volume type; the reply is the type then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateVolumeType {
    /// Which.
    pub id: VolumeTypeId,
    /// How.
    pub change: VolumeTypeChange,
}
call!(UpdateVolumeType => ApiTopic, "update_volume_type", since 1, reply VolumeType);

/// Delete a volume type that no volume uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolumeType {
    /// Which.
    pub id: VolumeTypeId,
}
call!(DeleteVolumeType => ApiTopic, "delete_volume_type", since 1, reply ());

/// Delete a user message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteMessage {
    /// Which, as the client wrote it.
    pub message_id: String,
}
call!(DeleteMessage => ApiTopic, "delete_message", since 1, reply ());
