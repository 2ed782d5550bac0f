//! Volumes: their rows and counters, and reads that are not lists.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::keys::{time_bytes, volume_key, volume_key_of_row};
use super::listable::rows_in;
use super::prelude::*;
use super::types::type_counter;
use crate::model::{BackendName, Snapshot, StorageName, Volume, VolumeId, VolumeTypeId};
use crate::store::evaluate::counter_value;

impl Catalog {
    /// A volume by id.
    pub async fn volume(&self, id: VolumeId) -> Result<Option<Stored<Volume>>, StoreError> {
        let row_key = id_key(id);
        let Some(row) = self.store.get(&row_key).await? else {
            return Ok(None);
        };
        self.record(&record_key_of(&row_key, &row.value, id.0)?).await
    }

    /// The volumes with these ids, without unknown ones.
    pub(super) async fn volumes_by_id(&self, ids: &[VolumeId]) -> Result<Vec<Stored<Volume>>, StoreError> {
        let row_keys: Vec<Key> = ids.iter().map(|id| id_key(*id)).collect();
        let rows = self.store.get_many(&row_keys).await?;
        let mut record_keys = Vec::with_capacity(ids.len());
        for ((id, row_key), row) in ids.iter().zip(&row_keys).zip(rows) {
            if let Some(row) = row {
                record_keys.push(record_key_of(row_key, &row.value, id.0)?);
            }
        }
        self.records(&record_keys).await
    }

    /// The volumes of one backend, by the ids in their storage names, after `after`: the records of `limit` rows of the
    /// index, so fewer if some are deleted or moved meanwhile.
    pub async fn backend_volumes(
        &self,
        backend: &BackendName,
        after: Option<VolumeId>,
        limit: usize,
    ) -> Result<Page<Stored<Volume>, VolumeId>, StoreError> {
        let of_backend = backend_key(backend);
        let after = after.map(|id| of_backend.clone().id(id.0).end());
        let rows = self.range(of_backend.prefix(), after, false, limit).await?;
        let mut record_keys = Vec::with_capacity(rows.len());
        let mut last = None;
        for (row_key, row) in &rows {
            let storage_id = last_id(row_key).ok_or_else(|| damaged(row_key))?;
            record_keys.push(record_key_of_backend_row(row_key, &row.value, storage_id)?);
            last = Some(VolumeId(storage_id));
        }
        let mut records = self.records::<Volume>(&record_keys).await?;
        // A volume may have been moved since its row was read.
        records.retain(|volume| volume.is_on(backend));
        Ok(Page {
            records,
            next: last.filter(|_| rows.len() >= limit),
        })
    }

    /// The names that belong to volumes and snapshots of this backend by their current records, with the ids of those
    /// volumes and snapshots.
    pub async fn names_on_backend(
        &self,
        backend: &BackendName,
        names: &[StorageName],
    ) -> Result<BTreeMap<StorageName, Uuid>, StoreError> {
        let mut known = BTreeMap::new();
        for names in names.chunks(BATCH) {
            let snapshots: Vec<Key> = names
                .iter()
                .filter_map(|name| match name {
                    StorageName::Snapshot(id) => Some(record_key::<Snapshot>(id.0)),
                    StorageName::Volume(_) => None,
                })
                .collect();
            let snapshots = self.records::<Snapshot>(&snapshots).await?;
            let origins: BTreeSet<VolumeId> = snapshots.iter().map(|snapshot| snapshot.volume_id).collect();
            let origins: Vec<VolumeId> = origins.into_iter().collect();
            let origins = self.volumes_by_id(&origins).await?;
            let here = origins.iter().filter(|volume| volume.is_on(backend));
            let here: BTreeSet<VolumeId> = here.map(|volume| volume.id).collect();
            let snapshots = snapshots.iter().filter(|found| here.contains(&found.volume_id));
            known.extend(snapshots.map(|found| (StorageName::Snapshot(found.id), found.id.0)));
            for volume in self.volumes_by_storage(backend, names).await? {
                known.insert(StorageName::Volume(volume.storage_id()), volume.id.0);
            }
        }
        Ok(known)
    }

    /// The volumes of this backend with one of these storage names.
    async fn volumes_by_storage(
        &self,
        backend: &BackendName,
        names: &[StorageName],
    ) -> Result<Vec<Stored<Volume>>, StoreError> {
        let storage_ids: Vec<VolumeId> = names
            .iter()
            .filter_map(|name| match name {
                StorageName::Volume(id) => Some(*id),
                StorageName::Snapshot(_) => None,
            })
            .collect();
        let row_keys: Vec<Key> = storage_ids
            .iter()
            .map(|id| backend_key(backend).id(id.0).end())
            .collect();
        let rows = self.store.get_many(&row_keys).await?;
        let mut record_keys = Vec::with_capacity(rows.len());
        for ((id, row_key), row) in storage_ids.iter().zip(&row_keys).zip(rows) {
            if let Some(row) = row {
                record_keys.push(record_key_of_backend_row(row_key, &row.value, id.0)?);
            }
        }
        let mut volumes = self.records::<Volume>(&record_keys).await?;
        volumes.retain(|volume| volume.is_on(backend));
        Ok(volumes)
    }

    /// Whether any volume is of this type.
    pub async fn type_in_use(&self, id: VolumeTypeId) -> Result<bool, StoreError> {
        Ok(self.counter(&type_counter(id)).await? > 0)
    }

    /// A counter; 0 if it does not exist.
    pub(super) async fn counter(&self, key: &Key) -> Result<i64, StoreError> {
        self.store
            .get(key)
            .await?
            .map_or(Ok(0), |entry| counter_value(key, &entry.value))
    }
}

impl Indexed for Volume {
    fn key(&self) -> Key {
        volume_key(self.created_at, self.id)
    }

    fn count(was: Option<&Self>, now: Option<&Self>, changes: &mut Changes) {
        match (was, now) {
            (Some(was), Some(now))
                if was.project_id == now.project_id && was.volume_type_id == now.volume_type_id =>
            {
                changes.add(
                    totals_key(&now.project_id, Total::Gib),
                    i64::from(now.size) - i64::from(was.size),
                );
            }
            _ => {
                was.inspect(|was| count(changes, was, -1));
                now.inspect(|now| count(changes, now, 1));
            }
        }
    }
}

fn count(changes: &mut Changes, volume: &Volume, sign: i64) {
    if is_in_its_project(volume) {
        changes.add(totals_key(&volume.project_id, Total::Volumes), sign);
        changes.add(
            totals_key(&volume.project_id, Total::Gib),
            sign * i64::from(volume.size),
        );
    }
    if let Some(id) = volume.volume_type_id {
        changes.add(type_counter(id), sign);
    }
}

/// Whether it is listed and counted with its project's volumes: a hidden copy is not.
pub(super) fn is_in_its_project(volume: &Volume) -> bool {
    volume.copy_of().is_none()
}

/// Totals over all volumes of a project, whether they consume quota or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Total {
    Volumes,
    Gib,
}

pub(super) fn totals_key(project: &ProjectId, total: Total) -> Key {
    let letter = match total {
        Total::Volumes => b'c',
        Total::Gib => b'g',
    };
    key(keys::VOLUME_TOTALS).text(project.as_str()).byte(letter).end()
}

pub(super) fn id_key(id: VolumeId) -> Key {
    key(keys::VOLUME_BY_ID).id(id.0).end()
}

impl Kind for Volume {
    const TABLES: &'static [Table] = &[keys::VOLUME];
    const INDEXES: &'static [Table] = &[
        keys::VOLUME_BY_ID,
        keys::VOLUME_BY_CREATED,
        keys::VOLUME_BY_NAME,
        keys::VOLUME_BY_STATUS,
        keys::VOLUME_BY_SIZE,
        keys::VOLUME_BY_BACKEND,
    ];

    fn rows(&self) -> Rows {
        let project = is_in_its_project(self).then_some(Some(&self.project_id));
        let mut rows = rows_in([None].into_iter().chain(project), self);
        // The list of all volumes by time of creation has no rows: it is that of the records.
        rows.remove(&self.key());
        rows.insert(id_key(self.id), time_bytes(self.created_at).to_vec());
        if let Some(pool) = &self.host {
            let mut value = time_bytes(self.created_at).to_vec();
            let storage_id = self.storage_id();
            if storage_id != self.id {
                value.extend_from_slice(self.id.0.as_bytes());
            }
            rows.insert(backend_key(&pool.backend).id(storage_id.0).end(), value);
        }
        rows
    }

    fn record_of(row: &Key, value: &[u8]) -> Option<Key> {
        if row.0.starts_with(keys::VOLUME_BY_BACKEND) {
            return record_key_of_backend_row(row, value, last_id(row)?).ok();
        }
        if row.0.starts_with(keys::VOLUME_BY_ID) {
            return record_key_of(row, value, last_id(row)?).ok();
        }
        volume_key_of_row(row)
    }
}

/// The prefix of the rows of a backend's volumes.
fn backend_key(backend: &BackendName) -> keys::KeyOf {
    key(keys::VOLUME_BY_BACKEND)
        .text(&backend.host)
        .text(&backend.backend)
}

/// The key of the record for a row with created_at as its value.
fn record_key_of(row_key: &Key, value: &[u8], id: Uuid) -> Result<Key, StoreError> {
    let created_at = keys::bytes_time(value).ok_or_else(|| damaged(row_key))?;
    Ok(volume_key(created_at, VolumeId(id)))
}

/// The same for a row of the index by backend, whose value ends with the volume's id if its storage name has another
/// id.
fn record_key_of_backend_row(row_key: &Key, value: &[u8], storage_id: Uuid) -> Result<Key, StoreError> {
    match value.split_at_checked(keys::TIME_BYTES) {
        Some((time, id)) if !id.is_empty() => {
            let id = Uuid::from_slice(id).map_err(|_| damaged(row_key))?;
            record_key_of(row_key, time, id)
        }
        _ => record_key_of(row_key, value, storage_id),
    }
}

fn damaged(row_key: &Key) -> StoreError {
    StoreError::new(format!("the index row {row_key:?} is damaged"))
}
