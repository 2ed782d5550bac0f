//! Two control nodes, each with a scheduler that knows its own reservations only, fill thick pools at once: the backend refuses what does
//! not fit, and the request goes on elsewhere.

use std::sync::Arc;
use std::time::Duration;

use pumice::actors::api::{self, FinishedOperations, endpoint};
use pumice::actors::registry::control_nodes::{ControlNodeOptions, Monitor, join};
use pumice::actors::registry::{self, Liveness};
use pumice::actors::{quota, scheduler, volume_manager};
use pumice::backend::{self, BackendState};
use pumice::drivers::VolumeDriver;
use pumice::drivers::fake::{FakeDriver, FakeOptions};
use pumice::messages::api::ApiTopic;
use pumice::messages::scheduler::{GetPools, SchedulerTopic};
use pumice::model::quota::{Limits, Resource};
use pumice::model::{Context, NodeIncarnation, UserMessage, Volume, VolumeId, VolumeStatus};
use pumice::store::catalog::{Catalog, VolumeQuery};
use pumice::store::memory::MemoryStore;
use pumice::transport::{Handle, Router, TransportOptions};

use crate::support::{create, member, project, quick};

/// How often backends report: seldom enough that each scheduler does not see what the other has placed.
const REPORT_INTERVAL: Duration = Duration::from_millis(300);

const LONG: Duration = Duration::from_secs(20);

fn transport() -> TransportOptions {
    TransportOptions {
        first_backoff: Duration::from_millis(5),
        longest_backoff: Duration::from_millis(50),
        trusts_every_peer: true,
        ..TransportOptions::default()
    }
}

struct ControlNode {
    catalog: Catalog,
    router: Router,
    api: Handle<ApiTopic>,
    address: String,
}

impl ControlNode {
    async fn start(store: &Arc<MemoryStore>, name: &str) -> Self {
        let catalog = Catalog::open(Arc::clone(store) as _).await.unwrap();
        let incarnation = NodeIncarnation {
            node: name.to_owned(),
            boot: 1,
            random: 1,
        };
        let times = ControlNodeOptions::default();
        let (catalog, nodes) = join(&catalog, &incarnation, 1, times).await.unwrap();
        actix_rt::spawn(Monitor::new(catalog.clone(), nodes.clone(), times).run());
        let router = Router::new(name);
        let liveness = Arc::new(Liveness::new(Duration::from_secs(60)));
        let state = scheduler::SchedulerState::new(
            catalog.clone(),
            router.clone(),
            Arc::clone(&liveness),
            scheduler::Options::default(),
        );
        let options = registry::Options {
            report_interval: REPORT_INTERVAL,
            ..registry::Options::default()
        };
        let registry = registry::endpoint(catalog.clone(), liveness, router.clone(), nodes.clone(), options);
        router.register(registry.start());
        let mut defaults = Limits::new();
        for resource in ["volumes", "gigabytes"] {
            defaults.insert(Resource(resource.to_owned()), -1);
        }
        let quotas = quota::Options {
            defaults,
            ..quota::Options::default()
        };
        router.register(quota::endpoint(catalog.clone(), quotas).start());
        router.register(scheduler::endpoint(state.unwrap()).start());
        let control = api::Control {
            catalog: catalog.clone(),
            quota: router.any(),
            scheduler: router.any(),
            router: router.clone(),
            finished: FinishedOperations::new(),
            options: quick(),
            nodes,
        };
        router.register(endpoint(control).start());
        let listener = router
            .listen("127.0.0.1:0".parse().unwrap(), transport())
            .await
            .unwrap();
        Self {
            catalog,
            api: router.any(),
            router,
            address: listener.local_addr().to_string(),
        }
    }

    async fn create(&self) -> VolumeId {
        let created = self.api.call(&member(), create(1), LONG).await;
        created.unwrap().id
    }
}

/// A volume node with one thick pool of this size.
fn volume_node(host: &str, gib: u64, controls: &[&ControlNode]) -> (Router, FakeDriver) {
    let driver = FakeDriver::new(FakeOptions {
        capacity_gib: Some(gib),
        ..FakeOptions::default()
    });
    let used = driver.clone();
    let state = BackendState::new(
        format!("{host}@fake").parse().unwrap(),
        Arc::new(move || Arc::new(used.clone()) as Arc<dyn VolumeDriver>),
        None,
        backend::Options {
            report_interval: REPORT_INTERVAL,
            stats_polling_interval: REPORT_INTERVAL,
            ..backend::Options::default()
        },
    );
    let router = Router::new(&format!("{host}/volume"));
    router.register(volume_manager::endpoint(state, router.clone(), 1024).start());
    for control in controls {
        router.join(control.address.clone(), transport());
    }
    (router, driver)
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..4000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for {what}")
}

async fn volumes(catalog: &Catalog) -> Vec<Volume> {
    let query = VolumeQuery {
        limit: 1000,
        ..VolumeQuery::default()
    };
    catalog.page::<Volume>(&query).await.unwrap().records
}

/// GiB of the volumes that are made on a host.
fn made_on(volumes: &[Volume], host: &str) -> u64 {
    let made = volumes.iter().filter(|volume| {
        volume.status == VolumeStatus::Available
            && volume.host.as_ref().is_some_and(|pool| pool.backend.host == host)
    });
    made.map(|volume| u64::from(volume.size)).sum()
}

struct World {
    controls: [ControlNode; 2],
    _volumes: Vec<(Router, FakeDriver)>,
}

impl World {
    /// Two control nodes, and volume nodes `v0`, `v1`, … with pools of these sizes.
    async fn start(pools: &[u64]) -> Self {
        let store = Arc::default();
        let controls = [
            ControlNode::start(&store, "a").await,
            ControlNode::start(&store, "b").await,
        ];
        controls[1].router.join(controls[0].address.clone(), transport());
        let all: Vec<&ControlNode> = controls.iter().collect();
        let nodes = pools.iter().enumerate();
        let volumes: Vec<_> = nodes
            .map(|(n, gib)| volume_node(&format!("v{n}"), *gib, &all))
            .collect();
        let world = Self {
            controls,
            _volumes: volumes,
        };
        for control in &world.controls {
            until("each scheduler to know each pool", async || {
                let known = control
                    .router
                    .any::<SchedulerTopic>()
                    .call(&Context::internal("test"), GetPools {}, LONG)
                    .await
                    .unwrap();
                (known.iter().filter(|pool| pool.usable).count() == pools.len()).then_some(())
            })
            .await;
        }
        world
    }

    /// Asks both control nodes at once for as many volumes; waits until all of them rest.
    async fn fill(&self, each: usize) -> Vec<Volume> {
        let asked = self
            .controls
            .iter()
            .flat_map(|control| (0..each).map(move |_| control.create()));
        futures_util::future::join_all(asked).await;
        until("all to rest", async || {
            let volumes = volumes(&self.controls[0].catalog).await;
            let rests =
                |volume: &Volume| matches!(volume.status, VolumeStatus::Available | VolumeStatus::Error);
            volumes.iter().all(rests).then_some(volumes)
        })
        .await
    }
}

#[actix::test]
async fn what_one_pool_refuses_goes_on_to_another_and_none_is_overfilled() {
    // Each scheduler would put ten volumes on the first two pools.
    let (small, large) = (10, 60);
    let world = World::start(&[small, small, large]).await;
    let volumes = world.fill(20).await;
    assert_eq!(volumes.len(), 40);
    for volume in &volumes {
        assert_eq!(volume.status, VolumeStatus::Available, "{volume:?}");
    }
    for (host, gib) in [("v0", small), ("v1", small), ("v2", large)] {
        assert!(made_on(&volumes, host) <= gib, "{host}");
    }
}

#[actix::test]
async fn what_fits_nowhere_ends_in_error_with_the_message_and_all_room_is_used() {
    let world = World::start(&[6, 8]).await;
    let volumes = world.fill(20).await;
    let (first, second) = (made_on(&volumes, "v0"), made_on(&volumes, "v1"));
    assert!(first <= 6 && second <= 8, "{first} {second}");
    let failed = volumes
        .iter()
        .filter(|volume| volume.status == VolumeStatus::Error)
        .count();
    assert_eq!(failed as u64, 40 - first - second);
    let catalog = &world.controls[0].catalog;
    let project = project();
    let messages = catalog.newest::<UserMessage>(Some(&project), None, 100);
    let messages = messages.await.unwrap().records;
    assert_eq!(messages.len(), failed, "each says why");
    // The room that was held by those that were refused elsewhere at that moment is found by later ones.
    until("all room to be used", async || {
        world.controls[1].create().await;
        let volumes = world.fill(0).await;
        (made_on(&volumes, "v0") + made_on(&volumes, "v1") == 14).then_some(())
    })
    .await;
}
