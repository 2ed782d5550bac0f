//! The description of a volume for a volume node, which has no catalog, so a command contains everything that it needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::volume::Secret;
use super::{PoolName, ProjectId, SnapshotId, StorageName, VolumeId};

/// Everything that a driver may need of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// The volume.
    pub id: VolumeId,
    /// Its project, for notifications.
    pub project_id: ProjectId,
    /// Its size in GiB.
    pub size: u32,
    /// The pool of the volume, or the one to create it on.
    pub pool: PoolName,
    /// Whether several attachments may exist.
    pub multiattach: bool,
    /// Whether it may only be read.
    pub readonly: bool,
    /// Whether its content is encrypted by the client.
    pub encrypted: bool,
    /// Extra specs of its type.
    pub extra_specs: BTreeMap<String, String>,
    /// The source of its content.
    pub source: VolumeSource,
    /// The location of its export, if any (`ip:port,tid iqn lun`).
    pub provider_location: Option<String>,
    /// The export's `CHAP user password`.
    pub provider_auth: Option<Secret>,
}

impl VolumeSpec {
    /// Its storage name: `volume-<id>` (cinder: `volume_name_template`).
    pub fn storage_name(&self) -> String {
        StorageName::Volume(self.id).to_string()
    }
}

/// The source of a new volume's content. Variants are only appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// Empty.
    Raw,
    /// A snapshot, of so many GiB, of that volume.
    Snapshot {
        /// The snapshot.
        id: SnapshotId,
        /// The snapshot's volume.
        volume_id: VolumeId,
        /// Its size in GiB.
        size: u32,
    },
    /// Another volume of so many GiB.
    Volume {
        /// The volume to clone.
        id: VolumeId,
        /// Its size in GiB.
        size: u32,
    },
}

impl VolumeSource {
    /// The id of the source, the snapshot or the volume, which must not change until the copy is complete.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Raw => None,
            Self::Snapshot { id, .. } => Some(id.0),
            Self::Volume { id, .. } => Some(id.0),
        }
    }

    /// The volume by which the source's backend is found.
    pub fn volume_id(&self) -> Option<VolumeId> {
        match self {
            Self::Raw => None,
            Self::Snapshot { volume_id, .. } => Some(*volume_id),
            Self::Volume { id, .. } => Some(*id),
        }
    }
}
