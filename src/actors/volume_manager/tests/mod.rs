//! Tests of the manager through its messages: commands in, storage and reports out.

mod commands;
mod compare_storage;
mod copy_data;
mod exports;
mod lease;
mod reports;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::endpoint;
use crate::backend::testing::{LONG_MS, backend, backend_state, connector_of, first, spec};
use crate::backend::{BackendState, Options, Readiness};
use crate::drivers::fake::{FakeDriver, FakeOptions, Fault, Verb};
use crate::drivers::targets::TargetDriver;
use crate::drivers::targets::fake::{FakeTarget, Verb as TargetVerb};
use crate::drivers::testing::work;
use crate::drivers::{DriverError, VolumeDriver};
use crate::flow::Unobserved;
use crate::messages::api::{
    ApiTopic, BackendStarted, BackendVolume, BackendVolumesPage, CompareStorage, ConfirmOrphans, FailureKind,
    ListBackendVolumesPage, Outcome, Report, StorageDifference,
};
use crate::messages::volume::{CancelOperation, CommandId, ListExisting, VolumeTopic};
use crate::messages::{Cast, Message};
use crate::model::StorageName;
use crate::model::{
    AttachMode, Connector, Context, Error, Reference, SnapshotId, VolumeId, VolumeSpec, VolumeStatus,
};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, Handle, Router, Serve};
use crate::verbs::snapshot::CreateSnapshotCommand;
use crate::verbs::volume::{
    CreateVolumeCommand, DeleteVolumeCommand, ExtendVolumeCommand, InitializeConnectionCommand,
};

/// A stub of the Api actor that records reports, and answers requests with fixed data.
struct StubApi {
    reports: UnboundedSender<Report>,
    has: Vec<BackendVolume>,
    /// Names that have a record when they are confirmed, though they were reported as orphans before.
    recorded_since: Vec<StorageName>,
}

impl Actor for StubApi {
    type Topic = ApiTopic;
}

impl Serve<Report> for StubApi {
    async fn serve(self: Rc<Self>, _context: Context, report: Report) -> Result<(), Error> {
        let _ = self.reports.send(report);
        Ok(())
    }
}

/// Answers with pages that are never full, as if some of their volumes had just been deleted.
impl Serve<ListBackendVolumesPage> for StubApi {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        question: ListBackendVolumesPage,
    ) -> Result<BackendVolumesPage, Error> {
        let mut volumes = self.has.clone();
        volumes.sort_by_key(|known| known.volume.id);
        volumes.retain(|known| question.after.is_none_or(|after| known.volume.id > after));
        let few = usize::try_from(question.limit).unwrap() / 2;
        let more = volumes.len() > few;
        volumes.truncate(few);
        let next = volumes.last().filter(|_| more).map(|last| last.volume.id);
        Ok(BackendVolumesPage { volumes, next })
    }
}

impl Serve<ConfirmOrphans> for StubApi {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        question: ConfirmOrphans,
    ) -> Result<Vec<StorageName>, Error> {
        let is_orphan = |name: &StorageName| !self.recorded_since.contains(name);
        Ok(question.names.into_iter().filter(is_orphan).collect())
    }
}

impl Serve<CompareStorage> for StubApi {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        page: CompareStorage,
    ) -> Result<StorageDifference, Error> {
        if page.found.contains(&StorageName::Volume(of_another_backend())) {
            return Err(Error::conflict("The storage has volumes of h2@fake."));
        }
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

impl Serve<BackendStarted> for StubApi {
    async fn serve(self: Rc<Self>, _context: Context, _message: BackendStarted) -> Result<(), Error> {
        Ok(())
    }
}

/// A volume that the stub has a record of on another backend.
fn of_another_backend() -> VolumeId {
    VolumeId(uuid::Uuid::from_u128(2))
}

/// The stub's endpoint, and what it records.
fn stub_api(
    has: Vec<BackendVolume>,
    recorded_since: Vec<StorageName>,
) -> (EndpointBuilder<StubApi>, UnboundedReceiver<Report>) {
    let (reports, recorded) = unbounded_channel();
    let stub = EndpointBuilder::new(None, 256, move || {
        Rc::new(StubApi {
            reports: reports.clone(),
            has: has.clone(),
            recorded_since: recorded_since.clone(),
        })
    });
    let stub = stub.serves::<Report>().serves::<ListBackendVolumesPage>();
    let stub = stub.serves::<ConfirmOrphans>().serves::<BackendStarted>();
    (stub.serves::<CompareStorage>(), recorded)
}

struct World {
    driver: FakeDriver,
    target: Arc<FakeTarget>,
    state: Arc<BackendState>,
    manager: Handle<VolumeTopic>,
    reports: UnboundedReceiver<Report>,
    context: Context,
    router: Router,
}

fn world_with(driver: FakeDriver, options: Options, has: Vec<BackendVolume>) -> World {
    world_on(driver, Arc::default(), options, has)
}

fn world_on(driver: FakeDriver, target: Arc<FakeTarget>, options: Options, has: Vec<BackendVolume>) -> World {
    world_where(driver, target, options, has, Vec::new())
}

fn world_where(
    driver: FakeDriver,
    target: Arc<FakeTarget>,
    options: Options,
    has: Vec<BackendVolume>,
    recorded_since: Vec<StorageName>,
) -> World {
    let state = backend_state(&driver, &target, options);
    let router = Router::new("h");
    let (stub, reports) = stub_api(has, recorded_since);
    router.register(stub.start());
    router.register(endpoint(state.clone(), router.clone(), 256).start());
    let manager = router.server::<VolumeTopic>(&backend().to_string());
    World {
        driver,
        target,
        state,
        manager,
        reports,
        context: Context::internal("test"),
        router,
    }
}

fn world() -> World {
    world_by(Options::default())
}

fn world_by(options: Options) -> World {
    world_with(FakeDriver::default(), options, Vec::new())
}

fn connector() -> Connector {
    connector_of("a")
}

impl World {
    async fn send<M: Cast + Message<To = VolumeTopic>>(&self, message: M) {
        self.manager.cast(&self.context, message).await.unwrap();
    }

    /// What is reported of a command.
    async fn outcome<M: Cast + Message<To = VolumeTopic>>(&mut self, message: M) -> Outcome {
        self.send(message).await;
        next(self).await.outcome
    }

    async fn is_up(&self) {
        let readiness = &self.state.readiness;
        until("the backend is up", || *readiness.borrow() == Readiness::Up).await;
    }

    /// A volume that was created, of so many GiB.
    async fn volume(&mut self, size: u32) -> VolumeSpec {
        let volume = spec(size);
        self.create(first(), &volume).await;
        let outcome = next(self).await.outcome;
        assert!(matches!(outcome, Outcome::Created { .. }), "{outcome:?}");
        volume
    }

    /// Deletes a volume, and expects success.
    async fn deleted(&mut self, volume: &VolumeSpec) {
        self.delete(first(), volume).await;
        assert_eq!(next(self).await.outcome, Outcome::Deleted);
    }

    async fn create(&self, command: CommandId, volume: &VolumeSpec) {
        let message = CreateVolumeCommand {
            command,
            volume: volume.clone(),
            remaining_ms: LONG_MS,
        };
        self.send(message).await;
    }

    async fn delete(&self, command: CommandId, volume: &VolumeSpec) {
        let message = DeleteVolumeCommand {
            command,
            volume: volume.clone(),
            remaining_ms: LONG_MS,
        };
        self.send(message).await;
    }
}

fn extend(volume: &VolumeSpec, new_size: u32) -> ExtendVolumeCommand {
    ExtendVolumeCommand {
        command: first(),
        volume: volume.clone(),
        new_size,
        remaining_ms: LONG_MS,
    }
}

fn take_snapshot(volume: &VolumeSpec, snapshot_id: SnapshotId) -> CreateSnapshotCommand {
    CreateSnapshotCommand {
        command: first(),
        volume: volume.clone(),
        snapshot_id,
        remaining_ms: LONG_MS,
    }
}

fn connection(volume: &VolumeSpec, connector: Connector) -> InitializeConnectionCommand {
    InitializeConnectionCommand {
        command: first(),
        volume: volume.clone(),
        attachment: None,
        connector,
        mode: AttachMode::Rw,
        remaining_ms: LONG_MS,
    }
}

/// A volume that the control node knows, with an initiator that is connected.
fn in_use(volume: &VolumeSpec) -> BackendVolume {
    BackendVolume {
        volume: volume.clone(),
        status: VolumeStatus::InUse,
        connectors: vec![connector()],
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

fn assert_failed(outcome: &Outcome, kind: FailureKind) {
    let failed = matches!(outcome, Outcome::Failed(failure) if failure.kind == kind);
    assert!(failed, "{outcome:?} is no {kind:?}");
}

async fn connect(world: &mut World, volume: &VolumeSpec) -> Outcome {
    connect_from(world, volume, connector()).await
}

async fn connect_well(world: &mut World, volume: &VolumeSpec) {
    let outcome = connect(world, volume).await;
    assert!(matches!(outcome, Outcome::Connected { .. }), "{outcome:?}");
}

async fn connect_from(world: &mut World, volume: &VolumeSpec, connector: Connector) -> Outcome {
    world.outcome(connection(volume, connector)).await
}
