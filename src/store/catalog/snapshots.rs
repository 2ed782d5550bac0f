//! Snapshots: their rows, and reads that are not lists.

use super::changes::Indexed;
use super::keys::{self, Table, key, last_id};
use super::kinds::{Kind, Rows};
use super::query::Page;
use super::read::{Walk, decoded};
use super::{Catalog, Stored};
use crate::model::{ProjectId, Snapshot, SnapshotId, VolumeId};
use crate::store::{Key, StoreError};

impl Catalog {
    /// A snapshot by id.
    pub async fn snapshot(&self, id: SnapshotId) -> Result<Option<Stored<Snapshot>>, StoreError> {
        self.record(&record_key(id)).await
    }

    /// The snapshots of a volume, oldest first.
    pub async fn volume_snapshots(&self, id: VolumeId) -> Result<Vec<Stored<Snapshot>>, StoreError> {
        let mut snapshots = Vec::new();
        let mut walk = Walk::new(of_volume(id), false);
        while let Some(rows) = walk.next(self).await? {
            let keys: Vec<Key> = rows.iter().filter_map(|(row, _)| key_of_row(row)).collect();
            snapshots.extend(self.records(&keys).await?);
        }
        Ok(snapshots)
    }

    /// The latest snapshot of a volume, if it has any.
    pub async fn latest_snapshot(&self, id: VolumeId) -> Result<Option<Stored<Snapshot>>, StoreError> {
        let mut walk = Walk::new(of_volume(id), true).beginning_with(1);
        while let Some(rows) = walk.next(self).await? {
            let keys: Vec<Key> = rows.iter().filter_map(|(row, _)| key_of_row(row)).collect();
            if let Some(latest) = self.records(&keys).await?.into_iter().next() {
                return Ok(Some(latest));
            }
        }
        Ok(None)
    }

    /// All snapshots, by id, after `after`.
    pub async fn snapshots_by_id(
        &self,
        after: Option<SnapshotId>,
        limit: usize,
    ) -> Result<Page<Stored<Snapshot>, SnapshotId>, StoreError> {
        let table = key(keys::SNAPSHOT).prefix();
        let entries = self.range(table, after.map(record_key), false, limit).await?;
        let full = entries.len() >= limit;
        let records: Vec<Stored<Snapshot>> = decoded(entries).await?;
        let next = records.last().filter(|_| full).map(|last| last.id);
        Ok(Page { records, next })
    }
}

impl Indexed for Snapshot {
    fn key(&self) -> Key {
        record_key(self.id)
    }
}

impl Kind for Snapshot {
    const TABLES: &'static [Table] = &[keys::SNAPSHOT];
    const INDEXES: &'static [Table] = &[
        keys::SNAPSHOT_BY_VOLUME,
        keys::SNAPSHOT_BY_CREATED,
        keys::SNAPSHOT_BY_NAME,
    ];

    fn rows(&self) -> Rows {
        rows(self)
    }

    fn record_of(row: &Key, _value: &[u8]) -> Option<Key> {
        key_of_row(row)
    }
}

pub(super) fn record_key(id: SnapshotId) -> Key {
    key(keys::SNAPSHOT).id(id.0).end()
}

/// All index rows of a snapshot.
fn rows(snapshot: &Snapshot) -> Rows {
    let mut rows = Rows::new();
    let of_volume = key(keys::SNAPSHOT_BY_VOLUME).id(snapshot.volume_id.0);
    rows.insert(
        of_volume.time(snapshot.created_at).id(snapshot.id.0).end(),
        Vec::new(),
    );
    for scope in [None, Some(&snapshot.project_id)] {
        rows.insert(created_row(scope, snapshot), Vec::new());
        rows.insert(name_row(scope, snapshot), Vec::new());
    }
    rows
}

/// The prefix of a volume's rows.
pub(super) fn of_volume(id: VolumeId) -> Vec<u8> {
    key(keys::SNAPSHOT_BY_VOLUME).id(id.0).prefix()
}

/// The prefix of a scope's rows in order of creation.
pub(super) fn created_prefix(scope: Option<&ProjectId>) -> Vec<u8> {
    key(keys::SNAPSHOT_BY_CREATED).scope(scope).prefix()
}

/// The prefix of a scope's rows in order of names.
pub(super) fn name_prefix(scope: Option<&ProjectId>) -> Vec<u8> {
    key(keys::SNAPSHOT_BY_NAME).scope(scope).prefix()
}

/// The prefix of the rows of one name.
pub(super) fn named_prefix(scope: Option<&ProjectId>, name: &str) -> Vec<u8> {
    key(keys::SNAPSHOT_BY_NAME)
        .scope(scope)
        .optional_text(Some(name))
        .prefix()
}

fn created_row(scope: Option<&ProjectId>, snapshot: &Snapshot) -> Key {
    key(keys::SNAPSHOT_BY_CREATED)
        .scope(scope)
        .time(snapshot.created_at)
        .id(snapshot.id.0)
        .end()
}

/// The row by name of a snapshot, in a scope.
pub(super) fn name_row(scope: Option<&ProjectId>, snapshot: &Snapshot) -> Key {
    key(keys::SNAPSHOT_BY_NAME)
        .scope(scope)
        .optional_text(snapshot.name.as_deref())
        .time(snapshot.created_at)
        .id(snapshot.id.0)
        .end()
}

pub(super) fn key_of_row(row: &Key) -> Option<Key> {
    last_id(row).map(|id| record_key(SnapshotId(id)))
}
