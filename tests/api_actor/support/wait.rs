//! What the world looks like, and waiting for it to look so.

use std::time::Duration;

use pumice::model::quota::Usage;
use pumice::model::{
    Operation, Snapshot, SnapshotId, SnapshotStatus, UserMessage, Volume, VolumeId, VolumeStatus,
};
use pumice::store::catalog::VolumeQuery;

use super::World;
use super::builders::{create, keep, project};

impl World {
    /// A volume that is made, and rests.
    pub async fn volume(&self, size: u32) -> Volume {
        let volume = self.call(create(size)).await.unwrap();
        self.until(volume.id, VolumeStatus::Available).await
    }

    /// Waits until the volume is that, and nothing is being done to it.
    pub async fn until(&self, id: VolumeId, status: VolumeStatus) -> Volume {
        self.wait(&format!("{id} to be {status}"), async || {
            let volume = self.catalog.volume(id).await.unwrap()?;
            (volume.status == status).then(|| volume.record.clone())
        })
        .await
    }

    /// A snapshot that is made, and rests.
    pub async fn snapshot(&self, volume: VolumeId) -> Snapshot {
        let snapshot = self.call(keep(volume)).await.unwrap();
        self.until_snapshot(snapshot.id, SnapshotStatus::Available).await
    }

    /// Waits until the snapshot is that.
    pub async fn until_snapshot(&self, id: SnapshotId, status: SnapshotStatus) -> Snapshot {
        self.wait(&format!("{id} to be {status}"), async || {
            let snapshot = self.catalog.snapshot(id).await.unwrap()?;
            (snapshot.status == status).then(|| snapshot.record.clone())
        })
        .await
    }

    pub async fn until_snapshot_gone(&self, id: SnapshotId) {
        self.wait("the snapshot to be gone", async || {
            self.catalog.snapshot(id).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    pub async fn until_gone(&self, id: VolumeId) {
        self.wait("the volume to be gone", async || {
            self.catalog.volume(id).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    /// Waits until nothing is open.
    pub async fn until_quiet(&self) {
        self.wait("all operations to end", async || {
            self.operations().await.is_empty().then_some(())
        })
        .await;
    }

    pub async fn wait<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        for _ in 0..2000 {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!(
            "waited in vain for {what}; operations: {:?}",
            self.operations().await
        );
    }

    pub async fn operations(&self) -> Vec<Operation> {
        let stored = self.catalog.operations(None, 1000).await.unwrap().records;
        stored.into_iter().map(|stored| stored.record).collect()
    }

    pub async fn volumes(&self) -> Vec<Volume> {
        let query = VolumeQuery {
            limit: 1000,
            ..VolumeQuery::default()
        };
        self.catalog.page::<Volume>(&query).await.unwrap().records
    }

    /// What the project uses of a resource as clients know it, by its type's name.
    pub async fn usage(&self, resource: &str) -> Usage {
        for (counted, usage) in self.catalog.usage(&project()).await.unwrap() {
            if self.catalog.shown(&counted).await.unwrap() == resource {
                return usage;
            }
        }
        Usage::default()
    }

    pub async fn messages(&self) -> Vec<UserMessage> {
        self.catalog
            .newest::<UserMessage>(Some(&project()), None, 100)
            .await
            .unwrap()
            .records
    }
}
