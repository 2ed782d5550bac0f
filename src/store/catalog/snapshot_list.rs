//! Lists of snapshots: their fields and indexes.

use std::collections::{BTreeMap, HashMap};

use super::filter::matches;
use super::prelude::*;
use super::query::{Filter, SnapshotField, SnapshotFilter};
use crate::model::{Snapshot, SnapshotId, Volume, VolumeId};

/// If more volumes match a filter, so many snapshots do that a page is soon full.
const FEW_VOLUMES: usize = 1_000;

impl Listable for Snapshot {
    record_fields!(SnapshotId, SnapshotField, project_id: ProjectId, snapshots);

    const UPDATED_AT: Option<SnapshotField> = Some(SnapshotField::UpdatedAt);
    const BY_VALUE: &'static [ValueIndex<Self>] = &[
        ValueIndex {
            field: SnapshotField::VolumeId,
            table: keys::SNAPSHOT_BY_VOLUME,
            is_selective: true,
            has_scopes: false,
            named: |row, id| Some(row.id(id.parse().ok()?)),
            value: |row, snapshot| row.id(snapshot.volume_id.0),
        },
        ValueIndex {
            field: SnapshotField::Name,
            table: keys::SNAPSHOT_BY_NAME,
            is_selective: true,
            has_scopes: true,
            named: |row, name| Some(row.optional_text(Some(name))),
            value: |row, snapshot| row.optional_text(snapshot.name.as_deref()),
        },
    ];

    fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    fn value(&self, field: SnapshotField) -> FieldValue<'_> {
        match field {
            SnapshotField::CreatedAt => FieldValue::Time(self.created_at),
            SnapshotField::UpdatedAt => FieldValue::time(self.updated_at),
            SnapshotField::Id => FieldValue::Id(self.id.0),
            SnapshotField::Name => FieldValue::text(self.name.as_deref()),
            SnapshotField::Description => FieldValue::text(self.description.as_deref()),
            SnapshotField::Status => FieldValue::Text(self.status.as_str()),
            SnapshotField::Progress => FieldValue::Text(&self.progress),
            SnapshotField::VolumeId => FieldValue::Id(self.volume_id.0),
            SnapshotField::VolumeSize => FieldValue::Number(self.volume_size),
            SnapshotField::VolumeTypeId => FieldValue::id(self.volume_type_id.map(|id| id.0)),
            SnapshotField::UserId => FieldValue::Text(self.user_id.as_str()),
            SnapshotField::ProjectId => FieldValue::Text(self.project_id.as_str()),
            SnapshotField::GroupSnapshotId => FieldValue::id(self.group_snapshot_id),
            SnapshotField::ConsumesQuota => FieldValue::Flag(self.consumes_quota),
            // Columns of Cinder's that are always empty here.
            SnapshotField::CgsnapshotId | SnapshotField::ScheduledAt => FieldValue::Missing,
            SnapshotField::EncryptionKeyId => FieldValue::id(self.encryption_key_id),
        }
    }

    fn metadata(&self) -> Option<&BTreeMap<String, String>> {
        Some(&self.metadata)
    }

    fn created_prefix(scope: Option<&ProjectId>) -> Vec<u8> {
        key(keys::SNAPSHOT_BY_CREATED).scope(scope).prefix()
    }

    /// If few volumes match, their snapshots are found by their ids.
    async fn of_others(
        catalog: &Catalog,
        filters: &[SnapshotFilter],
    ) -> Result<Vec<SnapshotFilter>, StoreError> {
        let mut by_ids = Vec::new();
        for filter in filters {
            let Filter::OfVolume(filter) = filter else {
                continue;
            };
            if let Some(mut volumes) = catalog.tables.volumes.current(catalog, &None, true).await?
                && let Some(ids) = volumes.few_ids(std::slice::from_ref(&**filter), FEW_VOLUMES)
            {
                let ids = ids.iter().map(ToString::to_string).collect();
                by_ids.push(Filter::Is(SnapshotField::VolumeId, ids));
            }
        }
        Ok(by_ids)
    }

    async fn matching_others(
        catalog: &Catalog,
        filters: &[SnapshotFilter],
        mut found: Vec<Stored<Self>>,
    ) -> Result<Vec<Stored<Self>>, StoreError> {
        let of_volume: Vec<_> = filters
            .iter()
            .filter_map(|filter| match filter {
                Filter::OfVolume(filter) => Some(&**filter),
                _ => None,
            })
            .collect();
        if of_volume.is_empty() || found.is_empty() {
            return Ok(found);
        }
        let mut ids: Vec<VolumeId> = found.iter().map(|snapshot| snapshot.volume_id).collect();
        ids.sort();
        ids.dedup();
        let volumes = catalog.volumes_by_id(&ids).await?;
        let volumes: HashMap<VolumeId, Volume> = volumes
            .into_iter()
            .map(|volume| (volume.id, volume.record))
            .collect();
        found.retain(|snapshot| {
            let volume = volumes.get(&snapshot.volume_id);
            volume.is_some_and(|volume| of_volume.iter().all(|filter| matches(filter, volume)))
        });
        Ok(found)
    }
}
