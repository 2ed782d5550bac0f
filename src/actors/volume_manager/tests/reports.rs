//! What the schedulers are told, and how often the storage is looked at for it.

use super::super::VolumeManager;
use super::super::reports::Reports;
use super::*;
use crate::messages::scheduler::{SchedulerTopic, UpdateServiceCapabilities};
use crate::model::service::BackendStats;

/// A scheduler that only listens.
struct Listener(tokio::sync::mpsc::UnboundedSender<BackendStats>);

impl Actor for Listener {
    type Topic = SchedulerTopic;
}

impl Serve<UpdateServiceCapabilities> for Listener {
    async fn serve(self: Rc<Self>, _context: Context, told: UpdateServiceCapabilities) -> Result<(), Error> {
        let _ = self.0.send(told.stats);
        Ok(())
    }
}

#[actix::test]
async fn the_storage_is_looked_at_when_something_went_and_not_for_every_report() {
    let options = Options {
        report_interval: Duration::from_millis(1),
        stats_polling_interval: Duration::from_secs(3600),
        ..Options::default()
    };
    let mut world = world_with(FakeDriver::default(), options, Vec::new());
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    world.router.register(
        EndpointBuilder::new(None, 16, move || Rc::new(Listener(sender.clone())))
            .serves::<UpdateServiceCapabilities>()
            .start(),
    );
    let before = told.recv().await.unwrap();
    assert!(before.up);
    assert_eq!(told.recv().await.unwrap().timestamp, before.timestamp);
    let volume = spec(4);
    world.create(first(), &volume).await;
    next(&mut world).await;
    for _ in 0..2 {
        let again = told.recv().await.unwrap();
        // The schedulers count what they promised; what is told again says nothing of it.
        assert_eq!(again.timestamp, before.timestamp);
    }
    assert_eq!(world.driver.calls(Verb::Stats), 1);
    world.delete(first(), &volume).await;
    next(&mut world).await;
    let after = loop {
        let report = told.recv().await.unwrap();
        if report.timestamp != before.timestamp {
            break report;
        }
    };
    assert_eq!(after.pools[0].total_volumes, 0);
    assert_eq!(world.driver.calls(Verb::Stats), 2);
}

#[actix::test]
async fn what_was_made_during_a_look_is_looked_for_again() {
    let options = Options {
        report_interval: Duration::from_secs(3600),
        ..Options::default()
    };
    let mut world = world_with(FakeDriver::default(), options, Vec::new());
    let manager = VolumeManager::new(world.parts.clone(), world.router.clone(), Rc::new(Unobserved));
    let mut reports = Reports::default();
    reports.look_and_tell(&manager, &world.context).await;
    world.create(first(), &spec(4)).await;
    next(&mut world).await;
    reports.tell_if_due(&manager, &world.context).await;
    assert!(world.parts.take_wanted_look());
}

#[actix::test]
async fn a_driver_that_fails_to_tell_is_asked_at_the_next_report() {
    let options = Options {
        report_interval: Duration::from_millis(1),
        stats_polling_interval: Duration::from_secs(3600),
        ..Options::default()
    };
    let driver = FakeDriver::default();
    driver.fail_next(Verb::Stats, 1, || DriverError::TimedOut);
    let world = world_with(driver, options, Vec::new());
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    world.router.register(
        EndpointBuilder::new(None, 16, move || Rc::new(Listener(sender.clone())))
            .serves::<UpdateServiceCapabilities>()
            .start(),
    );
    while !told.recv().await.unwrap().up {}
    assert_eq!(world.driver.calls(Verb::Stats), 2);
}
