//! What a volume node is told of a volume. It has no catalog, so a command carries all that it needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::volume::Secret;
use super::{PoolName, ProjectId, SnapshotId, StorageName, VolumeId};

/// Everything a driver may want to know of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// The volume.
    pub id: VolumeId,
    /// Its project, for notifications.
    pub project_id: ProjectId,
    /// Its size in GiB.
    pub size: u32,
    /// The pool it is on, or is to be made on.
    pub pool: PoolName,
    /// Whether several attachments may exist.
    pub multiattach: bool,
    /// Whether it may only be read.
    pub readonly: bool,
    /// Whether its content is encrypted by its user.
    pub encrypted: bool,
    /// Extra specs of its type.
    pub extra_specs: BTreeMap<String, String>,
    /// Where its content comes from.
    pub source: VolumeSource,
    /// Where it is exported, if it is (`ip:port,tid iqn lun`).
    pub provider_location: Option<String>,
    /// The export's `CHAP user password`.
    pub provider_auth: Option<Secret>,
}

impl VolumeSpec {
    /// The name its storage has: `volume-<id>` (cinder: `volume_name_template`).
    #[must_use]
    pub fn storage_name(&self) -> String {
        StorageName::Volume(self.id).to_string()
    }
}

/// Where a new volume's content comes from. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// Empty.
    Raw,
    /// A snapshot, of so many GiB, of that volume.
    Snapshot {
        /// The snapshot.
        id: SnapshotId,
        /// The volume it was taken of.
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
    /// What must stay as it is until the copy is made: the snapshot, or the volume.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Raw => None,
            Self::Snapshot { id, .. } => Some(id.0),
            Self::Volume { id, .. } => Some(id.0),
        }
    }

    /// The volume whose backend has the source.
    #[must_use]
    pub fn volume_id(&self) -> Option<VolumeId> {
        match self {
            Self::Raw => None,
            Self::Snapshot { volume_id, .. } => Some(*volume_id),
            Self::Volume { id, .. } => Some(*id),
        }
    }
}
