//! What etcd, the network between, and operators do to a node.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pumice::store::{Change, CommitError, Health, Store, StoreError};

use super::cluster::Cluster;
use super::proxy::Proxy;
use super::{eventually, key, open, options, put, read, replace, try_open};

fn store_error(error: CommitError) -> StoreError {
    match error {
        CommitError::Store(error) => error,
        other => StoreError::new(other.to_string()),
    }
}

#[actix::test]
async fn a_transaction_whose_reply_is_lost_is_made_once_and_answered() {
    let cluster = Cluster::start(1);
    let proxy = Proxy::to(([127, 0, 0, 1], cluster.port(0)).into()).await;
    let mut options = options(&cluster, "a");
    options.endpoints = vec![proxy.endpoint.clone(), cluster.endpoint(0)];
    let store = try_open(options).await.unwrap();
    let watching = open(&cluster, "b").await;
    for round in 0..3 {
        let mut was = read(&store, "counter").await.map(|(_, revision)| revision);
        // Until the request went through the proxy, and only there.
        let lost = || {
            store
                .stats()
                .lost_replies
                .load(std::sync::atomic::Ordering::Relaxed)
        };
        let before = lost();
        proxy.swallow_replies();
        let mut commits = 0;
        while lost() == before && commits < 50 {
            was = Some(
                store
                    .commit(replace("counter", was, &format!("{round}-{commits}")))
                    .await
                    .unwrap(),
            );
            commits += 1;
        }
        assert_eq!(read(&store, "counter").await.unwrap().1, was.unwrap());
        watching.wait_current().await.unwrap();
        assert_eq!(read(&watching, "counter").await.unwrap().1, was.unwrap());
        proxy.pass();
        if lost() > before {
            return;
        }
    }
    // The proxy was not the preferred endpoint at any time.
    let lost = store
        .stats()
        .lost_replies
        .load(std::sync::atomic::Ordering::Relaxed);
    assert!(lost > 0, "no reply was lost");
}

#[actix::test]
async fn without_a_majority_reads_go_on_and_changes_are_refused_in_time_until_it_is_back() {
    let mut cluster = Cluster::start(3);
    let mut options = options(&cluster, "a");
    options.timeout = Duration::from_secs(3);
    let store = try_open(options).await.unwrap();
    store.commit(put("k", "1")).await.unwrap();
    cluster.kill(1);
    cluster.kill(2);
    let begun = Instant::now();
    let error = store_error(store.commit(put("k", "2")).await.unwrap_err());
    assert!(error.unavailable, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(read(&store, "k").await.unwrap().0, "1");
    eventually("it is known that etcd cannot be reached", async || {
        matches!(&*store.health().borrow(), Health::Unreachable(_))
    })
    .await;
    let begun = Instant::now();
    store_error(store.commit(put("k", "3")).await.unwrap_err());
    store.wait_current().await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(read(&store, "k").await.unwrap().0, "1");
    cluster.restart(1);
    // A commit that was answered as unknown may have happened: then the store has to be opened again.
    eventually("commits are made again", async || {
        store.commit(put("k", "4")).await.is_ok() || matches!(&*store.health().borrow(), Health::Broken(_))
    })
    .await;
    let again = open(&cluster, "a").await;
    again.commit(put("k", "5")).await.unwrap();
    assert_eq!(read(&again, "k").await.unwrap().0, "5");
}

#[actix::test]
async fn one_member_of_three_is_killed_or_frozen_and_commits_go_on_within_seconds() {
    let mut cluster = Cluster::start(3);
    let mut options = options(&cluster, "a");
    // For machines that have other work to do.
    options.timeout = Duration::from_secs(60);
    let store = try_open(options).await.unwrap();
    let mut longest = Duration::ZERO;
    let mut commit = async |value: String| {
        let begun = Instant::now();
        store.commit(put("k", &value)).await.unwrap();
        assert_eq!(read(&store, "k").await.unwrap().0, value);
        longest = longest.max(begun.elapsed());
    };
    for at in 0..3 {
        commit(format!("before {at}")).await;
        cluster.kill(at);
        for round in 0..5 {
            commit(format!("killed {at} {round}")).await;
        }
        cluster.restart(at);
        cluster.wait_ready();
        cluster.freeze(at);
        for round in 0..5 {
            commit(format!("frozen {at} {round}")).await;
        }
        cluster.thaw(at);
    }
    println!("the longest commit took {longest:?}");
}

#[actix::test]
async fn each_member_is_replaced_by_a_new_one_and_commits_and_the_view_go_on() {
    let mut cluster = Cluster::start(3);
    let mut options = options(&cluster, "a");
    options.timeout = Duration::from_secs(60);
    let store = try_open(options).await.unwrap();
    let other = open(&cluster, "b").await;
    for at in 0..3 {
        store.commit(put(&format!("before {at}"), "1")).await.unwrap();
        cluster.replace(at);
        store.commit(put(&format!("after {at}"), "1")).await.unwrap();
    }
    other.wait_current().await.unwrap();
    for at in 0..3 {
        for when in ["before", "after"] {
            assert!(read(&other, &format!("{when} {at}")).await.is_some());
        }
    }
    for opened in [&store, &other] {
        assert_eq!(*opened.health().borrow(), Health::Well);
    }
}

#[actix::test]
async fn a_slow_disk_of_etcd_makes_commits_slow_and_merges_them_and_reads_stay_fast() {
    const FLUSH: Duration = Duration::from_millis(100);
    const COMMITS: usize = 300;
    let cluster = Cluster::start_on_slow_disks(3, FLUSH);
    let mut options = options(&cluster, "a");
    options.timeout = Duration::from_secs(30);
    let store = Arc::new(try_open(options).await.unwrap());
    let begun = Instant::now();
    store.commit(put("k", "1")).await.unwrap();
    assert!(begun.elapsed() >= FLUSH, "the disk is not slow");
    let groups = || store.stats().groups.load(Ordering::Relaxed);
    let (before, begun) = (groups(), Instant::now());
    let commits = (0..COMMITS).map(|number| {
        let store = Arc::clone(&store);
        async move { store.commit(put(&format!("k{number}"), "1")).await.map(drop) }
    });
    let reads = async {
        let mut longest = Duration::ZERO;
        for _ in 0..100 {
            let begun = Instant::now();
            read(&store, "k").await.unwrap();
            longest = longest.max(begun.elapsed());
            tokio::task::yield_now().await;
        }
        longest
    };
    let (made, longest_read) = tokio::join!(futures_util::future::join_all(commits), reads);
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let (took, transactions) = (begun.elapsed(), groups() - before);
    println!(
        "{COMMITS} commits in {took:?} in {transactions} transactions, the longest read took {longest_read:?}"
    );
    assert!(transactions <= COMMITS as u64 / 4, "{transactions} transactions");
    assert!(longest_read < FLUSH, "{longest_read:?}");
}

#[actix::test]
async fn a_view_that_is_behind_a_compaction_is_loaded_anew() {
    let cluster = Cluster::start(1);
    let proxy = Proxy::to(([127, 0, 0, 1], cluster.port(0)).into()).await;
    let mut behind = options(&cluster, "a");
    behind.endpoints = vec![proxy.endpoint.clone()];
    let behind = try_open(behind).await.unwrap();
    behind.commit(put("gone", "")).await.unwrap();
    let changed = behind.changed_keys(b"").unwrap();
    proxy.cut();
    let other = open(&cluster, "b").await;
    other
        .commit(super::changes(vec![Change::Delete(key("gone"))]))
        .await
        .unwrap();
    let mut last = None;
    for number in 0..20 {
        last = Some(other.commit(put("k", &number.to_string())).await.unwrap());
    }
    cluster.ctl(&["compact", &last.unwrap().0.to_string()]);
    proxy.pass();
    eventually("the view has the last commit", async || {
        read(&behind, "k")
            .await
            .is_some_and(|(_, revision)| Some(revision) == last)
    })
    .await;
    assert_eq!(read(&behind, "gone").await, None);
    assert_eq!(changed.take(), None, "any key may have changed");
    eventually("it commits", async || {
        behind.commit(put("k", "again")).await.is_ok()
    })
    .await;
}

/// etcd before 3.4.36 and 3.5.18 leaves deletions out of a watch that begins at the very revision of a compaction.
#[actix::test]
async fn deletions_of_the_revision_of_a_compaction_are_not_missed() {
    let cluster = Cluster::start(1);
    let proxy = Proxy::to(([127, 0, 0, 1], cluster.port(0)).into()).await;
    let mut behind = options(&cluster, "a");
    behind.endpoints = vec![proxy.endpoint.clone()];
    let behind = try_open(behind).await.unwrap();
    let other = open(&cluster, "b").await;
    other.commit(put("gone", "")).await.unwrap();
    behind.wait_current().await.unwrap();
    proxy.cut();
    let deleted = other
        .commit(super::changes(vec![Change::Delete(key("gone"))]))
        .await
        .unwrap();
    let last = other.commit(put("k", "")).await.unwrap();
    cluster.ctl(&["compact", &deleted.0.to_string()]);
    proxy.pass();
    eventually("the view has the last commit", async || {
        read(&behind, "k")
            .await
            .is_some_and(|(_, revision)| revision == last)
    })
    .await;
    assert_eq!(read(&behind, "gone").await, None);
}

#[actix::test]
async fn history_is_removed_by_one_of_the_nodes() {
    let cluster = Cluster::start(1);
    let mut nodes = Vec::new();
    for node in ["a", "b"] {
        let mut options = options(&cluster, node);
        options.compact_interval = Duration::from_millis(100);
        nodes.push(try_open(options).await.unwrap());
    }
    let first = nodes[0].commit(put("k", "0")).await.unwrap();
    eventually("the first revision is gone", async || {
        nodes[0].commit(put("k", "1")).await.unwrap();
        let revision = first.0.to_string();
        let read = std::panic::catch_unwind(|| cluster.ctl(&["get", "k", "--rev", &revision]));
        read.is_err()
    })
    .await;
    nodes[1].wait_current().await.unwrap();
    assert_eq!(read(&nodes[1], "k").await.unwrap().0, "1");
}

#[actix::test]
async fn a_full_etcd_is_readable_and_commits_again_when_there_is_space() {
    let cluster = Cluster::start_with(1, &["--quota-backend-bytes", "2000000"]);
    let store = open(&cluster, "a").await;
    let mut error = None;
    for number in 0..100 {
        let value = vec![1; 100 * 1024];
        let change = Change::Put(key(&format!("k{}", number % 4)), value);
        if let Err(refused) = store.commit(super::changes(vec![change])).await {
            error = Some(store_error(refused));
            break;
        }
    }
    assert!(error.unwrap().no_space);
    assert!(matches!(&*store.health().borrow(), Health::NoRoom(_)));
    store.wait_current().await.unwrap();
    let revision = store.get(&key("k0")).await.unwrap().unwrap().revision;
    // What is not yet removed is not given back by the defragmentation, and etcd would be full again.
    cluster.ctl(&["compact", "--physical", &revision.0.to_string()]);
    cluster.ctl(&["defrag"]);
    cluster.ctl(&["alarm", "disarm"]);
    // Without a commit of anyone.
    eventually("it is noticed", async || *store.health().borrow() == Health::Well).await;
    store.commit(put("k0", "")).await.unwrap();
}

#[actix::test]
async fn a_restored_backup_is_noticed_while_it_runs_and_at_its_next_start_until_it_is_adopted() {
    let mut cluster = Cluster::start(1);
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&cluster, "a");
    options.position = Some(folder.path().join("position"));
    let store = try_open(options.clone()).await.unwrap();
    store.commit(put("k", "1")).await.unwrap();
    let snapshot = folder.path().join("snapshot");
    cluster.ctl(&["snapshot", "save", snapshot.to_str().unwrap()]);
    store.commit(put("k", "2")).await.unwrap();
    cluster.restore(&snapshot);
    eventually("it is noticed", async || {
        matches!(&*store.health().borrow(), Health::Broken(_))
    })
    .await;
    let why = format!("{:?}", store.health().borrow());
    assert!(why.contains("pumice store adopt"), "{why}");
    drop(store);
    let refused = try_open(options.clone()).await.err().unwrap();
    assert!(refused.to_string().contains("pumice store adopt"), "{refused}");
    pumice::store::etcd::EtcdStore::adopt(&options).await.unwrap();
    let adopted = try_open(options).await.unwrap();
    assert_eq!(read(&adopted, "k").await.unwrap().0, "1");
    adopted.commit(put("k", "3")).await.unwrap();
}

#[actix::test]
async fn keys_that_others_write_under_the_prefix_are_not_fatal() {
    let cluster = Cluster::start(1);
    cluster.ctl(&["put", "/pumice/", "before"]);
    cluster.ctl(&["put", "/pumice/xyz", "before"]);
    cluster.ctl(&["put", "/pumice/nother", "no fence"]);
    cluster.ctl(&["put", "/pumid", "beside"]);
    let store = open(&cluster, "a").await;
    store.commit(put("k", "1")).await.unwrap();
    cluster.ctl(&["put", "/pumice/xyz", "after"]);
    cluster.ctl(&["del", "/pumice/"]);
    cluster.ctl(&["put", "/pumice/nother", "still no fence"]);
    // A record behind the back of all nodes is followed, and conditions hold for it.
    let was = read(&store, "k").await.unwrap().1;
    cluster.ctl(&["put", "/pumice/dk", "2"]);
    let refused = store.commit(replace("k", Some(was), "3")).await.unwrap_err();
    assert!(matches!(refused, CommitError::Conflict(_)), "{refused}");
    assert_eq!(read(&store, "k").await.unwrap().0, "2");
    store.commit(put("k", "4")).await.unwrap();
    drop(store);
    cluster.ctl(&["put", "/pumice/f", "of another program"]);
    let refused = try_open(options(&cluster, "a")).await.err().unwrap();
    assert!(refused.to_string().contains("downgraded"), "{refused}");
}

#[actix::test]
async fn a_member_of_another_cluster_is_not_used() {
    let (cluster, other) = (Cluster::start(1), Cluster::start(1));
    let mut options = options(&cluster, "a");
    options.endpoints.push(other.endpoint(0));
    let store = try_open(options).await.unwrap();
    for number in 0..20 {
        store.commit(put("k", &number.to_string())).await.unwrap();
    }
    assert_eq!(
        other.ctl(&["get", "--prefix", "/pumice/", "--keys-only"]).trim(),
        ""
    );
}

#[actix::test]
async fn an_etcd_that_cannot_be_reached_is_an_error_in_time() {
    let mut cluster = Cluster::start(1);
    cluster.kill(0);
    let mut options = options(&cluster, "a");
    options.timeout = Duration::from_secs(1);
    let begun = Instant::now();
    let error = try_open(options).await.err().unwrap();
    assert!(error.unavailable, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
