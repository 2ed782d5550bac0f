//! Commits that conflict or fail at any place: an operation is driven until the journal says that it has ended, by the same life
//! of the actor.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pumice::actors::api::{Control, Options, endpoint};
use pumice::messages::api::{CompareStorage, ConfirmOrphans, FailureKind, ListBackendVolumesPage};
use pumice::model::{ErrorKind, OperationId, Subject, Timestamp};
use pumice::store::catalog::Catalog;
use pumice::store::catalog::verify::verify;
use pumice::store::memory::MemoryStore;
use pumice::store::{CommitError, Entry, Key, Revision, Scan, Sink, Store, StoreError, Transaction};
use pumice::verbs::volume::{DeleteVolume, ExtendVolume};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::{Reaction, World, create, keep, quick};

/// What becomes of a commit.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    None,
    Conflict,
    /// Nothing was done: the disk is full.
    Full,
}

/// The memory store, for one who meets trouble with its commits.
pub struct Troubled {
    pub memory: Arc<MemoryStore>,
    pub next: Mutex<VecDeque<Trouble>>,
    /// It cannot say whether it shows what others have committed.
    pub may_be_old: AtomicBool,
}

#[async_trait]
impl Store for Troubled {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.memory.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.memory.get_many(keys).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Key, Entry)>, StoreError> {
        self.memory.scan(scan).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        let trouble = self.next.lock().pop_front();
        match trouble {
            Some(Trouble::Conflict) => Err(CommitError::Conflict(Key(b"somebody was faster".to_vec()))),
            Some(Trouble::Full) => {
                let mut full = StoreError::new("no room");
                full.no_space = true;
                Err(full.into())
            }
            Some(Trouble::None) | None => self.memory.commit(transaction).await,
        }
    }

    fn shown_revision(&self) -> Revision {
        self.memory.shown_revision()
    }

    async fn wait_current(&self) -> Result<(), StoreError> {
        match self.may_be_old.load(Ordering::Relaxed) {
            true => Err(StoreError::unavailable("no majority")),
            false => Ok(()),
        }
    }

    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError> {
        self.memory.dump(sink).await
    }

    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError> {
        self.memory.size_on_disk().await
    }
}

/// A world in which only the Api actor meets trouble.
async fn troubled(options: Options) -> (World, Arc<Troubled>) {
    let memory = Arc::new(MemoryStore::default());
    let world = World::on(memory.clone(), options).await;
    let store = Arc::new(Troubled {
        memory,
        next: Mutex::default(),
        may_be_old: AtomicBool::default(),
    });
    let control = Control {
        catalog: Catalog::open(store.clone()).await.unwrap(),
        ..world.control()
    };
    world.router.register(endpoint(control).start());
    (world, store)
}

#[actix::test]
async fn an_operation_whose_end_conflicts_is_looked_at_again() {
    for trouble in [Trouble::Conflict, Trouble::Full] {
        let (world, store) = troubled(quick()).await;
        world.always("create_volume", Reaction::Lose);
        let volume = world.call(create(1)).await.unwrap();
        world
            .wait("a place", async || {
                let volume = world.catalog.volume(volume.id).await.unwrap()?;
                volume.host.is_some().then_some(())
            })
            .await;
        store.next.lock().extend([trouble; 3]);
        let mut changes = world.catalog.change();
        changes.delete(&world.catalog.volume(volume.id).await.unwrap().unwrap());
        changes.commit().await.unwrap();
        world.until_quiet().await;
        assert!(store.next.lock().is_empty(), "its end met trouble three times");
    }
}

#[actix::test]
async fn whatever_commits_conflict_or_fail_every_operation_ends_without_a_restart() {
    for seed in 0..12 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (world, store) = troubled(quick()).await;
        let rested = [
            world.volume(1).await,
            world.volume(1).await,
            world.volume(1).await,
        ];
        let troubles = (0..80).map(|_| match rng.random_range(0..5) {
            0 => Trouble::Full,
            1 | 2 => Trouble::Conflict,
            _ => Trouble::None,
        });
        store.next.lock().extend(troubles);
        world.will(
            "create_volume",
            [
                Reaction::Succeed,
                Reaction::Fail(FailureKind::Backend),
                Reaction::Lose,
            ],
        );
        world.will("delete_volume", [Reaction::Lose, Reaction::ReportTwice]);
        for round in 0..6_usize {
            // Refused or not: what was begun ends.
            let _ = world.call(create(1)).await;
            let volume = &rested[round % 3];
            let _ = match round % 3 {
                0 => world.call(keep(volume.id)).await.map(drop),
                1 => world
                    .call(ExtendVolume {
                        volume_id: volume.id.to_string(),
                        new_size: 2,
                        attached_too: false,
                    })
                    .await
                    .map(drop),
                _ => world
                    .call(DeleteVolume {
                        volume_id: volume.id.to_string(),
                        cascade: false,
                        force: false,
                    })
                    .await
                    .map(drop),
            };
        }
        world.until_quiet().await;
        // Once more, in case the trouble outlasted the load.
        store.next.lock().clear();
        assert_eq!(verify(&world.catalog).await.unwrap(), [], "seed {seed}");
    }
}

#[actix::test]
async fn an_operation_that_nobody_looks_at_is_found_in_the_journal() {
    let options = Options {
        journal_interval: Duration::from_millis(100),
        ..quick()
    };
    let (world, _store) = troubled(options).await;
    let volume = world.volume(1).await;
    world.until_quiet().await;
    // Into the journal by another hand, as if the actor had forgotten it.
    world.always("create_volume", Reaction::Lose);
    let lost = world.call(create(1)).await.unwrap();
    let model = world
        .wait("a place", async || {
            let open = world.operations().await;
            open.into_iter()
                .find(|open| open.volume_id == Some(lost.id) && open.pool.is_some())
        })
        .await;
    let was = world.catalog.volume(volume.id).await.unwrap().unwrap();
    let mut forgotten = model.clone();
    forgotten.id = OperationId::new();
    forgotten.verb = "unmanage_volume".into();
    forgotten.entry.clear();
    forgotten.subject = Subject::Volume(volume.id);
    forgotten.volume_id = Some(volume.id);
    forgotten.reserved.clear();
    forgotten.deadline = Timestamp::now().plus(Duration::from_secs(300));
    let mut at_work = was.record.clone();
    at_work.status = pumice::model::VolumeStatus::Unmanaging;
    at_work.operation = Some(forgotten.id);
    let mut changes = world.catalog.change();
    changes.update(&was, &at_work).insert(&forgotten);
    changes.commit().await.unwrap();
    world.until_gone(volume.id).await;
}

/// A backend that was started would not restore an export that another control node has answered, or take its volume for an orphan.
#[actix::test]
async fn a_node_that_may_show_an_old_state_says_nothing_to_backends_of_what_there_is() {
    let (world, store) = troubled(quick()).await;
    let backend = || "h1@fake".parse().unwrap();
    let list = || ListBackendVolumesPage {
        backend: backend(),
        after: None,
        limit: 10,
    };
    let compare = || CompareStorage {
        backend: backend(),
        after: None,
        found: Vec::new(),
        complete: true,
    };
    let confirm = || ConfirmOrphans {
        backend: backend(),
        names: Vec::new(),
    };
    assert!(world.call(list()).await.is_ok());
    store.may_be_old.store(true, Ordering::Relaxed);
    let refused = [
        world.call(list()).await.map(drop),
        world.call(compare()).await.map(drop),
        world.call(confirm()).await.map(drop),
    ];
    for refused in refused {
        let kind = refused.unwrap_err().kind;
        assert!(matches!(kind, ErrorKind::Unavailable { .. }), "{kind:?}");
    }
}
