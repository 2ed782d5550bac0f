//! Lists of volumes: their fields and indexes, and their totals.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::keys::{volume_key, volume_key_of_row};
use super::prelude::*;
use super::query::{VolumeField, VolumeQuery};
use super::volumes::{Total, is_in_its_project, totals_key};
use crate::model::host::host_matches;
use crate::model::{Volume, VolumeId};
use crate::store::evaluate::counter_value;

impl Catalog {
    /// The number of matching volumes, and the sum of their sizes in GiB (`count`, `volume-summary`). Order, marker,
    /// offset and limit are ignored. Without filters it is read from counters, with filters all candidates are walked.
    pub async fn volume_totals(&self, query: &VolumeQuery) -> Result<(u64, u64), StoreError> {
        if query.filters.is_empty() {
            return self.counted_totals(query.project.as_ref()).await;
        }
        let mut totals = (0_u64, 0_u64);
        self.each_that_matches(query, |volume: &Volume| {
            totals.0 += 1;
            totals.1 += u64::from(volume.size);
        })
        .await?;
        Ok(totals)
    }

    async fn counted_totals(&self, project: Option<&ProjectId>) -> Result<(u64, u64), StoreError> {
        if let Some(project) = project {
            let volumes = self.counter(&totals_key(project, Total::Volumes)).await?;
            let gib = self.counter(&totals_key(project, Total::Gib)).await?;
            return Ok((count(volumes), count(gib)));
        }
        let mut totals = (0, 0);
        let mut walk = Walk::new(key(keys::VOLUME_TOTALS).prefix(), false);
        while let Some(counters) = walk.next(self).await? {
            for (key, entry) in counters {
                let value = count(counter_value(&key, &entry.value)?);
                match key.0.last() {
                    Some(b'c') => totals.0 += value,
                    _ => totals.1 += value,
                }
            }
        }
        Ok(totals)
    }
}

impl Listable for Volume {
    record_fields!(VolumeId, VolumeField, project_id: ProjectId, volumes);

    const UPDATED_AT: Option<VolumeField> = Some(VolumeField::UpdatedAt);
    const IS_PART_OF: &'static [VolumeField] = &[VolumeField::Host];
    const BY_VALUE: &'static [ValueIndex<Self>] = &[
        ValueIndex {
            field: VolumeField::Name,
            table: keys::VOLUME_BY_NAME,
            is_selective: true,
            has_scopes: true,
            named: |row, name| Some(row.optional_text(Some(name))),
            value: |row, volume| row.optional_text(volume.name.as_deref()),
        },
        ValueIndex {
            field: VolumeField::Status,
            table: keys::VOLUME_BY_STATUS,
            is_selective: false,
            has_scopes: true,
            named: |row, status| Some(row.text(status)),
            value: |row, volume| row.text(volume.status.shown()),
        },
        ValueIndex {
            field: VolumeField::Size,
            table: keys::VOLUME_BY_SIZE,
            is_selective: false,
            has_scopes: true,
            // As text: a filter `01` matches no volume of size 1.
            named: |row, text| {
                let size = text.parse::<u32>().ok();
                Some(row.number(size.filter(|size| size.to_string() == text)?))
            },
            value: |row, volume| row.number(volume.size),
        },
    ];

    fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    fn value(&self, field: VolumeField) -> FieldValue<'_> {
        match field {
            VolumeField::CreatedAt => FieldValue::Time(self.created_at),
            VolumeField::UpdatedAt => FieldValue::time(self.updated_at),
            VolumeField::Id => FieldValue::Id(self.id.0),
            VolumeField::Name => FieldValue::text(self.name.as_deref()),
            VolumeField::Size => FieldValue::Number(self.size),
            VolumeField::Status => FieldValue::Text(self.status.shown()),
            VolumeField::VolumeTypeId => FieldValue::id(self.volume_type_id.map(|id| id.0)),
            VolumeField::Host => self
                .host
                .as_ref()
                .map_or(FieldValue::Missing, |pool| FieldValue::Composed(pool.to_string())),
            VolumeField::AvailabilityZone => FieldValue::Text(&self.availability_zone),
            VolumeField::Bootable => FieldValue::Flag(self.bootable),
            VolumeField::AttachStatus => FieldValue::Text(self.attach_status.as_str()),
            VolumeField::UserId => FieldValue::Text(self.user_id.as_str()),
            VolumeField::ProjectId => FieldValue::Text(self.project_id.as_str()),
            VolumeField::ScheduledAt => FieldValue::time(self.scheduled_at),
            VolumeField::LaunchedAt => FieldValue::time(self.launched_at),
            VolumeField::MigrationStatus => {
                FieldValue::text(self.migration_status.map(|status| status.as_str()))
            }
            VolumeField::Description => FieldValue::text(self.description.as_deref()),
            VolumeField::SnapshotId => FieldValue::id(self.snapshot_id.map(|id| id.0)),
            VolumeField::SourceVolid => FieldValue::id(self.source_volid.map(|id| id.0)),
            VolumeField::Multiattach => FieldValue::Flag(self.multiattach),
            // Only volumes of an old Cinder could have one, and those are not imported.
            VolumeField::ConsistencygroupId => FieldValue::Missing,
            VolumeField::ReplicationStatus => FieldValue::text(self.replication_status.as_deref()),
            VolumeField::GroupId => FieldValue::id(self.group_id),
            VolumeField::ConsumesQuota => FieldValue::Flag(self.consumes_quota),
        }
    }

    /// A host filter matches the machine, the backend or the pool.
    fn is_one_of(field: VolumeField, text: &str, wanted: &[String]) -> bool {
        match field {
            VolumeField::Host => wanted.iter().any(|wanted| host_matches(text, wanted)),
            _ => wanted.iter().any(|wanted| wanted == text),
        }
    }

    fn is_listed(&self, scope: Option<&ProjectId>) -> bool {
        scope.is_none_or(|scope| *scope == self.project_id && is_in_its_project(self))
    }

    fn key_of(created_at: Timestamp, id: Uuid) -> Key {
        volume_key(created_at, VolumeId(id))
    }

    fn metadata(&self) -> Option<&BTreeMap<String, String>> {
        Some(&self.metadata)
    }

    fn image_metadata(&self) -> Option<&BTreeMap<String, String>> {
        Some(&self.image_metadata)
    }

    fn created_prefix(scope: Option<&ProjectId>) -> Vec<u8> {
        match scope {
            None => key(keys::VOLUME).prefix(),
            Some(project) => key(keys::VOLUME_BY_CREATED).text(project.as_str()).prefix(),
        }
    }

    fn record_of_row(prefix: &[u8]) -> Option<fn(&Key) -> Option<Key>> {
        (!prefix.starts_with(keys::VOLUME)).then_some(volume_key_of_row)
    }

    async fn by_id(catalog: &Catalog, ids: &[VolumeId]) -> Result<Vec<Stored<Self>>, StoreError> {
        catalog.volumes_by_id(ids).await
    }

    async fn counted(catalog: &Catalog, scope: Option<&ProjectId>) -> Result<Option<u64>, StoreError> {
        Ok(Some(catalog.counted_totals(scope).await?.0))
    }
}

/// A counter is never below zero.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
