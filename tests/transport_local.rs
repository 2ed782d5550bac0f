//! What an actor and its callers may count on within one process.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod transport_support;

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures_util::future::join_all;
use pumice::transport::stats::State;
use pumice::transport::{CallError, Router};
use transport_support::*;

fn node(bound: usize) -> (Router, Bench) {
    let router = Router::new("here");
    let bench = trier(None, bound);
    router.register(bench.endpoint.clone());
    (router, bench)
}

#[actix_rt::test]
async fn a_call_is_answered_or_refused_by_the_actor_itself() {
    let (router, _bench) = node(4);
    let handle = router.any::<Trial>();
    assert_eq!(handle.call(&context(), Add(2, 3), LONG).await, Ok(5));
    let refused = handle.call(&context(), Add(u32::MAX, 3), LONG).await;
    assert!(matches!(refused, Err(CallError::Refused(error)) if error.client == "too much"));
    let report = &router.actors()[0];
    let add = report.messages.iter().find(|m| m.message == "add").unwrap();
    assert_eq!((add.accepted, add.handled, add.failed, add.lost), (2, 2, 1, 0));
    assert_eq!((add.queue_time.count, add.handler_time.count), (2, 2));
    assert_eq!(report.depth, 0);
}

#[actix_rt::test]
async fn nobody_at_that_address_is_unreachable() {
    let (router, _bench) = node(4);
    let handle = router.server::<Trial>("elsewhere");
    let answer = handle.call(&context(), Add(2, 3), LONG).await;
    assert_eq!(answer, Err(CallError::Unreachable(handle.address().clone())));
    assert_eq!(router.undelivered().last().unwrap().reason, "unreachable");
}

#[actix_rt::test]
async fn an_unknown_message_is_an_unsupported_version() {
    let (router, _bench) = node(4);
    let answer = router.any::<Trial>().call(&context(), Future2, LONG).await;
    assert!(matches!(
        answer,
        Err(CallError::UnsupportedVersion {
            speaks: 2,
            needs: 3,
            ..
        })
    ));
}

#[actix_rt::test]
async fn a_full_mailbox_refuses_at_once_however_many_handles_there_are() {
    let (router, bench) = node(16);
    let waits: Vec<_> = (0..100)
        .map(|_| {
            let handle = router.any::<Trial>();
            actix_rt::spawn(async move { handle.call(&context(), Wait, LONG).await })
        })
        .collect();
    until("16 wait", || bench.shared.waiting.load(SeqCst) == 16).await;
    let refused = router.any::<Trial>().cast(&context(), Note(1)).await;
    assert!(matches!(refused, Err(CallError::Overloaded(_))));
    let report = &router.actors()[0];
    assert_eq!((report.depth, report.bound, report.in_work.len()), (16, 16, 16));
    assert_eq!(report.in_work[0].message, "wait");
    bench.gate.add_permits(16);
    let answers = join_all(waits).await;
    let well = answers
        .iter()
        .filter(|answer| matches!(answer, Ok(Ok(()))))
        .count();
    let overloaded = answers
        .iter()
        .filter(|answer| matches!(answer, Ok(Err(CallError::Overloaded(_)))))
        .count();
    assert_eq!((well, overloaded), (16, 84));
    assert_eq!(router.actors()[0].depth, 0);
}

#[actix_rt::test]
async fn a_call_without_an_answer_times_out_and_does_not_stop_the_actor() {
    let (router, bench) = node(4);
    let handle = router.any::<Trial>();
    let answer = handle.call(&context(), Wait, Duration::from_millis(20)).await;
    assert!(matches!(answer, Err(CallError::Timeout(_))));
    assert_eq!(bench.endpoint.depth(), 1);
    bench.gate.add_permits(1);
    until("the handler ends all the same", || bench.endpoint.depth() == 0).await;
}

#[actix_rt::test]
async fn a_call_whose_time_is_over_is_dropped_unhandled_and_counted() {
    let (router, bench) = node(4);
    let answer = router.any::<Trial>().call(&context(), Wait, Duration::ZERO).await;
    assert!(matches!(answer, Err(CallError::Timeout(_))));
    until("it is dropped", || bench.endpoint.depth() == 0).await;
    assert_eq!(bench.shared.waiting.load(SeqCst), 0);
    let report = &router.actors()[0];
    assert_eq!(
        report
            .messages
            .iter()
            .find(|m| m.message == "wait")
            .unwrap()
            .expired,
        1
    );
    assert_eq!(router.undelivered().last().unwrap().reason, "expired");
}

#[actix_rt::test]
async fn casts_are_handled_in_the_order_they_were_sent() {
    let (router, bench) = node(1000);
    let handle = router.any::<Trial>();
    for n in 0..500 {
        handle.cast(&context(), Note(n)).await.unwrap();
    }
    until("all are noted", || bench.shared.notes.lock().len() == 500).await;
    assert!(bench.shared.notes.lock().is_sorted());
}

#[actix_rt::test]
async fn an_actor_that_panics_is_built_anew_behind_the_same_handle() {
    let (router, bench) = node(8);
    let handle = router.any::<Trial>();
    let bystander = {
        let handle = handle.clone();
        actix_rt::spawn(async move { handle.call(&context(), Wait, LONG).await })
    };
    until("the bystander is in work", || {
        bench.shared.waiting.load(SeqCst) == 1
    })
    .await;
    let answer = handle.call(&context(), Panic, LONG).await;
    assert_eq!(answer, Err(CallError::Lost(handle.address().clone())));
    // What was in work with it is lost too, what comes while it is rebuilt waits.
    assert_eq!(handle.call(&context(), Add(1, 1), LONG).await, Ok(2));
    assert_eq!(
        bystander.await.unwrap(),
        Err(CallError::Lost(handle.address().clone()))
    );
    assert_eq!(bench.shared.built.load(SeqCst), 2);
    until("the first one's task has ended", || {
        bench.shared.tasks_ended.load(SeqCst) == 1
    })
    .await;
    let report = &router.actors()[0];
    assert_eq!(
        (report.restarts, report.incarnation, report.state),
        (1, 2, State::Running)
    );
    assert!(
        report
            .last_failure
            .as_ref()
            .unwrap()
            .text
            .contains("requested panic")
    );
    assert!(router.healthy());
    assert_eq!(bench.endpoint.depth(), 0);
}

#[actix_rt::test]
async fn an_actor_that_panics_too_often_is_given_up_and_the_node_is_unhealthy() {
    let (router, bench) = node(8);
    let handle = router.any::<Trial>();
    for _ in 0..6 {
        assert!(matches!(
            handle.call(&context(), Panic, LONG).await,
            Err(CallError::Lost(_))
        ));
    }
    until("it is given up", || bench.endpoint.state() == State::Failed).await;
    assert!(!router.healthy());
    let answer = handle.call(&context(), Add(1, 1), LONG).await;
    assert!(matches!(answer, Err(CallError::Unreachable(_))));
    assert_eq!(bench.shared.built.load(SeqCst), 6);
}

#[actix_rt::test]
async fn a_factory_that_panics_is_tried_again() {
    let (router, bench) = node(8);
    let handle = router.any::<Trial>();
    bench.shared.factory_panics.store(true, SeqCst);
    assert!(handle.call(&context(), Panic, LONG).await.is_err());
    let waiting = {
        let handle = handle.clone();
        actix_rt::spawn(async move { handle.call(&context(), Add(1, 1), LONG).await })
    };
    until("the factory was tried", || bench.shared.built.load(SeqCst) >= 3).await;
    bench.shared.factory_panics.store(false, SeqCst);
    assert_eq!(waiting.await.unwrap(), Ok(2));
}

#[actix_rt::test]
async fn a_fanout_reaches_every_actor_of_the_topic() {
    let router = Router::new("here");
    let benches = [trier(Some("a"), 4), trier(Some("b"), 4)];
    for bench in &benches {
        router.register(bench.endpoint.clone());
    }
    assert_eq!(router.any::<Trial>().fanout(&context(), Note(7)).await, 2);
    for bench in &benches {
        until("it is noted", || *bench.shared.notes.lock() == [7]).await;
    }
}

#[actix_rt::test]
async fn an_actor_on_another_arbiter_is_reached_from_plain_threads() {
    let arbiter = actix_rt::Arbiter::new();
    let router = Router::new("here");
    let endpoint = pumice::transport::EndpointBuilder::new(None, 64, || std::rc::Rc::new(Far))
        .serves::<Add>()
        .start_on(&arbiter.handle());
    router.register(endpoint);
    let there = {
        let router = router.clone();
        tokio::task::spawn_blocking(move || {
            actix_rt::Runtime::new()
                .unwrap()
                .block_on(async move { router.any::<Trial>().call(&context(), Add(1, 2), LONG).await })
        })
    };
    assert_eq!(there.await.unwrap(), Ok(3));
    arbiter.stop();
    until("its end is noticed", || {
        router.actors()[0].state == State::Stopped
    })
    .await;
    let answer = router.any::<Trial>().call(&context(), Add(1, 2), LONG).await;
    assert!(matches!(answer, Err(CallError::Unreachable(_))));
}

struct Far;

impl pumice::transport::Actor for Far {
    type Topic = Trial;
}

impl pumice::transport::Serve<Add> for Far {
    async fn serve(
        self: std::rc::Rc<Self>,
        _: pumice::model::Context,
        message: Add,
    ) -> Result<u32, pumice::model::Error> {
        Ok(message.0 + message.1)
    }
}

#[actix_rt::test]
async fn a_shutdown_lets_work_end_and_then_ends_the_actors_and_their_tasks() {
    let (router, bench) = node(8);
    let handle = router.any::<Trial>();
    let waiting = {
        let handle = handle.clone();
        actix_rt::spawn(async move { handle.call(&context(), Wait, LONG).await })
    };
    until("it is in work", || bench.shared.waiting.load(SeqCst) == 1).await;
    let shutdown = {
        let router = router.clone();
        actix_rt::spawn(async move { router.shutdown(LONG).await })
    };
    bench.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), Ok(()));
    assert!(shutdown.await.unwrap());
    assert_eq!(bench.shared.tasks_ended.load(SeqCst), 1);
    assert!(matches!(
        handle.cast(&context(), Note(1)).await,
        Err(CallError::Unreachable(_))
    ));
}

#[actix_rt::test]
async fn a_shutdown_that_runs_out_of_time_loses_what_is_in_work() {
    let (router, bench) = node(8);
    let handle = router.any::<Trial>();
    let waiting = actix_rt::spawn(async move { handle.call(&context(), Wait, LONG).await });
    until("it is in work", || bench.shared.waiting.load(SeqCst) == 1).await;
    assert!(!router.shutdown(Duration::from_millis(20)).await);
    assert!(matches!(waiting.await.unwrap(), Err(CallError::Lost(_))));
}

/// Its task panics in its first life.
struct Restless(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl pumice::transport::Actor for Restless {
    type Topic = Trial;

    fn started(self: std::rc::Rc<Self>, started: &pumice::transport::Started) {
        let life = self.0.fetch_add(1, SeqCst) + 1;
        started.spawn(async move {
            tokio::task::yield_now().await;
            assert!(life > 1, "the first life is short");
        });
        assert!(life != 2, "the second does not even start");
    }
}

impl pumice::transport::Serve<Add> for Restless {
    async fn serve(
        self: std::rc::Rc<Self>,
        _: pumice::model::Context,
        message: Add,
    ) -> Result<u32, pumice::model::Error> {
        Ok(message.0 + message.1)
    }
}

#[actix_rt::test]
async fn an_actor_whose_task_or_start_panics_is_built_anew() {
    let lives = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let router = Router::new("here");
    let counted = lives.clone();
    let endpoint =
        pumice::transport::EndpointBuilder::new(None, 8, move || std::rc::Rc::new(Restless(counted.clone())));
    router.register(endpoint.serves::<Add>().start());
    until("its third life", || lives.load(SeqCst) == 3).await;
    assert_eq!(
        router.any::<Trial>().call(&context(), Add(1, 1), LONG).await,
        Ok(2)
    );
    let report = &router.actors()[0];
    assert_eq!((report.restarts, report.state), (2, State::Running));
    assert!(
        report
            .last_failure
            .as_ref()
            .unwrap()
            .text
            .contains("does not even start")
    );
}
