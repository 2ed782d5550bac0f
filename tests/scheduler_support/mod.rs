//! A scheduler with neighbours that write down what they receive.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pumice::actors::api::ControlNodes;
use pumice::actors::registry::{self, Liveness, VOLUME_BINARY};
use pumice::actors::scheduler::{self, Options, SchedulerState};
use pumice::messages::api::{ApiTopic, Report};
use pumice::messages::registry::{Heartbeat, ListServices, RegistryTopic, SetServiceDisabled};
use pumice::messages::scheduler::{
    GetPools, RequestSpec, SchedulerTopic, UnplacedVolume, UpdateServiceCapabilities,
};
use pumice::messages::volume::{self, VolumeTopic};
use pumice::model::service::{BackendStats, Capacity, OverSubscription, PoolStats};
use pumice::model::spec::VolumeSource;
use pumice::model::{
    Context, Error, Operation, OperationId, Timestamp, Volume, VolumeId, VolumeSpec, VolumeStatus,
};
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;
use pumice::store::record::operation_v1::{OperationKind, OperationV1};
use pumice::transport::serve::EndpointBuilder;
use pumice::transport::{Actor, Handle, Router, Serve};
use pumice::verbs::volume::{CreateVolumeCommand, ScheduleVolume};

const SIZE: u32 = 10;

/// A scheduler, a catalog with one volume that is to be placed, and who listens.
pub struct World {
    pub parts: Arc<SchedulerState>,
    pub volume: VolumeId,
    pub operation: OperationId,
    pub catalog: Catalog,
    router: Router,
    commands: Arc<Mutex<Vec<(String, CreateVolumeCommand)>>>,
    reports: Arc<Mutex<Vec<Report>>>,
}

/// Waits for nothing.
pub fn impatient() -> Options {
    Options {
        init_wait: Duration::ZERO,
        settle: Duration::ZERO,
        unreachable_patience: Duration::ZERO,
        ..Options::default()
    }
}

/// A backend with one thin pool `p` of that size, not over-subscribed.
pub fn stats(backend: &str, gib: f64) -> BackendStats {
    BackendStats {
        backend: backend.parse().unwrap(),
        volume_backend_name: "lvm".into(),
        vendor_name: "Open Source".into(),
        driver_version: "1".into(),
        storage_protocol: "iSCSI".into(),
        availability_zone: "nova".into(),
        up: true,
        reason: None,
        pools: vec![PoolStats {
            pool_name: "p".into(),
            total_capacity_gb: Capacity::Gib(gib),
            free_capacity_gb: Capacity::Gib(gib),
            allocated_capacity_gb: 0.0,
            provisioned_capacity_gb: 0.0,
            reserved_percentage: 0,
            max_over_subscription_ratio: OverSubscription::Ratio(1.0),
            thin_provisioning_support: true,
            thick_provisioning_support: false,
            multiattach: true,
            online_extend_support: true,
            total_volumes: 0,
            extra: BTreeMap::new(),
        }],
        timestamp: Timestamp::now(),
    }
}

/// Looks until there is something, for a while.
pub async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found)
        .await
        .expect("it should have happened by now")
}

struct Backend {
    name: String,
    commands: Arc<Mutex<Vec<(String, CreateVolumeCommand)>>>,
    busy: bool,
}

impl Actor for Backend {
    type Topic = VolumeTopic;
}

impl Serve<CreateVolumeCommand> for Backend {
    async fn serve(self: Rc<Self>, _context: Context, message: CreateVolumeCommand) -> Result<(), Error> {
        if self.busy {
            std::future::pending::<()>().await;
        }
        self.commands.lock().push((self.name.clone(), message));
        Ok(())
    }
}

struct Api(Arc<Mutex<Vec<Report>>>);

impl Actor for Api {
    type Topic = ApiTopic;
}

impl Serve<Report> for Api {
    async fn serve(self: Rc<Self>, _context: Context, message: Report) -> Result<(), Error> {
        self.0.lock().push(message);
        Ok(())
    }
}

impl World {
    pub async fn new(options: Options) -> Self {
        let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
        let catalog = catalog.with_outbox("api-host", &["sink"]).await.unwrap();
        let volume = volume();
        let operation = operation(&volume);
        let mut changes = catalog.change();
        changes.insert(&volume).insert(&operation);
        changes.commit().await.unwrap();
        Self::live(catalog, volume.id, operation.id, options).await
    }

    /// The next life of the node: the same catalog, nothing else.
    pub async fn restarted(&self, options: Options) -> Self {
        Self::live(self.catalog.clone(), self.volume, self.operation, options).await
    }

    async fn live(catalog: Catalog, volume: VolumeId, operation: OperationId, options: Options) -> Self {
        let router = Router::new("test");
        let liveness = Arc::new(Liveness::new(Duration::from_secs(60)));
        let parts =
            SchedulerState::new(catalog.clone(), router.clone(), Arc::clone(&liveness), options).unwrap();
        let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
        let noted = Arc::clone(&reports);
        let api = EndpointBuilder::new(None, 64, move || Rc::new(Api(Arc::clone(&noted)))).serves::<Report>();
        router.register(api.start());
        let registry = registry::endpoint(
            catalog.clone(),
            liveness,
            router.clone(),
            ControlNodes::alone(),
            registry::Options::default(),
        );
        router.register(registry.start());
        router.register(scheduler::endpoint(Arc::clone(&parts)).start());
        let world = Self {
            parts,
            volume,
            operation,
            catalog,
            router,
            commands: Arc::default(),
            reports,
        };
        // Services of earlier lives are known once this is answered.
        world
            .registry()
            .call(&context(), ListServices {}, Duration::from_secs(5))
            .await
            .unwrap();
        world
    }

    /// With these backends, each of 100 GiB, listening and reported; impatient.
    pub async fn with_backends(backends: &[&str]) -> Self {
        let world = Self::new(impatient()).await;
        for backend in backends {
            world.listen(backend);
            world.report(stats(backend, 100.0)).await;
        }
        world
    }

    pub fn listen(&self, backend: &str) {
        self.start_backend(backend, 64, false);
    }

    /// It takes one message and never ends it; there is no room for another.
    pub async fn listen_but_be_busy(&self, backend: &str) {
        self.start_backend(backend, 1, true);
        let filler = CreateVolumeCommand {
            command: volume::CommandId {
                operation: OperationId::new(),
                attempt: 1,
            },
            volume: self
                .command()
                .await
                .volume
                .on(format!("{backend}#p").parse().unwrap()),
            remaining_ms: 1,
        };
        self.router
            .server::<VolumeTopic>(backend)
            .cast(&context(), filler)
            .await
            .unwrap();
    }

    fn start_backend(&self, backend: &str, bound: usize, busy: bool) {
        let (name, commands) = (backend.to_owned(), Arc::clone(&self.commands));
        let endpoint = EndpointBuilder::new(Some(name.clone()), bound, move || {
            Rc::new(Backend {
                name: name.clone(),
                commands: Arc::clone(&commands),
                busy,
            })
        });
        self.router
            .register(endpoint.serves::<CreateVolumeCommand>().start());
    }

    /// The commands that the backend received.
    pub fn commands(&self, backend: &str) -> Vec<CreateVolumeCommand> {
        let commands = self.commands.lock();
        commands
            .iter()
            .filter(|(name, _)| name == backend)
            .map(|(_, message)| message.clone())
            .collect()
    }

    /// What the Api actor received.
    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().clone()
    }

    pub fn scheduler(&self) -> Handle<SchedulerTopic> {
        self.router.any()
    }

    fn registry(&self) -> Handle<RegistryTopic> {
        self.router.any()
    }

    /// A report comes and is taken in.
    pub async fn report(&self, stats: BackendStats) {
        let name = stats.backend.clone();
        let timestamp = stats.timestamp;
        self.scheduler()
            .cast(&context(), UpdateServiceCapabilities { stats })
            .await
            .unwrap();
        eventually(|| {
            let views = self.parts.pool_views();
            views
                .iter()
                .any(|view| view.name.backend == name && view.backend.timestamp == timestamp)
                .then_some(())
        })
        .await;
    }

    pub async fn heartbeat(&self, backend: &str) {
        let beat = Heartbeat {
            binary: VOLUME_BINARY.into(),
            host: backend.into(),
            availability_zone: "nova".into(),
            backend_up: Some(true),
        };
        self.registry().cast(&context(), beat).await.unwrap();
        loop {
            let services = self
                .registry()
                .call(&context(), ListServices {}, Duration::from_secs(5))
                .await
                .unwrap();
            if services
                .iter()
                .any(|view| view.service.host == backend && view.up)
            {
                return;
            }
        }
    }

    pub async fn disable(&self, backend: &str) {
        let message = SetServiceDisabled {
            binary: String::new(),
            host: backend.into(),
            disabled: true,
            reason: None,
        };
        self.registry()
            .call(&context(), message, Duration::from_secs(5))
            .await
            .unwrap();
    }

    pub fn request(&self) -> RequestSpec {
        RequestSpec {
            volume_id: self.volume,
            size: SIZE,
            availability_zone: None,
            extra_specs: BTreeMap::new(),
            resource_backend: None,
            hints: None,
            tried: Vec::new(),
        }
    }

    /// The command that the Api actor would send.
    pub async fn command(&self) -> ScheduleVolume {
        let (operation, volume) = self.records().await;
        let spec = VolumeSpec {
            id: volume.id,
            project_id: volume.project_id,
            size: volume.size,
            pool: "none@none#none".parse().unwrap(),
            multiattach: false,
            readonly: false,
            encrypted: false,
            extra_specs: BTreeMap::new(),
            source: VolumeSource::Raw,
            provider_location: None,
            provider_auth: None,
        };
        ScheduleVolume {
            operation: operation.id,
            attempt: operation.attempt,
            request: self.request(),
            volume: UnplacedVolume::new(spec),
        }
    }

    pub async fn schedule(&self, command: ScheduleVolume) {
        self.scheduler().cast(&context(), command).await.unwrap();
    }

    /// Returns when all that the scheduler was sent so far has been handled.
    pub async fn scheduler_is_idle(&self) {
        self.scheduler()
            .call(&context(), GetPools {}, Duration::from_secs(5))
            .await
            .unwrap();
        eventually(|| {
            let actors = self.router.actors();
            let scheduler = actors.iter().find(|actor| actor.address == "scheduler")?;
            (scheduler.depth == 0).then_some(())
        })
        .await;
    }

    pub async fn records(&self) -> (Operation, Volume) {
        let operation = self
            .catalog
            .operation(self.operation)
            .await
            .unwrap()
            .unwrap()
            .record;
        (
            operation,
            self.catalog.volume(self.volume).await.unwrap().unwrap().record,
        )
    }

    /// As if an earlier life of the scheduler had placed it.
    pub async fn place_on(&self, pool: &str) {
        self.change(|operation, volume| {
            operation.pool = pool.parse().ok();
            volume.host = pool.parse().ok();
            volume.placed = true;
        })
        .await;
    }

    /// As the Api actor does after a failure.
    pub async fn begin_attempt(&self, attempt: u32) {
        self.change(|operation, volume| {
            operation.attempt = attempt;
            operation.pool = None;
            volume.host = None;
        })
        .await;
    }

    async fn change(&self, how: impl FnOnce(&mut Operation, &mut Volume)) {
        let operation = self.catalog.operation(self.operation).await.unwrap().unwrap();
        let volume = self.catalog.volume(self.volume).await.unwrap().unwrap();
        let (mut new_operation, mut new_volume) = (operation.record.clone(), volume.record.clone());
        how(&mut new_operation, &mut new_volume);
        let mut changes = self.catalog.change();
        changes
            .update(&operation, &new_operation)
            .update(&volume, &new_volume);
        changes.commit().await.unwrap();
    }

    pub async fn end_operation(&self) {
        let operation = self.catalog.operation(self.operation).await.unwrap().unwrap();
        let mut changes = self.catalog.change();
        changes.delete(&operation);
        changes.commit().await.unwrap();
    }
}

fn context() -> Context {
    Context::internal("test")
}

fn volume() -> Volume {
    Volume {
        ..Volume::new(
            "p".into(),
            "u".into(),
            SIZE,
            VolumeStatus::Creating,
            "nova".into(),
            Timestamp::now(),
        )
    }
}

fn operation(volume: &Volume) -> Operation {
    let now = Timestamp::now();
    OperationV1 {
        id: OperationId::new(),
        kind: OperationKind::CreateVolume { hints: None },
        volume_id: volume.id,
        project_id: volume.project_id.clone(),
        user_id: volume.user_id.clone(),
        request_id: "req-1".into(),
        attempt: 1,
        pool: None,
        tried: Vec::new(),
        previous_status: None,
        reserved: BTreeMap::new(),
        steps: Vec::new(),
        created_at: now,
        deadline: now.plus(Duration::from_secs(3600)),
    }
    .upgrade()
    .unwrap()
}
