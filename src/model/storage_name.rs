//! The names that volumes and snapshots have on their storage. They are those of Cinder's LVM driver, so that volumes of a
//! Cinder are recognised (cinder: `volume_name_template`, `snapshot_name_template`, `LVMVolumeDriver._escape_snapshot`).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{SnapshotId, VolumeId};

/// The storage name of a volume or snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StorageName {
    /// `volume-<id>`
    Volume(VolumeId),
    /// `_snapshot-<id>`: LVM reserves names that begin with `snapshot`.
    Snapshot(SnapshotId),
}

impl StorageName {
    /// Parses a name; `None` for other names, and for other notations of the same id.
    pub fn parse(text: &str) -> Option<Self> {
        let name = if let Some(id) = text.strip_prefix("volume-") {
            Self::Volume(id.parse().ok()?)
        } else {
            Self::Snapshot(text.strip_prefix("_snapshot-")?.parse().ok()?)
        };
        (name.to_string() == text).then_some(name)
    }

    /// The name of the kind, for users.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Volume(_) => "volume",
            Self::Snapshot(_) => "snapshot",
        }
    }
}

impl fmt::Display for StorageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(id) => write!(f, "volume-{id}"),
            Self::Snapshot(id) => write!(f, "_snapshot-{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StorageName;
    use crate::model::{SnapshotId, VolumeId};

    #[test]
    fn names_are_read_back_and_strangers_are_not_ours() {
        for name in [
            StorageName::Volume(VolumeId::new()),
            StorageName::Snapshot(SnapshotId::new()),
        ] {
            assert_eq!(StorageName::parse(&name.to_string()), Some(name));
            assert_eq!(StorageName::parse(&name.to_string().to_uppercase()), None);
        }
        for stranger in ["", "volume-", "volume-x", "_snapshot-1", "lvol0", "snapshot-"] {
            assert_eq!(StorageName::parse(stranger), None, "{stranger}");
        }
    }
}
