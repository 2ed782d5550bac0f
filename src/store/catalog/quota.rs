//! Usage and limits: a row for each project (or class) and resource. Usage is counters, changed in the same commit as the
//! records that are counted.
//!
//! A resource that is counted per volume type is named by the type's **id** ([`Resource::of_type`]), so renaming a type
//! changes nothing here, and rows of a deleted type are never used again.

use std::collections::BTreeMap;

use super::keys::split_text;
use super::prelude::*;
use crate::model::VolumeType;
use crate::model::bounds::RECORDS_IN_A_COMMIT;
use crate::model::quota::{DEFAULT_CLASS, Deltas, Resource, Usage};
use crate::store::evaluate::counter_value;
use crate::store::record::Limit;
use crate::store::{Ceiling, CommitError};

/// The most rows of counters and limits that one commit changes.
pub(super) const ROWS_IN_A_COMMIT: usize = 4 * RECORDS_IN_A_COMMIT;

impl Catalog {
    /// What a project uses, by resource. Resources that it never used are missing.
    pub async fn usage(&self, project: &ProjectId) -> Result<BTreeMap<Resource, Usage>, StoreError> {
        let of_project = key(keys::USAGE).text(project.as_str()).prefix();
        let usage = self.counted(of_project).await?.into_iter();
        Ok(usage.map(|((_, resource), usage)| (resource, usage)).collect())
    }

    /// What a project uses of these resources.
    pub async fn usage_of<'r>(
        &self,
        project: &ProjectId,
        resources: impl IntoIterator<Item = &'r Resource>,
    ) -> Result<BTreeMap<Resource, Usage>, StoreError> {
        let resources: Vec<&Resource> = resources.into_iter().collect();
        let keys: Vec<Key> = resources
            .iter()
            .flat_map(|resource| {
                [Counted::InUse, Counted::Reserved].map(|counted| usage_key(project, resource, counted))
            })
            .collect();
        let counters = self.store.get_many(&keys).await?;
        let mut values = keys
            .iter()
            .zip(counters)
            .map(|(key, entry)| entry.map_or(Ok(0), |entry: Entry| counter_value(key, &entry.value)));
        let mut usage = BTreeMap::new();
        for resource in resources {
            let mut next = || values.next().unwrap_or(Ok(0));
            let (in_use, reserved) = (next()?, next()?);
            usage.insert(resource.clone(), Usage { in_use, reserved });
        }
        Ok(usage)
    }

    pub(super) async fn all_usage(&self) -> Result<BTreeMap<(ProjectId, Resource), Usage>, StoreError> {
        self.counted(key(keys::USAGE).prefix()).await
    }

    async fn counted(&self, prefix: Vec<u8>) -> Result<BTreeMap<(ProjectId, Resource), Usage>, StoreError> {
        let mut usage = BTreeMap::new();
        let mut walk = Walk::new(prefix, false);
        while let Some(counters) = walk.next(self).await? {
            for (key, entry) in counters {
                add_counter(&mut usage, &key, counter_value(&key, &entry.value)?)?;
            }
        }
        Ok(usage)
    }

    /// A project's own limits; empty when it has none.
    pub async fn project_limits(&self, project: &ProjectId) -> Result<BTreeMap<Resource, i64>, StoreError> {
        self.limits(keys::PROJECT_LIMIT, project.as_str()).await
    }

    /// A quota class's limits; empty when it has none.
    pub async fn class_limits(&self, class: &str) -> Result<BTreeMap<Resource, i64>, StoreError> {
        self.limits(keys::CLASS_LIMIT, class).await
    }

    /// The project's own limits of these resources, and those of the class `default`.
    pub async fn limits_of(
        &self,
        project: &ProjectId,
        resources: &[Resource],
    ) -> Result<[BTreeMap<Resource, i64>; 2], StoreError> {
        let keys: Vec<Key> = resources
            .iter()
            .flat_map(|resource| {
                [
                    limit_key(keys::PROJECT_LIMIT, project.as_str(), resource),
                    limit_key(keys::CLASS_LIMIT, DEFAULT_CLASS, resource),
                ]
            })
            .collect();
        let entries = self.store.get_many(&keys).await?;
        let mut limits = [BTreeMap::new(), BTreeMap::new()];
        for (index, (key, entry)) in keys.iter().zip(entries).enumerate() {
            if let Some(entry) = entry {
                let limit = stored::<Limit>(key, &entry)?.record.0;
                limits[index % 2].insert(resources[index / 2].clone(), limit);
            }
        }
        Ok(limits)
    }

    /// Sets limits of a project, and keeps its others. Many limits are set in several commits, in order.
    ///
    /// # Errors
    /// When the store fails; limits that were set before the failure are kept.
    pub async fn set_project_limits(
        &self,
        project: &ProjectId,
        limits: &[(Resource, i64)],
    ) -> Result<(), CommitError> {
        self.set_limits(keys::PROJECT_LIMIT, project.as_str(), limits)
            .await
    }

    /// Sets limits of a quota class, as [`Catalog::set_project_limits`] those of a project.
    ///
    /// # Errors
    /// When the store fails; limits that were set before the failure are kept.
    pub async fn set_class_limits(&self, class: &str, limits: &[(Resource, i64)]) -> Result<(), CommitError> {
        self.set_limits(keys::CLASS_LIMIT, class, limits).await
    }

    /// Deletes all limits of a project. Many limits are deleted in several commits.
    ///
    /// # Errors
    /// When the store fails; limits that were deleted before the failure stay deleted.
    pub async fn delete_project_limits(&self, project: &ProjectId) -> Result<(), CommitError> {
        let prefix = key(keys::PROJECT_LIMIT).text(project.as_str()).prefix();
        loop {
            let rows = self.range(prefix.clone(), None, false, ROWS_IN_A_COMMIT).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut changes = self.change();
            for (row, _) in rows {
                changes.delete_key(row);
            }
            changes.commit().await?;
        }
    }

    /// Deletes the limits and counters of deleted volume types, which only occupy space. Returns their number.
    pub async fn forget_quota_of_gone_types(&self) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        for table in [keys::PROJECT_LIMIT, keys::CLASS_LIMIT, keys::USAGE] {
            let mut walk = Walk::new(key(table).prefix(), false);
            let mut known = BTreeMap::new();
            while let Some(rows) = walk.next(self).await? {
                let mut gone = Vec::new();
                for (row, entry) in rows {
                    let is_zero = table != keys::USAGE || counter_value(&row, &entry.value)? == 0;
                    let Some(id) = resource_of(&row).and_then(|resource| resource.type_id()) else {
                        continue;
                    };
                    let exists = match known.get(&id) {
                        Some(exists) => *exists,
                        None => {
                            let exists = self.volume_type(id).await?.is_some();
                            known.insert(id, exists);
                            exists
                        }
                    };
                    if !exists && is_zero {
                        gone.push((row, entry, id));
                    }
                }
                for some in gone.chunks(ROWS_IN_A_COMMIT) {
                    let mut changes = self.change();
                    for (row, entry, id) in some {
                        changes.condition(Condition::Absent(record_key::<VolumeType>(id.0)));
                        changes.unchanged(row, entry.revision);
                        changes.delete_key(row.clone());
                    }
                    match changes.commit().await {
                        Ok(_) => forgotten += some.len(),
                        // The next run will delete them.
                        Err(CommitError::Conflict(_) | CommitError::OverCeiling { .. }) => {}
                        Err(CommitError::Store(error)) => return Err(error),
                    }
                }
            }
        }
        Ok(forgotten)
    }

    /// A resource as shown to clients: with its type's name.
    pub async fn shown(&self, resource: &Resource) -> Result<String, StoreError> {
        let volume_type = match resource.type_id() {
            Some(id) => self.volume_type(id).await?,
            None => None,
        };
        Ok(resource.shown(volume_type.as_deref()))
    }

    async fn limits(&self, table: Table, of: &str) -> Result<BTreeMap<Resource, i64>, StoreError> {
        let mut limits = BTreeMap::new();
        let mut walk = Walk::new(key(table).text(of).prefix(), false);
        while let Some(rows) = walk.next(self).await? {
            for (row, entry) in rows {
                let resource = resource_of(&row)
                    .ok_or_else(|| StoreError::new(format!("the key of the limit {row:?} is damaged")))?;
                limits.insert(resource, stored::<Limit>(&row, &entry)?.record.0);
            }
        }
        Ok(limits)
    }

    async fn set_limits(
        &self,
        table: Table,
        of: &str,
        limits: &[(Resource, i64)],
    ) -> Result<(), CommitError> {
        for some in limits.chunks(ROWS_IN_A_COMMIT) {
            let mut changes = self.change();
            for (resource, limit) in some {
                changes.put(limit_key(table, of, resource), &Limit(*limit));
            }
            changes.commit().await?;
        }
        Ok(())
    }
}

impl Changes {
    /// Changes the usage of a project. Called where the counted records are inserted or deleted.
    pub fn add_usage(&mut self, project: &ProjectId, deltas: &Deltas) -> &mut Self {
        for (resource, delta) in deltas {
            self.add(usage_key(project, resource, Counted::InUse), *delta);
        }
        self
    }

    /// The commit fails with `OverCeiling` (with the resource's name) if `in_use + reserved` would exceed the limit. A
    /// negative limit is unlimited.
    pub fn within_limit(&mut self, project: &ProjectId, resource: &Resource, limit: i64) -> &mut Self {
        if limit >= 0 {
            let keys =
                [Counted::InUse, Counted::Reserved].map(|counted| usage_key(project, resource, counted));
            self.ceiling(Ceiling {
                keys: keys.to_vec(),
                limit,
                name: resource.0.clone(),
            });
        }
        self
    }

    /// Sets limits of a project; its others are kept.
    pub fn put_project_limits(&mut self, project: &ProjectId, limits: &BTreeMap<Resource, i64>) -> &mut Self {
        for (resource, limit) in limits {
            self.put(
                limit_key(keys::PROJECT_LIMIT, project.as_str(), resource),
                &Limit(*limit),
            );
        }
        self
    }
}

/// One of the two counters of a resource.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    InUse,
    Reserved,
}

pub(super) fn usage_key(project: &ProjectId, resource: &Resource, counted: Counted) -> Key {
    let letter = match counted {
        Counted::InUse => b'u',
        Counted::Reserved => b'r',
    };
    key(keys::USAGE)
        .text(project.as_str())
        .text(&resource.0)
        .byte(letter)
        .end()
}

pub(super) fn limit_key(table: Table, of: &str, resource: &Resource) -> Key {
    key(table).text(of).text(&resource.0).end()
}

/// The resource of a row of limits or of a counter.
pub(super) fn resource_of(row: &Key) -> Option<Resource> {
    let (_, rest) = split_text(row.0.get(keys::USAGE.len()..)?)?;
    Some(Resource(split_text(rest)?.0))
}

fn add_counter(
    usage: &mut BTreeMap<(ProjectId, Resource), Usage>,
    key: &Key,
    value: i64,
) -> Result<(), StoreError> {
    let damaged = || StoreError::new(format!("the counter {key:?} is damaged"));
    let (project, rest) = split_text(&key.0[keys::USAGE.len()..]).ok_or_else(damaged)?;
    let (resource, rest) = split_text(rest).ok_or_else(damaged)?;
    let usage = usage.entry((ProjectId(project), Resource(resource))).or_default();
    match rest {
        b"u" => usage.in_use = value,
        b"r" => usage.reserved = value,
        _ => return Err(damaged()),
    }
    Ok(())
}
