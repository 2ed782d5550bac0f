//! The service in one process, as it is run: each half on a thread of its own, over a real store; storage is in memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_rt::Arbiter;
use pumice::actors::api::{self, ControlNodes, FinishedOperations};
use pumice::actors::quota;
use pumice::actors::registry::{self, Liveness};
use pumice::actors::scheduler;
use pumice::actors::volume_manager;
use pumice::backend::{BackendState, Options};
use pumice::drivers::VolumeDriver;
use pumice::drivers::fake::{FakeDriver, FakeOptions};
use pumice::messages::api::ApiTopic;
use pumice::messages::{Call, Message};
use pumice::model::{Context, Error, ProjectId, UserId, Volume, VolumeId, VolumeStatus};
use pumice::store::catalog::Catalog;
use pumice::store::sled::{SledOptions, SledStore};
use pumice::transport::{CallError, Handle, Router};
use pumice::verbs::volume::CreateVolume;

const BOUND: usize = 256;
const WITHIN: Duration = Duration::from_secs(30);

/// The service.
pub struct World {
    pub catalog: Catalog,
    api: Handle<ApiTopic>,
    arbiters: [Arbiter; 2],
}

impl World {
    pub async fn start(folder: &Path) -> Self {
        let store = SledStore::open(folder, &SledOptions::default()).unwrap();
        let catalog = Catalog::open(Arc::new(store)).await.unwrap();
        let router = Router::new("test");
        let arbiters = [Arbiter::new(), Arbiter::new()];
        let [control, volume] = [arbiters[0].handle(), arbiters[1].handle()];
        let liveness = Arc::new(Liveness::new(Duration::from_secs(60)));
        let options = scheduler::Options {
            settle: Duration::ZERO,
            ..scheduler::Options::default()
        };
        let parts =
            scheduler::SchedulerState::new(catalog.clone(), router.clone(), Arc::clone(&liveness), options)
                .unwrap();
        let api_control = api::Control {
            catalog: catalog.clone(),
            quota: router.any(),
            scheduler: router.any(),
            router: router.clone(),
            finished: FinishedOperations::new(),
            nodes: pumice::actors::api::ControlNodes::alone(),
            options: api::Options::default(),
        };
        let registry = registry::endpoint(
            catalog.clone(),
            liveness,
            router.clone(),
            ControlNodes::alone(),
            registry::Options::default(),
        );
        router.register(registry.start_on(&control));
        router.register(quota::endpoint(catalog.clone(), quota::Options::default()).start_on(&control));
        router.register(scheduler::endpoint(parts).start_on(&control));
        router.register(api::endpoint(api_control).start_on(&control));
        let driver = FakeDriver::new(FakeOptions {
            latency: Duration::from_millis(1),
            ..FakeOptions::default()
        });
        let parts = BackendState::new(
            "host@fake".parse().unwrap(),
            Arc::new(move || Arc::new(driver.clone()) as Arc<dyn VolumeDriver>),
            None,
            Options::default(),
        );
        let manager = volume_manager::endpoint(parts, router.clone(), BOUND);
        router.register(manager.start_on(&volume));
        Self {
            api: router.any(),
            catalog,
            arbiters,
        }
    }

    pub fn caller(&self, project: &str) -> Caller {
        Caller {
            api: self.api.clone(),
            catalog: self.catalog.clone(),
            context: Context {
                project_id: ProjectId::from(project),
                user_id: UserId::from("u"),
                ..Context::internal("client")
            },
        }
    }

    pub fn stop(self) {
        for arbiter in self.arbiters {
            arbiter.stop();
        }
    }
}

/// A client's way in, as the web server has it: changes go to the Api actor, reads to the catalog.
#[derive(Clone)]
pub struct Caller {
    api: Handle<ApiTopic>,
    pub catalog: Catalog,
    context: Context,
}

impl Caller {
    pub async fn call<M: Call + Message<To = ApiTopic>>(&self, message: M) -> Result<M::Reply, Error> {
        match self.api.call(&self.context, message, WITHIN).await {
            Ok(reply) => Ok(reply),
            Err(CallError::Refused(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn show(&self, id: VolumeId) -> Option<Volume> {
        Some(self.catalog.volume(id).await.unwrap()?.record)
    }

    pub fn create(size: u32) -> CreateVolume {
        CreateVolume {
            size: Some(size),
            ..CreateVolume::default()
        }
    }

    /// A volume that is made.
    pub async fn volume(&self, size: u32) -> VolumeId {
        let id = self.call(Self::create(size)).await.unwrap().id;
        self.until(id, |volume| {
            volume.is_some_and(|volume| volume.status == VolumeStatus::Available)
        })
        .await;
        id
    }

    pub async fn until(&self, id: VolumeId, is: impl Fn(Option<Volume>) -> bool) {
        let wait = async {
            while !is(self.show(id).await) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(WITHIN, wait)
            .await
            .expect("a backend ends its commands");
    }

    /// Until nothing is being done to anything.
    pub async fn until_quiet(&self) {
        let wait = async {
            while !self.catalog.operations(None, 1).await.unwrap().records.is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(WITHIN, wait)
            .await
            .expect("operations end by themselves");
    }
}

/// The order of all beginnings and answers.
#[derive(Default)]
pub struct Clock(AtomicU64);

impl Clock {
    pub fn now(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Runs this for each client in a thread of its own, and gathers what they noted.
pub async fn clients<T: Send + 'static, F: Future<Output = Vec<T>>>(
    count: usize,
    work: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Vec<T> {
    let threads: Vec<_> = (0..count)
        .map(|number| {
            let work = work.clone();
            tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build();
                runtime.unwrap().block_on(work(number))
            })
        })
        .collect();
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.await.unwrap());
    }
    all
}
