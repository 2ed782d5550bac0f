//! What the catalog promises, over the store in memory.

use std::sync::Arc;

use super::samples::{attachment, operation, volume};
use super::*;
use crate::model::quota::{Resource, Usage, volume_deltas};
use crate::model::{BackendName, VolumeStatus};
use crate::store::memory::MemoryStore;

async fn catalog() -> Catalog {
    Catalog::open(Arc::new(MemoryStore::default())).await.unwrap()
}

#[actix::test]
async fn a_new_catalog_has_the_default_type_once() {
    let store = Arc::new(MemoryStore::default());
    for _ in 0..2 {
        let catalog = Catalog::open(store.clone()).await.unwrap();
        let types = catalog.volume_types().await.unwrap();
        assert_eq!(types.len(), 1);
        assert_eq!(
            catalog.volume_type_by_name("__DEFAULT__").await.unwrap().as_ref(),
            types.first()
        );
    }
}

#[actix::test]
async fn a_volume_lives_and_dies_and_leaves_nothing() {
    let store = Arc::new(MemoryStore::default());
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let empty = store.entries().len();
    let mut record = volume("p", "a", 2);
    let mut changes = catalog.change();
    changes.insert_volume(&record);
    changes.commit().await.unwrap();

    let was = catalog.volume(record.id).await.unwrap().unwrap();
    assert_eq!(was.record, record);
    record.status = VolumeStatus::Error;
    record.name = None;
    record.size = 5;
    record.host = Some(BackendName::new("h", "b").pool("p"));
    let mut changes = catalog.change();
    changes.update_volume(&was, &record);
    changes.commit().await.unwrap();
    assert_eq!(
        catalog.volume_totals(&VolumeQuery::default()).await.unwrap(),
        (1, 5)
    );
    assert_eq!(
        catalog
            .backend_volumes(&BackendName::new("h", "b"), None, 9)
            .await
            .unwrap()
            .len(),
        1
    );

    let mut changes = catalog.change();
    changes.delete_volume(&was);
    assert!(
        matches!(changes.commit().await, Err(CommitError::Conflict(_))),
        "it was changed since"
    );

    let was = catalog.volume(record.id).await.unwrap().unwrap();
    let mut changes = catalog.change();
    changes.delete_volume(&was);
    changes.commit().await.unwrap();
    assert_eq!(catalog.volume(record.id).await.unwrap(), None);
    // But for the two counters of the project.
    assert_eq!(store.entries().len(), empty + 2);
}

#[actix::test]
async fn a_quota_is_never_exceeded_whoever_is_first() {
    let catalog = catalog().await;
    let project = "p".into();
    let commit = |limit: i64| {
        let record = volume("p", "a", 3);
        let mut changes = catalog.change();
        changes
            .insert_volume(&record)
            .insert_operation(&operation(&record))
            .add_usage(&project, &volume_deltas(3, None))
            .within_limit(&project, &Resource::gigabytes(), limit);
        changes.commit()
    };
    commit(6).await.unwrap();
    commit(6).await.unwrap();
    let error = commit(6).await.unwrap_err();
    assert!(matches!(error, CommitError::OverCeiling { name, sum: 9, limit: 6 } if name == "gigabytes"));
    commit(-1).await.unwrap();
    let usage = catalog.usage(&project).await.unwrap();
    assert_eq!(
        usage[&Resource::gigabytes()],
        Usage {
            in_use: 9,
            reserved: 0
        }
    );
    assert_eq!(
        usage[&Resource::volumes()],
        Usage {
            in_use: 3,
            reserved: 0
        }
    );
    assert_eq!(
        catalog.volume_totals(&VolumeQuery::default()).await.unwrap(),
        (3, 9)
    );
}

#[actix::test]
async fn what_operations_hold_is_reserved_until_they_end() {
    let catalog = catalog().await;
    let record = volume("p", "a", 3);
    let mut entry = operation(&record);
    entry.reserved.insert(Resource::gigabytes(), 4);
    entry.reserved.insert(Resource::volumes(), -1);
    let mut changes = catalog.change();
    changes.insert_operation(&entry);
    changes.commit().await.unwrap();
    let reserved = async || {
        let usage = catalog.usage(&"p".into()).await.unwrap();
        usage.get(&Resource::gigabytes()).map(|usage| usage.reserved)
    };
    assert_eq!(reserved().await, Some(4));

    let was = catalog.operation(entry.id).await.unwrap().unwrap();
    entry.reserved.insert(Resource::gigabytes(), 1);
    let mut changes = catalog.change();
    changes.update_operation(&was, &entry);
    changes.commit().await.unwrap();
    assert_eq!(reserved().await, Some(1));

    let was = catalog.operations(None, 10).await.unwrap().remove(0);
    let mut changes = catalog.change();
    changes.end_operation(&was);
    changes.commit().await.unwrap();
    assert_eq!(reserved().await, Some(0));
    assert!(catalog.operations(None, 10).await.unwrap().is_empty());
}

#[actix::test]
async fn attachments_of_a_page_of_volumes_come_in_its_order() {
    let catalog = catalog().await;
    let volumes: Vec<_> = (0..4).map(|_| volume("p", "a", 1)).collect();
    let held = [
        attachment(&volumes[1]),
        attachment(&volumes[1]),
        attachment(&volumes[3]),
    ];
    let mut changes = catalog.change();
    for record in &held {
        changes.insert_attachment(record);
    }
    changes.commit().await.unwrap();
    let ids: Vec<_> = volumes.iter().map(|volume| volume.id).collect();
    let found = catalog.volumes_attachments(&ids).await.unwrap();
    assert_eq!(found, [vec![], held[..2].to_vec(), vec![], held[2..].to_vec()]);
    let page = catalog
        .attachments(Some(&"p".into()), Some(held[2].id), 1)
        .await
        .unwrap();
    assert_eq!(page, [held[1].clone()]);
    let foreign = catalog.attachments(Some(&"q".into()), Some(held[2].id), 1).await;
    assert!(matches!(foreign, Err(ListError::UnknownMarker(_))));
}

#[actix::test]
async fn a_type_with_volumes_cannot_be_deleted_and_its_name_is_its_own() {
    let catalog = catalog().await;
    let kind = catalog.volume_types().await.unwrap().remove(0);
    let mut record = volume("p", "a", 1);
    record.volume_type_id = Some(kind.id);
    let mut changes = catalog.change();
    changes.require_volume_type(&kind).insert_volume(&record);
    changes.commit().await.unwrap();
    assert!(catalog.type_in_use(kind.id).await.unwrap());

    let mut changes = catalog.change();
    changes.delete_volume_type(&kind);
    let error = changes.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::OverCeiling { name, .. } if name == TYPE_IN_USE));

    let mut same_name = kind.record.clone();
    same_name.id = VolumeTypeId::new();
    let mut changes = catalog.change();
    changes.insert_volume_type(&same_name);
    assert!(matches!(changes.commit().await, Err(CommitError::Conflict(_))));
}

#[actix::test]
async fn a_later_layout_is_refused_in_words() {
    let store = Arc::new(MemoryStore::default());
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let mut changes = catalog.change();
    changes.put(keys::key(keys::LAYOUT).end(), &Layout { version: 99 });
    changes.commit().await.unwrap();
    let error = Catalog::open(store).await.err().unwrap();
    assert!(error.to_string().contains("downgraded"), "{error}");
}
