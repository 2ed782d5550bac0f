//! What every engine of the store promises, asked of each; and that each behaves as the one in memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "etcd_support/cluster.rs"]
mod cluster;

use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cluster::Cluster;
use proptest::prelude::*;
use pumice::store::derived::NothingDerived;
use pumice::store::etcd::{EtcdOptions, EtcdStore};
use pumice::store::memory::MemoryStore;
use pumice::store::sled::{SledOptions, SledStore};
use pumice::store::{
    Ceiling, Change, CommitError, Condition, Entry, Key, Revision, Scan, Store, Transaction,
};

/// Each engine, and what must live as long as it does.
async fn engines() -> Vec<(&'static str, Arc<dyn Store>, Option<Box<dyn Any>>)> {
    let directory = tempfile::tempdir().unwrap();
    let sled: Arc<dyn Store> = Arc::new(open(directory.path()));
    let cluster = Cluster::start(1);
    let etcd = Arc::new(open_etcd(&cluster, "/pumice/").await);
    vec![
        ("memory", Arc::new(MemoryStore::default()), None),
        ("sled", sled, Some(Box::new(directory))),
        ("etcd", etcd, Some(Box::new(cluster))),
    ]
}

async fn open_etcd(cluster: &Cluster, prefix: &str) -> EtcdStore {
    let options = EtcdOptions {
        endpoints: cluster.endpoints(),
        prefix: prefix.to_owned(),
        ..EtcdOptions::default()
    };
    EtcdStore::open(options, Arc::new(NothingDerived)).await.unwrap()
}

fn open(path: &Path) -> SledStore {
    SledStore::open(path, &SledOptions::default()).unwrap()
}

fn key(text: &str) -> Key {
    Key(text.as_bytes().to_vec())
}

fn put(at: &str, value: &str) -> Change {
    Change::Put(key(at), value.as_bytes().to_vec())
}

fn changes(changes: Vec<Change>) -> Transaction {
    Transaction {
        changes,
        ..Transaction::default()
    }
}

fn keys(entries: &[(Key, Entry)]) -> Vec<String> {
    entries
        .iter()
        .map(|(key, _)| String::from_utf8(key.0.clone()).unwrap())
        .collect()
}

#[actix::test]
async fn what_is_committed_is_read_with_the_revision_of_its_commit() {
    for (engine, store, _directory) in engines().await {
        let first = store
            .commit(changes(vec![put("a", "1"), put("b", "1")]))
            .await
            .unwrap();
        let second = store
            .commit(changes(vec![put("b", "2"), Change::Delete(key("c"))]))
            .await
            .unwrap();
        assert!(second > first, "{engine}");
        let read = store.get_many(&[key("b"), key("c"), key("a")]).await.unwrap();
        let expected = [Some(("2", second)), None, Some(("1", first))].map(|found| {
            found.map(|(value, revision)| Entry {
                value: value.into(),
                revision,
            })
        });
        assert_eq!(read, expected, "{engine}");
        assert_eq!(store.get(&key("a")).await.unwrap(), expected[2], "{engine}");
        let many: Vec<Key> = (0..100)
            .map(|n| key(&format!("b{n}")))
            .chain([key("b")])
            .collect();
        assert_eq!(
            store.get_many(&many).await.unwrap().last().unwrap(),
            &expected[0],
            "{engine}"
        );
    }
}

#[actix::test]
async fn ranges_are_read_in_order_from_either_end() {
    for (engine, store, _directory) in engines().await {
        store
            .commit(changes(
                ["a", "b", "b1", "b2", "b3", "c"].map(|at| put(at, "")).to_vec(),
            ))
            .await
            .unwrap();
        let scan = |prefix: &str, after: Option<&str>, reverse, limit| Scan {
            prefix: prefix.into(),
            after: after.map(key),
            reverse,
            limit,
        };
        for (scan, expected) in [
            (scan("b", None, false, 9), vec!["b", "b1", "b2", "b3"]),
            (scan("b", None, true, 2), vec!["b3", "b2"]),
            (scan("b", Some("b1"), false, 9), vec!["b2", "b3"]),
            (scan("b", Some("b1"), true, 9), vec!["b"]),
            (scan("b", Some("b15"), false, 1), vec!["b2"]),
            (scan("b", Some("a"), false, 1), vec!["b"]),
            (scan("b", Some("c"), false, 9), vec![]),
            (scan("b", Some("c"), true, 1), vec!["b3"]),
            (scan("b", Some("a"), true, 9), vec![]),
            (scan("", None, false, 2), vec!["a", "b"]),
            (scan("", None, true, 9), vec!["c", "b3", "b2", "b1", "b", "a"]),
            (scan("", None, false, 0), vec![]),
        ] {
            assert_eq!(
                keys(&store.scan(scan.clone()).await.unwrap()),
                expected,
                "{engine} {scan:?}"
            );
        }
        let many = store
            .scan_many(vec![scan("c", None, false, 9), scan("b", None, false, 1)])
            .await
            .unwrap();
        assert_eq!(
            many.iter().map(|entries| keys(entries)).collect::<Vec<_>>(),
            [["c"], ["b"]],
            "{engine}"
        );
    }
}

#[actix::test]
async fn a_range_of_any_length_is_read_whole_and_up_to_its_limit() {
    for (engine, store, _directory) in engines().await {
        let all: Vec<String> = (0..40).map(|number| format!("k{number:02}")).collect();
        let puts = all.iter().map(|name| put(name, name)).collect();
        store.commit(changes(puts)).await.unwrap();
        for limit in (0..42).chain([usize::MAX]) {
            for reverse in [false, true] {
                let scan = Scan {
                    prefix: b"k".to_vec(),
                    after: None,
                    reverse,
                    limit,
                };
                let mut expected = all.clone();
                if reverse {
                    expected.reverse();
                }
                expected.truncate(limit);
                let read = store.scan(scan).await.unwrap();
                assert_eq!(keys(&read), expected, "{engine}, up to {limit}");
            }
        }
    }
}

#[actix::test]
async fn a_changed_key_is_recorded_before_its_commit_returns_and_read_then_it_is_new() {
    for (engine, store, _directory) in engines().await {
        store.commit(changes(vec![put("ab", "0")])).await.unwrap();
        let changed = store.changed_keys(b"a").unwrap();
        assert!(changed.take().unwrap().is_empty(), "{engine}");
        for round in 0..50 {
            let value = round.to_string();
            let written = changes(vec![
                put("ab", &value),
                Change::Delete(key("ac")),
                put("b", &value),
            ]);
            let (committed, taken) = tokio::join!(store.commit(written), async {
                let taken = changed.take().unwrap();
                // What is taken while the commit runs is read as it was changed.
                let read = store.get(&key("ab")).await.unwrap().unwrap();
                assert!(taken.is_empty() || read.value == value, "{engine}");
                taken
            });
            committed.unwrap();
            let all: Vec<Key> = taken.into_iter().chain(changed.take().unwrap()).collect();
            // Deleting what does not exist changes nothing, and may be recorded.
            assert!(
                all == [key("ab"), key("ac")] || all == [key("ab")],
                "{engine} {all:?}"
            );
        }
        let refused = Transaction {
            conditions: vec![Condition::Absent(key("ab"))],
            ..changes(vec![put("ab", "refused")])
        };
        store.commit(refused).await.unwrap_err();
        assert!(changed.take().unwrap().is_empty(), "{engine}");
    }
}

#[actix::test]
async fn of_those_who_read_the_same_only_one_writes() {
    for (engine, store, _directory) in engines().await {
        let read = store.commit(changes(vec![put("a", "0")])).await.unwrap();
        let racers = (0..50).map(|n| {
            let store = Arc::clone(&store);
            async move {
                store
                    .commit(Transaction {
                        conditions: vec![Condition::Unchanged(key("a"), read)],
                        changes: vec![put("a", &n.to_string()), put(&format!("winner-{n}"), "")],
                        ceilings: Vec::new(),
                    })
                    .await
            }
        });
        let results = futures_util::future::join_all(racers).await;
        assert_eq!(
            results.iter().filter(|result| result.is_ok()).count(),
            1,
            "{engine}"
        );
        for result in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(
                matches!(result, CommitError::Conflict(at) if *at == key("a")),
                "{engine} {result}"
            );
        }
        let scan = Scan {
            prefix: b"winner-".to_vec(),
            after: None,
            reverse: false,
            limit: 9,
        };
        assert_eq!(
            store.scan(scan).await.unwrap().len(),
            1,
            "{engine}: a loser left something"
        );
    }
}

#[actix::test]
async fn however_many_ask_at_once_a_ceiling_holds_exactly() {
    for (engine, store, _directory) in engines().await {
        let askers = (0..100).map(|_| {
            let store = Arc::clone(&store);
            async move {
                store
                    .commit(Transaction {
                        conditions: Vec::new(),
                        changes: vec![Change::Add {
                            key: key("used"),
                            delta: 3,
                        }],
                        ceilings: vec![Ceiling {
                            keys: vec![key("used"), key("reserved")],
                            limit: 100,
                            name: "gigabytes".into(),
                        }],
                    })
                    .await
            }
        });
        let results = futures_util::future::join_all(askers).await;
        assert_eq!(
            results.iter().filter(|result| result.is_ok()).count(),
            33,
            "{engine}"
        );
        let over = results.iter().find_map(|result| result.as_ref().err()).unwrap();
        assert!(
            matches!(over, CommitError::OverCeiling { name, sum: 102, limit: 100 } if name == "gigabytes"),
            "{engine} {over}"
        );
        let used = store.get(&key("used")).await.unwrap().unwrap();
        assert_eq!(used.value.as_ref(), 99_i64.to_be_bytes(), "{engine}");
    }
}

#[actix::test]
async fn a_commit_that_cannot_be_made_leaves_nothing() {
    for (engine, store, _directory) in engines().await {
        for refused in [
            changes(vec![put("a", ""), Change::Put(Key(vec![0]), Vec::new())]),
            changes(vec![
                put("a", ""),
                Change::Put(key("b"), vec![0; pumice::store::MAX_VALUE + 1]),
            ]),
            Transaction {
                conditions: vec![Condition::Unchanged(key("z"), Revision(1))],
                ..changes(vec![put("a", "")])
            },
        ] {
            assert!(store.commit(refused).await.is_err(), "{engine}");
        }
        let all = Scan {
            prefix: Vec::new(),
            after: None,
            reverse: false,
            limit: 9,
        };
        assert_eq!(store.scan(all).await.unwrap(), [], "{engine}");
        // And the next one is made all the same.
        store.commit(changes(vec![put("a", "")])).await.unwrap();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Transaction),
    Together(Vec<Transaction>),
    Scan(Scan),
    Reopen,
}

fn some_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        (0..12_u8).prop_map(|n| Key(vec![b'k', n])),
        proptest::collection::vec(prop_oneof![Just(1_u8), Just(b'k'), Just(0xff)], 1..4).prop_map(Key),
    ]
}

fn some_counter() -> impl Strategy<Value = Key> {
    (0..3_u8).prop_map(|n| Key(vec![b'#', n]))
}

fn some_transaction() -> impl Strategy<Value = Transaction> {
    let condition = prop_oneof![
        some_key().prop_map(Condition::Absent),
        (some_key(), 1..40_u64).prop_map(|(key, revision)| Condition::Unchanged(key, Revision(revision))),
    ];
    let change = prop_oneof![
        3 => (some_key(), proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(key, value)| Change::Put(key, value)),
        1 => (some_key(), 0..8000_usize).prop_map(|(key, length)| Change::Put(key, vec![7; length])),
        2 => some_key().prop_map(Change::Delete),
        2 => (some_counter(), -5..10_i64).prop_map(|(key, delta)| Change::Add { key, delta }),
    ];
    let ceiling =
        (proptest::collection::vec(some_counter(), 1..3), 0..30_i64).prop_map(|(keys, limit)| Ceiling {
            keys,
            limit,
            name: "sum".into(),
        });
    (
        proptest::collection::vec(condition, 0..2),
        proptest::collection::vec(change, 0..6),
        proptest::collection::vec(ceiling, 0..2),
    )
        .prop_map(|(conditions, changes, ceilings)| Transaction {
            conditions,
            changes,
            ceilings,
        })
}

fn some_step() -> impl Strategy<Value = Step> {
    let scan = (
        proptest::collection::vec(prop_oneof![Just(b'k'), Just(0xff), Just(b'#')], 0..2),
        proptest::option::of(some_key()),
        any::<bool>(),
        0..10_usize,
    )
        .prop_map(|(prefix, after, reverse, limit)| Scan {
            prefix,
            after,
            reverse,
            limit,
        });
    prop_oneof![
        10 => some_transaction().prop_map(Step::Commit),
        2 => proptest::collection::vec(some_transaction(), 2..6).prop_map(Step::Together),
        5 => scan.prop_map(Step::Scan),
        1 => Just(Step::Reopen),
    ]
}

/// What can be compared of a result: errors by their words.
fn outcome(result: Result<Revision, CommitError>) -> Result<Revision, String> {
    result.map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sled_cannot_be_told_from_memory(steps in proptest::collection::vec(some_step(), 1..60)) {
        actix::System::new().block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let memory = MemoryStore::default();
            let mut sled = open(directory.path());
            for step in steps {
                match step {
                    Step::Commit(transaction) => {
                        let expected = outcome(memory.commit(transaction.clone()).await);
                        prop_assert_eq!(outcome(sled.commit(transaction).await), expected);
                    }
                    // Sent before any is answered, so they may share a group: the order is that of the queue.
                    Step::Together(transactions) => {
                        let mut expected = Vec::new();
                        for transaction in &transactions {
                            expected.push(outcome(memory.commit(transaction.clone()).await));
                        }
                        let commits = transactions.into_iter().map(|transaction| sled.commit(transaction));
                        let results = futures_util::future::join_all(commits).await;
                        prop_assert_eq!(results.into_iter().map(outcome).collect::<Vec<_>>(), expected);
                    }
                    Step::Scan(scan) => {
                        prop_assert_eq!(sled.scan(scan.clone()).await.unwrap(), memory.scan(scan).await.unwrap());
                    }
                    Step::Reopen => {
                        drop(sled);
                        sled = open(directory.path());
                    }
                }
            }
            let all = Scan { prefix: Vec::new(), after: None, reverse: false, limit: usize::MAX };
            prop_assert_eq!(sled.scan(all).await.unwrap(), memory.entries());
            Ok(())
        })?;
    }
}

/// The revisions of a store on etcd, by those of a store in memory with the same commits.
#[derive(Default)]
struct Revisions(BTreeMap<Revision, Revision>);

impl Revisions {
    fn of(&self, memory: Revision) -> Revision {
        self.0.get(&memory).copied().unwrap_or(Revision(u64::MAX))
    }

    fn translated(&self, mut transaction: Transaction) -> Transaction {
        for condition in &mut transaction.conditions {
            if let Condition::Unchanged(_, revision) = condition {
                *revision = self.of(*revision);
            }
        }
        transaction
    }

    fn entries(&self, entries: Vec<(Key, Entry)>) -> Vec<(Key, Entry)> {
        let of = |(key, entry): (Key, Entry)| {
            let revision = self.of(entry.revision);
            (key, Entry { revision, ..entry })
        };
        entries.into_iter().map(of).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn etcd_differs_from_memory_in_its_revisions_only(
        steps in proptest::collection::vec(some_step(), 1..60)
    ) {
        static CASE: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static CLUSTER: Cluster = Cluster::start(1);
        }
        CLUSTER.with(|cluster| actix::System::new().block_on(async {
            let prefix = format!("/{}/", CASE.fetch_add(1, Ordering::Relaxed));
            let memory = MemoryStore::default();
            let mut etcd = open_etcd(cluster, &prefix).await;
            let mut revisions = Revisions::default();
            for step in steps {
                let transactions = match step {
                    Step::Commit(transaction) => vec![transaction],
                    Step::Together(transactions) => transactions,
                    Step::Scan(scan) => {
                        let expected = revisions.entries(memory.scan(scan.clone()).await.unwrap());
                        prop_assert_eq!(etcd.scan(scan).await.unwrap(), expected);
                        continue;
                    }
                    Step::Reopen => {
                        drop(etcd);
                        etcd = open_etcd(cluster, &prefix).await;
                        continue;
                    }
                };
                for transaction in transactions {
                    let expected = outcome(memory.commit(transaction.clone()).await);
                    let found = outcome(etcd.commit(revisions.translated(transaction)).await);
                    if let (Ok(expected), Ok(found)) = (&expected, &found) {
                        revisions.0.insert(*expected, *found);
                    }
                    prop_assert_eq!(found.map(drop), expected.map(drop));
                }
            }
            let all = Scan { prefix: Vec::new(), after: None, reverse: false, limit: usize::MAX };
            prop_assert_eq!(etcd.scan(all).await.unwrap(), revisions.entries(memory.entries()));
            Ok(())
        }))?;
    }
}
