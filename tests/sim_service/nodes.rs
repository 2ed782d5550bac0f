//! The nodes, put together as `pumice serve` does it: each call is one life of one of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pumice::actors::api::{self, Deadlines, FinishedOperations};
use pumice::actors::quota;
use pumice::actors::registry::{self, Liveness, effective_down_time};
use pumice::actors::relay;
use pumice::actors::scheduler;
use pumice::actors::volume_manager;
use pumice::backend::{BackendState, Options};
use pumice::drivers::VolumeDriver;
use pumice::drivers::fake::{FakeDriver, FakeOptions};
use pumice::drivers::targets::fake::FakeTarget;
use pumice::model::quota::Resource;
use pumice::model::{ProjectId, Timestamp, VolumeType, VolumeTypeId};
use pumice::store::catalog::Catalog;
use pumice::transport::{Router, TransportOptions};

use crate::clients;
use crate::disk::Disk;
use crate::history::History;
use crate::plan::{Plan, VERB_LIMIT};

const PORT: u16 = 8777;
const BOUND: usize = 256;
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

pub const CONTROL: &str = "control";
/// A project with little room, and one with much.
pub const PROJECTS: [&str; 2] = ["poor", "rich"];
pub const POOR_GIGABYTES: i64 = 12;
/// A type beside the default one.
pub const OTHER_TYPE: &str = "other";

/// The storage of a volume node: it outlives the node.
pub struct Storage {
    pub node: String,
    pub driver: FakeDriver,
    pub target: FakeTarget,
}

impl Storage {
    pub fn backend(&self) -> String {
        format!("{}@fake", self.node)
    }
}

/// What outlives all nodes, and is looked at from outside.
pub struct World {
    pub plan: Plan,
    pub disk: Disk,
    pub storages: Vec<Storage>,
    pub history: RefCell<History>,
    /// No more is asked for.
    pub calm: Cell<bool>,
    pub boots: Cell<u64>,
    /// How many clients are at it, in the present life of the control node.
    pub busy: Cell<usize>,
    /// Of all lives: for the search for actors that panicked.
    pub routers: RefCell<Vec<Router>>,
}

impl World {
    pub fn new(plan: Plan) -> Rc<Self> {
        let storages = (0..plan.nodes).map(|number| Storage {
            node: format!("node{number}"),
            driver: FakeDriver::new(FakeOptions {
                capacity_gib: plan.capacity,
                ..FakeOptions::default()
            }),
            target: FakeTarget::default(),
        });
        Rc::new(Self {
            disk: Disk::default(),
            storages: storages.collect(),
            history: RefCell::default(),
            calm: Cell::new(false),
            boots: Cell::new(0),
            busy: Cell::new(0),
            routers: RefCell::default(),
            plan,
        })
    }

    fn router(&self, name: &str) -> Router {
        self.boots.set(self.boots.get() + 1);
        let router = Router::with_boot(name, self.boots.get());
        self.routers.borrow_mut().push(router.clone());
        router
    }
}

fn transport() -> TransportOptions {
    TransportOptions {
        allow_plaintext: true,
        ping_interval: Duration::from_secs(1),
        accept_timeout: Duration::from_secs(2),
        handshake_timeout: Duration::from_secs(2),
        longest_backoff: Duration::from_secs(3),
        ..TransportOptions::default()
    }
}

fn api_options(plan: &Plan) -> api::Options {
    let deadline = plan.deadline();
    api::Options {
        deadlines: Deadlines {
            create: deadline,
            delete: deadline,
            extend: deadline,
            attachment: deadline,
            snapshot: deadline,
            manage: deadline,
            per_gib: Duration::ZERO,
        },
        patience: Duration::from_secs(3),
        retry_max: Duration::from_secs(5),
        wait_limit: Duration::from_secs(12),
        call_timeout: Duration::from_secs(10),
        mailbox_bound: BOUND,
        ..api::Options::default()
    }
}

async fn open(world: &World) -> Result<Catalog, Box<dyn std::error::Error>> {
    let catalog = Catalog::open(Arc::new(world.disk.clone())).await?;
    let limits = [(Resource::gigabytes(), POOR_GIGABYTES)].into();
    let mut changes = catalog.change();
    changes.put_project_limits(&ProjectId::from(PROJECTS[0]), &limits);
    if catalog.volume_type_by_name(OTHER_TYPE).await?.is_none() {
        changes.insert(&VolumeType {
            id: VolumeTypeId::new(),
            name: OTHER_TYPE.to_owned(),
            description: None,
            is_public: true,
            extra_specs: Default::default(),
            projects: Default::default(),
            qos_specs_id: None,
            created_at: Timestamp::now(),
            updated_at: None,
        });
    }
    changes.commit().await?;
    Ok(catalog)
}

/// One life of the control node, with the clients that its web server would have.
pub async fn control(world: Rc<World>) -> turmoil::Result {
    let catalog = loop {
        // A process that its disk fails at the start is started again.
        if let Ok(catalog) = open(&world).await {
            break catalog;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let router = world.router(CONTROL);
    let liveness = Arc::new(Liveness::new(effective_down_time(
        REPORT_INTERVAL,
        world.plan.down_time,
    )));
    let registry_options = registry::Options {
        report_interval: REPORT_INTERVAL,
        mailbox_bound: BOUND,
        ..registry::Options::default()
    }
    .with_scheduler(CONTROL, "nova");
    let scheduler_options = scheduler::Options {
        // A network that is broken for long is no reason to give up.
        init_wait: Duration::from_secs(600),
        unreachable_patience: Duration::from_secs(600),
        mailbox_bound: BOUND,
        ..scheduler::Options::default()
    };
    let parts = scheduler::SchedulerState::new(
        catalog.clone(),
        router.clone(),
        Arc::clone(&liveness),
        scheduler_options,
    )?;
    let api_control = api::Control {
        catalog: catalog.clone(),
        quota: router.any(),
        scheduler: router.any(),
        router: router.clone(),
        finished: FinishedOperations::new(),
        nodes: pumice::actors::api::ControlNodes::alone(),
        options: api_options(&world.plan),
    };
    let nodes = pumice::actors::api::ControlNodes::alone();
    let registry = registry::endpoint(catalog.clone(), liveness, router.clone(), nodes, registry_options);
    router.register(registry.start());
    router.register(quota::endpoint(catalog, quota::Options::default()).start());
    router.register(scheduler::endpoint(parts).start());
    router.register(relay::endpoint(router.clone()).start());
    router.register(api::endpoint(api_control).start());
    let address = (std::net::Ipv4Addr::UNSPECIFIED, PORT).into();
    let _listener = router.listen(address, transport()).await?;
    world.busy.set(world.plan.clients);
    for number in 0..world.plan.clients {
        tokio::task::spawn_local(clients::work(Rc::clone(&world), number, router.any()));
    }
    std::future::pending().await
}

/// One life of a volume node.
pub async fn volume(world: Rc<World>, number: usize) -> turmoil::Result {
    let storage = &world.storages[number];
    if world.plan.exports_die {
        storage.target.kill();
    }
    let router = world.router(&storage.node);
    let driver = storage.driver.clone();
    let options = Options {
        volume_backend_name: "fake".to_owned(),
        report_interval: REPORT_INTERVAL,
        stats_polling_interval: Duration::from_secs(5),
        command_timeout: VERB_LIMIT,
        ..Options::default()
    };
    let parts = BackendState::new(
        storage.backend().parse()?,
        Arc::new(move || Arc::new(driver.clone()) as Arc<dyn VolumeDriver>),
        Some(Arc::new(storage.target.clone())),
        options,
    );
    router.register(volume_manager::endpoint(parts, router.clone(), BOUND).start());
    let _joined = router.join(format!("{CONTROL}:{PORT}"), transport());
    std::future::pending().await
}
