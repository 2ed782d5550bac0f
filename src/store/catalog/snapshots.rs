//! Snapshots: their rows, and reads that are not lists.

use super::prelude::*;
use crate::model::{Snapshot, SnapshotId, VolumeId};

impl Catalog {
    /// A snapshot by id.
    pub async fn snapshot(&self, id: SnapshotId) -> Result<Option<Stored<Snapshot>>, StoreError> {
        self.record(&record_key::<Snapshot>(id.0)).await
    }

    /// The snapshots of a volume, oldest first.
    pub async fn volume_snapshots(&self, id: VolumeId) -> Result<Vec<Stored<Snapshot>>, StoreError> {
        self.indexed(of_volume(id)).await
    }

    /// The latest snapshot of a volume, if it has any.
    pub async fn latest_snapshot(&self, id: VolumeId) -> Result<Option<Stored<Snapshot>>, StoreError> {
        let mut walk = Walk::new(of_volume(id), true).beginning_with(1);
        while let Some(rows) = walk.next(self).await? {
            if let Some(latest) = self.records_of(&rows).await?.into_iter().next() {
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
        self.page_by_id(after.map(|id| id.0), limit, |snapshot: &Snapshot| snapshot.id)
            .await
    }
}

impl Indexed for Snapshot {
    fn key(&self) -> Key {
        record_key::<Self>(self.id.0)
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
        listed_rows(self)
    }
}

/// The prefix of a volume's rows.
fn of_volume(id: VolumeId) -> Vec<u8> {
    key(keys::SNAPSHOT_BY_VOLUME).id(id.0).prefix()
}
