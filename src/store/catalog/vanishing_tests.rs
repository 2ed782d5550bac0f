//! Lists and walks during deletions: a record is deleted after each scan of an index, before it is read.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::changes::Indexed;
use super::kinds::record_key;
use super::samples::{self, attachment, commit, insert, snapshot, tick};
use super::verify::expects_storage;
use super::*;
use crate::model::user_message::{Action, Detail};
use crate::model::{
    Attachment, AttachmentId, BackendName, MessageId, Snapshot, StorageName, UserMessage, Volume, VolumeId,
};
use crate::store::memory::MemoryStore;
use crate::store::{Change, Entry, Key, Scan, Sink};

/// After each scan that read any, deletes the records of the next `greed` of these keys.
struct Vanishing {
    memory: MemoryStore,
    doomed: Mutex<Vec<Key>>,
    greed: usize,
}

impl Vanishing {
    fn taking(greed: usize) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryStore::default(),
            doomed: Mutex::default(),
            greed,
        })
    }

    fn doom(&self, keys: impl IntoIterator<Item = Key>) {
        let mut doomed = self.doomed.lock();
        doomed.extend(keys);
    }
}

#[async_trait]
impl Store for Vanishing {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.memory.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.memory.get_many(keys).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Key, Entry)>, StoreError> {
        let rows = self.memory.scan(scan).await?;
        if !rows.is_empty() {
            let gone: Vec<Change> = {
                let mut doomed = self.doomed.lock();
                let take = self.greed.min(doomed.len());
                doomed.drain(..take).map(Change::Delete).collect()
            };
            let transaction = Transaction {
                changes: gone,
                ..Transaction::default()
            };
            let _ = self.memory.commit(transaction).await;
        }
        Ok(rows)
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        self.memory.commit(transaction).await
    }

    fn shown_revision(&self) -> Revision {
        self.memory.shown_revision()
    }

    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError> {
        self.memory.dump(sink).await
    }

    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError> {
        self.memory.size_on_disk().await
    }
}

fn backend() -> BackendName {
    BackendName::new("h", "b")
}

/// Creates so many volumes of the backend, ordered by id.
async fn volumes(catalog: &Catalog, count: usize) -> Vec<Volume> {
    let mut all: Vec<Volume> = (0..count)
        .map(|_| Volume {
            id: VolumeId::new(),
            host: Some(backend().pool("p")),
            ..samples::volume("p", "v", 1)
        })
        .collect();
    insert(catalog, &all).await;
    all.sort_by_key(|volume| volume.id);
    all
}

#[actix::test]
async fn a_page_of_a_backend_is_the_last_one_only_when_the_index_has_ended() {
    for (greed, limit) in [(1, 4), (3, 4), (4, 4), (50, 7)] {
        let store = Vanishing::taking(greed);
        let catalog = Catalog::open(store.clone()).await.unwrap();
        let all = volumes(&catalog, 40).await;
        let (doomed, live) = all.split_at(20);
        store.doom(doomed.iter().map(Indexed::key));
        let (mut after, mut seen) = (None, BTreeSet::new());
        loop {
            let page = catalog.backend_volumes(&backend(), after, limit).await.unwrap();
            seen.extend(page.records.iter().map(|volume| volume.id));
            if page.next.is_none() {
                break;
            }
            after = page.next;
        }
        let live: BTreeSet<VolumeId> = live.iter().map(|volume| volume.id).collect();
        assert!(live.is_subset(&seen), "{greed} of {limit}");
        assert!(expects_storage(&catalog, &backend()).await.unwrap());
        let names: Vec<StorageName> = live.iter().map(|id| StorageName::Volume(*id)).collect();
        let known = catalog.names_on_backend(&backend(), &names).await.unwrap();
        assert_eq!(known.into_keys().collect::<Vec<_>>(), names);
    }
}

/// Reads pages until there is no link to the next, like a client. A deleted marker is unknown, as in Cinder: the client
/// continues after the last existing one.
async fn listed(catalog: &Catalog, query: VolumeQuery) -> (Vec<VolumeId>, usize) {
    let (mut marker, mut seen, mut short) = (None, Vec::new(), 0);
    loop {
        let query = VolumeQuery {
            marker,
            ..query.clone()
        };
        let page = catalog.page::<Volume>(&query).await.unwrap();
        seen.extend(page.records.iter().map(|volume| volume.id));
        if page.next.is_none() {
            return (seen, short);
        }
        short += usize::from(page.records.len() < query.limit);
        for id in seen.iter().rev() {
            if catalog.volume(*id).await.unwrap().is_some() {
                marker = Some(*id);
                break;
            }
        }
    }
}

#[actix::test]
async fn a_list_has_full_pages_and_misses_nothing_that_stays() {
    for greed in [1, 2, 9] {
        for sort in [
            Vec::new(),
            vec![(VolumeField::Name, Direction::Ascending)],
            vec![(VolumeField::Host, Direction::Ascending)],
        ] {
            let store = Vanishing::taking(greed);
            let catalog = Catalog::open(store.clone()).await.unwrap();
            let mut all = volumes(&catalog, 60).await;
            all.sort_by_key(|volume| std::cmp::Reverse(volume.created_at));
            // Every third is deleted while the pages are read.
            store.doom(all.iter().skip(1).step_by(3).map(Indexed::key));
            let query = VolumeQuery {
                sort,
                limit: 7,
                ..VolumeQuery::default()
            };
            let (seen, short) = listed(&catalog, query).await;
            let seen_once: BTreeSet<VolumeId> = seen.iter().copied().collect();
            assert_eq!(seen_once.len(), seen.len(), "each once");
            assert_eq!(short, 0, "every page but the last is full");
            let stay = all.iter().enumerate().filter(|(at, _)| at % 3 != 1);
            for (_, volume) in stay {
                let id = volume.id;
                assert!(seen_once.contains(&id), "greed {greed}: {id} is missed");
            }
        }
    }
}

#[actix::test]
async fn attachments_and_messages_have_full_pages_too() {
    let store = Vanishing::taking(2);
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let volume = volumes(&catalog, 1).await.remove(0);
    let (mut attachments, mut messages) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let (attachment, message) = (attachment(&volume), message(&volume));
        commit(&catalog, |changes| changes.insert(&attachment).insert(&message)).await;
        attachments.push(attachment.id);
        messages.push(message.id);
    }
    // Newest first: the deleted ones are in the first page.
    attachments.reverse();
    messages.reverse();
    store.doom(attachments[..4].iter().map(|id| record_key::<Attachment>(id.0)));
    let page = catalog.newest::<Attachment>(None, None, 5).await.unwrap();
    let ids: Vec<AttachmentId> = page.records.iter().map(|found| found.id).collect();
    assert_eq!((ids.len(), page.next), (5, ids.last().copied()));
    assert!(ids.iter().all(|id| attachments[2..].contains(id)));
    store.doomed.lock().clear();
    store.doom(messages[..4].iter().map(|id| record_key::<UserMessage>(id.0)));
    let page = catalog.newest::<UserMessage>(None, None, 5).await.unwrap();
    let ids: Vec<MessageId> = page.records.iter().map(|found| found.id).collect();
    assert_eq!((ids.len(), page.next), (5, ids.last().copied()));
    let all = catalog.newest::<Attachment>(None, None, 100).await.unwrap();
    assert_eq!(all.next, None);
}

#[actix::test]
async fn the_latest_snapshot_is_the_latest_that_is_there() {
    let store = Vanishing::taking(1);
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let volume = volumes(&catalog, 1).await.remove(0);
    let all: Vec<Snapshot> = (0..5).map(|_| snapshot(&volume, "s")).collect();
    insert(&catalog, &all).await;
    store.doom([all[4].key()]);
    let latest = catalog.latest_snapshot(volume.id).await.unwrap();
    assert_eq!(latest.map(|latest| latest.id), Some(all[3].id));
}

#[actix::test]
async fn more_attachments_of_a_volume_than_are_read_at_once_are_all_shown() {
    let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
    let all = volumes(&catalog, 2).await;
    let count = read::BATCH + 3;
    let attachments: Vec<Attachment> = (0..count).map(|_| attachment(&all[0])).collect();
    for some in attachments.chunks(100) {
        insert(&catalog, some).await;
    }
    let ids: Vec<VolumeId> = all.iter().map(|volume| volume.id).collect();
    let of_volumes = catalog.volumes_attachments(&ids).await.unwrap();
    let counts: Vec<usize> = of_volumes.iter().map(Vec::len).collect();
    assert_eq!(counts, [count, 0]);
}

fn message(volume: &Volume) -> UserMessage {
    UserMessage {
        id: MessageId::new(),
        project_id: volume.project_id.clone(),
        request_id: "req".to_owned(),
        resource_type: "VOLUME".to_owned(),
        resource_uuid: Some(volume.id.0),
        action: Action::CheckStorage,
        detail: Detail::StorageMissing,
        cause: None,
        created_at: tick(),
        expires_at: tick(),
    }
}
