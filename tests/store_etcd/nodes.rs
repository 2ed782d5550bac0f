//! Two control nodes on one etcd.

use std::sync::Arc;

use futures_util::future::join_all;
use pumice::store::{Ceiling, Change, CommitError, Health, Store, Transaction};

use super::cluster::Cluster;
use super::{key, open, put, read, replace};

#[actix::test]
async fn what_one_node_has_answered_the_other_reads_once_it_asks_for_the_current_state() {
    let cluster = Cluster::start(1);
    let (a, b) = (open(&cluster, "a").await, open(&cluster, "b").await);
    for round in 0..50 {
        let value = round.to_string();
        let (from, to) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let revision = from.commit(put("k", &value)).await.unwrap();
        to.wait_current().await.unwrap();
        assert_eq!(read(to, "k").await, Some((value, revision)));
    }
}

#[actix::test]
async fn of_two_nodes_that_read_the_same_one_writes_and_the_other_is_refused() {
    let cluster = Cluster::start(1);
    let (a, b) = (open(&cluster, "a").await, open(&cluster, "b").await);
    let mut was = None;
    for round in 0..30 {
        let racers = [&a, &b, &a, &b].into_iter().enumerate();
        let racers = racers.map(|(number, store)| store.commit(replace("k", was, &number.to_string())));
        let results = join_all(racers).await;
        let won: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        assert_eq!(won.len(), 1, "round {round}");
        was = won.first().map(|revision| **revision);
        for refused in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(
                matches!(refused, CommitError::Conflict(at) if *at == key("k")),
                "{refused}"
            );
        }
    }
}

#[actix::test]
async fn a_refusal_is_judged_on_the_current_state_also_if_the_view_lags() {
    let cluster = Cluster::start(1);
    let (a, b) = (open(&cluster, "a").await, open(&cluster, "b").await);
    for _ in 0..50 {
        a.commit(put("k", "")).await.unwrap();
        b.wait_current().await.unwrap();
        // `b` may not have seen yet that it is gone.
        a.commit(super::changes(vec![Change::Delete(key("k"))]))
            .await
            .unwrap();
        b.commit(replace("k", None, "")).await.unwrap();
        a.wait_current().await.unwrap();
    }
}

#[actix::test]
async fn a_ceiling_holds_exactly_over_two_nodes_and_no_addition_is_lost() {
    let cluster = Cluster::start(1);
    let nodes = [
        Arc::new(open(&cluster, "a").await),
        Arc::new(open(&cluster, "b").await),
    ];
    let add = |limit| Transaction {
        changes: vec![Change::Add {
            key: key("used"),
            delta: 1,
        }],
        ceilings: vec![Ceiling {
            keys: vec![key("used"), key("reserved")],
            limit,
            name: "volumes".into(),
        }],
        ..Transaction::default()
    };
    let results = join_all((0..200).map(|number| nodes[number % 2].commit(add(150)))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 150);
    for refused in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(
            matches!(
                refused,
                CommitError::OverCeiling {
                    sum: 151,
                    limit: 150,
                    ..
                }
            ),
            "{refused}"
        );
    }
    for node in &nodes {
        node.wait_current().await.unwrap();
        let used = node.get(&key("used")).await.unwrap().unwrap();
        assert_eq!(used.value.as_ref(), 150_i64.to_be_bytes());
    }
}

#[actix::test]
async fn a_second_process_of_a_node_takes_over_and_the_first_commits_nothing_more() {
    let cluster = Cluster::start(1);
    let first = open(&cluster, "a").await;
    first.commit(put("k", "1")).await.unwrap();
    let second = open(&cluster, "a").await;
    second.commit(put("k", "2")).await.unwrap();
    let error = first.commit(put("k", "3")).await.unwrap_err();
    assert!(
        matches!(&error, CommitError::Store(error) if error.broken),
        "{error}"
    );
    assert!(error.to_string().contains("node.host"), "{error}");
    assert!(matches!(&*first.health().borrow(), Health::Broken(_)));
    assert_eq!(read(&second, "k").await.unwrap().0, "2");
    second.commit(put("k", "4")).await.unwrap();
}

#[actix::test]
async fn a_commit_over_the_limits_of_a_transaction_is_refused_and_many_small_ones_share_transactions() {
    let cluster = Cluster::start(1);
    let store = open(&cluster, "a").await;
    let many = |count: usize| {
        let puts = (0..count).map(|number| Change::Put(key(&format!("k{number}")), Vec::new()));
        super::changes(puts.collect())
    };
    store.commit(many(127)).await.unwrap();
    let error = store.commit(many(128)).await.unwrap_err();
    assert!(
        matches!(&error, CommitError::Store(error) if error.too_large),
        "{error}"
    );
    let large = (0..12).map(|number| Change::Put(key(&format!("l{number}")), vec![1; 120 * 1024]));
    let error = store.commit(super::changes(large.collect())).await.unwrap_err();
    assert!(
        matches!(&error, CommitError::Store(error) if error.too_large),
        "{error}"
    );
    let groups = || store.stats().groups.load(std::sync::atomic::Ordering::Relaxed);
    let before = groups();
    let names: Vec<String> = (0..300).map(|number| format!("m{number}")).collect();
    for result in join_all(names.iter().map(|name| store.commit(put(name, "v")))).await {
        result.unwrap();
    }
    assert!(groups() - before < 100, "{}", groups() - before);
}
