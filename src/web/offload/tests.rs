//! Where a read runs, for how long, and which permit it takes, tested through its public functions.

use std::thread::{self, ThreadId};

use super::super::admission::AdmissionOptions;
use super::*;

fn offload(admission: &AdmissionQueues, held: HeldPermit, time: Duration) -> Offload {
    Offload {
        admission: admission.clone(),
        held,
        project: "p".into(),
        time,
    }
}

/// One at once, with a short wait.
fn one_at_once() -> AdmissionQueues {
    AdmissionQueues::new(&AdmissionOptions {
        at_once: 1,
        per_project: 1,
        waiting: 8,
        patience: Duration::from_millis(20),
    })
}

const LONG: Duration = Duration::from_secs(60);

#[actix_web::test]
async fn few_rows_are_read_here_and_more_or_unknown_many_on_another_thread() {
    let offload = offload(&one_at_once(), HeldPermit::default(), LONG);
    let here = thread::current().id();
    let mut on: Vec<ThreadId> = Vec::new();
    for rows in [Some(ROWS_HERE), Some(ROWS_HERE + 1), None] {
        let read = || async { Ok(thread::current().id()) };
        on.push(offload.run(rows, read).await.unwrap());
    }
    assert_eq!(on[0], here);
    assert!(on[1] != here && on[2] != here);
}

#[actix_web::test]
async fn a_long_read_has_no_turn_among_reads() {
    let admission = one_at_once();
    let mine = admission.take(Kind::Read, "p".into()).await.unwrap();
    let offload = offload(&admission, HeldPermit::new(Some(mine)), LONG);
    assert!(admission.take(Kind::Read, "p".into()).await.is_err());
    offload.run(None, || async { Ok(()) }).await.unwrap();
    assert!(admission.take(Kind::Read, "p".into()).await.is_ok());
}

#[actix_web::test]
async fn a_read_that_is_not_complete_in_time_is_given_up() {
    let offload = offload(&one_at_once(), HeldPermit::default(), Duration::from_millis(20));
    let forever = || async {
        loop {
            tokio::task::yield_now().await;
        }
        #[expect(unreachable_code, reason = "the type of what it would answer")]
        Ok(())
    };
    let fault = offload.run(None, forever).await.unwrap_err();
    assert_eq!((fault.status.as_u16(), fault.retry_after), (503, Some(1)));
    // Its permit is free again.
    offload.run(None, || async { Ok(()) }).await.unwrap();
}

#[actix_web::test]
async fn a_read_ends_when_its_client_has_gone() {
    let admission = one_at_once();
    let offload = offload(&admission, HeldPermit::default(), LONG);
    let (begun, beginning) = oneshot::channel();
    let forever = || async move {
        let _ = begun.send(());
        loop {
            tokio::task::yield_now().await;
        }
        #[expect(unreachable_code, reason = "the type of what it would answer")]
        Ok(())
    };
    tokio::select! {
        _ = offload.run(None, forever) => unreachable!("it does not end by itself"),
        _ = beginning => {}
    }
    // Its thread returns its permit.
    let began = Instant::now();
    while admission.take(Kind::Long, "p".into()).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
