//! A world for the Api actor: the memory store, local transport, and scripted neighbours that do as real ones do unless
//! told otherwise.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pumice::actors::api::{ApiActor, ApiDeps, FinishedOperations, Options, endpoint};
use pumice::flow::Observer;
use pumice::messages::api::{ApiTopic, Failure, FailureKind, Outcome, Report};
use pumice::messages::quota::{Ceilings, CheckQuota, QuotaTopic};
use pumice::messages::scheduler::{self, SchedulerTopic, ValidateExtend};
use pumice::messages::volume::{self, CommandId, VolumeTopic};
use pumice::messages::{Call, Message};
use pumice::model::bounds;
use pumice::model::quota::{Resource, Usage};
use pumice::model::service::BackendStats;
use pumice::model::volume::Secret;
use pumice::model::{
    BackendName, ConnectionInfo, Connector, Context, Error, Existing, Operation, PoolName, ProjectId,
    Service, ServiceId, Snapshot, SnapshotId, SnapshotStatus, Timestamp, UserId, UserMessage, Volume,
    VolumeId, VolumeStatus, VolumeType,
};
use pumice::store::Store;
use pumice::store::catalog::{Catalog, VolumeQuery};
use pumice::store::memory::MemoryStore;
use pumice::transport::codec::encoded_size;
use pumice::transport::serve::EndpointBuilder;
use pumice::transport::{Actor, CallError, Handle, Router, Serve};
use pumice::verbs::snapshot::create_snapshot::CreateSnapshot;
use pumice::verbs::snapshot::create_snapshot::CreateSnapshotCommand;
use pumice::verbs::snapshot::delete_snapshot::DeleteSnapshotCommand;
use pumice::verbs::snapshot::manage_snapshot::ManageSnapshotCommand;
use pumice::verbs::snapshot::unmanage_snapshot::UnmanageSnapshotCommand;
use pumice::verbs::volume::create_volume::CreateVolume;
use pumice::verbs::volume::create_volume::CreateVolumeCommand;
use pumice::verbs::volume::delete_volume::DeleteVolumeCascadeCommand;
use pumice::verbs::volume::delete_volume::DeleteVolumeCommand;
use pumice::verbs::volume::extend_volume::ExtendVolumeCommand;
use pumice::verbs::volume::initialize_connection::InitializeConnectionCommand;
use pumice::verbs::volume::manage_volume::ManageVolumeCommand;
use pumice::verbs::volume::revert_to_snapshot::RevertToSnapshotCommand;
use pumice::verbs::volume::terminate_connection::TerminateConnectionCommand;
use pumice::verbs::volume::unmanage_volume::UnmanageVolumeCommand;
use pumice::verbs::volume_type::update_volume_type::VolumeTypeChange;

/// What a scripted neighbour does with a message.
#[derive(Clone, Debug)]
pub enum Deed {
    /// What it should.
    Work,
    /// Nothing: the message is lost.
    Lose,
    /// Says that it failed.
    Fail(FailureKind),
    /// Does it and says so twice.
    SayTwice,
}

/// A command as a backend got it.
#[derive(Clone, Debug)]
pub enum Got {
    Schedule(scheduler::CreateVolume),
    ValidateExtend,
    Create(CreateVolumeCommand),
    Delete,
    Extend,
    Connect,
    Disconnect(TerminateConnectionCommand),
    DeleteCascade(DeleteVolumeCascadeCommand),
    CreateSnapshot,
    DeleteSnapshot,
    Revert,
    Manage,
    Unmanage,
    ManageSnapshot,
    UnmanageSnapshot,
    Cancel(CommandId),
}

impl Got {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Schedule(_) => "schedule",
            Self::ValidateExtend => "validate_extend",
            Self::Create(_) => "create",
            Self::Delete => "delete",
            Self::Extend => "extend",
            Self::Connect => "connect",
            Self::Disconnect(_) => "disconnect",
            Self::DeleteCascade(_) => "delete_cascade",
            Self::CreateSnapshot => "create_snapshot",
            Self::DeleteSnapshot => "delete_snapshot",
            Self::Revert => "revert",
            Self::Manage => "manage",
            Self::Unmanage => "unmanage",
            Self::ManageSnapshot => "manage_snapshot",
            Self::UnmanageSnapshot => "unmanage_snapshot",
            Self::Cancel(_) => "cancel",
        }
    }
}

/// What the neighbours are to do, and have got.
#[derive(Default)]
pub struct Script {
    pub got: Vec<Got>,
    /// The next deeds by verb; `Work` when there are none.
    pub deeds: BTreeMap<&'static str, VecDeque<Deed>>,
    /// What is done when `deeds` has nothing: `Work` unless set.
    pub always: BTreeMap<&'static str, Deed>,
    pub pools: VecDeque<PoolName>,
    pub limits: Vec<(Resource, i64)>,
    pub refuse_quota: Option<Error>,
    pub exports: usize,
    /// What lies on the backends.
    pub existing: Vec<Existing>,
    /// Backends tell as much as may be kept of it, and more in their failures.
    pub wordy: bool,
    /// Bytes of the largest message to a neighbour.
    pub largest_message: usize,
}

pub type Shared = Arc<Mutex<Script>>;

pub struct World {
    pub catalog: Catalog,
    pub router: Router,
    pub api: Handle<ApiTopic>,
    pub script: Shared,
    pub finished: FinishedOperations,
    pub options: Options,
}

pub fn quick() -> Options {
    Options {
        retry_initial: Duration::from_millis(10),
        retry_max: Duration::from_millis(50),
        patience: Duration::from_millis(50),
        scheduling_grace: Duration::from_millis(10),
        wait_limit: Duration::from_secs(5),
        call_timeout: Duration::from_secs(5),
        ..Options::default()
    }
}

pub fn pool(text: &str) -> PoolName {
    text.parse().unwrap()
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
        let router = Router::new("test");
        let script: Shared = Arc::default();
        script.lock().unwrap().pools = VecDeque::from([pool("h1@fake#p")]);
        let world = Self {
            api: router.any(),
            finished: FinishedOperations::new(),
            catalog,
            router,
            script,
            options,
        };
        world.start_quota();
        world.start_scheduler();
        world.start_backend("h1@fake");
        world
    }

    pub fn deps(&self) -> ApiDeps {
        ApiDeps {
            catalog: self.catalog.clone(),
            quota: self.router.any(),
            scheduler: self.router.any(),
            router: self.router.clone(),
            finished: self.finished.clone(),
        }
    }

    pub fn start_api(&self) {
        self.router
            .register(endpoint(self.deps(), self.options.clone()).start());
    }

    pub fn start_observed_api(&self, observer: fn() -> Rc<dyn Observer<Error>>) {
        let (deps, options) = (self.deps(), self.options.clone());
        let builder = EndpointBuilder::new(None, 64, move || {
            Rc::new(ApiActor::observed(deps.clone(), options.clone(), observer()))
        });
        self.router
            .register(builder.serves::<CreateVolume>().serves::<Report>().start());
    }

    pub fn start_quota(&self) {
        let script = self.script.clone();
        let builder = EndpointBuilder::new(None, 1024, move || Rc::new(FakeQuota(script.clone())));
        self.router.register(builder.serves::<CheckQuota>().start());
    }

    pub fn start_scheduler(&self) {
        let (script, router, catalog) = (self.script.clone(), self.router.clone(), self.catalog.clone());
        let builder = EndpointBuilder::new(None, 4096, move || {
            Rc::new(FakeScheduler {
                script: script.clone(),
                router: router.clone(),
                catalog: catalog.clone(),
            })
        });
        self.router.register(
            builder
                .serves::<scheduler::CreateVolume>()
                .serves::<ValidateExtend>()
                .serves::<scheduler::GetPools>()
                .start(),
        );
    }

    pub fn start_backend(&self, name: &str) {
        self.start_backend_on(&self.router, name);
    }

    /// A backend on a node of its own.
    pub fn start_backend_on(&self, node: &Router, name: &str) {
        let (script, router) = (self.script.clone(), node.clone());
        let backend: BackendName = name.parse().unwrap();
        let builder = EndpointBuilder::new(Some(name.to_owned()), 4096, move || {
            Rc::new(FakeBackend {
                script: script.clone(),
                router: router.clone(),
                backend: backend.clone(),
            })
        });
        node.register(
            builder
                .serves::<CreateVolumeCommand>()
                .serves::<DeleteVolumeCommand>()
                .serves::<ExtendVolumeCommand>()
                .serves::<InitializeConnectionCommand>()
                .serves::<TerminateConnectionCommand>()
                .serves::<DeleteVolumeCascadeCommand>()
                .serves::<CreateSnapshotCommand>()
                .serves::<DeleteSnapshotCommand>()
                .serves::<RevertToSnapshotCommand>()
                .serves::<ManageVolumeCommand>()
                .serves::<UnmanageVolumeCommand>()
                .serves::<ManageSnapshotCommand>()
                .serves::<UnmanageSnapshotCommand>()
                .serves::<volume::ListExisting>()
                .serves::<volume::CancelOperation>()
                .start(),
        );
    }

    pub fn will(&self, verb: &'static str, deeds: impl IntoIterator<Item = Deed>) {
        self.script
            .lock()
            .unwrap()
            .deeds
            .entry(verb)
            .or_default()
            .extend(deeds);
    }

    pub fn always(&self, verb: &'static str, deed: Deed) {
        self.script.lock().unwrap().always.insert(verb, deed);
    }

    pub fn got(&self, verb: &str) -> Vec<Got> {
        let script = self.script.lock().unwrap();
        script
            .got
            .iter()
            .filter(|got| got.name() == verb)
            .cloned()
            .collect()
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

    /// A volume that is made, and rests.
    pub async fn volume(&self, size: u32) -> Volume {
        let volume = self.call(create(size)).await.unwrap();
        self.until(volume.id, VolumeStatus::Available).await
    }

    /// Waits until the volume is that, and nothing is being done to it.
    pub async fn until(&self, id: VolumeId, status: VolumeStatus) -> Volume {
        self.wait(&format!("{id} to be {status}"), async || {
            let volume = self.catalog.volume(id).await.unwrap()?;
            (volume.status == status).then(|| volume.record.clone())
        })
        .await
    }

    /// A snapshot that is made, and rests.
    pub async fn snapshot(&self, volume: VolumeId) -> Snapshot {
        let snapshot = self.call(keep(volume)).await.unwrap();
        self.until_snapshot(snapshot.id, SnapshotStatus::Available).await
    }

    /// Waits until the snapshot is that.
    pub async fn until_snapshot(&self, id: SnapshotId, status: SnapshotStatus) -> Snapshot {
        self.wait(&format!("{id} to be {status}"), async || {
            let snapshot = self.catalog.snapshot(id).await.unwrap()?;
            (snapshot.status == status).then(|| snapshot.record.clone())
        })
        .await
    }

    pub async fn until_snapshot_gone(&self, id: SnapshotId) {
        self.wait("the snapshot to be gone", async || {
            self.catalog.snapshot(id).await.unwrap().is_none().then_some(())
        })
        .await;
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

    pub async fn until_gone(&self, id: VolumeId) {
        self.wait("the volume to be gone", async || {
            self.catalog.volume(id).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    /// Waits until nothing is open.
    pub async fn until_quiet(&self) {
        self.wait("all operations to end", async || {
            self.operations().await.is_empty().then_some(())
        })
        .await;
    }

    pub async fn wait<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        for _ in 0..2000 {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!(
            "waited in vain for {what}; operations: {:?}",
            self.operations().await
        );
    }

    pub async fn operations(&self) -> Vec<Operation> {
        let stored = self.catalog.operations(None, 1000).await.unwrap().records;
        stored.into_iter().map(|stored| stored.record).collect()
    }

    pub async fn volumes(&self) -> Vec<Volume> {
        let query = VolumeQuery {
            limit: 1000,
            ..VolumeQuery::default()
        };
        self.catalog.volumes(&query).await.unwrap().records
    }

    /// What the project uses of a resource as clients know it, by its type's name.
    pub async fn usage(&self, resource: &str) -> Usage {
        for (counted, usage) in self.catalog.usage(&project()).await.unwrap() {
            if self.catalog.shown(&counted).await.unwrap() == resource {
                return usage;
            }
        }
        Usage::default()
    }

    pub async fn messages(&self) -> Vec<UserMessage> {
        self.catalog
            .messages(Some(&project()), None, 100)
            .await
            .unwrap()
            .records
    }

    pub async fn new_type(&self, name: &str, specs: &[(&str, &str)]) -> VolumeType {
        self.call_as(
            &admin(),
            pumice::verbs::volume_type::create_volume_type::CreateVolumeType {
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

    pub async fn change_type(
        &self,
        id: pumice::model::VolumeTypeId,
        change: VolumeTypeChange,
    ) -> Result<VolumeType, Error> {
        self.call_as(
            &admin(),
            pumice::verbs::volume_type::update_volume_type::UpdateVolumeType { id, change },
        )
        .await
    }

    /// Writes a volume straight to the catalog, in whatever state.
    pub async fn put(&self, volume: &Volume) {
        let mut changes = self.catalog.change();
        match self.catalog.volume(volume.id).await.unwrap() {
            Some(was) => changes.update_volume(&was, volume),
            None => changes.insert_volume(volume),
        };
        changes.commit().await.unwrap();
    }
}

pub fn project() -> ProjectId {
    ProjectId::from("p1")
}

pub fn member() -> Context {
    Context {
        request_id: "req-1".to_owned(),
        global_request_id: None,
        user_id: UserId::from("u1"),
        project_id: project(),
        roles: vec!["member".to_owned()],
        is_admin: false,
        traceparent: None,
    }
}

/// Of the same project, and may only look.
pub fn reader() -> Context {
    Context {
        roles: vec!["reader".to_owned()],
        ..member()
    }
}

pub fn stranger() -> Context {
    Context {
        project_id: ProjectId::from("p2"),
        ..member()
    }
}

pub fn admin() -> Context {
    Context {
        is_admin: true,
        ..member()
    }
}

pub fn create(size: u32) -> CreateVolume {
    CreateVolume {
        size: Some(size),
        ..CreateVolume::default()
    }
}

pub fn keep(volume: VolumeId) -> CreateSnapshot {
    CreateSnapshot {
        volume_id: volume.to_string(),
        in_use_too: true,
        ..CreateSnapshot::default()
    }
}

pub fn connector(host: &str) -> Connector {
    let text = serde_json::json!({"host": host, "initiator": format!("iqn.{host}")});
    Connector::from_json(text.as_object().unwrap())
}

struct FakeQuota(Shared);

impl Actor for FakeQuota {
    type Topic = QuotaTopic;
}

impl Serve<CheckQuota> for FakeQuota {
    async fn serve(self: Rc<Self>, _context: Context, message: CheckQuota) -> Result<Ceilings, Error> {
        let script = self.0.lock().unwrap();
        if let Some(error) = script.refuse_quota.clone() {
            return Err(error);
        }
        assert!(!message.deltas.is_empty());
        Ok(Ceilings {
            limits: script.limits.clone(),
        })
    }
}

fn note_size(script: &Shared, message: &impl Message) {
    let size = encoded_size(message).unwrap();
    let mut script = script.lock().unwrap();
    script.largest_message = script.largest_message.max(size);
}

/// The same, with texts as long as may be kept (of a failure: much longer).
fn wordy(outcome: Outcome) -> Outcome {
    let id = || Some("i".repeat(bounds::PROVIDER_ID));
    match outcome {
        Outcome::Created { .. } => Outcome::Created { provider_id: id() },
        Outcome::SnapshotCreated { .. } => Outcome::SnapshotCreated { provider_id: id() },
        Outcome::Connected { .. } => {
            let data = serde_json::json!({"target_luns": "x".repeat(bounds::CONNECTION_INFO - 100)});
            Outcome::Connected {
                connection_info: ConnectionInfo::new("iscsi", data.as_object().unwrap().clone()),
                provider_location: "l".repeat(bounds::EXPORT - 100),
                provider_auth: Some(Secret::new("s".repeat(100))),
            }
        }
        Outcome::Failed(failure) => Outcome::Failed(Failure {
            client: "It broke. ".repeat(20_000),
            ..failure
        }),
        other => other,
    }
}

fn next_deed(script: &Shared, got: Got) -> Deed {
    let mut script = script.lock().unwrap();
    let verb = got.name();
    script.got.push(got);
    let next = script.deeds.get_mut(verb).and_then(VecDeque::pop_front);
    next.or_else(|| script.always.get(verb).cloned())
        .unwrap_or(Deed::Work)
}

struct FakeScheduler {
    script: Shared,
    router: Router,
    catalog: Catalog,
}

impl Actor for FakeScheduler {
    type Topic = SchedulerTopic;
}

impl Serve<scheduler::CreateVolume> for FakeScheduler {
    async fn serve(self: Rc<Self>, context: Context, message: scheduler::CreateVolume) -> Result<(), Error> {
        let command = CommandId {
            operation: message.operation,
            attempt: message.attempt,
        };
        note_size(&self.script, &message);
        match next_deed(&self.script, Got::Schedule(message.clone())) {
            Deed::Lose => return Ok(()),
            Deed::Fail(kind) => {
                say(&self.router, &context, command, None, failed(kind)).await;
                return Ok(());
            }
            Deed::Work | Deed::SayTwice => {}
        }
        let chosen = {
            let pools = &self.script.lock().unwrap().pools;
            pools
                .iter()
                .find(|pool| !message.request.tried.contains(pool))
                .cloned()
        };
        let Some(chosen) = chosen else {
            say(
                &self.router,
                &context,
                command,
                None,
                failed(FailureKind::NoValidBackend),
            )
            .await;
            return Ok(());
        };
        let volume = self.catalog.volume(message.request.volume_id).await.unwrap();
        let operation = self.catalog.operation(message.operation).await.unwrap();
        let (Some(volume), Some(operation)) = (volume, operation) else {
            return Ok(());
        };
        if operation.attempt != message.attempt || operation.pool.is_some() {
            return Ok(());
        }
        let mut placed = volume.record.clone();
        placed.host = Some(chosen.clone());
        placed.placed = true;
        let mut at_work = operation.record.clone();
        at_work.pool = Some(chosen.clone());
        let mut changes = self.catalog.change();
        changes
            .update_volume(&volume, &placed)
            .update_operation(&operation, &at_work);
        if changes.commit().await.is_err() {
            return Ok(());
        }
        let to: Handle<VolumeTopic> = self.router.server(&chosen.backend.to_string());
        let told = CreateVolumeCommand {
            command,
            volume: message.volume.on(chosen),
            remaining_ms: 1000,
        };
        let _ = to.cast(&context, told).await;
        Ok(())
    }
}

impl Serve<ValidateExtend> for FakeScheduler {
    async fn serve(self: Rc<Self>, _context: Context, _message: ValidateExtend) -> Result<(), Error> {
        match next_deed(&self.script, Got::ValidateExtend) {
            Deed::Fail(_) => Err(Error::bad_request("No valid backend was found.")),
            _ => Ok(()),
        }
    }
}

impl Serve<scheduler::GetPools> for FakeScheduler {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        _message: scheduler::GetPools,
    ) -> Result<Vec<scheduler::PoolView>, Error> {
        let pools = self.script.lock().unwrap().pools.clone();
        let view = |name: PoolName| scheduler::PoolView {
            backend: BackendStats {
                backend: name.backend.clone(),
                volume_backend_name: "fake".to_owned(),
                vendor_name: "v".to_owned(),
                driver_version: "1".to_owned(),
                storage_protocol: "iSCSI".to_owned(),
                availability_zone: "nova".to_owned(),
                up: true,
                reason: None,
                pools: Vec::new(),
                timestamp: Timestamp::now(),
            },
            name,
            usable: true,
            index: 0,
        };
        Ok(pools.into_iter().map(view).collect())
    }
}

struct FakeBackend {
    script: Shared,
    router: Router,
    backend: BackendName,
}

impl Actor for FakeBackend {
    type Topic = VolumeTopic;
}

impl FakeBackend {
    async fn act(&self, context: &Context, command: CommandId, got: Got, outcome: Outcome) {
        let from = Some(self.backend.clone());
        let is_wordy = self.script.lock().unwrap().wordy;
        let worded = |outcome| if is_wordy { wordy(outcome) } else { outcome };
        let outcome = worded(outcome);
        match next_deed(&self.script, got) {
            Deed::Work => say(&self.router, context, command, from, outcome).await,
            Deed::SayTwice => {
                say(&self.router, context, command, from.clone(), outcome.clone()).await;
                say(&self.router, context, command, from, outcome).await;
            }
            Deed::Lose => {}
            Deed::Fail(kind) => say(&self.router, context, command, from, worded(failed(kind))).await,
        }
    }
}

pub fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure {
        kind,
        client: "It broke.".to_owned(),
        operator: "it broke".to_owned(),
    })
}

pub async fn say(
    router: &Router,
    context: &Context,
    command: CommandId,
    from: Option<BackendName>,
    outcome: Outcome,
) {
    let api: Handle<ApiTopic> = router.any();
    api.cast(
        context,
        Report {
            command,
            from,
            outcome,
            steps: Vec::new(),
        },
    )
    .await
    .unwrap();
}

impl Serve<CreateVolumeCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: CreateVolumeCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        let outcome = Outcome::Created { provider_id: None };
        self.act(&context, m.command, Got::Create(m.clone()), outcome)
            .await;
        Ok(())
    }
}

impl Serve<DeleteVolumeCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: DeleteVolumeCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        self.act(&context, m.command, Got::Delete, Outcome::Deleted).await;
        Ok(())
    }
}

impl Serve<volume::CancelOperation> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: volume::CancelOperation) -> Result<(), Error> {
        note_size(&self.script, &m);
        let outcome = failed(FailureKind::Cancelled);
        self.act(&context, m.command, Got::Cancel(m.command), outcome)
            .await;
        Ok(())
    }
}

impl Serve<ExtendVolumeCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: ExtendVolumeCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        self.act(&context, m.command, Got::Extend, Outcome::Extended)
            .await;
        Ok(())
    }
}

impl Serve<InitializeConnectionCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: InitializeConnectionCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        let secret = {
            let mut script = self.script.lock().unwrap();
            script.exports += 1;
            m.volume
                .provider_auth
                .clone()
                .unwrap_or_else(|| Secret::new(format!("CHAP u {}", script.exports)))
        };
        let data = serde_json::json!({"auth_password": secret.reveal()});
        let outcome = Outcome::Connected {
            connection_info: ConnectionInfo::new("iscsi", data.as_object().unwrap().clone()),
            provider_location: "127.0.0.1:3260,1 iqn 1".to_owned(),
            provider_auth: Some(secret),
        };
        self.act(&context, m.command, Got::Connect, outcome).await;
        Ok(())
    }
}

impl Serve<TerminateConnectionCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: TerminateConnectionCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        let outcome = Outcome::Disconnected {
            export_removed: !m.export_stays,
        };
        self.act(&context, m.command, Got::Disconnect(m.clone()), outcome)
            .await;
        Ok(())
    }
}

impl Serve<DeleteVolumeCascadeCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: DeleteVolumeCascadeCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        self.act(
            &context,
            m.command,
            Got::DeleteCascade(m.clone()),
            Outcome::Deleted,
        )
        .await;
        Ok(())
    }
}

impl Serve<CreateSnapshotCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: CreateSnapshotCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        self.act(
            &context,
            m.command,
            Got::CreateSnapshot,
            Outcome::SnapshotCreated { provider_id: None },
        )
        .await;
        Ok(())
    }
}

impl Serve<DeleteSnapshotCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: DeleteSnapshotCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        self.act(&context, m.command, Got::DeleteSnapshot, Outcome::SnapshotDeleted)
            .await;
        Ok(())
    }
}

impl Serve<RevertToSnapshotCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: RevertToSnapshotCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        self.act(&context, m.command, Got::Revert, Outcome::Reverted)
            .await;
        Ok(())
    }
}

impl Serve<ManageVolumeCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: ManageVolumeCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        self.act(
            &context,
            m.command,
            Got::Manage,
            Outcome::Managed {
                size: 7,
                provider_id: None,
            },
        )
        .await;
        Ok(())
    }
}

impl Serve<UnmanageVolumeCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: UnmanageVolumeCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        self.act(&context, m.command, Got::Unmanage, Outcome::Unmanaged)
            .await;
        Ok(())
    }
}

impl Serve<ManageSnapshotCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: ManageSnapshotCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        self.act(
            &context,
            m.command,
            Got::ManageSnapshot,
            Outcome::SnapshotManaged {
                size: 7,
                provider_id: None,
            },
        )
        .await;
        Ok(())
    }
}

impl Serve<UnmanageSnapshotCommand> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, m: UnmanageSnapshotCommand) -> Result<(), Error> {
        note_size(&self.script, &m);
        self.act(
            &context,
            m.command,
            Got::UnmanageSnapshot,
            Outcome::SnapshotUnmanaged,
        )
        .await;
        Ok(())
    }
}

impl Serve<volume::ListExisting> for FakeBackend {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        m: volume::ListExisting,
    ) -> Result<Vec<Existing>, Error> {
        let mut all = self.script.lock().unwrap().existing.clone();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        if let Some(after) = m.after {
            all.retain(|found| found.name > after);
        }
        Ok(all)
    }
}
