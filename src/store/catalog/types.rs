//! Volume types. There are few, so only names have an index, which keeps them unique.

use std::cmp::Reverse;

use super::prelude::*;
use crate::model::{ProjectDefaultType, ProjectId, TypeEncryption, VolumeType, VolumeTypeId};
use crate::store::Ceiling;

/// The name in [`CommitError::OverCeiling`](crate::store::CommitError::OverCeiling) if a type that is to be deleted, or
/// whose encryption is to change, has volumes.
pub const TYPE_IN_USE: &str = "volumes of a type that is to be changed";

impl Catalog {
    /// A type by id.
    pub async fn volume_type(&self, id: VolumeTypeId) -> Result<Option<Stored<VolumeType>>, StoreError> {
        self.record(&record_key::<VolumeType>(id.0)).await
    }

    /// A type by name.
    pub async fn volume_type_by_name(&self, name: &str) -> Result<Option<Stored<VolumeType>>, StoreError> {
        let row_key = name_key(name);
        let Some(row) = self.store.get(&row_key).await? else {
            return Ok(None);
        };
        let id = uuid::Uuid::from_slice(&row.value)
            .map_err(|error| StoreError::new(format!("{row_key:?} holds no id")).caused_by(error))?;
        // A type that was renamed meanwhile has another name now.
        Ok(self
            .volume_type(VolumeTypeId(id))
            .await?
            .filter(|found| found.name == name))
    }

    /// How the volumes of a type are encrypted, if they are.
    pub async fn type_encryption(
        &self,
        id: VolumeTypeId,
    ) -> Result<Option<Stored<TypeEncryption>>, StoreError> {
        self.record(&record_key::<TypeEncryption>(id.0)).await
    }

    /// The default type of a project, if it has its own.
    pub async fn project_default_type(
        &self,
        project: &ProjectId,
    ) -> Result<Option<Stored<ProjectDefaultType>>, StoreError> {
        self.record(&default_key(project)).await
    }

    /// The default types of all projects that have their own.
    pub async fn project_default_types(&self) -> Result<Vec<Stored<ProjectDefaultType>>, StoreError> {
        self.all(key(keys::PROJECT_DEFAULT_TYPE).prefix()).await
    }

    /// All types, newest first. There are few.
    pub async fn volume_types(&self) -> Result<Vec<Stored<VolumeType>>, StoreError> {
        let mut types = self.all::<VolumeType>(key(keys::VOLUME_TYPE).prefix()).await?;
        types.sort_by_key(|found| Reverse((found.created_at, found.id)));
        Ok(types)
    }
}

/// Names are unique: a conflict if the name of a new type, or the new name of one, exists. A deleted type must have no
/// volumes: else the commit fails with `OverCeiling` named [`TYPE_IN_USE`].
impl Indexed for VolumeType {
    fn key(&self) -> Key {
        record_key::<Self>(self.id.0)
    }

    fn count(was: Option<&Self>, now: Option<&Self>, changes: &mut Changes) {
        match (was, now) {
            (Some(was), None) => changes.ceiling(no_volumes_of(was.id)),
            (was, Some(now)) if was.is_none_or(|was| was.name != now.name) => {
                changes.condition(Condition::Absent(name_key(&now.name)));
            }
            _ => {}
        }
    }
}

/// It changes while its type has no volumes: else the commit fails with `OverCeiling` named [`TYPE_IN_USE`].
impl Indexed for TypeEncryption {
    fn key(&self) -> Key {
        record_key::<Self>(self.volume_type_id.0)
    }

    fn count(was: Option<&Self>, now: Option<&Self>, changes: &mut Changes) {
        if let Some(changed) = now.or(was) {
            changes.ceiling(no_volumes_of(changed.volume_type_id));
        }
    }
}

impl Indexed for ProjectDefaultType {
    fn key(&self) -> Key {
        default_key(&self.project_id)
    }
}

fn default_key(project: &ProjectId) -> Key {
    key(keys::PROJECT_DEFAULT_TYPE).text(project.as_str()).end()
}

fn no_volumes_of(id: VolumeTypeId) -> Ceiling {
    Ceiling {
        keys: vec![type_counter(id)],
        limit: 0,
        name: TYPE_IN_USE.to_owned(),
    }
}

/// The counter of volumes of this type.
pub(super) fn type_counter(id: VolumeTypeId) -> Key {
    key(keys::VOLUMES_OF_TYPE).id(id.0).end()
}

impl Kind for VolumeType {
    const TABLES: &'static [Table] = &[keys::VOLUME_TYPE];
    const INDEXES: &'static [Table] = &[keys::VOLUME_TYPE_BY_NAME];

    fn rows(&self) -> Rows {
        Rows::from([(name_key(&self.name), self.id.0.as_bytes().to_vec())])
    }

    fn record_of(_row: &Key, value: &[u8]) -> Option<Key> {
        uuid::Uuid::from_slice(value).ok().map(record_key::<Self>)
    }
}

fn name_key(name: &str) -> Key {
    key(keys::VOLUME_TYPE_BY_NAME).text(name).end()
}
