//! Tests specific to this engine: refusals at open, failures, closing.

use std::sync::atomic::Ordering;

use super::*;
use crate::store::Change;
use crate::store::number_file::NumberFile;

fn put(key: &str, value: &str) -> Transaction {
    Transaction {
        changes: vec![Change::Put(Key(key.into()), value.into())],
        ..Transaction::default()
    }
}

fn open(path: &Path) -> Result<SledStore, OpenError> {
    SledStore::open(path, &SledOptions::default())
}

/// An empty store, and its directory.
fn new_store() -> (tempfile::TempDir, SledStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    (directory, store)
}

#[actix::test]
async fn what_was_committed_is_there_after_opening_again_and_revisions_go_on() {
    let (directory, store) = new_store();
    let first = store.commit(put("a", "1")).await.unwrap();
    drop(store);
    let store = open(directory.path()).unwrap();
    let entry = store.get(&Key(b"a".to_vec())).await.unwrap().unwrap();
    assert_eq!((entry.value.as_ref(), entry.revision), (b"1".as_slice(), first));
    assert!(store.commit(put("b", "2")).await.unwrap() > first);
}

#[actix::test]
async fn a_store_in_use_is_refused_and_named() {
    let (directory, _store) = new_store();
    let error = open(directory.path()).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Locked { .. }), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
}

#[actix::test]
async fn a_later_format_is_refused() {
    let (directory, store) = new_store();
    store.commit(put("a", "1")).await.unwrap();
    store.db.insert(FORMAT_KEY, 9_u32.to_be_bytes().to_vec()).unwrap();
    drop(store);
    assert!(matches!(
        open(directory.path()),
        Err(OpenError::Newer { found: 9, .. })
    ));
}

#[actix::test]
async fn a_store_of_somebody_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let db = sled::open(directory.path()).unwrap();
    db.insert("theirs", "x").unwrap();
    db.flush().unwrap();
    drop(db);
    assert!(matches!(open(directory.path()), Err(OpenError::Damaged { .. })));
}

#[actix::test]
async fn garbage_in_place_of_files_is_damage_and_no_panic() {
    for file in ["conf", "db"] {
        let (directory, store) = new_store();
        for n in 0..200 {
            store.commit(put(&format!("k{n}"), "v")).await.unwrap();
        }
        drop(store);
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name == file || name.starts_with("snap") {
                let length = usize::try_from(path.metadata().unwrap().len()).unwrap();
                std::fs::write(&path, vec![0xa5; length.max(64)]).unwrap();
            }
        }
        let error = open(directory.path()).err().unwrap();
        assert!(
            matches!(error, OpenError::Damaged { .. } | OpenError::Io { .. }),
            "{file}: {error}"
        );
    }
}

#[actix::test]
async fn half_a_snapshot_of_a_start_that_was_cut_off_is_no_damage() {
    let (directory, store) = new_store();
    store.commit(put("a", "1")).await.unwrap();
    drop(store);
    let half = directory.path().join("snap.FFFFFFFFFFFFFF00.generating");
    std::fs::write(&half, [0; 5]).unwrap();
    let store = open(directory.path()).unwrap();
    assert!(store.get(&Key(b"a".to_vec())).await.unwrap().is_some());
    assert!(!half.exists());
}

#[actix::test]
async fn commits_that_can_no_longer_be_read_are_missed_even_the_last() {
    let (directory, store) = new_store();
    let last = store.commit(put("a", "1")).await.unwrap();
    let watermark = NumberFile::open(&directory.path().join("watermark")).unwrap();
    // It was noted before it was answered.
    assert_eq!(watermark.read().unwrap(), Some(last.0));
    drop(store);
    watermark.write(last.0 + 1).unwrap();
    let error = open(directory.path()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[actix::test]
async fn what_is_written_to_a_deleted_file_is_not_acknowledged() {
    let (directory, store) = new_store();
    store.commit(put("a", "1")).await.unwrap();
    assert_eq!(*store.health().borrow(), Health::Well);
    std::fs::remove_file(directory.path().join("db")).unwrap();
    let Err(CommitError::Store(error)) = store.commit(put("b", "1")).await else {
        panic!("acknowledged")
    };
    assert!(error.to_string().contains("deleted"), "{error}");
    assert!(matches!(&*store.health().borrow(), Health::Broken(_)));
    // Everything can still be read, and so exported.
    assert!(store.get(&Key(b"a".to_vec())).await.unwrap().is_some());
}

#[actix::test]
async fn a_full_disk_refuses_commits_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let options = SledOptions {
        min_free: u64::MAX,
        ..SledOptions::default()
    };
    let store = SledStore::open(directory.path(), &options).unwrap();
    match store.commit(put("a", "1")).await {
        Err(CommitError::Store(error)) => assert!(error.no_space && !error.maybe_done, "{error}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(&*store.health().borrow(), Health::NoRoom(_)));
    assert_eq!(store.get(&Key(b"a".to_vec())).await.unwrap(), None);
}

#[actix::test]
async fn many_commits_share_a_flush_and_each_has_its_own_answer() {
    let (_directory, store) = new_store();
    let only_first = |value: &str| Transaction {
        conditions: vec![crate::store::Condition::Absent(Key(b"one".to_vec()))],
        ..put("one", value)
    };
    let commits = (0..200).map(|n| {
        let store = &store;
        async move { store.commit(only_first(&n.to_string())).await }
    });
    let results = futures_util::future::join_all(commits).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for result in &results {
        assert!(
            matches!(result, Ok(_) | Err(CommitError::Conflict(_))),
            "{result:?}"
        );
    }
}

#[actix::test]
async fn what_was_read_is_settled_when_it_is_on_the_disk_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let (tell, results) = std::sync::mpsc::channel::<std::io::Result<()>>();
    let results = parking_lot::Mutex::new(results);
    let sync = |_| -> writer::Sync { Box::new(move || results.lock().recv().unwrap_or(Ok(()))) };
    let options = SledOptions::default();
    let opened = super::open::open(directory.path(), &options).unwrap();
    let store = Arc::new(SledStore::over(directory.path(), &options, opened, sync).unwrap());
    store.wait_durable().await.unwrap();
    for (key, disk) in [("a", Ok(())), ("b", Err(std::io::Error::other("bad sector")))] {
        let is_well = disk.is_ok();
        let committing = {
            let store = Arc::clone(&store);
            actix_rt::spawn(async move { store.commit(put(key, "1")).await })
        };
        while store.get(&Key(key.as_bytes().to_vec())).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        let mut settling = std::pin::pin!(store.wait_durable());
        assert!(futures_util::poll!(settling.as_mut()).is_pending(), "{key}");
        tell.send(disk).unwrap();
        assert_eq!(settling.await.is_ok(), is_well, "{key}");
        assert_eq!(committing.await.unwrap().is_ok(), is_well, "{key}");
    }
}

/// A store whose disk works for the first commit, and then behaves like `then`.
fn open_with_disk(path: &Path, then: fn() -> std::io::Result<()>) -> SledStore {
    let syncs = std::sync::atomic::AtomicU32::new(0);
    let sync = move || match syncs.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(()),
        _ => then(),
    };
    let sync = |_| -> writer::Sync { Box::new(sync) };
    let options = SledOptions::default();
    let opened = super::open::open(path, &options).unwrap();
    SledStore::over(path, &options, opened, sync).unwrap()
}

#[actix::test]
async fn after_a_failed_sync_or_a_panic_every_caller_gets_an_error_and_none_hangs() {
    let fails: fn() -> std::io::Result<()> = || Err(std::io::Error::other("bad sector"));
    let panics: fn() -> std::io::Result<()> = || panic!("a bug");
    for (then, word) in [(fails, "syncing"), (panics, "a bug")] {
        let directory = tempfile::tempdir().unwrap();
        let store = open_with_disk(directory.path(), then);
        store.commit(put("a", "1")).await.unwrap();
        let both = futures_util::future::join(store.commit(put("b", "1")), store.commit(put("c", "1"))).await;
        for result in [both.0, both.1] {
            let Err(CommitError::Store(error)) = result else {
                panic!("{word}: {result:?}")
            };
            assert!(error.what.contains(word), "{error}");
        }
        let Err(CommitError::Store(error)) = store.commit(put("d", "1")).await else {
            panic!("{word}")
        };
        assert!(
            error.what.contains("accepts no commits") && !error.maybe_done,
            "{error}"
        );
        // Acknowledged commits can still be read, now and after opening again.
        assert!(store.get(&Key(b"a".to_vec())).await.unwrap().is_some());
        drop(store);
        let store = open(directory.path()).unwrap();
        assert!(store.get(&Key(b"a".to_vec())).await.unwrap().is_some());
    }
}

fn first_of(prefix: &str, limit: usize) -> Scan {
    Scan {
        prefix: prefix.as_bytes().to_vec(),
        after: None,
        reverse: false,
        limit,
    }
}

#[actix::test]
async fn what_is_short_is_read_at_once_and_all_else_by_another_thread() {
    let (_directory, store) = new_store();
    let large = "x".repeat(FEW_BYTES / 2);
    for n in 0..2 * FEW {
        store.commit(put(&format!("s{n:02}"), "small")).await.unwrap();
        store.commit(put(&format!("l{n:02}"), &large)).await.unwrap();
    }
    let by_threads = async |what: &str, few: usize, prefix: &str| {
        let before = store.on_threads.load(Ordering::Relaxed);
        let entries = match what {
            "scan" => store.scan(first_of(prefix, few)).await.unwrap(),
            _ => {
                let keys: Vec<Key> = (0..few).map(|n| Key(format!("{prefix}{n:02}").into())).collect();
                let found = store.get_many(&keys).await.unwrap();
                keys.into_iter().zip(found.into_iter().flatten()).collect()
            }
        };
        let keys: Vec<String> = (0..few).map(|n| format!("{prefix}{n:02}")).collect();
        let read: Vec<String> = entries
            .iter()
            .map(|(key, _)| String::from_utf8(key.0.clone()).unwrap())
            .collect();
        assert_eq!(read, keys, "{what}: all entries, in order");
        store.on_threads.load(Ordering::Relaxed) > before
    };
    for what in ["scan", "get"] {
        assert!(!by_threads(what, FEW, "s").await, "{what}: few and small");
        assert!(by_threads(what, FEW + 1, "s").await, "{what}: many");
        assert!(!by_threads(what, 2, "l").await, "{what}: as large as possible");
        assert!(by_threads(what, 3, "l").await, "{what}: larger");
    }
    // At the end of the range no thread is needed.
    let before = store.on_threads.load(Ordering::Relaxed);
    let scan = Scan {
        reverse: true,
        ..first_of("s0", 1000)
    };
    assert_eq!(store.scan(scan).await.unwrap().len(), 10);
    assert_eq!(store.on_threads.load(Ordering::Relaxed), before);
}
