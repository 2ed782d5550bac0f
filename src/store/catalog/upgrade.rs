//! Upgrades the layout of keys, when a catalog is opened that an earlier version of this program wrote.
//!
//! | layout | content |
//! |---|---|
//! | 1 | limits of a project (or class) were one record; limits, counters and reservations of a volume type were keyed by its name |
//! | 2 | a row for each limit; everything of a type is keyed by its id |
//! | 3 | users, projects and role assignments have index rows |
//!
//! A few rows are rewritten in each commit, and the layout's version is written last. So a process that was killed
//! meanwhile continues: moved rows are no longer in the old place, and rows that were only copied are copied again.

use std::collections::BTreeMap;

use super::Catalog;
use super::changes::Indexed;
use super::keys::{self, Table, key, split_text};
use super::kinds::{Rows, record_key};
use super::quota::{ROWS_IN_A_COMMIT, limit_key};
use super::read::{Walk, stored};
use crate::model::quota::Resource;
use crate::model::{Operation, Project, RoleAssignment, User, VolumeType, VolumeTypeId};
use crate::store::record::{Limit, Limits};
use crate::store::{CommitError, Key, StoreError};

/// Counters of layout 1: project, resource, `u` or `r`.
const USAGE_BY_NAME: Table = b"Q.";
/// Limits of layout 1: project.
const PROJECT_LIMITS: Table = b"Lp";
/// Limits of layout 1: class.
const CLASS_LIMITS: Table = b"Lc";

impl Catalog {
    /// From layout 1 to layout 2.
    pub(super) async fn name_quota_by_type_ids(&self) -> Result<(), StoreError> {
        let ids = Ids::of(self.all::<VolumeType>(key(keys::VOLUME_TYPE).prefix()).await?);
        self.move_counters(&ids).await?;
        self.split_limits(PROJECT_LIMITS, keys::PROJECT_LIMIT, &ids)
            .await?;
        self.split_limits(CLASS_LIMITS, keys::CLASS_LIMIT, &ids).await?;
        self.rename_reservations(&ids).await
    }

    /// From layout 2 to layout 3.
    pub(super) async fn index_identity(&self) -> Result<(), StoreError> {
        self.index_all::<User>().await?;
        self.index_all::<Project>().await?;
        self.index_all::<RoleAssignment>().await
    }

    /// Writes the index rows of all records of a kind, and the records in their current version.
    async fn index_all<R: Indexed>(&self) -> Result<(), StoreError> {
        for stored in self.all::<R>(key(R::TABLES[0]).prefix()).await? {
            let mut changes = self.change();
            changes.unchanged(&stored.key(), stored.revision);
            changes.put(stored.key(), &stored.record);
            changes.replace_rows(Rows::new(), stored.rows());
            alone(changes.commit().await)?;
        }
        Ok(())
    }

    async fn move_counters(&self, ids: &Ids) -> Result<(), StoreError> {
        loop {
            let rows = self
                .range(key(USAGE_BY_NAME).prefix(), None, false, ROWS_IN_A_COMMIT)
                .await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut changes = self.change();
            for (row, entry) in rows {
                if let Some(to) = counter_by_id(&row, ids) {
                    changes.put_row(to, entry.value.to_vec());
                }
                changes.unchanged(&row, entry.revision);
                changes.delete_key(row);
            }
            alone(changes.commit().await)?;
        }
    }

    async fn split_limits(&self, from: Table, to: Table, ids: &Ids) -> Result<(), StoreError> {
        loop {
            let Some((row, entry)) = self.range(key(from).prefix(), None, false, 1).await?.pop() else {
                return Ok(());
            };
            let (of, _) = row
                .0
                .get(from.len()..)
                .and_then(split_text)
                .ok_or_else(|| StoreError::new(format!("the key of the limits {row:?} is damaged")))?;
            let limits: Vec<(Resource, i64)> = stored::<Limits>(&row, &entry)?
                .record
                .0
                .into_iter()
                .filter_map(|(resource, limit)| Some((ids.by_id(resource)?, limit)))
                .collect();
            for some in limits.chunks(ROWS_IN_A_COMMIT) {
                let mut changes = self.change();
                changes.unchanged(&row, entry.revision);
                for (resource, limit) in some {
                    changes.put(limit_key(to, &of, resource), &Limit(*limit));
                }
                alone(changes.commit().await)?;
            }
            let mut changes = self.change();
            changes.unchanged(&row, entry.revision);
            changes.delete_key(row);
            alone(changes.commit().await)?;
        }
    }

    async fn rename_reservations(&self, ids: &Ids) -> Result<(), StoreError> {
        let mut walk = Walk::new(key(keys::OPERATION).prefix(), false);
        while let Some(rows) = walk.next(self).await? {
            for (row, entry) in rows {
                let was = stored::<Operation>(&row, &entry)?;
                let reserved = was.reserved.clone();
                let reserved = reserved
                    .into_iter()
                    .filter_map(|(resource, amount)| Some((ids.by_id(resource)?, amount)))
                    .collect();
                if was.reserved == reserved {
                    continue;
                }
                let now = Operation {
                    reserved,
                    ..was.record.clone()
                };
                let mut changes = self.change();
                let key = record_key::<Operation>(was.id.0);
                changes.unchanged(&key, was.revision);
                // The counters have already been moved.
                changes.put(key, &now);
                alone(changes.commit().await)?;
            }
        }
        Ok(())
    }
}

/// The ids of types, by the names in the old layout.
struct Ids(BTreeMap<String, VolumeTypeId>);

impl Ids {
    fn of(types: Vec<super::Stored<VolumeType>>) -> Self {
        Self(
            types
                .into_iter()
                .map(|found| (found.record.name, found.record.id))
                .collect(),
        )
    }

    /// The same resource by its type's id; `None` if its type is deleted.
    fn by_id(&self, resource: Resource) -> Option<Resource> {
        let is_done = resource
            .type_id()
            .is_some_and(|id| self.0.values().any(|known| *known == id));
        if is_done || !resource.is_of_a_type() {
            return Some(resource);
        }
        let (kind, name) = resource.0.split_once('_')?;
        let id = self.0.get(name)?;
        Some(Resource(kind.to_owned()).of_type(*id))
    }
}

fn counter_by_id(row: &Key, ids: &Ids) -> Option<Key> {
    let (project, rest) = split_text(row.0.get(USAGE_BY_NAME.len()..)?)?;
    let (resource, letter) = split_text(rest)?;
    let resource = ids.by_id(Resource(resource))?;
    Some(
        key(keys::USAGE)
            .text(&project)
            .text(&resource.0)
            .bytes(letter)
            .end(),
    )
}

/// The result of a commit while the catalog is being opened and has no other user.
fn alone(result: Result<crate::store::Revision, CommitError>) -> Result<(), StoreError> {
    match result {
        Ok(_) => Ok(()),
        Err(CommitError::Store(error)) => Err(error),
        Err(other) => Err(StoreError::new(
            "the catalog was changed by another process while it was upgraded",
        )
        .caused_by(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{CLASS_LIMITS, PROJECT_LIMITS, USAGE_BY_NAME, key};
    use crate::model::quota::{Resource, Usage, volume_deltas};
    use crate::model::{Operation, ProjectId, VolumeTypeId};
    use crate::store::catalog::kinds::record_key;
    use crate::store::catalog::{Catalog, keys, samples, verify};
    use crate::store::memory::MemoryStore;
    use crate::store::record::{Layout, Limits};
    use crate::store::{Key, Store};

    fn by_name(project: &str, resource: &str, letter: u8) -> Key {
        key(USAGE_BY_NAME).text(project).text(resource).byte(letter).end()
    }

    /// A store with layout 1: a volume of the default type with its counters, limits of a project and of the default
    /// class.
    async fn earlier() -> (Arc<dyn Store>, VolumeTypeId) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let catalog = Catalog::open(Arc::clone(&store)).await.unwrap();
        let default = catalog.volume_type_by_name("__DEFAULT__").await.unwrap().unwrap();
        let mut volume = samples::volume("p", "a", 3);
        volume.volume_type_id = Some(default.id);
        let mut operation = samples::operation(&volume);
        operation
            .reserved
            .insert(Resource("gigabytes___DEFAULT__".to_owned()), 4);
        let mut changes = catalog.change();
        changes.insert(&volume);
        changes.put(record_key::<Operation>(operation.id.0), &operation);
        for (resource, amount) in volume_deltas(3, None) {
            changes.add(by_name("p", &resource.0, b'u'), amount);
        }
        changes.add(by_name("p", "volumes___DEFAULT__", b'u'), 1);
        changes.add(by_name("p", "gigabytes___DEFAULT__", b'u'), 3);
        changes.add(by_name("p", "gigabytes___DEFAULT__", b'r'), 4);
        changes.put_row(by_name("p", "volumes_gone", b'u'), 0_i64.to_be_bytes().to_vec());
        let many = (0..200).map(|n| (Resource(format!("volumes_gone{n}")), n));
        let of_project = [("volumes", 20), ("gigabytes___DEFAULT__", 40)]
            .map(|(name, limit)| (Resource(name.to_owned()), limit));
        let of_project = many.chain(of_project).collect();
        changes.put(key(PROJECT_LIMITS).text("p").end(), &Limits(of_project));
        let of_class = [(Resource("snapshots___DEFAULT__".to_owned()), 7)].into();
        changes.put(key(CLASS_LIMITS).text("default").end(), &Limits(of_class));
        changes.put(key(keys::LAYOUT).end(), &Layout { version: 1 });
        changes.commit().await.unwrap();
        (store, default.id)
    }

    async fn must_be_upgraded(catalog: &Catalog, id: VolumeTypeId) {
        let project = ProjectId::from("p");
        let usage = catalog.usage(&project).await.unwrap();
        let of = |resource: Resource| usage[&resource];
        let in_use = |in_use, reserved| Usage { in_use, reserved };
        assert_eq!(of(Resource::gigabytes()), in_use(3, 0));
        assert_eq!(of(Resource::gigabytes().of_type(id)), in_use(3, 4));
        assert_eq!(of(Resource::volumes().of_type(id)), in_use(1, 0));
        assert_eq!(usage.len(), 4);
        assert_eq!(
            catalog.project_limits(&project).await.unwrap(),
            [(Resource::volumes(), 20), (Resource::gigabytes().of_type(id), 40)].into()
        );
        assert_eq!(
            catalog.class_limits("default").await.unwrap(),
            [(Resource::snapshots().of_type(id), 7)].into()
        );
        assert_eq!(verify::verify(catalog).await.unwrap(), []);
    }

    #[actix::test]
    async fn quota_of_an_earlier_layout_goes_by_ids_afterwards_and_nothing_of_it_is_left() {
        let (store, id) = earlier().await;
        let catalog = Catalog::open(Arc::clone(&store)).await.unwrap();
        must_be_upgraded(&catalog, id).await;
        must_be_upgraded(&Catalog::open(store).await.unwrap(), id).await;
    }

    #[actix::test]
    async fn an_upgrade_that_was_cut_short_is_done_again() {
        let (store, id) = earlier().await;
        let catalog = Catalog::open(Arc::clone(&store)).await.unwrap();
        // Everything was moved, and the process was killed before it wrote the version.
        let mut changes = catalog.change();
        changes.put(key(keys::LAYOUT).end(), &Layout { version: 1 });
        changes.commit().await.unwrap();
        must_be_upgraded(&Catalog::open(store).await.unwrap(), id).await;
    }
}
