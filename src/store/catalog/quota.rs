//! Usage and limits. Usage is counters, changed in the same commit as the records that are counted.

use std::collections::BTreeMap;

use super::Catalog;
use super::changes::Changes;
use super::keys::{self, key, split_text};
use super::read::Walk;
use crate::model::quota::{Deltas, Resource, Usage};
use crate::model::{Operation, ProjectId};
use crate::store::evaluate::counter_value;
use crate::store::record::Limits;
use crate::store::{Ceiling, Key, StoreError};

impl Catalog {
    /// What a project uses, by resource. Resources it never used are missing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn usage(&self, project: &ProjectId) -> Result<BTreeMap<Resource, Usage>, StoreError> {
        let mut usage = BTreeMap::new();
        let mut walk = Walk::new(key(keys::USAGE).text(project.as_str()).prefix(), false);
        while let Some(counters) = walk.next(self).await? {
            for (key, entry) in counters {
                add_counter(&mut usage, &key, counter_value(&key, &entry.value)?)?;
            }
        }
        // A commit between two batches is of no matter: a project has fewer counters than fit in one.
        Ok(usage
            .into_iter()
            .map(|((_, resource), usage)| (resource, usage))
            .collect())
    }

    /// What every project uses.
    pub(super) async fn all_usage(&self) -> Result<BTreeMap<(ProjectId, Resource), Usage>, StoreError> {
        let mut usage = BTreeMap::new();
        let mut walk = Walk::new(key(keys::USAGE).prefix(), false);
        while let Some(counters) = walk.next(self).await? {
            for (key, entry) in counters {
                add_counter(&mut usage, &key, counter_value(&key, &entry.value)?)?;
            }
        }
        Ok(usage)
    }

    /// A project's own limits; empty when it has none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn project_limits(&self, project: &ProjectId) -> Result<BTreeMap<Resource, i64>, StoreError> {
        self.limits(&project_limits_key(project)).await
    }

    /// A quota class's limits; empty when it has none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn class_limits(&self, class: &str) -> Result<BTreeMap<Resource, i64>, StoreError> {
        self.limits(&class_limits_key(class)).await
    }

    /// Adds to a change what makes the counters and limits of a type follow its new name (cinder:
    /// `QUOTAS.update_quota_resource`). Whoever changes such a counter must require the type unchanged in its commit.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rename_type_in_quota(
        &self,
        changes: &mut Changes,
        old: &str,
        new: &str,
    ) -> Result<(), StoreError> {
        let renamed = |resource: &Resource| -> Option<Resource> {
            ["volumes", "gigabytes", "snapshots"]
                .into_iter()
                .find(|kind| resource.0 == format!("{kind}_{old}"))
                .map(|kind| Resource(format!("{kind}_{new}")))
        };
        for ((project, resource), usage) in self.all_usage().await? {
            if let Some(new) = renamed(&resource).filter(|_| usage.in_use != 0) {
                let moved = Deltas::from([(resource, -usage.in_use), (new, usage.in_use)]);
                changes.add_usage(&project, &moved);
            }
        }
        let mut walk = Walk::new(key(keys::OPERATION).prefix(), false);
        while let Some(rows) = walk.next(self).await? {
            for (row_key, _) in rows {
                let Some(was) = self.record::<Operation>(&row_key).await? else {
                    continue;
                };
                if was.reserved.keys().any(|resource| renamed(resource).is_some()) {
                    let mut now = was.record.clone();
                    now.reserved = rename_keys(&was.reserved, renamed);
                    changes.update_operation(&was, &now);
                }
            }
        }
        for table in [keys::PROJECT_LIMITS, keys::CLASS_LIMITS] {
            let mut walk = Walk::new(key(table).prefix(), false);
            while let Some(rows) = walk.next(self).await? {
                for (row_key, _) in rows {
                    let Some(was) = self.record::<Limits>(&row_key).await? else {
                        continue;
                    };
                    if was.0.keys().any(|resource| renamed(resource).is_some()) {
                        changes.unchanged(&row_key, was.revision);
                        changes.put(row_key, &Limits(rename_keys(&was.0, renamed)));
                    }
                }
            }
        }
        Ok(())
    }

    async fn limits(&self, key: &Key) -> Result<BTreeMap<Resource, i64>, StoreError> {
        Ok(self
            .record::<Limits>(key)
            .await?
            .map(|limits| limits.record.0)
            .unwrap_or_default())
    }
}

impl Changes {
    /// Adds to (or takes from) what a project has in use. Called where records of that worth come or go.
    pub fn add_usage(&mut self, project: &ProjectId, deltas: &Deltas) -> &mut Self {
        for (resource, delta) in deltas {
            self.add(usage_key(project, resource, Counted::InUse), *delta);
        }
        self
    }

    /// The commit fails with `OverCeiling` (named by the resource) if `in_use + reserved` would be over the limit. A negative
    /// limit is none.
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

    /// A project's own limits, all of them.
    pub fn put_project_limits(&mut self, project: &ProjectId, limits: &BTreeMap<Resource, i64>) -> &mut Self {
        self.put_limits(project_limits_key(project), limits)
    }

    /// A quota class's limits, all of them.
    pub fn put_class_limits(&mut self, class: &str, limits: &BTreeMap<Resource, i64>) -> &mut Self {
        self.put_limits(class_limits_key(class), limits)
    }

    fn put_limits(&mut self, key: Key, limits: &BTreeMap<Resource, i64>) -> &mut Self {
        if limits.is_empty() {
            self.delete(key);
        } else {
            self.put(key, &Limits(limits.clone()));
        }
        self
    }
}

fn rename_keys(
    by_resource: &BTreeMap<Resource, i64>,
    renamed: impl Fn(&Resource) -> Option<Resource>,
) -> BTreeMap<Resource, i64> {
    by_resource
        .iter()
        .map(|(resource, number)| (renamed(resource).unwrap_or_else(|| resource.clone()), *number))
        .collect()
}

/// Which of the two counters of a resource.
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

fn project_limits_key(project: &ProjectId) -> Key {
    key(keys::PROJECT_LIMITS).text(project.as_str()).end()
}

fn class_limits_key(class: &str) -> Key {
    key(keys::CLASS_LIMITS).text(class).end()
}
