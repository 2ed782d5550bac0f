//! Each flow, failing at each of its steps.

use super::*;
use crate::actors::volume_manager::task::Task;
use crate::actors::volume_manager::{
    create_snapshot, create_volume, delete_snapshot, manage_volume, revert_to_snapshot, unmanage_volume,
};

/// Runs the create flow over fresh parts; what is left on them afterwards is looked at by the test.
async fn run_create(
    observer: Rc<dyn Observer<DriverError>>,
) -> (FakeDriver, Arc<Parts>, Result<Outcome, DriverError>) {
    let driver = FakeDriver::default();
    let parts = parts(&driver, &Arc::new(FakeTarget::default()), Options::default());
    let making = create_volume::Making::new(parts.clone(), first(), spec(3), Duration::from_secs(20));
    let report = create_volume::run(making, observer).await.expect("not stopping");
    (driver, parts, report.result)
}

#[actix::test]
async fn the_create_flow_makes_the_volume() {
    for observer in [
        Rc::new(Unobserved) as Rc<dyn Observer<DriverError>>,
        Rc::new(Twice),
    ] {
        let (driver, parts, result) = run_create(observer).await;
        assert!(matches!(result, Ok(Outcome::Created { .. })), "{result:?}");
        assert_eq!(driver.volumes().len(), 1);
        assert!((parts.ledger().allocated("fake") - 3.0).abs() < f64::EPSILON);
    }
}

#[actix::test]
async fn the_create_flow_leaves_nothing_wherever_it_fails() {
    for step in create_volume::flow().step_names() {
        for at in [At::Before(step), At::After(step)] {
            let fail = FailAt::new(at, |step| DriverError::Failed {
                client: "injected".to_owned(),
                operator: step.to_owned(),
            });
            let (driver, parts, result) = run_create(Rc::new(fail)).await;
            assert!(result.is_err(), "{at:?}");
            assert!(driver.volumes().is_empty(), "{at:?} left a volume");
            assert!(
                parts.ledger().allocated("fake") == 0.0,
                "{at:?} left an allocation"
            );
        }
    }
}

/// What the fake backend holds before each run of a flow: a volume of 3 GiB, a snapshot of it, and a stranger.
struct Shelf {
    driver: FakeDriver,
    parts: Arc<Parts>,
    volume: VolumeSpec,
    snapshot: SnapshotId,
}

fn shelf() -> Shelf {
    let driver = FakeDriver::default();
    let work = crate::drivers::Work::within(Duration::from_secs(20));
    let (volume, snapshot) = (spec(3), SnapshotId::new());
    driver.create_volume(&work, &volume).unwrap();
    driver.create_snapshot(&work, &volume, snapshot).unwrap();
    driver.extend_volume(&work, &volume, 5).unwrap();
    driver.put_stranger("lv1", 7);
    let parts = parts(&driver, &Arc::new(FakeTarget::default()), Options::default());
    Shelf {
        driver,
        parts,
        volume,
        snapshot,
    }
}

impl Shelf {
    fn task<A>(&self, volume: &VolumeSpec, about: A) -> Task<A> {
        Task::new(
            self.parts.clone(),
            first(),
            volume.clone(),
            about,
            Duration::from_secs(20),
        )
    }

    /// Runs one of the flows; the volume that it was about.
    async fn run(
        &self,
        flow: &str,
        observer: Rc<dyn Observer<DriverError>>,
    ) -> (VolumeSpec, Result<Outcome, DriverError>) {
        let new = spec(0);
        let (volume, report) = match flow {
            "create_snapshot" => {
                let task = self.task(&self.volume, SnapshotId::new());
                let made = Outcome::SnapshotCreated { provider_id: None };
                (
                    self.volume.clone(),
                    task.run(create_snapshot::flow(), observer, |_| made).await,
                )
            }
            "delete_snapshot" => {
                let task = self.task(&self.volume, self.snapshot);
                let flow = delete_snapshot::flow();
                (
                    self.volume.clone(),
                    task.run(flow, observer, |_| Outcome::SnapshotDeleted).await,
                )
            }
            "revert_to_snapshot" => {
                let task = self.task(&self.volume, (self.snapshot, 3));
                let flow = revert_to_snapshot::flow();
                (
                    self.volume.clone(),
                    task.run(flow, observer, |_| Outcome::Reverted).await,
                )
            }
            "manage_volume" => {
                let task = self.task(&new, Reference::named("lv1"));
                let managed = |task: Task<Reference>| Outcome::Managed {
                    size: task.managed.size,
                    provider_id: None,
                };
                (
                    new.clone(),
                    task.run(manage_volume::flow(), observer, managed).await,
                )
            }
            other => {
                assert_eq!(other, "unmanage_volume");
                let task = self.task(&self.volume, ());
                let flow = unmanage_volume::flow();
                (
                    self.volume.clone(),
                    task.run(flow, observer, |_| Outcome::Unmanaged).await,
                )
            }
        };
        (volume, report.expect("not stopping").result)
    }

    /// Whether what the flow is for is so.
    fn is_done(&self, flow: &str, volume: &VolumeSpec) -> bool {
        match flow {
            "create_snapshot" => self.driver.snapshots().len() == 2,
            "delete_snapshot" => self.driver.snapshots().is_empty(),
            "revert_to_snapshot" => self.driver.size(volume.id) == Some(3),
            "manage_volume" => self.driver.size(volume.id) == Some(7),
            _ => self.parts.ledger().allocated("fake") == 0.0 && self.driver.exists(volume.id),
        }
    }
}

const FLOWS: [&str; 5] = [
    "create_snapshot",
    "delete_snapshot",
    "revert_to_snapshot",
    "manage_volume",
    "unmanage_volume",
];

fn steps_of(flow: &str) -> Vec<&'static str> {
    match flow {
        "create_snapshot" => create_snapshot::flow().step_names(),
        "delete_snapshot" => delete_snapshot::flow().step_names(),
        "revert_to_snapshot" => revert_to_snapshot::flow().step_names(),
        "manage_volume" => manage_volume::flow().step_names(),
        _ => unmanage_volume::flow().step_names(),
    }
}

#[actix::test]
async fn each_flow_does_its_work_and_twice_is_once() {
    for flow in FLOWS {
        for observer in [
            Rc::new(Unobserved) as Rc<dyn Observer<DriverError>>,
            Rc::new(Twice),
        ] {
            let shelf = shelf();
            let (volume, result) = shelf.run(flow, observer).await;
            assert!(result.is_ok(), "{flow}: {result:?}");
            assert!(shelf.is_done(flow, &volume), "{flow}");
        }
    }
}

#[actix::test]
async fn a_flow_that_fails_anywhere_is_taken_back_or_can_be_done_again() {
    for flow in FLOWS {
        for step in steps_of(flow) {
            for at in [At::Before(step), At::After(step)] {
                let shelf = shelf();
                let fail = FailAt::new(at, |step| DriverError::Failed {
                    client: "injected".to_owned(),
                    operator: step.to_owned(),
                });
                let (_, result) = shelf.run(flow, Rc::new(fail)).await;
                assert!(result.is_err(), "{flow} {at:?}");
                if flow == "create_snapshot" {
                    assert_eq!(
                        shelf.driver.snapshots(),
                        [shelf.snapshot],
                        "{at:?} left a snapshot"
                    );
                }
                assert!(
                    shelf.driver.exists(shelf.volume.id),
                    "{flow} {at:?} lost the volume"
                );
                if flow != "manage_volume" {
                    let (volume, result) = shelf.run(flow, Rc::new(Unobserved)).await;
                    assert!(result.is_ok(), "{flow} {at:?}, again: {result:?}");
                    assert!(shelf.is_done(flow, &volume), "{flow} {at:?}, again");
                }
            }
        }
    }
}
