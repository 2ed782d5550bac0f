//! When lists have a table, and that it has every change: also those that are committed while it is filled.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, poll_immediate};
use parking_lot::Mutex;

use super::changes::Indexed;
use super::samples::{commit, insert, snapshot, volume};
use super::*;
use crate::model::{Snapshot, Volume, VolumeId};
use crate::store::changed_keys::ChangedKeys;
use crate::store::memory::MemoryStore;
use crate::store::{Change, Entry, Key, Scan, Sink};

/// A store in memory that commits the next of these transactions after each scan of many rows.
#[derive(Default)]
struct Meddling {
    memory: MemoryStore,
    due: Mutex<Vec<Transaction>>,
}

#[async_trait]
impl Store for Meddling {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.memory.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.memory.get_many(keys).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Key, Entry)>, StoreError> {
        let rows = self.memory.scan(scan).await?;
        let due = (rows.len() > 500).then(|| self.due.lock().pop()).flatten();
        if let Some(transaction) = due {
            self.memory.commit(transaction).await.unwrap();
        }
        Ok(rows)
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        self.memory.commit(transaction).await
    }

    fn changed_keys(&self, prefix: &[u8]) -> Option<Arc<ChangedKeys>> {
        self.memory.changed_keys(prefix)
    }

    fn shown_revision(&self) -> Revision {
        self.memory.shown_revision()
    }

    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError> {
        self.memory.dump(sink).await
    }

    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}

async fn catalog() -> Catalog {
    Catalog::open(Arc::new(MemoryStore::default())).await.unwrap()
}

async fn volumes(catalog: &Catalog, count: u32) -> Vec<Volume> {
    let made: Vec<Volume> = (0..count)
        .map(|number| Volume {
            description: Some(format!("{:03}", number * 7 % count)),
            ..volume("p", "v", 1)
        })
        .collect();
    for some in made.chunks(100) {
        insert(catalog, some).await;
    }
    made
}

/// All volumes of the project by their description, which no index has.
async fn by_description(catalog: &Catalog, project: Option<&str>) -> Vec<VolumeId> {
    let query = VolumeQuery {
        project: project.map(Into::into),
        sort: vec![(VolumeField::Description, Direction::Ascending)],
        limit: usize::MAX,
        ..VolumeQuery::default()
    };
    let page = catalog.page::<Volume>(&query).await.unwrap();
    page.records.iter().map(|volume| volume.id).collect()
}

fn sorted(volumes: &[Volume]) -> Vec<VolumeId> {
    let mut volumes: Vec<&Volume> = volumes.iter().collect();
    volumes.sort_by_key(|volume| (volume.description.clone(), volume.created_at));
    volumes.iter().map(|volume| volume.id).collect()
}

#[test]
fn the_rows_of_a_page_that_a_table_may_answer_are_unknown() {
    let sorted_by = |field| {
        let query = VolumeQuery {
            sort: vec![(field, Direction::Ascending)],
            limit: 50,
            ..VolumeQuery::default()
        };
        rows_at_most::<Volume>(&query)
    };
    assert_eq!(sorted_by(VolumeField::CreatedAt), Some(50));
    assert_eq!(sorted_by(VolumeField::Name), None);
    assert_eq!(sorted_by(VolumeField::Host), None);
}

#[actix::test]
async fn only_a_long_list_has_a_table_and_only_while_it_is_used() {
    let catalog = catalog().await;
    let mut made = volumes(&catalog, 200).await;
    assert_eq!(by_description(&catalog, Some("p")).await, sorted(&made));
    assert_eq!(catalog.memory_of_tables().await, 0);
    made.extend(volumes(&catalog, 200).await);
    assert_eq!(by_description(&catalog, Some("p")).await, sorted(&made));
    assert!(catalog.memory_of_tables().await > 0);
    // A page that is soon full has none.
    catalog.tables.drop_older(Duration::ZERO).await;
    assert_eq!(catalog.memory_of_tables().await, 0);
    let query = VolumeQuery {
        filters: vec![VolumeFilter::Is(VolumeField::Bootable, vec!["false".to_owned()])],
        limit: 100,
        ..VolumeQuery::default()
    };
    assert_eq!(catalog.page::<Volume>(&query).await.unwrap().records.len(), 100);
    assert_eq!(catalog.memory_of_tables().await, 0);
    assert_eq!(catalog.total::<Volume>(&query).await.unwrap(), 400);
    assert!(catalog.memory_of_tables().await > 0);
}

#[actix::test]
async fn a_table_that_does_not_fit_has_no_records_or_leaves_the_list_as_it_was() {
    for (memory, is_table) in [(0, false), (1_000, false), (60_000, true)] {
        let options = ListOptions {
            memory,
            ..ListOptions::default()
        };
        let catalog = catalog().await.with_lists(options);
        let made = volumes(&catalog, 300).await;
        for _ in 0..2 {
            assert_eq!(by_description(&catalog, Some("p")).await, sorted(&made));
            let taken = catalog.memory_of_tables().await;
            assert!(taken <= memory && (taken > 0) == is_table, "{taken}");
        }
    }
}

#[actix::test]
async fn the_least_used_table_makes_room() {
    let memory = 120_000;
    let catalog = catalog().await.with_lists(ListOptions {
        memory,
        skipped_rows: 0,
    });
    let made = volumes(&catalog, 300).await;
    for project in [None, Some("p"), Some("none"), None] {
        let listed = by_description(&catalog, project).await;
        assert_eq!(listed.len(), if project == Some("none") { 0 } else { made.len() });
        let taken = catalog.memory_of_tables().await;
        assert!(taken <= memory && taken > memory / 2, "{taken}");
    }
}

#[actix::test]
async fn what_is_committed_while_a_table_is_filled_is_in_it() {
    let store = Arc::new(Meddling::default());
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let mut made = volumes(&catalog, 3_000).await;
    let added = volume("p", "added", 1);
    let key_of = |volume: &Volume| Change::Delete(volume.key());
    let record = |volume: &Volume| Change::Put(volume.key(), crate::store::record::encode(volume).unwrap());
    // Rows that were read already, and rows that were not.
    let changes = [10, 2_000, 2_990].map(|at| {
        made[at].description = Some("changed".to_owned());
        record(&made[at])
    });
    let gone = [20, 2_980].map(|at| key_of(&made[at]));
    let due = [changes.to_vec(), gone.to_vec(), vec![record(&added)]];
    *store.due.lock() = due
        .map(|changes| Transaction {
            changes,
            ..Transaction::default()
        })
        .into();
    made.push(added);
    made.remove(2_980);
    made.remove(20);
    assert_eq!(by_description(&catalog, Some("p")).await, sorted(&made));
    assert!(store.due.lock().is_empty());
}

#[actix::test]
async fn several_lists_wait_for_one_table_and_go_on_if_its_list_is_cancelled() {
    let catalog = catalog().await;
    let made = volumes(&catalog, 3_000).await;
    let mut first = Box::pin(by_description(&catalog, Some("p")));
    assert!(poll_immediate(&mut first).await.is_none());
    let second = by_description(&catalog, Some("p"));
    let waiting = by_description(&catalog, Some("p"));
    let lists = join(second, waiting);
    let cancelled = async {
        tokio::task::yield_now().await;
        drop(first);
    };
    let ((second, waiting), ()) = join(lists, cancelled).await;
    assert_eq!(second, sorted(&made));
    assert_eq!(waiting, second);
}

#[actix::test]
async fn too_many_changes_to_record_are_a_new_table() {
    let catalog = catalog().await;
    let mut made = volumes(&catalog, 300).await;
    assert_eq!(by_description(&catalog, Some("p")).await, sorted(&made));
    made[7].description = None;
    let mut changes = vec![Change::Put(
        made[7].key(),
        crate::store::record::encode(&made[7]).unwrap(),
    )];
    changes.extend((0..40_000_u32).map(|_| Change::Delete(volume("p", "none", 1).key())));
    let transaction = Transaction {
        changes,
        ..Transaction::default()
    };
    catalog.store.commit(transaction).await.unwrap();
    assert_eq!(by_description(&catalog, Some("p")).await, sorted(&made));
}

#[actix::test]
async fn a_hidden_copy_and_a_volume_that_was_given_away_are_not_in_the_table_of_a_project() {
    let catalog = catalog().await.with_lists(ListOptions {
        skipped_rows: 0,
        ..ListOptions::default()
    });
    let made = volumes(&catalog, 3).await;
    assert_eq!(by_description(&catalog, Some("p")).await, sorted(&made));
    assert_eq!(by_description(&catalog, Some("q")).await, []);
    assert_eq!(by_description(&catalog, None).await, sorted(&made));
    let mut copy = volume("p", "copy", 1);
    copy.set_copy_of(made[0].id);
    insert(&catalog, [&copy]).await;
    let was = catalog.volume(made[1].id).await.unwrap().unwrap();
    let given = Volume {
        project_id: "q".into(),
        ..made[1].clone()
    };
    commit(&catalog, |changes| changes.update(&was, &given)).await;
    let left = [made[0].clone(), made[2].clone()];
    let all = [made.as_slice(), &[copy]].concat();
    for _ in 0..2 {
        assert_eq!(by_description(&catalog, Some("p")).await, sorted(&left));
        assert_eq!(by_description(&catalog, Some("q")).await, [given.id]);
        assert_eq!(by_description(&catalog, None).await, sorted(&all));
        // The tables that are filled anew have the same.
        catalog.tables.drop_older(Duration::ZERO).await;
    }
}

#[actix::test]
async fn snapshots_are_found_by_the_zone_of_their_volume_behind_many_others() {
    let catalog = catalog().await;
    let made = volumes(&catalog, 2).await;
    let zoned = Volume {
        availability_zone: "z".to_owned(),
        ..volume("p", "zoned", 1)
    };
    insert(&catalog, [&zoned]).await;
    let wanted = [snapshot(&zoned, "first"), snapshot(&zoned, "second")];
    insert(&catalog, &wanted).await;
    let others: Vec<Snapshot> = (0..3_000).map(|_| snapshot(&made[0], "other")).collect();
    for some in others.chunks(100) {
        insert(&catalog, some).await;
    }
    let in_zone = VolumeFilter::Is(VolumeField::AvailabilityZone, vec!["z".to_owned()]);
    for (offset, limit, expected) in [(0, 10, &wanted[..]), (1, 1, &wanted[1..]), (2, 5, &[])] {
        let query = SnapshotQuery {
            project: Some("p".into()),
            sort: vec![(SnapshotField::Status, Direction::Ascending)],
            filters: vec![SnapshotFilter::OfVolume(Box::new(in_zone.clone()))],
            offset,
            limit,
            ..SnapshotQuery::default()
        };
        let page = catalog.page::<Snapshot>(&query).await.unwrap();
        assert_eq!(page.records, expected);
        assert_eq!(catalog.total::<Snapshot>(&query).await.unwrap(), 2);
    }
}
