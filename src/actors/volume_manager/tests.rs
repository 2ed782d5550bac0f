//! The manager as its neighbours see it: commands in, storage and reports out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::task::Task;
use super::{
    Options, Parts, Readiness, create_snapshot, create_volume, delete_snapshot, endpoint, manage_volume,
    revert_to_snapshot, unmanage_volume,
};
use crate::drivers::fake::{FakeDriver, FakeOptions, Fault, Verb};
use crate::drivers::target::TargetDriver;
use crate::drivers::target::fake::FakeTarget;
use crate::drivers::{DriverError, VolumeDriver};
use crate::flow::inject::{At, FailAt, Twice};
use crate::flow::{Observer, Unobserved};
use crate::messages::api::{
    ApiTopic, BackendStarted, BackendVolume, CompareStorage, FailureKind, ListBackendVolumes, Outcome,
    Report, StorageDifference,
};
use crate::messages::volume::{
    CommandId, CreateSnapshot, CreateVolume, DeleteSnapshot, DeleteVolume, DeleteVolumeCascade, ExtendVolume,
    InitializeConnection, ListExisting, ManageVolume, RevertToSnapshot, TerminateConnection, UnmanageVolume,
    VolumeTopic,
};
use crate::model::StorageName;
use crate::model::spec::VolumeSource;
use crate::model::{
    AttachMode, BackendName, Connector, Context, Error, OperationId, ProjectId, Reference, SnapshotId,
    VolumeId, VolumeSpec, VolumeStatus,
};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, Handle, Router, Serve};

const LONG_MS: u64 = 30_000;

/// An Api actor that only listens, and tells a manager what it has.
struct Ear {
    reports: Rc<RefCell<tokio::sync::mpsc::UnboundedSender<Report>>>,
    has: Vec<BackendVolume>,
}

impl Actor for Ear {
    type Topic = ApiTopic;
}

impl Serve<Report> for Ear {
    async fn serve(self: Rc<Self>, _context: Context, report: Report) -> Result<(), Error> {
        let _ = self.reports.borrow().send(report);
        Ok(())
    }
}

impl Serve<ListBackendVolumes> for Ear {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        _question: ListBackendVolumes,
    ) -> Result<Vec<BackendVolume>, Error> {
        Ok(self.has.clone())
    }
}

impl Serve<CompareStorage> for Ear {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        page: CompareStorage,
    ) -> Result<StorageDifference, Error> {
        let known = |name: &StorageName| {
            self.has
                .iter()
                .any(|known| StorageName::Volume(known.volume.id) == *name)
        };
        Ok(StorageDifference {
            orphans: page.found.iter().copied().filter(|name| !known(name)).collect(),
            missing: Vec::new(),
        })
    }
}

impl Serve<BackendStarted> for Ear {
    async fn serve(self: Rc<Self>, _context: Context, _message: BackendStarted) -> Result<(), Error> {
        Ok(())
    }
}

struct World {
    driver: FakeDriver,
    target: Arc<FakeTarget>,
    parts: Arc<Parts>,
    manager: Handle<VolumeTopic>,
    reports: tokio::sync::mpsc::UnboundedReceiver<Report>,
    context: Context,
    _router: Router,
}

fn backend() -> BackendName {
    BackendName::new("h", "fake")
}

fn parts(driver: &FakeDriver, target: &Arc<FakeTarget>, options: Options) -> Arc<Parts> {
    let driver = driver.clone();
    let target: Arc<dyn TargetDriver> = target.clone();
    Parts::new(
        backend(),
        Arc::new(move || Arc::new(driver.clone()) as Arc<dyn VolumeDriver>),
        Some(target),
        options,
    )
}

fn world_with(driver: FakeDriver, options: Options, has: Vec<BackendVolume>) -> World {
    let target = Arc::new(FakeTarget::default());
    let parts = parts(&driver, &target, options);
    let router = Router::new("h");
    let (sender, reports) = tokio::sync::mpsc::unbounded_channel();
    let sender = Arc::new(Mutex::new(sender));
    router.register(
        EndpointBuilder::new(None, 256, move || {
            let reports = Rc::new(RefCell::new(sender.lock().unwrap().clone()));
            Rc::new(Ear {
                reports,
                has: has.clone(),
            })
        })
        .serves::<Report>()
        .serves::<ListBackendVolumes>()
        .serves::<BackendStarted>()
        .serves::<CompareStorage>()
        .start(),
    );
    router.register(endpoint(parts.clone(), router.clone(), 256).start());
    let manager = router.server::<VolumeTopic>(&backend().to_string());
    World {
        driver,
        target,
        parts,
        manager,
        reports,
        context: Context::internal("test"),
        _router: router,
    }
}

fn world() -> World {
    world_with(FakeDriver::default(), Options::default(), Vec::new())
}

fn spec(size: u32) -> VolumeSpec {
    VolumeSpec {
        id: VolumeId::new(),
        project_id: ProjectId::from("p"),
        size,
        pool: backend().pool("fake"),
        multiattach: false,
        readonly: false,
        encrypted: false,
        extra_specs: BTreeMap::new(),
        source: VolumeSource::Raw,
        provider_location: None,
        provider_auth: None,
    }
}

fn first() -> CommandId {
    CommandId {
        operation: OperationId::new(),
        attempt: 1,
    }
}

fn connector() -> Connector {
    let json = serde_json::json!({"initiator": "iqn.1993-08.org.debian:01:a", "host": "h1"});
    Connector::from_json(json.as_object().unwrap())
}

impl World {
    async fn create(&self, command: CommandId, volume: &VolumeSpec) {
        let message = CreateVolume {
            command,
            volume: volume.clone(),
            remaining_ms: LONG_MS,
        };
        self.manager.cast(&self.context, message).await.unwrap();
    }

    async fn delete(&self, command: CommandId, volume: &VolumeSpec) {
        let message = DeleteVolume {
            command,
            volume: volume.clone(),
            remaining_ms: LONG_MS,
        };
        self.manager.cast(&self.context, message).await.unwrap();
    }
}

async fn next(world: &mut World) -> Report {
    tokio::time::timeout(Duration::from_secs(20), world.reports.recv())
        .await
        .expect("a report in time")
        .expect("a report")
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < limit, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_failed(outcome: &Outcome, kind: FailureKind) -> bool {
    matches!(outcome, Outcome::Failed(failure) if failure.kind == kind)
}

async fn connect(world: &mut World, volume: &VolumeSpec) -> Outcome {
    let message = InitializeConnection {
        command: first(),
        volume: volume.clone(),
        attachment: None,
        connector: connector(),
        mode: AttachMode::Rw,
        remaining_ms: LONG_MS,
    };
    world.manager.cast(&world.context, message).await.unwrap();
    next(world).await.outcome
}

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

#[actix::test]
async fn a_repeated_command_is_done_once_and_reported_alike() {
    let mut world = world();
    let (command, volume) = (first(), spec(1));
    world.create(command, &volume).await;
    let report = next(&mut world).await;
    assert_eq!(report.outcome, Outcome::Created { provider_id: None });
    world.create(command, &volume).await;
    let again = next(&mut world).await;
    assert_eq!((again.command, again.outcome), (report.command, report.outcome));
    assert_eq!(world.driver.calls(Verb::CreateVolume), 1);
}

#[actix::test]
async fn a_failed_create_leaves_nothing_even_if_the_driver_did_its_work() {
    for fault in [
        Fault::broken(),
        Fault::FailsAfter(|| DriverError::NoSpace {
            operator: "late".to_owned(),
        }),
        Fault::Panics,
        Fault::PanicsAfter,
    ] {
        let mut world = world();
        world.driver.script(Verb::CreateVolume, fault);
        if matches!(fault, Fault::Panics | Fault::PanicsAfter) {
            // One panic is forgiven: the verb runs once more on a driver built anew.
            world.driver.script(Verb::CreateVolume, fault);
        }
        let volume = spec(1);
        world.create(first(), &volume).await;
        let report = next(&mut world).await;
        assert!(
            matches!(report.outcome, Outcome::Failed(_)),
            "{fault:?}: {:?}",
            report.outcome
        );
        assert!(!world.driver.exists(volume.id), "{fault:?} left the volume");
        // And the manager goes on.
        world.create(first(), &spec(1)).await;
        assert!(matches!(next(&mut world).await.outcome, Outcome::Created { .. }));
    }
}

#[actix::test]
async fn a_verb_whose_driver_panicked_once_succeeds_on_a_driver_built_anew() {
    for fault in [Fault::Panics, Fault::PanicsAfter] {
        let mut world = world();
        world.driver.script(Verb::CreateVolume, fault);
        let volume = spec(1);
        world.create(first(), &volume).await;
        assert!(matches!(next(&mut world).await.outcome, Outcome::Created { .. }));
        assert!(world.driver.exists(volume.id));
    }
}

#[actix::test]
async fn a_failed_create_that_cannot_be_taken_back_says_that_it_does_not_know() {
    let mut world = world();
    world.driver.script(
        Verb::CreateVolume,
        Fault::FailsAfter(|| DriverError::Busy {
            operator: "late".to_owned(),
        }),
    );
    world.driver.script(Verb::DeleteVolume, Fault::broken());
    world.create(first(), &spec(1)).await;
    let report = next(&mut world).await;
    assert!(
        is_failed(&report.outcome, FailureKind::TimedOut),
        "{:?}",
        report.outcome
    );
}

#[actix::test]
async fn a_panicking_driver_is_built_anew_and_looks_at_what_it_did() {
    for fault in [Fault::Panics, Fault::PanicsAfter] {
        let mut world = world();
        world.driver.script(Verb::ExtendVolume, fault);
        let volume = spec(1);
        world.create(first(), &volume).await;
        next(&mut world).await;
        let message = ExtendVolume {
            command: first(),
            volume: volume.clone(),
            new_size: 2,
            remaining_ms: LONG_MS,
        };
        world.manager.cast(&world.context, message).await.unwrap();
        assert_eq!(next(&mut world).await.outcome, Outcome::Extended);
        assert_eq!(world.driver.size(volume.id), Some(2));
        assert_eq!(world.parts.driver.rebuilt(), 1);
    }
}

#[actix::test]
async fn a_driver_that_panics_again_has_failed() {
    let mut world = world();
    let volume = spec(1);
    world.create(first(), &volume).await;
    next(&mut world).await;
    for _ in 0..2 {
        world.driver.script(Verb::ExtendVolume, Fault::Panics);
    }
    let message = ExtendVolume {
        command: first(),
        volume,
        new_size: 2,
        remaining_ms: LONG_MS,
    };
    world.manager.cast(&world.context, message).await.unwrap();
    assert!(is_failed(&next(&mut world).await.outcome, FailureKind::Backend));
    assert_eq!(world.parts.driver.rebuilt(), 2);
}

#[actix::test]
async fn a_hung_verb_holds_up_no_other_volume() {
    let options = Options {
        max_workers: 2,
        ..Options::default()
    };
    let mut world = world_with(FakeDriver::default(), options, Vec::new());
    world.driver.script(Verb::CreateVolume, Fault::Hangs);
    let (hung, other) = (spec(1), spec(1));
    world.create(first(), &hung).await;
    let driver = world.driver.clone();
    until("the first create hangs", || driver.calls(Verb::CreateVolume) == 1).await;
    world.create(first(), &other).await;
    assert!(matches!(next(&mut world).await.outcome, Outcome::Created { .. }));
    assert!(world.driver.exists(other.id) && !world.driver.exists(hung.id));
    world.parts.workers.stop();
}

#[actix::test]
async fn a_create_whose_time_is_up_ends_and_leaves_nothing() {
    let mut world = world();
    world.driver.script(Verb::CreateVolume, Fault::Hangs);
    let volume = spec(1);
    let message = CreateVolume {
        command: first(),
        volume: volume.clone(),
        remaining_ms: 50,
    };
    world.manager.cast(&world.context, message).await.unwrap();
    assert!(is_failed(&next(&mut world).await.outcome, FailureKind::TimedOut));
    assert!(!world.driver.exists(volume.id));
}

#[actix::test]
async fn a_delete_goes_through_twice_and_a_late_create_does_not_undo_it() {
    let mut world = world();
    let (create, volume) = (first(), spec(1));
    let delete = first();
    world.delete(delete, &volume).await;
    assert_eq!(next(&mut world).await.outcome, Outcome::Deleted);
    world.delete(first(), &volume).await;
    assert_eq!(next(&mut world).await.outcome, Outcome::Deleted);
    world.create(create, &volume).await;
    assert!(is_failed(&next(&mut world).await.outcome, FailureKind::Request));
    assert!(!world.driver.exists(volume.id));
}

#[actix::test]
async fn a_backend_whose_driver_does_not_start_refuses_creates_and_comes_up_by_itself() {
    let driver = FakeDriver::default();
    driver.fail_next(Verb::Setup, 3, || DriverError::NotFound {
        client: "The backend is not there.".to_owned(),
        operator: "no volume group".to_owned(),
    });
    let options = Options {
        retry: (Duration::from_millis(200), Duration::from_millis(200)),
        ..Options::default()
    };
    let mut world = world_with(driver, options, Vec::new());
    world.create(first(), &spec(1)).await;
    let report = next(&mut world).await;
    assert!(
        is_failed(&report.outcome, FailureKind::Backend),
        "{:?}",
        report.outcome
    );
    let parts = world.parts.clone();
    until("the backend is up", || *parts.readiness.borrow() == Readiness::Up).await;
    world.create(first(), &spec(1)).await;
    assert!(matches!(next(&mut world).await.outcome, Outcome::Created { .. }));
}

#[actix::test]
async fn a_connection_is_made_and_taken_away_with_its_export() {
    let mut world = world();
    let volume = spec(1);
    world.create(first(), &volume).await;
    next(&mut world).await;
    let connected = connect(&mut world, &volume).await;
    let Outcome::Connected {
        connection_info,
        provider_auth,
        ..
    } = connected
    else {
        panic!("{connected:?}")
    };
    assert_eq!(connection_info.driver_volume_type, "iscsi");
    assert!(provider_auth.is_some());
    assert_eq!(world.target.initiators(&volume), ["iqn.1993-08.org.debian:01:a"]);
    let message = TerminateConnection {
        command: first(),
        volume: volume.clone(),
        connector: Some(connector()),
        connector_stays: false,
        export_stays: false,
        remaining_ms: LONG_MS,
    };
    world.manager.cast(&world.context, message).await.unwrap();
    assert_eq!(
        next(&mut world).await.outcome,
        Outcome::Disconnected { export_removed: true }
    );
    assert!(world.target.exports().is_empty());
}

#[actix::test]
async fn a_connection_that_fails_leaves_no_export() {
    let mut world = world();
    let volume = spec(1);
    world.create(first(), &volume).await;
    next(&mut world).await;
    world.target.script(
        crate::drivers::target::fake::Verb::InitializeConnection,
        Fault::broken(),
    );
    assert!(is_failed(
        &connect(&mut world, &volume).await,
        FailureKind::Backend
    ));
    assert!(world.target.exports().is_empty());
}

#[actix::test]
async fn exports_are_restored_after_the_target_daemon_was_killed() {
    let mut world = world();
    let volume = spec(1);
    world.create(first(), &volume).await;
    next(&mut world).await;
    connect(&mut world, &volume).await;
    world.target.kill();
    world.target.revive();
    let target = world.target.clone();
    until("the export is back", || !target.initiators(&volume).is_empty()).await;
}

#[actix::test]
async fn exports_known_to_the_catalog_are_restored_at_start() {
    let driver = FakeDriver::new(FakeOptions::default());
    let volume = spec(2);
    let has = BackendVolume {
        volume: volume.clone(),
        status: VolumeStatus::InUse,
        connectors: vec![connector()],
    };
    let world = world_with(driver, Options::default(), vec![has]);
    let target = world.target.clone();
    until("the export is there", || !target.initiators(&volume).is_empty()).await;
    assert!((world.parts.ledger().allocated("fake") - 2.0).abs() < f64::EPSILON);
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

#[actix::test]
async fn a_snapshot_that_was_deleted_does_not_come_back_with_a_late_command() {
    let mut world = world();
    let (volume, snapshot_id) = (spec(1), SnapshotId::new());
    world.create(first(), &volume).await;
    next(&mut world).await;
    let (create, delete) = (first(), first());
    let message = DeleteSnapshot {
        command: delete,
        volume: volume.clone(),
        snapshot_id,
        remaining_ms: LONG_MS,
    };
    world.manager.cast(&world.context, message).await.unwrap();
    assert_eq!(next(&mut world).await.outcome, Outcome::SnapshotDeleted);
    let message = CreateSnapshot {
        command: create,
        volume: volume.clone(),
        snapshot_id,
        remaining_ms: LONG_MS,
    };
    world.manager.cast(&world.context, message).await.unwrap();
    assert!(is_failed(&next(&mut world).await.outcome, FailureKind::Request));
    assert!(world.driver.snapshots().is_empty());
}

#[actix::test]
async fn a_volume_goes_with_its_snapshots_and_what_exists_is_listed() {
    let mut world = world();
    let (volume, other, kept) = (spec(1), spec(2), SnapshotId::new());
    for volume in [&volume, &other] {
        world.create(first(), volume).await;
        next(&mut world).await;
    }
    for (snapshot_id, of) in [
        (SnapshotId::new(), &volume),
        (SnapshotId::new(), &volume),
        (kept, &other),
    ] {
        let message = CreateSnapshot {
            command: first(),
            volume: of.clone(),
            snapshot_id,
            remaining_ms: LONG_MS,
        };
        world.manager.cast(&world.context, message).await.unwrap();
        let outcome = next(&mut world).await.outcome;
        assert_eq!(outcome, Outcome::SnapshotCreated { provider_id: None });
    }
    let mut snapshots = world.driver.snapshots();
    snapshots.retain(|snapshot| *snapshot != kept);
    let message = DeleteVolumeCascade {
        command: first(),
        volume: volume.clone(),
        snapshots,
        remaining_ms: LONG_MS,
    };
    world.manager.cast(&world.context, message).await.unwrap();
    assert_eq!(next(&mut world).await.outcome, Outcome::Deleted);
    let mut seen = Vec::new();
    loop {
        let question = ListExisting {
            after: seen.last().cloned(),
            limit: 1,
        };
        let page = world
            .manager
            .call(&world.context, question, Duration::from_secs(20))
            .await
            .unwrap();
        match page.as_slice() {
            [found] => seen.push(found.name.clone()),
            _ => break,
        }
    }
    assert_eq!(seen, [format!("_snapshot-{kept}"), other.storage_name()]);
}

#[actix::test]
async fn a_volume_is_reverted_adopted_and_forgotten_by_command() {
    let mut world = world();
    let (volume, snapshot_id) = (spec(2), SnapshotId::new());
    world.create(first(), &volume).await;
    next(&mut world).await;
    let message = CreateSnapshot {
        command: first(),
        volume: volume.clone(),
        snapshot_id,
        remaining_ms: LONG_MS,
    };
    world.manager.cast(&world.context, message).await.unwrap();
    next(&mut world).await;
    let message = RevertToSnapshot {
        command: first(),
        volume: volume.clone(),
        snapshot_id,
        size: 2,
        remaining_ms: LONG_MS,
    };
    world.manager.cast(&world.context, message).await.unwrap();
    assert_eq!(next(&mut world).await.outcome, Outcome::Reverted);
    let message = UnmanageVolume {
        command: first(),
        volume: volume.clone(),
        remaining_ms: LONG_MS,
    };
    world.manager.cast(&world.context, message).await.unwrap();
    assert_eq!(next(&mut world).await.outcome, Outcome::Unmanaged);
    assert!(world.driver.exists(volume.id));
    assert!(world.parts.ledger().allocated("fake") == 0.0);
    let again = VolumeSpec {
        id: VolumeId::new(),
        size: 0,
        ..volume.clone()
    };
    let message = ManageVolume {
        command: first(),
        volume: again.clone(),
        reference: Reference::named(&volume.storage_name()),
        remaining_ms: LONG_MS,
    };
    world.manager.cast(&world.context, message).await.unwrap();
    let managed = Outcome::Managed {
        size: 2,
        provider_id: None,
    };
    assert_eq!(next(&mut world).await.outcome, managed);
    assert!((world.parts.ledger().allocated("fake") - 2.0).abs() < f64::EPSILON);
}

fn known(volume: &VolumeSpec) -> BackendVolume {
    BackendVolume {
        volume: volume.clone(),
        status: VolumeStatus::Available,
        connectors: Vec::new(),
    }
}

#[actix::test]
async fn orphans_are_told_of_and_deleted_only_if_asked_to() {
    for delete_orphans in [false, true] {
        let driver = FakeDriver::default();
        let work = crate::drivers::Work::within(Duration::from_secs(20));
        let (ours, orphan, snapshot) = (spec(1), spec(1), SnapshotId::new());
        driver.create_volume(&work, &ours).unwrap();
        driver.create_volume(&work, &orphan).unwrap();
        driver.create_snapshot(&work, &orphan, snapshot).unwrap();
        driver.put_stranger("somebody's", 1);
        let options = Options {
            delete_orphans,
            ..Options::default()
        };
        let world = world_with(driver, options, vec![known(&ours)]);
        let parts = world.parts.clone();
        until("the backend is up", || *parts.readiness.borrow() == Readiness::Up).await;
        let difference = world.parts.difference().unwrap();
        assert_eq!(
            difference.orphans,
            [StorageName::Volume(orphan.id), StorageName::Snapshot(snapshot)]
        );
        assert_eq!(world.driver.exists(orphan.id), !delete_orphans);
        assert_eq!(world.driver.snapshots().is_empty(), delete_orphans);
        assert!(world.driver.exists(ours.id));
    }
}

#[actix::test]
async fn a_storage_with_none_of_many_volumes_is_taken_for_the_wrong_one() {
    let volumes = [spec(1), spec(1), spec(1)];
    let options = Options {
        retry: (Duration::from_millis(20), Duration::from_millis(20)),
        ..Options::default()
    };
    let driver = FakeDriver::default();
    let world = world_with(driver.clone(), options, volumes.iter().map(known).collect());
    let parts = world.parts.clone();
    until("the backend is down", || {
        matches!(&*parts.readiness.borrow(), Readiness::Down(reason) if reason.contains("none of the 3 volumes"))
    })
    .await;
    // Somebody mounts the right one.
    let work = crate::drivers::Work::within(Duration::from_secs(20));
    driver.create_volume(&work, &volumes[0]).unwrap();
    until("the backend is up", || *parts.readiness.borrow() == Readiness::Up).await;
}
