//! Each kind of finding, made on purpose.

use std::sync::Arc;

use super::*;
use crate::model::VolumeStatus;
use crate::store::catalog::samples::{attachment, operation, volume};
use crate::store::memory::MemoryStore;
use crate::store::{Change, Store, Transaction};

async fn sound() -> (Arc<MemoryStore>, Catalog, Volume) {
    let store = Arc::new(MemoryStore::default());
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let mut record = volume("p", "a", 2);
    record.volume_type_id = catalog.volume_types().await.unwrap().first().map(|kind| kind.id);
    record.status = VolumeStatus::Creating;
    let entry = operation(&record);
    record.operation = Some(entry.id);
    let mut changes = catalog.change();
    changes
        .insert_volume(&record)
        .insert_operation(&entry)
        .insert_attachment(&attachment(&record))
        .add_usage(&record.project_id, &volume_deltas(2, Some("__DEFAULT__")));
    changes.commit().await.unwrap();
    (store, catalog, record)
}

async fn change(store: &MemoryStore, changes: Vec<Change>) {
    store
        .commit(Transaction {
            changes,
            ..Transaction::default()
        })
        .await
        .unwrap();
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
    let stray = volumes::ValueIndex::Name.row(None, &volume("p", "other", 1));
    let unknown = Key(b"zz".to_vec());
    for key in [stray, unknown] {
        change(&store, vec![Change::Put(key.clone(), Vec::new())]).await;
        assert_eq!(verify(&catalog).await.unwrap().len(), 1, "{key:?}");
        change(&store, vec![Change::Delete(key)]).await;
    }
    change(
        &store,
        vec![Change::Put(volumes::record_key(&record), vec![1, 99])],
    )
    .await;
    let findings = verify(&catalog).await;
    assert!(
        findings.is_err()
            || findings
                .unwrap()
                .iter()
                .any(|found| matches!(found, Finding::Unreadable { .. }))
    );
}

#[actix::test]
async fn usage_that_is_not_the_sum_and_a_stuck_volume_are_told_in_words() {
    let (_, catalog, record) = sound().await;
    let was = catalog.volume(record.id).await.unwrap().unwrap();
    let mut now = record.clone();
    now.operation = None;
    now.size = 3;
    let open = catalog.operations(None, 1).await.unwrap().remove(0);
    let mut changes = catalog.change();
    changes.update_volume(&was, &now).end_operation(&open);
    changes.commit().await.unwrap();
    let findings: Vec<String> = verify(&catalog)
        .await
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        findings,
        [
            format!("volume {} is creating, and no operation will end that", record.id),
            "project p has 2 gigabytes in use, but its volumes sum up to 3".to_owned(),
            "project p has 2 gigabytes___DEFAULT__ in use, but its volumes sum up to 3".to_owned(),
        ]
    );
}
