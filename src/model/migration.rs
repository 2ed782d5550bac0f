//! The data of a migration in a volume's record: the id in its storage name, and the original of a hidden copy.
//!
//! Both are stored in the volume's admin metadata, of which clients see two other keys only. A volume that was never migrated
//! has neither.

use super::{MigrationStatus, Volume, VolumeId};

/// The id in its storage name, if it is not its own (cinder: `db` column `_name_id`).
const NAME_ID: &str = "name_id";
/// The volume that it is a copy of (cinder: `migration_status` `target:<id>`).
const COPY_OF: &str = "migration_target";

impl Volume {
    /// The id in its storage name. It is the volume's own unless it was migrated: then it is that of the copy that replaced its
    /// storage.
    pub fn storage_id(&self) -> VolumeId {
        self.name_id().unwrap_or(self.id)
    }

    /// The id in its storage name, if it is not its own (`os-vol-mig-status-attr:name_id`).
    pub fn name_id(&self) -> Option<VolumeId> {
        self.kept_id(NAME_ID)
    }

    /// Sets the id in its storage name.
    pub fn set_storage_id(&mut self, id: VolumeId) {
        let id = Some(id).filter(|id| *id != self.id);
        self.keep_id(NAME_ID, id);
    }

    /// The original, if this volume is a hidden copy of a migration.
    pub fn copy_of(&self) -> Option<VolumeId> {
        self.kept_id(COPY_OF)
    }

    /// Makes it a hidden copy.
    pub fn set_copy_of(&mut self, volume: VolumeId) {
        self.keep_id(COPY_OF, Some(volume));
    }

    /// Its migration status, with Cinder's text: `target:<id>` for a hidden copy.
    pub fn shown_migration_status(&self) -> Option<String> {
        match self.copy_of() {
            Some(volume) => Some(format!("target:{volume}")),
            None => self.migration_status.map(|status| status.to_string()),
        }
    }

    /// Whether a migration of it is in progress (cinder: not one of `AVAILABLE_MIGRATION_STATUS`). A hidden copy without an
    /// operation, whose deletion failed, can be deleted again.
    pub fn is_migrating(&self) -> bool {
        (self.copy_of().is_some() && self.operation.is_some())
            || matches!(
                self.migration_status,
                Some(MigrationStatus::Migrating | MigrationStatus::Completing | MigrationStatus::Starting)
            )
    }

    fn kept_id(&self, key: &str) -> Option<VolumeId> {
        self.admin_metadata.get(key)?.parse().ok()
    }

    fn keep_id(&mut self, key: &str, id: Option<VolumeId>) {
        match id {
            Some(id) => self.admin_metadata.insert(key.to_owned(), id.to_string()),
            None => self.admin_metadata.remove(key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::VolumeStatus;
    use crate::model::transitions::tests::volume;

    #[test]
    fn a_volume_that_was_never_migrated_has_the_storage_of_its_own_name() {
        let mut volume = volume(VolumeStatus::Available);
        assert_eq!((volume.storage_id(), volume.name_id()), (volume.id, None));
        let copy = VolumeId::new();
        volume.set_storage_id(copy);
        assert_eq!((volume.storage_id(), volume.name_id()), (copy, Some(copy)));
        volume.set_storage_id(volume.id);
        assert_eq!(volume.name_id(), None);
        assert_eq!(volume.shown_migration_status(), None);
        volume.set_copy_of(copy);
        assert_eq!(volume.shown_migration_status(), Some(format!("target:{copy}")));
        volume.operation = Some(crate::model::OperationId::new());
        assert!(volume.is_migrating());
        volume.operation = None;
        assert!(!volume.is_migrating());
    }
}
