//! Reports to the schedulers, and how often the storage is examined for them.

use super::super::VolumeManager;
use super::super::reports::Reports;
use super::*;
use crate::messages::registry::Heartbeat;
use crate::messages::scheduler::UpdateServiceCapabilities;
use crate::model::service::BackendStats;

/// A stub actor that records the messages it gets.
struct Recorder<M>(UnboundedSender<M>);

impl<M: Message<Reply = ()>> Actor for Recorder<M> {
    type Topic = M::To;
}

impl<M: Message<Reply = ()>> Serve<M> for Recorder<M> {
    async fn serve(self: Rc<Self>, _context: Context, message: M) -> Result<(), Error> {
        let _ = self.0.send(message);
        Ok(())
    }
}

fn record<M: Message<Reply = ()>>(world: &World) -> UnboundedReceiver<M> {
    let (sender, messages) = unbounded_channel();
    let recorder = EndpointBuilder::new(None, 64, move || Rc::new(Recorder(sender.clone())));
    world.router.register(recorder.serves::<M>().start());
    messages
}

/// The reports to a scheduler.
struct StatsReports(UnboundedReceiver<UpdateServiceCapabilities>);

fn listen(world: &World) -> StatsReports {
    StatsReports(record(world))
}

impl StatsReports {
    async fn next(&mut self) -> BackendStats {
        self.0.recv().await.unwrap().stats
    }

    async fn next_that(&mut self, is_wanted: impl Fn(&BackendStats) -> bool) -> BackendStats {
        loop {
            let report = self.next().await;
            if is_wanted(&report) {
                return report;
            }
        }
    }
}

/// Frequent reports, without another examination of the pools.
fn often() -> Options {
    every(Duration::from_millis(20))
}

fn every(report_interval: Duration) -> Options {
    Options {
        report_interval,
        stats_polling_interval: Duration::from_secs(3600),
        ..Options::default()
    }
}

#[actix::test]
async fn heartbeats_go_on_while_no_export_can_be_restored() {
    let volumes: Vec<VolumeSpec> = (0..8).map(|_| spec(1)).collect();
    let has = volumes.iter().map(in_use);
    let target = Arc::new(FakeTarget::default());
    for _ in 0..8 {
        target.script(TargetVerb::EnsureExport, Fault::Hangs);
    }
    let options = Options {
        expect_storage: false,
        ..often()
    };
    let mut world = world_on(FakeDriver::default(), target.clone(), options, has.collect());
    let mut reports = listen(&world);
    let ensured = || target.calls(TargetVerb::EnsureExport);
    until("exports are being restored", || ensured() > 1).await;
    reports.next_that(|report| report.up).await;
    for _ in 0..5 {
        assert!(reports.next().await.up);
    }
    assert!(target.exports().is_empty());
    // Nor does a create wait: one worker is left to the commands.
    world.volume(1).await;
    assert!(ensured() < 8);
    world.state.workers.stop();
}

#[actix::test]
async fn heartbeats_go_on_with_the_last_stats_while_the_storage_does_not_answer() {
    let world = world_by(often());
    let mut reports = listen(&world);
    let before = reports.next_that(|report| report.up).await;
    world.driver.script(Verb::Stats, Fault::Hangs);
    world.state.request_stats_refresh();
    let driver = world.driver.clone();
    until("the pools are looked at", || driver.calls(Verb::Stats) == 2).await;
    while reports.0.try_recv().is_ok() {}
    for _ in 0..5 {
        let report = reports.next().await;
        assert!(report.up && report.timestamp == before.timestamp);
    }
    world.state.workers.stop();
}

#[actix::test]
async fn a_target_that_does_not_become_ready_keeps_nothing_but_connections_waiting() {
    let target = Arc::new(FakeTarget::default());
    target.script(TargetVerb::Setup, Fault::Hangs);
    let world = world_on(FakeDriver::default(), target, often(), Vec::new());
    let (mut reports, mut heartbeats) = (listen(&world), record::<Heartbeat>(&world));
    for _ in 0..3 {
        let heartbeat = heartbeats.recv().await.unwrap();
        assert_eq!(heartbeat.backend_up, Some(false));
    }
    // A create that waits for an unknown backend continues to wait for this one.
    assert!(reports.0.try_recv().is_err());
    world.state.workers.stop();
}

#[actix::test]
async fn a_backend_whose_workers_all_hang_takes_no_more_until_one_comes_back() {
    let options = Options {
        max_workers: 1,
        ..often()
    };
    let mut world = world_by(options);
    let mut reports = listen(&world);
    reports.next_that(|report| report.up).await;
    let (free, hangs) = std::sync::mpsc::channel::<()>();
    let hangs = parking_lot::Mutex::new(hangs);
    let state = world.state.clone();
    // It does not check for cancellation, like a system call on a dead NFS.
    let hung = tokio::task::spawn_local(async move {
        let verb = move |_: &crate::drivers::Work| {
            let _ = hangs.lock().recv();
            Ok(())
        };
        let locks = crate::backend::LockSet::volume(VolumeId::new());
        state.workers.run(locks, Duration::from_millis(1), verb).await
    });
    let state = world.state.clone();
    until("it hangs", || state.workers.hung().is_some()).await;
    hung.await.unwrap().unwrap_err();
    world.create(first(), &spec(1)).await;
    let Outcome::Failed(failure) = next(&mut world).await.outcome else {
        panic!("it was made")
    };
    assert!(
        failure.operator.contains("1 of 1 driver verbs hang"),
        "{failure:?}"
    );
    let report = reports.next_that(|report| !report.up).await;
    assert!(report.reason.unwrap().contains("1 of 1 driver verbs hang"));
    drop(free);
    reports.next_that(|report| report.up).await;
    world.volume(1).await;
}

#[actix::test]
async fn the_storage_is_looked_at_when_something_went_and_not_for_every_report() {
    let options = every(Duration::from_millis(1));
    let mut world = world_by(options);
    let mut reports = listen(&world);
    let before = reports.next_that(|report| report.up).await;
    assert_eq!(reports.next().await.timestamp, before.timestamp);
    let volume = world.volume(4).await;
    for _ in 0..2 {
        let again = reports.next().await;
        // The schedulers count what they promised; what is update again says nothing of it.
        assert_eq!(again.timestamp, before.timestamp);
    }
    assert_eq!(world.driver.calls(Verb::Stats), 1);
    world.delete(first(), &volume).await;
    next(&mut world).await;
    let after = reports
        .next_that(|report| report.timestamp != before.timestamp)
        .await;
    assert_eq!(after.pools[0].total_volumes, 0);
    assert_eq!(world.driver.calls(Verb::Stats), 2);
}

#[actix::test]
async fn what_was_made_during_a_look_is_looked_for_again() {
    let options = Options {
        report_interval: Duration::from_secs(3600),
        ..Options::default()
    };
    let mut world = world_by(options);
    let manager = VolumeManager::new(world.state.clone(), world.router.clone(), Rc::new(Unobserved));
    world.is_up().await;
    let (state, mut reports) = (world.state.clone(), Reports::default());
    let looked = reports.begin_look(&state).await;
    reports.looked(&state, looked);
    reports.send(&manager, &world.context).await;
    world.create(first(), &spec(4)).await;
    next(&mut world).await;
    state.take_stats_refresh_request();
    reports.compare_allocations(&state);
    assert!(state.take_stats_refresh_request());
}

#[actix::test]
async fn a_driver_that_fails_to_tell_is_asked_at_the_next_report() {
    let options = every(Duration::from_millis(1));
    let driver = FakeDriver::default();
    driver.fail_next(Verb::Stats, 1, || DriverError::TimedOut);
    let world = world_with(driver, options, Vec::new());
    let mut reports = listen(&world);
    reports.next_that(|report| report.up).await;
    assert_eq!(world.driver.calls(Verb::Stats), 2);
}

#[actix::test]
async fn the_times_of_reports_grow_though_the_clock_is_set_back() {
    use crate::model::Timestamp;
    let world = world();
    let state = &world.state;
    let far = Timestamp(i64::MAX / 2);
    let reports = [100, 50, 101, 99, 7].map(|micros| state.report_time(Timestamp(far.0 + micros)));
    assert!(reports.is_sorted_by(|one, next| one < next), "{reports:?}");
}
