//! Order and bounds of admission, tested through its public functions.

use std::pin::pin;
use std::task::Poll;

use futures_util::poll;

use super::*;

fn admission(at_once: usize, per_project: usize, waiting: usize) -> Arc<AdmissionQueue> {
    patient_for(Duration::from_secs(5), at_once, per_project, waiting)
}

fn patient_for(
    patience: Duration,
    at_once: usize,
    per_project: usize,
    waiting: usize,
) -> Arc<AdmissionQueue> {
    let options = AdmissionOptions {
        at_once,
        per_project,
        waiting,
        patience,
    };
    Arc::new(AdmissionQueue::new("test", options))
}

fn a() -> ProjectId {
    "a".into()
}

fn b() -> ProjectId {
    "b".into()
}

fn is_idle(admission: &AdmissionQueue) -> bool {
    let state = admission.state();
    state.in_work == 0 && state.projects.is_empty()
}

#[actix::test]
async fn a_project_has_its_share_and_leaves_the_rest_to_others() {
    let admission = admission(3, 2, 1);
    let mine = [
        admission.take(a()).await.unwrap(),
        admission.take(a()).await.unwrap(),
    ];
    let mut third = pin!(admission.take(a()));
    assert!(poll!(third.as_mut()).is_pending());
    assert_eq!(admission.take(a()).await.unwrap_err(), Busy::Queue);
    let other = admission.take(b()).await.unwrap();
    let [first, second] = mine;
    drop(first);
    let third = third.await.unwrap();
    drop((second, third, other));
    assert!(is_idle(&admission));
}

#[actix::test]
async fn the_project_with_the_fewest_in_work_is_next_though_others_waited_longer() {
    let admission = admission(2, 2, 8);
    let first = admission.take(a()).await.unwrap();
    let second = admission.take(a()).await.unwrap();
    let mut patient = pin!(admission.take(a()));
    assert!(poll!(patient.as_mut()).is_pending());
    let mut late = pin!(admission.take(b()));
    assert!(poll!(late.as_mut()).is_pending());
    drop(first);
    assert!(poll!(patient.as_mut()).is_pending());
    let Poll::Ready(late) = poll!(late.as_mut()) else {
        panic!("the other project waits behind the flood")
    };
    drop(second);
    drop((patient.await.unwrap(), late));
    assert!(is_idle(&admission));
}

#[actix::test]
async fn two_that_flood_take_turns() {
    let admission = admission(1, 1, 8);
    let held = admission.take(a()).await.unwrap();
    let served = Arc::new(Mutex::new(Vec::new()));
    let wait = |project: ProjectId| {
        let (admission, served) = (admission.clone(), served.clone());
        async move {
            let permit = admission.take(project.clone()).await.unwrap();
            served.lock().push(project);
            tokio::task::yield_now().await;
            drop(permit);
        }
    };
    let waiting = [a(), a(), a(), b(), b(), b()].map(|project| actix_rt::spawn(wait(project)));
    while admission
        .state()
        .projects
        .values()
        .map(|of_project| of_project.waiting.len())
        .sum::<usize>()
        < 6
    {
        tokio::task::yield_now().await;
    }
    drop(held);
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(*served.lock(), [b(), a(), b(), a(), b(), a()]);
    assert!(is_idle(&admission));
}

#[actix::test]
async fn a_disconnected_client_leaves_the_queue_and_a_granted_permit_is_not_lost() {
    let admission = admission(1, 1, 2);
    let held = admission.take(a()).await.unwrap();
    let mut gone = Box::pin(admission.take(a()));
    let mut called = Box::pin(admission.take(a()));
    assert!(poll!(gone.as_mut()).is_pending() && poll!(called.as_mut()).is_pending());
    assert_eq!(admission.take(a()).await.unwrap_err(), Busy::Queue);
    drop(gone);
    drop(held);
    // The permit was granted, and the client disconnected before it received it.
    drop(called);
    assert!(is_idle(&admission));
    drop(admission.take(a()).await.unwrap());
}

#[actix::test]
async fn a_request_that_waits_too_long_is_refused() {
    let admission = patient_for(Duration::from_millis(1), 1, 1, 1);
    let held = admission.take(a()).await.unwrap();
    assert_eq!(admission.take(b()).await.unwrap_err(), Busy::Patience);
    drop(held);
    assert!(is_idle(&admission));
}

#[actix::test]
async fn a_stop_refuses_waiting_and_new_requests_and_lets_the_others_end() {
    let admission = admission(1, 1, 1);
    let held = admission.take(a()).await.unwrap();
    let mut waits = pin!(admission.take(a()));
    assert!(poll!(waits.as_mut()).is_pending());
    admission.close();
    assert_eq!(waits.await.unwrap_err(), Busy::Closed);
    assert_eq!(admission.take(b()).await.unwrap_err(), Busy::Closed);
    drop(held);
    assert!(is_idle(&admission));
}

#[test]
fn a_refusal_is_cinders_and_says_when_to_come_again() {
    for busy in [Busy::Queue, Busy::Patience, Busy::Closed] {
        let fault = busy.fault();
        assert_eq!(
            (fault.status.as_u16(), fault.retry_after, fault.name()),
            (503, Some(1), "serviceUnavailable")
        );
        assert!(
            fault.operator.is_none(),
            "it is logged once, not with every request"
        );
    }
}
