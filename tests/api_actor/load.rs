//! What things cost: commits and reads are what a busy day is made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pumice::actors::api::Options;
use pumice::model::VolumeStatus;
use pumice::store::memory::MemoryStore;
use pumice::store::{CommitError, Entry, Key, Revision, Scan, Sink, Store, StoreError, Transaction};

use crate::support::{Reaction, World, create, quick};

#[derive(Default)]
struct Counting {
    store: MemoryStore,
    reads: AtomicU64,
    scans: AtomicU64,
    commits: AtomicU64,
}

#[async_trait]
impl Store for Counting {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.reads.fetch_add(keys.len() as u64, Ordering::Relaxed);
        self.store.get_many(keys).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Key, Entry)>, StoreError> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        self.store.scan(scan).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.store.commit(transaction).await
    }

    fn shown_revision(&self) -> Revision {
        self.store.shown_revision()
    }

    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError> {
        self.store.dump(sink).await
    }

    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError> {
        self.store.size_on_disk().await
    }
}

#[actix::test]
async fn a_create_costs_three_commits_and_few_reads() {
    const COUNT: u64 = 50;
    let store = Arc::new(Counting::default());
    let calm = Options {
        patience: Duration::from_secs(60),
        retry_max: Duration::from_secs(60),
        ..quick()
    };
    let world = World::on(store.clone(), calm).await;
    world.start_api();
    world.volume(1).await;
    let before = (&store.reads, &store.scans, &store.commits).map();
    let mut made = Vec::new();
    for _ in 0..COUNT {
        made.push(world.call(create(1)).await.unwrap());
    }
    for _ in 0..1000 {
        if store.commits.load(Ordering::Relaxed) - before.2 >= 3 * COUNT {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = (&store.reads, &store.scans, &store.commits).map();
    assert_eq!(after.2 - before.2, 3 * COUNT, "Api, scheduler, report");
    assert_eq!(after.1 - before.1, 0, "scans");
    // The project's default type (1), the type by name (2) and its encryption (1), then volume (2) and operation (1) by scheduler and by
    // report, and the run that serves the backend (1).
    assert!(after.0 - before.0 <= 11 * COUNT, "{} reads", after.0 - before.0);
}

trait Loaded {
    fn map(self) -> (u64, u64, u64);
}

impl Loaded for (&AtomicU64, &AtomicU64, &AtomicU64) {
    fn map(self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(self.0), read(self.1), read(self.2))
    }
}

#[actix::test]
async fn thousands_of_open_operations_are_looked_after_and_leave_room_for_requests() {
    const COUNT: usize = 3000;
    let options = Options {
        patience: Duration::from_secs(1),
        retry_max: Duration::from_secs(1),
        ..quick()
    };
    let world = World::with(options).await;
    world.always("create_volume", Reaction::Lose);
    for _ in 0..COUNT {
        world.call(create(1)).await.unwrap();
    }
    // Their commands are sent again and again meanwhile, and others still get through.
    let other = world.call(create(1)).await.unwrap();
    assert_eq!(other.status, VolumeStatus::Creating);
    world.always("create_volume", Reaction::Succeed);
    world
        .wait("all to be made", async || {
            world
                .catalog
                .operations(None, 1)
                .await
                .unwrap()
                .records
                .is_empty()
                .then_some(())
        })
        .await;
    assert_eq!(
        world.usage("volumes").await.in_use,
        i64::try_from(COUNT).unwrap() + 1
    );
}
