//! Each kind of finding, created on purpose.

use std::sync::Arc;

use super::*;
use crate::model::quota::{given_back, snapshot_deltas};
use crate::model::{Snapshot, SnapshotId, SnapshotStatus, Subject, VolumeStatus};
use crate::store::catalog::changes::Indexed;
use crate::store::catalog::listable::Listable;
use crate::store::catalog::samples::{attachment, commit, operation, snapshot, volume};
use crate::store::memory::MemoryStore;
use crate::store::{Change, Store, Transaction};

pub(super) async fn sound() -> (Arc<MemoryStore>, Catalog, Volume) {
    let store = Arc::new(MemoryStore::default());
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let mut record = volume("p", "a", 2);
    record.volume_type_id = catalog.volume_types().await.unwrap().first().map(|kind| kind.id);
    record.status = VolumeStatus::Creating;
    let entry = operation(&record);
    record.operation = Some(entry.id);
    let mut kept = snapshot(&record, "s");
    kept.status = SnapshotStatus::Deleting;
    let mut deleting = operation(&record);
    deleting.subject = Subject::Snapshot(kept.id);
    deleting.snapshot_id = Some(kept.id);
    kept.operation = Some(deleting.id);
    let mut copying = operation(&record);
    copying.copied_from = Some(record.id.0);
    commit(&catalog, |changes| {
        changes
            .insert(&record)
            .insert(&entry)
            .insert(&attachment(&record))
            .insert(&kept)
            .insert(&deleting)
            .insert(&copying)
            .add_usage(&record.project_id, &volume_deltas(2, record.volume_type_id))
            .add_usage(&record.project_id, &snapshot_deltas(2, record.volume_type_id))
    })
    .await;
    (store, catalog, record)
}

async fn findings_of(catalog: &Catalog) -> Vec<String> {
    let findings = verify(catalog).await.unwrap();
    findings.iter().map(ToString::to_string).collect()
}

async fn change(store: &MemoryStore, changes: Vec<Change>) {
    let transaction = Transaction {
        changes,
        ..Transaction::default()
    };
    store.commit(transaction).await.unwrap();
}

#[actix::test]
async fn a_sound_catalog_has_no_findings() {
    let (_, catalog, _) = sound().await;
    assert_eq!(verify(&catalog).await.unwrap(), []);
}

#[actix::test]
async fn every_key_that_vanishes_is_noticed() {
    let (store, catalog, _) = sound().await;
    for (key, entry) in store.entries() {
        if key.0.starts_with(keys::LAYOUT) {
            continue;
        }
        change(&store, vec![Change::Delete(key.clone())]).await;
        assert_ne!(verify(&catalog).await.unwrap(), [], "{key:?}");
        change(&store, vec![Change::Put(key, entry.value.to_vec())]).await;
    }
    assert_eq!(verify(&catalog).await.unwrap(), []);
}

#[actix::test]
async fn what_should_not_be_there_is_noticed() {
    let (store, catalog, record) = sound().await;
    let stray = Volume::BY_VALUE[0].row(None, &volume("p", "other", 1));
    let unknown = Key(b"zz".to_vec());
    for key in [stray, unknown] {
        change(&store, vec![Change::Put(key.clone(), Vec::new())]).await;
        assert_eq!(verify(&catalog).await.unwrap().len(), 1, "{key:?}");
        change(&store, vec![Change::Delete(key)]).await;
    }
    change(&store, vec![Change::Put(record.key(), vec![1, 99])]).await;
    let is_unreadable = |found: &Finding| matches!(found, Finding::Unreadable { .. });
    let findings = verify(&catalog).await;
    assert!(findings.is_err() || findings.unwrap().iter().any(is_unreadable));
}

#[actix::test]
async fn wrong_usage_and_a_stuck_volume_are_reported() {
    let (_, catalog, record) = sound().await;
    let was = catalog.volume(record.id).await.unwrap().unwrap();
    let mut now = record.clone();
    now.operation = None;
    now.size = 3;
    let open = catalog.operations(None, 1).await.unwrap().records.remove(0);
    commit(&catalog, |changes| changes.update(&was, &now).delete(&open)).await;
    assert_eq!(
        findings_of(&catalog).await,
        [
            format!("volume {} is creating, and no operation will end that", record.id),
            "project p has 4 gigabytes in use, but its volumes and snapshots sum up to 5".to_owned(),
            "project p has 4 gigabytes___DEFAULT__ in use, but its volumes and snapshots sum up to 5"
                .to_owned(),
        ]
    );
}

/// The snapshot of the sound catalog, changed.
async fn change_snapshot(catalog: &Catalog, of: &Volume, change: impl Fn(&mut Snapshot)) -> SnapshotId {
    let was = catalog.latest_snapshot(of.id).await.unwrap().unwrap();
    let mut now = was.record.clone();
    change(&mut now);
    commit(catalog, |changes| changes.update(&was, &now)).await;
    was.id
}

#[actix::test]
async fn a_stuck_snapshot_is_reported() {
    let (_, catalog, record) = sound().await;
    let id = change_snapshot(&catalog, &record, |snapshot| snapshot.operation = None).await;
    let stuck = format!("snapshot {id} is deleting, and no operation will end that");
    assert_eq!(findings_of(&catalog).await, [stuck]);
    let strange = OperationId::new();
    change_snapshot(&catalog, &record, |snapshot| snapshot.operation = Some(strange)).await;
    let dangling = format!("snapshot {id} waits for operation {strange}, which is not open");
    assert_eq!(findings_of(&catalog).await, [dangling]);
}

#[actix::test]
async fn a_snapshot_without_its_volume_and_an_operation_without_its_snapshot_are_reported() {
    let (_, catalog, record) = sound().await;
    let strange = VolumeId::new();
    let id = change_snapshot(&catalog, &record, |snapshot| snapshot.volume_id = strange).await;
    let lost = format!("snapshot {id} is of volume {strange}, which is not there");
    assert_eq!(findings_of(&catalog).await, [lost]);
    let was = catalog.snapshot(id).await.unwrap().unwrap();
    let operation = was.operation.unwrap();
    commit(&catalog, |changes| {
        changes.delete(&was).add_usage(
            &record.project_id,
            &given_back(snapshot_deltas(2, record.volume_type_id)),
        )
    })
    .await;
    let lost = format!("operation {operation} is about snapshot {id}, which is not there");
    assert_eq!(findings_of(&catalog).await, [lost]);
}

fn values(store: &MemoryStore) -> Vec<(Key, Vec<u8>)> {
    let entries = store.entries().into_iter();
    entries.map(|(key, entry)| (key, entry.value.to_vec())).collect()
}

#[actix::test]
async fn rows_and_counters_are_mended_from_the_records() {
    const RECORDS: [Table; 6] = [
        keys::VOLUME,
        keys::SNAPSHOT,
        keys::ATTACHMENT,
        keys::OPERATION,
        keys::VOLUME_TYPE,
        keys::LAYOUT,
    ];
    const COUNTERS: [Table; 3] = [keys::USAGE, keys::VOLUME_TOTALS, keys::VOLUMES_OF_TYPE];
    let (store, catalog, _) = sound().await;
    let sound = values(&store);
    let mut mended = 0;
    for (key, value) in &sound {
        if RECORDS.iter().any(|table| key.0.starts_with(*table)) {
            continue;
        }
        let mut damages = vec![
            vec![Change::Delete(key.clone())],
            vec![Change::Put(key.clone(), vec![0x11; value.len()])],
        ];
        if !COUNTERS.iter().any(|table| key.0.starts_with(*table)) {
            let stray = Key([key.0.as_slice(), b"x"].concat());
            damages.push(vec![Change::Put(stray, value.clone())]);
        }
        for damage in damages {
            change(&store, damage.clone()).await;
            let found = verify(&catalog).await.unwrap();
            let repaired = repair(&catalog).await.unwrap();
            assert_eq!(repaired.repaired, found, "{damage:?}");
            assert_eq!(repaired.left, [], "{damage:?}");
            // A counter of zero is equivalent to a missing one.
            let now: Vec<_> = values(&store)
                .into_iter()
                .filter(|(key, value)| value != &[0; 8] || sound.iter().any(|(known, _)| known == key))
                .collect();
            assert_eq!(now, sound, "{damage:?}");
            mended += found.len();
        }
    }
    assert!(mended > 40, "{mended}");
}

#[actix::test]
async fn what_a_person_has_to_decide_on_is_left() {
    let (store, catalog, record) = sound().await;
    // An unreadable volume contributes an unknown amount.
    change(&store, vec![Change::Put(record.key(), vec![1, 99])]).await;
    let before = values(&store);
    let repaired = repair(&catalog).await.unwrap();
    assert_eq!(repaired.repaired, []);
    let is_unreadable = |found: &Finding| matches!(found, Finding::Unreadable { .. });
    assert!(repaired.left.iter().any(is_unreadable));
    assert_eq!(values(&store), before);

    let (_, catalog, record) = sound().await;
    let id = change_snapshot(&catalog, &record, |snapshot| snapshot.operation = None).await;
    let repaired = repair(&catalog).await.unwrap();
    let status = SnapshotStatus::Deleting;
    assert_eq!(repaired.left, [Finding::StuckSnapshot { snapshot: id, status }]);
}
