//! What nodes are made of, put together as `pumice serve` does it.

use std::sync::Arc;
use std::time::Duration;

use pumice::actors::api::{self, ControlNodes, Deadlines, FinishedOperations};
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
use pumice::store::CommitError;
use pumice::store::catalog::Catalog;
use pumice::transport::{Router, TransportOptions};

use crate::plan::{Plan, VERB_LIMIT};

pub const PORT: u16 = 8777;
const BOUND: usize = 256;
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

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
    pub fn all(plan: &Plan) -> Vec<Self> {
        let storages = (0..plan.nodes).map(|number| Self {
            node: format!("node{number}"),
            driver: FakeDriver::new(FakeOptions {
                capacity_gib: plan.capacity,
                ..FakeOptions::default()
            }),
            target: FakeTarget::default(),
        });
        storages.collect()
    }

    pub fn backend(&self) -> String {
        format!("{}@fake", self.node)
    }
}

pub fn transport() -> TransportOptions {
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

/// Writes what the clients need.
pub async fn set_up(catalog: &Catalog) -> Result<(), CommitError> {
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
    changes.commit().await.map(drop)
}

/// Starts the actors of a control node.
pub fn start_control(
    plan: &Plan,
    router: &Router,
    catalog: &Catalog,
    nodes: ControlNodes,
) -> turmoil::Result {
    let liveness = Arc::new(Liveness::new(effective_down_time(
        REPORT_INTERVAL,
        plan.down_time,
    )));
    let registry_options = registry::Options {
        report_interval: REPORT_INTERVAL,
        mailbox_bound: BOUND,
        ..registry::Options::default()
    }
    .with_scheduler(router.node(), "nova");
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
        nodes: nodes.clone(),
        options: api_options(plan),
    };
    let registry = registry::endpoint(catalog.clone(), liveness, router.clone(), nodes, registry_options);
    router.register(registry.start());
    router.register(quota::endpoint(catalog.clone(), quota::Options::default()).start());
    router.register(scheduler::endpoint(parts).start());
    router.register(relay::endpoint(router.clone()).start());
    router.register(api::endpoint(api_control).start());
    Ok(())
}

/// Starts the actors of a volume node.
pub fn start_volume(plan: &Plan, router: &Router, storage: &Storage) -> turmoil::Result {
    if plan.exports_die {
        storage.target.kill();
    }
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
    Ok(())
}
