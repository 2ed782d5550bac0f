//! All of a store as one file: it tells of one commit though others go on meanwhile, is known to be whole or not, and makes the
//! same store again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use pumice::store::export::{ExportError, export, read, restore, verify};
use pumice::store::memory::MemoryStore;
use pumice::store::sled::{OpenError, SledOptions, SledStore};
use pumice::store::{Change, Entry, Key, Revision, Scan, Store, Transaction};

fn key(text: &str) -> Key {
    Key(text.as_bytes().to_vec())
}

fn put(at: &str, value: &str) -> Change {
    Change::Put(key(at), value.as_bytes().to_vec())
}

async fn commit(store: &dyn Store, changes: Vec<Change>) -> Revision {
    let transaction = Transaction {
        changes,
        ..Transaction::default()
    };
    store.commit(transaction).await.unwrap()
}

fn open(path: &Path) -> SledStore {
    SledStore::open(path, &SledOptions::default()).unwrap()
}

/// What an export says in the end.
fn said(path: &Path) -> BTreeMap<Key, Entry> {
    let mut all = BTreeMap::new();
    read::<ExportError>(path, |key, entry| {
        match entry {
            Some(entry) => all.insert(key, entry),
            None => all.remove(&key),
        };
        Ok(())
    })
    .unwrap();
    all
}

async fn all_of(store: &dyn Store) -> BTreeMap<Key, Entry> {
    let everything = Scan {
        prefix: Vec::new(),
        after: None,
        reverse: false,
        limit: usize::MAX,
    };
    store.scan(everything).await.unwrap().into_iter().collect()
}

#[actix::test]
async fn an_export_says_what_the_store_has() {
    let folder = tempfile::tempdir().unwrap();
    let engines: [(&str, Arc<dyn Store>); 2] = [
        ("memory", Arc::new(MemoryStore::default())),
        ("sled", Arc::new(open(&folder.path().join("store")))),
    ];
    for (engine, store) in engines {
        let file = folder.path().join(engine);
        let nothing = export(store.as_ref(), &file).await.unwrap();
        assert_eq!(nothing.entries, 0, "{engine}");
        // More than is read at once.
        let many = (0..3000)
            .map(|number| put(&format!("k{number:05}"), "v"))
            .collect();
        commit(store.as_ref(), many).await;
        let last = commit(
            store.as_ref(),
            vec![Change::Delete(key("k00007")), put("empty", "")],
        )
        .await;
        let exported = export(store.as_ref(), &file).await.unwrap();
        assert_eq!((exported.revision, exported.entries), (last, 3000), "{engine}");
        assert_eq!(verify(&file).unwrap(), exported, "{engine}");
        assert_eq!(said(&file), all_of(store.as_ref()).await, "{engine}");
    }
}

#[cfg(unix)]
#[actix::test]
async fn an_export_is_for_its_owner_alone_and_there_whole_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = MemoryStore::default();
    let file = folder.path().join("e");
    export(&store, &file).await.unwrap();
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let nowhere = folder.path().join("none").join("e");
    let error = export(&store, &nowhere).await.unwrap_err();
    assert!(matches!(&error, ExportError::Io { .. }), "{error}");
    // A full disk.
    let full = Path::new("/dev/full");
    if full.exists() {
        let link = folder.path().join("full.new");
        std::os::unix::fs::symlink(full, &link).unwrap();
        let error = export(&store, &folder.path().join("full")).await.unwrap_err();
        assert!(error.to_string().contains("No space left"), "{error}");
    }
    let left: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, [file]);
}

/// Two counters always move together, keys come and go with them: every export must show a moment between two commits.
#[actix::test]
async fn an_export_tells_of_one_commit_though_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("store")));
    // Spread over what is read at once, so that a commit changes what was read and what was not yet.
    let filling = (0..5000)
        .map(|number| put(&format!("m{number:05}"), "v"))
        .collect();
    commit(store.as_ref(), filling).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (theirs, stopped) = (Arc::clone(&store), Arc::clone(&stop));
    let writer = std::thread::spawn(move || {
        actix_rt::Runtime::new().unwrap().block_on(async {
            let mut number = 0_u64;
            while !stopped.load(Ordering::Acquire) {
                let text = number.to_string();
                let mut changes = vec![
                    put("a", &text),
                    put("z", &text),
                    put(&format!("m0250{}", number % 10), &text),
                ];
                // What was made by the one before is gone.
                changes.push(put(&format!("n{number:08}"), &text));
                if let Some(before) = number.checked_sub(1) {
                    changes.push(Change::Delete(key(&format!("n{before:08}"))));
                }
                commit(theirs.as_ref(), changes).await;
                number += 1;
            }
            number
        })
    });
    let mut amended = 0;
    for round in 0..15 {
        let file = folder.path().join(format!("export-{round}"));
        let exported = export(store.as_ref(), &file).await.unwrap();
        let all = said(&file);
        amended += exported.entries - all.len() as u64;
        let Some(first) = all.get(&key("a")) else {
            assert!(!all.contains_key(&key("z")));
            continue;
        };
        assert_eq!(first.value, all[&key("z")].value);
        assert_eq!(first.revision, exported.revision);
        let made: Vec<&Key> = all.keys().filter(|key| key.0.starts_with(b"n")).collect();
        let number: u64 = std::str::from_utf8(&first.value).unwrap().parse().unwrap();
        assert_eq!(made, [&key(&format!("n{number:08}"))]);
        assert!(all.values().all(|entry| entry.revision <= exported.revision));
    }
    stop.store(true, Ordering::Release);
    let commits = writer.join().unwrap();
    assert!(
        amended > 0,
        "{commits} commits, and none of them while an export was read"
    );
}

#[actix::test]
async fn what_is_not_whole_is_refused_wherever_it_is_cut_or_changed() {
    let folder = tempfile::tempdir().unwrap();
    let store = MemoryStore::default();
    commit(&store, vec![put("one", "1"), put("two", "22")]).await;
    let file = folder.path().join("e");
    export(&store, &file).await.unwrap();
    let whole = std::fs::read(&file).unwrap();
    let refused = |bytes: &[u8]| {
        let bad = folder.path().join("bad");
        std::fs::write(&bad, bytes).unwrap();
        verify(&bad).unwrap_err().to_string()
    };
    for length in 0..whole.len() {
        refused(&whole[..length]);
    }
    for at in 0..whole.len() {
        for bit in [1, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= bit;
            refused(&changed);
        }
    }
    assert!(refused(&[whole.as_slice(), b"x"].concat()).contains("there is data after its end"));
    assert!(refused(b"pumice-export 2\nwhatever").contains("another format"));
    assert!(refused(&whole[..whole.len() - 1]).contains("ends too early"));
    assert!(
        verify(&folder.path().join("none"))
            .unwrap_err()
            .to_string()
            .contains("No such file")
    );
}

proptest! {
    #[test]
    fn no_bytes_whatever_do_more_than_being_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("e");
        std::fs::write(&file, [b"pumice-export 1\n".as_slice(), &bytes].concat()).unwrap();
        prop_assert!(verify(&file).is_err());
    }
}

#[actix::test]
async fn a_store_is_made_again_and_half_of_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path().join("store"), folder.path().join("e"));
    let before = {
        let store = MemoryStore::default();
        let many = (0..2000)
            .map(|number| put(&format!("k{number:05}"), "v"))
            .collect();
        commit(&store, many).await;
        export(&store, &file).await.unwrap();
        all_of(&store).await
    };
    let options = SledOptions::default();
    // As after a kill in the middle.
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("restoring"), "").unwrap();
    let refused = SledStore::open(&path, &options).err().unwrap();
    assert!(matches!(&refused, OpenError::Damaged { what, .. } if what.contains("did not end")));
    assert!(SledStore::is_half_restored(&path));
    SledStore::restore(&path, &options, &file).await.unwrap();
    let values = |all: BTreeMap<Key, Entry>| -> Vec<_> {
        all.into_iter().map(|(key, entry)| (key, entry.value)).collect()
    };
    assert_eq!(values(all_of(&open(&path)).await), values(before.clone()));
    // One that is not whole touches nothing.
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 40]).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    assert!(SledStore::restore(&elsewhere, &options, &file).await.is_err());
    assert!(!elsewhere.exists());
    let memory = MemoryStore::default();
    std::fs::write(&file, &bytes).unwrap();
    restore(&file, &memory).await.unwrap();
    assert_eq!(values(all_of(&memory).await), values(before));
}
