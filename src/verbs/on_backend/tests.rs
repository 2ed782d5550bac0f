//! Each flow, failing at each of its steps.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::testing::{LONG_MS, backend_state, first, spec};
use crate::backend::{BackendCommand, BackendState, Options, Task};
use crate::drivers::fake::FakeDriver;
use crate::drivers::target::fake::FakeTarget;
use crate::drivers::{DriverError, VolumeDriver};
use crate::flow::inject::{At, FailAt, Twice};
use crate::flow::{Observer, Unobserved};
use crate::messages::api::Outcome;
use crate::messages::volume::{
    CreateSnapshot, CreateVolume, DeleteSnapshot, ManageVolume, RevertToSnapshot, UnmanageVolume,
};
use crate::model::{Reference, SnapshotId, VolumeSpec};

/// Runs the create flow on a new backend; what is left there afterwards is checked by the test.
async fn run_create(
    observer: Rc<dyn Observer<DriverError>>,
) -> (FakeDriver, Arc<BackendState>, Result<Outcome, DriverError>) {
    let driver = FakeDriver::default();
    let state = backend_state(&driver, &Arc::new(FakeTarget::default()), Options::default());
    let command = CreateVolume {
        command: first(),
        volume: spec(3),
        remaining_ms: LONG_MS,
    };
    let report = Task::new(state.clone(), command).run(observer).await;
    (driver, state, report.expect("not stopping").result)
}

#[actix::test]
async fn the_create_flow_makes_the_volume() {
    for observer in [
        Rc::new(Unobserved) as Rc<dyn Observer<DriverError>>,
        Rc::new(Twice),
    ] {
        let (driver, state, result) = run_create(observer).await;
        assert!(matches!(result, Ok(Outcome::Created { .. })), "{result:?}");
        assert_eq!(driver.volumes().len(), 1);
        assert!((state.inventory().allocated("fake") - 3.0).abs() < f64::EPSILON);
    }
}

#[actix::test]
async fn the_create_flow_leaves_nothing_wherever_it_fails() {
    for step in CreateVolume::flow().step_names() {
        for at in [At::Before(step), At::After(step)] {
            let fail = FailAt::new(at, |step| DriverError::Failed {
                client: "injected".to_owned(),
                operator: step.to_owned(),
            });
            let (driver, state, result) = run_create(Rc::new(fail)).await;
            assert!(result.is_err(), "{at:?}");
            assert!(driver.volumes().is_empty(), "{at:?} left a volume");
            assert!(
                state.inventory().allocated("fake") == 0.0,
                "{at:?} left an allocation"
            );
        }
    }
}

/// What the fake backend holds before each run of a flow: a volume of 3 GiB, a snapshot of it, and a stranger.
struct Shelf {
    driver: FakeDriver,
    state: Arc<BackendState>,
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
    let state = backend_state(&driver, &Arc::new(FakeTarget::default()), Options::default());
    Shelf {
        driver,
        state,
        volume,
        snapshot,
    }
}

impl Shelf {
    /// Runs a command; the volume that it was about.
    async fn run_command<C: BackendCommand>(
        &self,
        command: C,
        observer: Rc<dyn Observer<DriverError>>,
    ) -> (VolumeSpec, Result<Outcome, DriverError>) {
        let volume = command.volume().clone();
        let report = Task::new(self.state.clone(), command).run(observer).await;
        (volume, report.expect("not stopping").result)
    }

    /// Runs one of the flows; the volume that it was about.
    async fn run(
        &self,
        flow: &str,
        observer: Rc<dyn Observer<DriverError>>,
    ) -> (VolumeSpec, Result<Outcome, DriverError>) {
        let (command, remaining_ms) = (first(), LONG_MS);
        let (volume, snapshot_id) = (self.volume.clone(), self.snapshot);
        match flow {
            "create_snapshot" => {
                let message = CreateSnapshot {
                    command,
                    volume,
                    snapshot_id: SnapshotId::new(),
                    remaining_ms,
                };
                self.run_command(message, observer).await
            }
            "delete_snapshot" => {
                let message = DeleteSnapshot {
                    command,
                    volume,
                    snapshot_id,
                    remaining_ms,
                };
                self.run_command(message, observer).await
            }
            "revert_to_snapshot" => {
                let message = RevertToSnapshot {
                    command,
                    volume,
                    snapshot_id,
                    size: 3,
                    remaining_ms,
                };
                self.run_command(message, observer).await
            }
            "manage_volume" => {
                let message = ManageVolume {
                    command,
                    volume: spec(0),
                    reference: Reference::named("lv1"),
                    remaining_ms,
                };
                self.run_command(message, observer).await
            }
            other => {
                assert_eq!(other, "unmanage_volume");
                let message = UnmanageVolume {
                    command,
                    volume,
                    remaining_ms,
                };
                self.run_command(message, observer).await
            }
        }
    }

    /// Whether what the flow is for is so.
    fn is_done(&self, flow: &str, volume: &VolumeSpec) -> bool {
        match flow {
            "create_snapshot" => self.driver.snapshots().len() == 2,
            "delete_snapshot" => self.driver.snapshots().is_empty(),
            "revert_to_snapshot" => self.driver.size(volume.id) == Some(3),
            "manage_volume" => self.driver.size(volume.id) == Some(7),
            _ => self.state.inventory().allocated("fake") == 0.0 && self.driver.exists(volume.id),
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
        "create_snapshot" => CreateSnapshot::flow().step_names(),
        "delete_snapshot" => DeleteSnapshot::flow().step_names(),
        "revert_to_snapshot" => RevertToSnapshot::flow().step_names(),
        "manage_volume" => ManageVolume::flow().step_names(),
        _ => UnmanageVolume::flow().step_names(),
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
