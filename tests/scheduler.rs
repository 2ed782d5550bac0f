//! The scheduler as its neighbours see it: a real catalog and router, a backend and an Api actor that write down what
//! they receive.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod scheduler_support;

use std::rc::Rc;
use std::time::Duration;

use pumice::actors::scheduler::schedule_volume::{Scheduling, SchedulingError, flow};
use pumice::flow::inject::{At, FailAt, Twice};
use pumice::flow::{Observer, Unobserved};
use pumice::messages::api::{FailureKind, Outcome};
use pumice::messages::scheduler::{GetPools, RequestSpec, UpdateServiceCapabilities, ValidateExtend};
use pumice::messages::volume::CommandId;
use pumice::model::service::Capacity;
use pumice::model::{BackendName, Context, ErrorKind, VolumeStatus};
use pumice::transport::CallError;
use scheduler_support::{World, eventually, impatient, stats};

async fn run(world: &World, observer: Rc<dyn Observer<SchedulingError>>) -> Result<(), SchedulingError> {
    let mut state = Scheduling::new(
        world.parts.clone(),
        Context::internal("test"),
        world.command().await,
    );
    flow().run(&mut state, 1, observer).await.result
}

fn free(world: &World) -> f64 {
    match world.parts.pool_views()[0].backend.pools[0].free_capacity_gb {
        Capacity::Gib(free) => free,
        other => panic!("{other:?}"),
    }
}

async fn assert_placed_once(world: &World) {
    let (operation, volume) = world.records().await;
    let pool = "h@lvm#p".parse().ok();
    assert_eq!(volume.host, pool);
    assert_eq!(operation.pool, pool);
    assert!(volume.placed && volume.scheduled_at.is_some());
    assert_eq!(operation.steps.len(), 1);
    assert_eq!(free(world), 90.0, "room for one volume is taken");
}

#[actix::test]
async fn a_volume_is_placed_and_its_backend_told() {
    let world = World::with_backends(&["h@lvm"]).await;
    run(&world, Rc::new(Unobserved)).await.unwrap();
    assert_placed_once(&world).await;
    let commands = eventually(|| world.commands("h@lvm").pop()).await;
    assert_eq!(
        commands.command,
        CommandId {
            operation: world.operation,
            attempt: 1
        }
    );
    assert_eq!(commands.volume.pool.to_string(), "h@lvm#p");
    assert!(commands.remaining_ms > 0);
    let queue = &world.catalog.outbox().unwrap().queues()[0];
    let notified = world.catalog.pending_notifications(queue, None, 9).await.unwrap();
    let notified: Vec<_> = notified.into_iter().filter_map(|row| row.notification).collect();
    assert_eq!(notified[0].event_type, "volume.create.start");
    assert_eq!(notified[0].publisher_id, "volume.h@lvm#p");
    assert_eq!(notified.len(), 1);
}

#[actix::test]
async fn a_flow_that_fails_at_any_step_leaves_the_catalog_and_the_pools_as_they_were() {
    for step in flow().step_names() {
        for at in [At::Before(step), At::After(step)] {
            let world = World::with_backends(&["h@lvm"]).await;
            let before = world.records().await;
            let fail = FailAt::new(at, |step| SchedulingError::Store(step.to_owned()));
            run(&world, Rc::new(fail)).await.unwrap_err();
            assert_eq!(world.records().await, before, "{at:?}");
            assert_eq!(free(&world), 100.0, "{at:?}");
        }
    }
}

#[actix::test]
async fn every_step_run_twice_ends_as_run_once() {
    let world = World::with_backends(&["h@lvm"]).await;
    run(&world, Rc::new(Twice)).await.unwrap();
    assert_placed_once(&world).await;
    let all = eventually(|| Some(world.commands("h@lvm")).filter(|commands| commands.len() == 2)).await;
    assert_eq!(all[0].command, all[1].command, "the manager sees that it is one");
}

#[actix::test]
async fn the_same_command_again_goes_to_the_same_pool_whatever_the_pools_look_like_now() {
    let world = World::with_backends(&["h@lvm"]).await;
    run(&world, Rc::new(Unobserved)).await.unwrap();
    world.report(stats("z@big", 9_999.0)).await;
    run(&world, Rc::new(Unobserved)).await.unwrap();
    assert_placed_once(&world).await;
    eventually(|| Some(()).filter(|()| world.commands("h@lvm").len() == 2)).await;
    assert!(world.commands("z@big").is_empty());
}

#[actix::test]
async fn an_operation_that_ended_or_went_on_is_left_alone() {
    let world = World::with_backends(&["h@lvm"]).await;
    let mut late = world.command().await;
    late.attempt = 7;
    world.schedule(late).await;
    let ended = world.command().await;
    world.end_operation().await;
    world.schedule(ended).await;
    world.scheduler_is_idle().await;
    assert!(world.commands("h@lvm").is_empty() && world.reports().is_empty());
}

#[actix::test]
async fn no_pool_is_reported_with_the_reason_for_the_operator_and_cinders_words_for_the_client() {
    let world = World::new(impatient()).await;
    world.report(stats("h@lvm", 5.0)).await;
    world.schedule(world.command().await).await;
    let report = eventually(|| world.reports().pop()).await;
    assert_eq!(report.from, None);
    let Outcome::Failed(failure) = report.outcome else {
        panic!("{report:?}")
    };
    assert_eq!(failure.kind, FailureKind::NoValidBackend);
    assert_eq!(
        failure.client,
        "No valid backend was found. No weighed backends available"
    );
    assert!(
        failure
            .operator
            .contains("10 GiB are requested, 5.00 GiB are free (CapacityFilter)"),
        "{failure:?}"
    );
    let decision = world
        .parts
        .decisions()
        .of(world.volume)
        .expect("it is remembered");
    assert_eq!(decision.pools[0].dropped_by, Some("CapacityFilter"));
    let (operation, volume) = world.records().await;
    assert_eq!((operation.pool, volume.host), (None, None));
}

#[actix::test]
async fn a_request_before_the_first_report_waits_for_it() {
    let world = World::new(Default::default()).await;
    world.schedule(world.command().await).await;
    world.schedule(world.command().await).await;
    world.scheduler_is_idle().await;
    assert!(world.reports().is_empty());
    world.listen("h@lvm");
    world.report(stats("h@lvm", 100.0)).await;
    eventually(|| world.commands("h@lvm").pop()).await;
    assert_placed_once(&world).await;
    assert_eq!(
        world.commands("h@lvm").len(),
        1,
        "a command that waits already is not begun again"
    );
}

#[actix::test]
async fn a_request_waits_for_a_backend_that_is_known_from_before_a_restart() {
    let world = World::new(pumice::actors::scheduler::Options {
        settle: Duration::ZERO,
        ..Default::default()
    })
    .await;
    world.heartbeat("slow@lvm").await;
    world.report(stats("h@lvm", 5.0)).await;
    world.schedule(world.command().await).await;
    world.scheduler_is_idle().await;
    assert!(world.reports().is_empty(), "the slow one may have room");
    world.listen("slow@lvm");
    world.report(stats("slow@lvm", 100.0)).await;
    eventually(|| world.commands("slow@lvm").pop()).await;
}

#[actix::test]
async fn a_disabled_backend_is_not_chosen() {
    let world = World::new(impatient()).await;
    for (backend, size) in [("a@lvm", 500.0), ("b@lvm", 100.0)] {
        world.listen(backend);
        world.heartbeat(backend).await;
        world.report(stats(backend, size)).await;
    }
    world.disable("a@lvm").await;
    world.schedule(world.command().await).await;
    eventually(|| world.commands("b@lvm").pop()).await;
    let pools = world
        .scheduler()
        .call(&Context::internal("test"), GetPools {}, Duration::from_secs(5))
        .await
        .unwrap();
    let usable: Vec<_> = pools
        .iter()
        .map(|pool| (pool.name.to_string(), pool.usable))
        .collect();
    assert_eq!(
        usable,
        [("a@lvm#p".to_owned(), false), ("b@lvm#p".to_owned(), true)]
    );
}

#[actix::test]
async fn a_host_that_cannot_be_reached_loses_the_volume_to_another() {
    let world = World::new(impatient()).await;
    world.listen("b@lvm");
    world.report(stats("a@lvm", 500.0)).await;
    world.report(stats("b@lvm", 100.0)).await;
    world.schedule(world.command().await).await;
    eventually(|| world.commands("b@lvm").pop()).await;
    let (operation, volume) = world.records().await;
    assert_eq!(volume.host, "b@lvm#p".parse().ok());
    assert!(
        operation.tried.is_empty() && operation.attempt == 1,
        "it was never tried"
    );
    assert_eq!(free(&world), 500.0, "and its room is given back");
}

#[actix::test]
async fn a_host_that_may_have_been_told_keeps_the_volume_though_it_cannot_be_reached() {
    let world = World::new(impatient()).await;
    world.listen("b@lvm");
    world.report(stats("b@lvm", 100.0)).await;
    world.place_on("gone@lvm#p").await;
    let before = world.records().await;
    world.schedule(world.command().await).await;
    world.scheduler_is_idle().await;
    assert_eq!(world.records().await, before);
    assert!(
        world.commands("b@lvm").is_empty() && world.reports().is_empty(),
        "no other backend may create it, too"
    );
}

#[actix::test]
async fn the_next_attempt_goes_elsewhere_and_gives_back_the_room_of_the_first() {
    let world = World::with_backends(&["a@lvm", "b@lvm"]).await;
    world.schedule(world.command().await).await;
    eventually(|| world.commands("a@lvm").pop()).await;
    assert_eq!(free(&world), 90.0);
    let mut again = world.command().await;
    again.attempt = 2;
    again.request.tried = vec!["a@lvm#p".parse().unwrap()];
    world.begin_attempt(2).await;
    world.schedule(again).await;
    let commands = eventually(|| world.commands("b@lvm").pop()).await;
    assert_eq!(commands.command.attempt, 2);
    assert_eq!(free(&world), 100.0);
}

#[actix::test]
async fn a_volume_waits_for_the_only_host_until_it_can_be_reached_again() {
    let world = World::new(pumice::actors::scheduler::Options {
        unreachable_patience: Duration::from_secs(60),
        ..impatient()
    })
    .await;
    world.report(stats("h@lvm", 100.0)).await;
    let before = world.records().await;
    world.schedule(world.command().await).await;
    world.scheduler_is_idle().await;
    assert!(world.reports().is_empty());
    assert_eq!(world.records().await, before);
    world.listen("h@lvm");
    world.report(stats("h@lvm", 100.0)).await;
    eventually(|| world.commands("h@lvm").pop()).await;
    assert_placed_once(&world).await;
}

#[actix::test]
async fn a_host_that_stays_out_of_reach_counts_as_failed() {
    let world = World::new(impatient()).await;
    world.report(stats("h@lvm", 100.0)).await;
    world.schedule(world.command().await).await;
    let report = eventually(|| world.reports().pop()).await;
    let Outcome::Failed(failure) = report.outcome else {
        panic!("{report:?}")
    };
    assert!(failure.operator.contains("could not be reached"), "{failure:?}");
}

#[actix::test]
async fn a_busy_backend_keeps_its_volume() {
    let world = World::new(impatient()).await;
    world.listen_but_be_busy("h@lvm").await;
    world.report(stats("h@lvm", 100.0)).await;
    world.schedule(world.command().await).await;
    world.scheduler_is_idle().await;
    assert_placed_once(&world).await;
    assert!(world.reports().is_empty(), "slow is not dead");
}

#[actix::test]
async fn room_stays_taken_until_the_operation_ends_and_the_report_contains_it() {
    let world = World::with_backends(&["h@lvm"]).await;
    world.schedule(world.command().await).await;
    eventually(|| world.commands("h@lvm").pop()).await;
    world.report(stats("h@lvm", 100.0)).await;
    assert_eq!(free(&world), 90.0, "the backend does not have it yet");
    world.end_operation().await;
    world.report(stats("h@lvm", 90.0)).await;
    assert_eq!(free(&world), 90.0, "it is in the report now");
}

#[actix::test]
async fn room_that_was_promised_before_a_restart_is_still_taken_after_it() {
    let world = World::with_backends(&["h@lvm"]).await;
    world.schedule(world.command().await).await;
    eventually(|| world.commands("h@lvm").pop()).await;
    let later = world.restarted(impatient()).await;
    later.report(stats("h@lvm", 100.0)).await;
    eventually(|| (free(&later) == 90.0).then_some(())).await;
}

#[actix::test]
async fn a_volume_grows_only_where_there_is_room() {
    let world = World::new(impatient()).await;
    world.report(stats("h@lvm", 30.0)).await;
    let extend = |growth| {
        let validate = ValidateExtend {
            pool: BackendName::new("h", "lvm").pool("p"),
            request: RequestSpec {
                size: growth,
                ..world.request()
            },
            attached: false,
        };
        let scheduler = world.scheduler();
        async move {
            scheduler
                .call(&Context::internal("test"), validate, Duration::from_secs(5))
                .await
        }
    };
    extend(20).await.unwrap();
    extend(20)
        .await
        .expect("the same volume again takes nothing more");
    assert_eq!(free(&world), 10.0);
    let CallError::Refused(error) = extend(31).await.unwrap_err() else {
        panic!("not refused")
    };
    assert_eq!(error.kind, ErrorKind::Backend);
    assert_eq!(
        error.client,
        "No valid backend was found. No weighed backends available"
    );
    assert_eq!(free(&world), 30.0, "what it held before is given back");
}

#[actix::test]
async fn an_older_report_changes_nothing() {
    let world = World::new(impatient()).await;
    let (newer, mut older) = (stats("h@lvm", 100.0), stats("h@lvm", 1.0));
    older.timestamp.0 = newer.timestamp.0 - 1;
    world.report(newer).await;
    let scheduler = world.scheduler();
    scheduler
        .cast(
            &Context::internal("test"),
            UpdateServiceCapabilities { stats: older },
        )
        .await
        .unwrap();
    world.scheduler_is_idle().await;
    assert_eq!(free(&world), 100.0);
}

#[actix::test]
async fn the_volume_stays_creating_until_somebody_reports() {
    let world = World::with_backends(&["h@lvm"]).await;
    world.schedule(world.command().await).await;
    eventually(|| world.commands("h@lvm").pop()).await;
    assert_eq!(world.records().await.1.status, VolumeStatus::Creating);
}

/// Changes the record of a service as another control node does: this one's registry has not read it yet.
async fn change_elsewhere(world: &World, backend: &str, disabled: bool) {
    let was = world
        .catalog
        .service("cinder-volume", backend)
        .await
        .unwrap()
        .unwrap();
    let mut now = was.record.clone();
    now.disabled = disabled;
    let mut changes = world.catalog.change();
    changes.update_service(Some(&was), &now);
    changes.commit().await.unwrap();
}

#[actix::test]
async fn no_volume_is_placed_on_a_service_that_another_control_node_has_disabled() {
    let world = World::with_backends(&["h@lvm", "spare@lvm"]).await;
    world.heartbeat("h@lvm").await;
    world.heartbeat("spare@lvm").await;
    // The first would be chosen, since it is first by name.
    change_elsewhere(&world, "h@lvm", true).await;
    let error = run(&world, Rc::new(Unobserved)).await.unwrap_err();
    assert!(
        matches!(&error, SchedulingError::Excluded { pool, .. } if pool.backend.host == "h"),
        "{error}"
    );
    assert!(world.records().await.1.host.is_none());
    // The actor goes on with another pool.
    world
        .scheduler()
        .cast(&Context::internal("test"), world.command().await)
        .await
        .unwrap();
    eventually(|| world.commands("spare@lvm").pop()).await;
    assert!(world.commands("h@lvm").is_empty());
}

#[actix::test]
async fn no_volume_is_placed_on_a_service_that_another_control_node_has_removed() {
    let world = World::with_backends(&["h@lvm"]).await;
    world.heartbeat("h@lvm").await;
    let was = world
        .catalog
        .service("cinder-volume", "h@lvm")
        .await
        .unwrap()
        .unwrap();
    let mut changes = world.catalog.change();
    changes.delete_service(&was);
    changes.commit().await.unwrap();
    let error = run(&world, Rc::new(Unobserved)).await.unwrap_err();
    assert!(
        matches!(&error, SchedulingError::Excluded { why, .. } if why.contains("removed")),
        "{error}"
    );
}
