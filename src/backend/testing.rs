//! Backends and commands for unit tests, and the [`Recipe`] by which the steps of every command are tested.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::command::{BackendCommand, Task};
use super::state::{BackendState, Options};
use crate::drivers;
use crate::drivers::fake::FakeDriver;
use crate::drivers::targets::TargetDriver;
use crate::drivers::targets::fake::FakeTarget;
use crate::drivers::testing::DriverSteps as _;
use crate::drivers::{DriverError, VolumeDriver, Work};
use crate::flow::inject::{At, FailAt, Twice};
use crate::flow::{Observer, Unobserved};
use crate::messages::api::Outcome;
use crate::messages::volume::CommandId;
use crate::model::{BackendName, Connector, Context, OperationId, SnapshotId, VolumeSpec};
use crate::transport::Router;

/// More time than any test takes.
pub(crate) const LONG_MS: u64 = 30_000;

/// The backend's name.
pub(crate) fn backend() -> BackendName {
    BackendName::new("h", "fake")
}

/// The backend with this driver and this target.
pub(crate) fn backend_state(
    driver: &FakeDriver,
    target: &Arc<FakeTarget>,
    options: Options,
) -> Arc<BackendState> {
    let driver = driver.clone();
    let target: Arc<dyn TargetDriver> = target.clone();
    BackendState::new(
        backend(),
        Arc::new(move || Arc::new(driver.clone()) as Arc<dyn VolumeDriver>),
        Some(target),
        options,
    )
}

/// A new volume of so many GiB on the backend.
pub(crate) fn spec(size: u32) -> VolumeSpec {
    VolumeSpec {
        pool: backend().pool("fake"),
        ..drivers::testing::volume(size)
    }
}

/// The first attempt of a new operation.
pub(crate) fn first() -> CommandId {
    CommandId {
        operation: OperationId::new(),
        attempt: 1,
    }
}

/// The connector of a host.
pub(crate) fn connector_of(host: &str) -> Connector {
    let initiator = format!("iqn.1993-08.org.debian:01:{host}");
    let json = serde_json::json!({"initiator": initiator, "host": host});
    Connector::from_json(json.as_object().expect("an object"))
}

/// A backend that has a volume of 3 GiB, extended to 5, a snapshot from before the extension, and `lv1` of 7 GiB, which
/// is not managed.
pub(crate) struct Fixture {
    pub(crate) driver: FakeDriver,
    pub(crate) target: Arc<FakeTarget>,
    pub(crate) state: Arc<BackendState>,
    /// The router, with the actors that the command needs.
    pub(crate) router: Router,
    pub(crate) volume: VolumeSpec,
    pub(crate) snapshot: SnapshotId,
}

impl Fixture {
    fn new() -> Self {
        let (driver, target) = (FakeDriver::default(), Arc::new(FakeTarget::default()));
        let work = Work::within(Duration::from_millis(LONG_MS));
        let (volume, snapshot) = (spec(3), SnapshotId::new());
        driver.create(&work, &volume).unwrap();
        driver.take_snapshot(&work, &volume, snapshot).unwrap();
        driver.extend(&work, &volume, 5).unwrap();
        driver.put_unmanaged("lv1", 7);
        target.setup(&work).unwrap();
        let state = backend_state(&driver, &target, Options::default());
        Self {
            driver,
            target,
            state,
            router: Router::new("h"),
            volume,
            snapshot,
        }
    }

    /// Whether the inventory has so many GiB.
    pub(crate) fn has_allocated(&self, size: u32) -> bool {
        (self.state.inventory().allocated("fake") - f64::from(size)).abs() < f64::EPSILON
    }

    async fn run<C: BackendCommand>(
        &self,
        command: C,
        observer: Rc<dyn Observer<DriverError>>,
    ) -> Result<Outcome, DriverError> {
        let context = Context::internal("test");
        let task = Task::new(self.state.clone(), self.router.clone(), context, command);
        let report = task.run(observer).await;
        report.expect("not stopping").result
    }
}

/// What must hold of a command's steps.
pub(crate) struct Recipe<C> {
    /// The command.
    pub(crate) command: fn(&Fixture) -> C,
    /// Whether it is done.
    pub(crate) is_done: fn(&Fixture, &C) -> bool,
    /// Whether the state is correct after a step has failed.
    pub(crate) after_failure: fn(&Fixture, &C) -> bool,
}

impl<C: BackendCommand + Clone> Recipe<C> {
    /// Runs the command: with each step run once, and twice; and with a failure before, and right after, each step. After
    /// a failure it can be run again, and is done then.
    pub(crate) async fn check(self) {
        self.check_steps(true).await;
    }

    /// The same of a command that is not run again after a failure.
    pub(crate) async fn check_unrepeatable(self) {
        self.check_steps(false).await;
    }

    async fn check_steps(self, is_repeatable: bool) {
        for observer in [
            Rc::new(Unobserved) as Rc<dyn Observer<DriverError>>,
            Rc::new(Twice),
        ] {
            let fixture = Fixture::new();
            let command = (self.command)(&fixture);
            let result = fixture.run(command.clone(), observer).await;
            assert!(result.is_ok(), "{result:?}");
            assert!((self.is_done)(&fixture, &command), "{command:?}");
        }
        for step in C::flow().step_names() {
            for at in [At::Before(step), At::After(step)] {
                let fixture = Fixture::new();
                let command = (self.command)(&fixture);
                let fail = FailAt::new(at, |step| DriverError::failed("injected", step.to_owned()));
                let result = fixture.run(command.clone(), Rc::new(fail)).await;
                assert!(result.is_err(), "{at:?}");
                assert!((self.after_failure)(&fixture, &command), "{at:?}");
                if is_repeatable {
                    let result = fixture.run(command.clone(), Rc::new(Unobserved)).await;
                    assert!(result.is_ok(), "{at:?}, again: {result:?}");
                    assert!((self.is_done)(&fixture, &command), "{at:?}, again");
                }
            }
        }
    }
}
