//! The catalog on etcd: index rows are not stored there, and are the same as elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use pumice::model::{
    Attachment, AttachmentStatus, Snapshot, SnapshotStatus, Timestamp, Volume, VolumeStatus,
};
use pumice::store::catalog::verify::verify;
use pumice::store::catalog::{Catalog, IndexRows};
use pumice::store::etcd::EtcdStore;
use pumice::store::memory::MemoryStore;
use pumice::store::{Entry, Key, Store};

use super::cluster::Cluster;
use super::options;

fn volume(name: &str) -> Volume {
    Volume {
        name: Some(name.to_owned()),
        consumes_quota: false,
        ..Volume::new(
            "p".into(),
            "u".into(),
            1,
            VolumeStatus::Available,
            "nova".into(),
            Timestamp::now(),
        )
    }
}

async fn content(store: &dyn Store) -> BTreeMap<Key, Vec<u8>> {
    let mut content = BTreeMap::new();
    let mut take = |key: Key, entry: Option<Entry>| {
        match entry {
            Some(entry) => content.insert(key, entry.value.to_vec()),
            None => content.remove(&key),
        };
        Ok(())
    };
    store.dump(&mut take).await.unwrap();
    content
}

#[actix::test]
async fn index_rows_are_derived_as_they_are_written_elsewhere_and_etcd_has_none() {
    let cluster = Cluster::start(1);
    let open = async || {
        let store = EtcdStore::open(options(&cluster, "a"), Arc::new(IndexRows))
            .await
            .unwrap();
        Arc::new(store)
    };
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (volumes, renamed) = (["x", "y", "z"].map(volume), "w".to_owned());
    let mut snapshot = Snapshot::of(&volumes[0], SnapshotStatus::Available, Timestamp::now());
    snapshot.consumes_quota = false;
    let attachment = Attachment::of(&volumes[1], AttachmentStatus::Reserved, Timestamp::now());
    let etcd = open().await;
    let of_etcd: Arc<dyn Store> = etcd.clone();
    // The default type has an id of its own in each.
    let catalogs = [
        Catalog::open(Arc::clone(&memory)).await.unwrap(),
        Catalog::open(of_etcd).await.unwrap(),
    ];
    for catalog in &catalogs {
        let mut changes = catalog.change();
        changes
            .insert(&volumes[0])
            .insert(&volumes[1])
            .insert(&volumes[2]);
        changes.insert(&snapshot).insert(&attachment);
        changes.commit().await.unwrap();
        let was = catalog.volume(volumes[0].id).await.unwrap().unwrap();
        let mut now = was.record.clone();
        now.name = Some(renamed.clone());
        now.status = VolumeStatus::InUse;
        let gone = catalog.volume(volumes[2].id).await.unwrap().unwrap();
        let mut changes = catalog.change();
        changes.update(&was, &now).delete(&gone);
        changes.commit().await.unwrap();
        assert_eq!(verify(catalog).await.unwrap(), []);
    }
    let of_types = |key: &Key| key.0.starts_with(b"T.") || key.0.starts_with(b"tn");
    let expected: BTreeMap<_, _> = content(memory.as_ref())
        .await
        .into_iter()
        .filter(|(key, _)| !of_types(key))
        .collect();
    let without_types = |content: BTreeMap<Key, Vec<u8>>| -> BTreeMap<_, _> {
        content.into_iter().filter(|(key, _)| !of_types(key)).collect()
    };
    assert_eq!(without_types(content(etcd.as_ref()).await), expected);
    let stored = cluster.ctl(&["get", "--prefix", "/pumice/d", "--keys-only"]);
    for table in ["vi", "vc", "vn", "vs", "vz", "nv", "nc", "nn", "av", "ac"] {
        assert!(!stored.contains(&format!("/pumice/d{table}")), "{table}");
    }
    assert!(stored.contains("/pumice/dtn"), "names are kept unique by etcd");
    drop(catalogs);
    drop(etcd);
    let again = open().await;
    assert_eq!(without_types(content(again.as_ref()).await), expected);
    assert_eq!(verify(&Catalog::open(again).await.unwrap()).await.unwrap(), []);
}
