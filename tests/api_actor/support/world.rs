//! The world: the store, the router, the Api actor, and what a client or an operator does to them.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pumice::actors::api::{ApiActor, Control, ControlNodes, FinishedOperations, Options, endpoint};
use pumice::flow::Observer;
use pumice::messages::api::{ApiTopic, Report};
use pumice::messages::{Call, Message};
use pumice::model::{Context, Error, Service, ServiceId, Timestamp, Volume, VolumeType, VolumeTypeId};
use pumice::store::Store;
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;
use pumice::transport::serve::EndpointBuilder;
use pumice::transport::{CallError, Handle, Router};
use pumice::verbs::volume::CreateVolume;
use pumice::verbs::volume_type::{CreateVolumeType, UpdateVolumeType, VolumeTypeChange};

use super::backend::start_backend;
use super::builders::{admin, member, pool, quick};
use super::script::{Reaction, Received, Shared};
use super::services::{start_quota, start_scheduler};

pub struct World {
    pub catalog: Catalog,
    pub router: Router,
    pub api: Handle<ApiTopic>,
    pub script: Shared,
    pub finished: FinishedOperations,
    pub options: Options,
    pub nodes: ControlNodes,
}

impl World {
    pub async fn new() -> Self {
        Self::with(quick()).await
    }

    /// A world with one backend, `h1@fake`.
    pub async fn with(options: Options) -> Self {
        let world = Self::without_api(options).await;
        world.start_api();
        world
    }

    pub async fn without_api(options: Options) -> Self {
        Self::on(Arc::new(MemoryStore::default()), options).await
    }

    pub async fn on(store: Arc<dyn Store>, options: Options) -> Self {
        let catalog = Catalog::open(store).await.unwrap();
        Self::of(catalog, options)
    }

    /// With the outbox of one sink, which publishes nothing.
    pub async fn notifying() -> Self {
        let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
        let catalog = catalog.with_outbox("api-host", &["sink"]).await.unwrap();
        let world = Self::of(catalog, quick());
        world.start_api();
        world
    }

    fn of(catalog: Catalog, options: Options) -> Self {
        let router = Router::new("test");
        let script: Shared = Arc::default();
        script.lock().pools = VecDeque::from([pool("h1@fake#p")]);
        let world = Self {
            api: router.any(),
            finished: FinishedOperations::new(),
            catalog,
            router,
            script,
            options,
            nodes: ControlNodes::alone(),
        };
        world.start_quota();
        world.start_scheduler();
        world.start_backend("h1@fake");
        world
    }

    pub fn control(&self) -> Control {
        Control {
            catalog: self.catalog.clone(),
            quota: self.router.any(),
            scheduler: self.router.any(),
            router: self.router.clone(),
            finished: self.finished.clone(),
            options: self.options.clone(),
            nodes: self.nodes.clone(),
        }
    }

    pub fn start_api(&self) {
        self.router.register(endpoint(self.control()).start());
    }

    pub fn start_observed_api(&self, observer: fn() -> Rc<dyn Observer<Error>>) {
        let control = self.control();
        let builder = EndpointBuilder::new(None, 64, move || {
            Rc::new(ApiActor::observed(control.clone(), observer()))
        });
        self.router
            .register(builder.serves::<CreateVolume>().serves::<Report>().start());
    }

    pub fn start_quota(&self) {
        self.router.register(start_quota(&self.script));
    }

    pub fn start_scheduler(&self) {
        let scheduler = start_scheduler(&self.script, &self.router, &self.catalog);
        self.router.register(scheduler);
    }

    pub fn start_backend(&self, name: &str) {
        self.start_backend_on(&self.router, name);
    }

    /// A backend on a node of its own.
    pub fn start_backend_on(&self, node: &Router, name: &str) {
        node.register(start_backend(name, &self.script, node));
    }

    /// How neighbours react to the next messages of that name.
    pub fn will(&self, name: &'static str, reactions: impl IntoIterator<Item = Reaction>) {
        let mut script = self.script.lock();
        script.next.entry(name).or_default().extend(reactions);
    }

    /// How neighbours react to messages of that name where nothing else was said.
    pub fn always(&self, name: &'static str, reaction: Reaction) {
        self.script.lock().always.insert(name, reaction);
    }

    /// The messages of that name that neighbours have got.
    pub fn got(&self, name: &str) -> Vec<Received> {
        let script = self.script.lock();
        let received = script.received.iter();
        received.filter(|message| message.name == name).cloned().collect()
    }

    /// The messages of that type that neighbours have got.
    pub fn received<M: Message>(&self) -> Vec<Arc<M>> {
        let script = self.script.lock();
        script.received.iter().filter_map(Received::of_type).collect()
    }

    pub async fn call<M: Call + Message<To = ApiTopic>>(&self, message: M) -> Result<M::Reply, Error> {
        self.call_as(&member(), message).await
    }

    pub async fn call_as<M: Call + Message<To = ApiTopic>>(
        &self,
        context: &Context,
        message: M,
    ) -> Result<M::Reply, Error> {
        match self.api.call(context, message, Duration::from_secs(20)).await {
            Ok(reply) => Ok(reply),
            Err(CallError::Refused(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    /// Makes the backend known as a service, as its first heartbeat does.
    pub async fn announce(&self, host: &str) {
        let mut changes = self.catalog.change();
        changes.put_service(&Service {
            id: ServiceId::new(),
            binary: "cinder-volume".to_owned(),
            host: host.to_owned(),
            availability_zone: "nova".to_owned(),
            disabled: false,
            disabled_reason: None,
            frozen: false,
            created_at: Timestamp::now(),
            updated_at: None,
        });
        changes.commit().await.unwrap();
    }

    pub async fn new_type(&self, name: &str, specs: &[(&str, &str)]) -> VolumeType {
        self.call_as(
            &admin(),
            CreateVolumeType {
                name: name.to_owned(),
                description: None,
                is_public: true,
                extra_specs: specs
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect(),
            },
        )
        .await
        .unwrap()
    }

    pub async fn change_type(&self, id: VolumeTypeId, change: VolumeTypeChange) -> Result<VolumeType, Error> {
        self.call_as(&admin(), UpdateVolumeType { id, change }).await
    }

    /// Writes a volume straight to the catalog, in whatever state.
    pub async fn put(&self, volume: &Volume) {
        let mut changes = self.catalog.change();
        match self.catalog.volume(volume.id).await.unwrap() {
            Some(was) => changes.update(&was, volume),
            None => changes.insert(volume),
        };
        changes.commit().await.unwrap();
    }
}
