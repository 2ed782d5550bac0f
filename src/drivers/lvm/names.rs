//! Names in the group. Volumes and snapshots have Cinder's names, and so has the snapshot for a clone of a thick
//! volume; the two names of a revert are Pumice's.

use crate::model::{SnapshotId, StorageName, VolumeId};

const CLONE_SNAPSHOT: &str = "clone-snap-";
const REVERT_NEW: &str = "revert-new-";
const REVERT_OLD: &str = "revert-old-";

pub(super) fn volume(id: VolumeId) -> String {
    StorageName::Volume(id).to_string()
}

pub(super) fn snapshot(id: SnapshotId) -> String {
    StorageName::Snapshot(id).to_string()
}

/// The snapshot that the thick clone `id` is copied from.
pub(super) fn clone_snapshot(id: VolumeId) -> String {
    format!("{CLONE_SNAPSHOT}{id}")
}

/// The name of the new volume during its revert.
pub(super) fn revert_new(id: VolumeId) -> String {
    format!("{REVERT_NEW}{id}")
}

/// The name of the old volume during its revert.
pub(super) fn revert_old(id: VolumeId) -> String {
    format!("{REVERT_OLD}{id}")
}

/// The thin pool of a group (cinder: `<vg>-pool`).
pub(super) fn pool(group: &str) -> String {
    format!("{group}-pool")
}

/// Whether it is the name of a managed volume or snapshot.
pub(super) fn is_ours(name: &str) -> bool {
    StorageName::parse(name).is_some()
}

/// Whether it is a temporary name of a verb.
pub(super) fn is_passing(name: &str) -> bool {
    [CLONE_SNAPSHOT, REVERT_NEW, REVERT_OLD]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Whether it is a valid name for LVM, and safe in a shell.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 127
        && !name.starts_with('-')
        && name != "."
        && name != ".."
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+_.-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::{is_passing, is_plain, revert_new, volume};
    use crate::model::VolumeId;

    #[test]
    fn names_that_lvm_would_not_take_are_known() {
        for name in ["a", "volume-1", "_snapshot-1", "lv.1+x"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", "-f", "a/b", "a b", "a\"b", "..", "ü", &"x".repeat(128)] {
            assert!(!is_plain(name), "{name}");
        }
    }

    #[test]
    fn a_name_of_a_verb_is_not_that_of_a_volume() {
        let id = VolumeId::new();
        assert!(is_passing(&revert_new(id)) && !is_passing(&volume(id)));
    }
}
