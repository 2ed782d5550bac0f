//! A node that is cut off from all control nodes finishes what it has begun, and begins nothing.

use super::*;
use crate::backend::answered::DedupDecision;

#[actix::test]
async fn a_command_that_waits_for_a_worker_is_not_begun_without_a_control_node_and_is_when_it_comes_again() {
    let driver = FakeDriver::default();
    let options = Options {
        max_workers: 1,
        ..Options::default()
    };
    let state = backend_state(&driver, &Arc::default(), options);
    let router = Router::new("h");
    let (stub, _) = stub_api(Vec::new(), Vec::new());
    let api = stub.start();
    router.register(api.clone());
    router.register(endpoint(state.clone(), router.clone(), 256).start());
    let manager = router.server::<VolumeTopic>(&backend().to_string());
    let context = Context::internal("test");
    until("the backend is up", || *state.readiness.borrow() == Readiness::Up).await;
    let command = |command, volume: &VolumeSpec, remaining_ms| CreateVolumeCommand {
        command,
        volume: volume.clone(),
        remaining_ms,
    };
    driver.script(Verb::CreateVolume, Fault::Hangs);
    let (begun, waiting, id) = (spec(1), spec(1), first());
    manager
        .cast(&context, command(first(), &begun, 1000))
        .await
        .unwrap();
    until("the first create is begun", || {
        driver.calls(Verb::CreateVolume) == 1
    })
    .await;
    manager
        .cast(&context, command(id, &waiting, LONG_MS))
        .await
        .unwrap();
    api.shutdown(Duration::from_secs(5)).await;
    assert!(!router.reaches(&crate::transport::Address::any("api")));
    state.lease.expire();
    until("the second is given up", || {
        state.answered().admit(id) == DedupDecision::Run
    })
    .await;
    state.answered().forget(id);
    assert_eq!(driver.calls(Verb::CreateVolume), 1);
    assert!(!driver.exists(waiting.id));
    // A control node is back, and its operation is still open.
    let (stub, mut reports) = stub_api(Vec::new(), Vec::new());
    router.register(stub.start());
    until("the lease is renewed", || state.lease.is_held()).await;
    manager
        .cast(&context, command(id, &waiting, LONG_MS))
        .await
        .unwrap();
    loop {
        let report = reports.recv().await.unwrap();
        if report.command == id {
            assert!(
                matches!(report.outcome, Outcome::Created { .. }),
                "{:?}",
                report.outcome
            );
            break;
        }
    }
    assert!(driver.exists(waiting.id));
}
