//! The nodes: each call is one life of one of them. A control node that may not commit any more, or whose store failed, ends, and is
//! started again by the simulation, as systemd would.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pumice::actors::registry::control_nodes::{ControlNodeOptions, Monitor, join, leave};
use pumice::messages::api::ApiTopic;
use pumice::messages::{Call, Message};
use pumice::model::{Context, NodeIncarnation, Volume, VolumeId};
use pumice::sim;
use pumice::store::catalog::{Catalog, IndexRows};
use pumice::store::etcd::{EtcdOptions, EtcdStore};
use pumice::store::{CommitError, Health, Key, Store};
use pumice::transport::{CallError, Handle, Router};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::clients;
use crate::etcd::{self, Counts, Etcd, MEMBERS, member_name};
use crate::history::History;
use crate::parts::{self, PORT, Storage, transport};
use crate::plan::Plan;

pub const CONTROLS: usize = 3;
/// Where the clients are.
pub const CLIENTS: &str = "clients";
/// How long actors may take to handle their messages when their node ends, and the store to learn of it.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

pub fn control_name(number: usize) -> String {
    format!("control{number}")
}

/// What is done on a control node for a client.
type Job = Box<dyn FnOnce(Rc<Gateway>) -> Pin<Box<dyn Future<Output = ()>>>>;

/// What the web server of a control node has.
pub struct Gateway {
    catalog: Catalog,
    store: Arc<EtcdStore>,
    actors: Handle<ApiTopic>,
}

/// A control node, as it is seen from outside.
pub struct Control {
    gateway: RefCell<Option<mpsc::UnboundedSender<Job>>>,
    /// It is to end by itself.
    pub stop: Rc<Notify>,
    /// The number of its data folder.
    pub folder: Cell<u64>,
    position: RefCell<tempfile::TempDir>,
}

impl Control {
    fn new(number: usize) -> Self {
        Self {
            gateway: RefCell::default(),
            stop: Rc::default(),
            folder: Cell::new(number as u64),
            position: RefCell::new(new_folder()),
        }
    }

    /// Whether it serves requests.
    pub fn serves(&self) -> bool {
        let gateway = self.gateway.borrow();
        gateway.as_ref().is_some_and(|gateway| !gateway.is_closed())
    }

    /// It is installed anew: its data folder is gone.
    pub fn lose_folder(&self, number: u64) {
        self.folder.set(number);
        self.position.replace(new_folder());
    }
}

fn new_folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// What outlives all nodes, and is looked at from outside.
pub struct World {
    pub plan: Plan,
    pub etcd: Rc<Etcd>,
    /// How long the engine keeps history.
    pub compact_interval: Duration,
    pub controls: Vec<Control>,
    pub storages: Vec<Storage>,
    pub history: RefCell<History>,
    /// No more is asked for.
    pub calm: Cell<bool>,
    pub boots: Cell<u64>,
    /// How many clients are at it.
    pub busy: Cell<usize>,
    /// Of all lives: for the search for actors that panicked.
    pub routers: RefCell<Vec<Router>>,
    /// How many views were compared with etcd.
    pub views: Cell<usize>,
}

impl World {
    pub fn new(plan: Plan, compact_interval: Duration) -> Rc<Self> {
        Rc::new(Self {
            etcd: Etcd::new(),
            compact_interval,
            controls: (0..CONTROLS).map(Control::new).collect(),
            storages: Storage::all(&plan),
            history: RefCell::default(),
            calm: Cell::new(false),
            boots: Cell::new(0),
            busy: Cell::new(plan.clients),
            routers: RefCell::default(),
            views: Cell::new(0),
            plan,
        })
    }

    fn router(&self, name: &str) -> Router {
        self.boots.set(self.boots.get() + 1);
        let router = Router::with_boot(name, self.boots.get());
        self.routers.borrow_mut().push(router.clone());
        router
    }

    /// What is stored at last.
    pub fn store(&self) -> Arc<dyn Store> {
        self.etcd.store()
    }

    pub fn count(&self, what: &'static str) {
        self.etcd.counts.borrow_mut().add(what);
    }

    pub fn counts(&self) -> Counts {
        self.etcd.counts.borrow().clone()
    }

    fn fault(&self, text: String) {
        self.history.borrow_mut().facts.faults.push(text);
    }

    /// Lets each control node that serves compare its view with etcd.
    pub fn compare_views(self: &Rc<Self>) -> usize {
        let mut asked = 0;
        for (number, control) in self.controls.iter().enumerate() {
            let world = Rc::clone(self);
            let job: Job = Box::new(move |gateway| {
                Box::pin(async move {
                    if let Err(why) = compare_view(&world.etcd, &gateway).await {
                        world.fault(format!("the view of {}: {why}", control_name(number)));
                    }
                    world.views.update(|views| views + 1);
                })
            });
            if let Some(gateway) = &*control.gateway.borrow() {
                asked += usize::from(gateway.send(job).is_ok());
            }
        }
        asked
    }
}

async fn compare_view(etcd: &Etcd, gateway: &Gateway) -> Result<(), String> {
    let mut found = std::collections::BTreeMap::new();
    let mut take = |key: Key, entry: Option<pumice::store::Entry>| {
        match entry {
            Some(entry) => found.insert(key, entry.value),
            None => found.remove(&key),
        };
        Ok(())
    };
    gateway
        .store
        .wait_current()
        .await
        .map_err(|error| error.to_string())?;
    let revision = gateway
        .store
        .dump(&mut take)
        .await
        .map_err(|error| error.to_string())?;
    let Some(wanted) = etcd.entries(revision.0) else {
        return Err(format!("it is at revision {revision:?}, which is compacted"));
    };
    let differs = |key: &&Key| found.get(*key) != wanted.get(*key);
    let keys: std::collections::BTreeSet<_> = found.keys().chain(wanted.keys()).filter(differs).collect();
    if keys.is_empty() {
        return Ok(());
    }
    Err(format!("at revision {revision:?}, {keys:?} are not as in etcd"))
}

/// What became of a request.
pub enum Asked<T> {
    Answered(Result<T, CallError>),
    /// It was not asked.
    Nobody,
    /// Whom it was asked has died.
    Lost,
}

/// What a client asks: any control node, mostly the same as before.
pub struct Api {
    world: Rc<World>,
    rng: RefCell<StdRng>,
    at: Cell<usize>,
}

impl Api {
    fn new(world: Rc<World>) -> Self {
        let mut rng = sim::seeded().expect("a simulation is seeded");
        Self {
            world,
            at: Cell::new(rng.random_range(0..CONTROLS)),
            rng: RefCell::new(rng),
        }
    }

    /// Runs this on a control node that serves. `Ok(None)`: it has died; an error: none serves.
    async fn ask<T, F>(&self, job: impl FnOnce(Rc<Gateway>) -> F + 'static) -> Result<Option<T>, ()>
    where
        T: 'static,
        F: Future<Output = T> + 'static,
    {
        if self.rng.borrow_mut().random_bool(0.5) {
            self.at.set(self.rng.borrow_mut().random_range(0..CONTROLS));
        }
        let nodes = (0..CONTROLS).map(|later| (self.at.get() + later) % CONTROLS);
        let Some(at) = nodes.into_iter().find(|at| self.world.controls[*at].serves()) else {
            return Err(());
        };
        self.at.set(at);
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(|gateway| {
            let working = job(gateway);
            Box::pin(async move {
                // The client waits as long as the node lives.
                let _ = answer.send(working.await);
            })
        });
        let sent = match &*self.world.controls[at].gateway.borrow() {
            Some(gateway) => gateway.send(job).is_ok(),
            None => false,
        };
        match sent {
            true => Ok(answered.await.ok()),
            false => Err(()),
        }
    }

    pub async fn call<M: Call + Message<To = ApiTopic>>(
        &self,
        context: &Context,
        message: M,
        within: Duration,
    ) -> Asked<M::Reply> {
        let context = context.clone();
        let asked = self.ask(async move |gateway: Rc<Gateway>| {
            // As the web server does it: what is decided on an old state may be wrong.
            gateway.catalog.wait_current().await.ok()?;
            Some(gateway.actors.call(&context, message, within).await)
        });
        match asked.await {
            Ok(Some(Some(answer))) => Asked::Answered(answer),
            Ok(Some(None)) | Err(()) => Asked::Nobody,
            Ok(None) => Asked::Lost,
        }
    }

    /// A volume as it is shown, or that there is none; `None` without a current answer.
    pub async fn volume(&self, id: VolumeId) -> Option<Option<Volume>> {
        let asked = self.ask(async move |gateway: Rc<Gateway>| {
            gateway.catalog.wait_current().await.ok()?;
            gateway.catalog.volume(id).await.ok()
        });
        let found = asked.await.ok()???;
        Some(found.map(|volume| volume.record))
    }
}

/// The host of the clients, which does not die.
pub async fn clients(world: Rc<World>) -> turmoil::Result {
    for number in 0..world.plan.clients {
        let api = Api::new(Rc::clone(&world));
        tokio::task::spawn_local(clients::work(Rc::clone(&world), number, api));
    }
    std::future::pending().await
}

fn etcd_options(world: &World, number: usize) -> EtcdOptions {
    let endpoint = |at| format!("http://{}:{}", member_name(at), etcd::PORT);
    EtcdOptions {
        endpoints: (0..MEMBERS).map(endpoint).collect(),
        prefix: etcd::PREFIX.to_owned(),
        node: control_name(number),
        compact_interval: world.compact_interval,
        position: Some(
            world.controls[number]
                .position
                .borrow()
                .path()
                .join("etcd-position"),
        ),
        ..EtcdOptions::default()
    }
}

/// One life of a control node. It ends when the process would.
pub async fn control(world: Rc<World>, number: usize) -> turmoil::Result {
    // A process that cannot be started is started again.
    if let Err(error) = serve(&world, number).await {
        tracing::info!(number, error, "a control node has not started");
        world.count("starts of a control node that failed");
    }
    Ok(())
}

/// Takes what was counted by an engine with it when it ends, in whatever way.
struct Counted(Rc<World>, Arc<EtcdStore>);

impl Drop for Counted {
    fn drop(&mut self) {
        let stats = self.1.stats();
        let mut counts = self.0.etcd.counts.borrow_mut();
        for (what, counter) in [
            ("commits", &stats.commits),
            ("transactions", &stats.groups),
            ("conflicts", &stats.conflicts),
            ("replies that the engine missed", &stats.lost_replies),
        ] {
            counts.add_many(what, counter.load(Ordering::Relaxed));
        }
    }
}

async fn serve(world: &Rc<World>, number: usize) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let this = &world.controls[number];
    let opened = EtcdStore::open(etcd_options(world, number), Arc::new(IndexRows)).await;
    let store = Arc::new(opened.map_err(|error| {
        if !error.unavailable && !error.no_space {
            world.fault(format!("{} cannot open its store: {error}", control_name(number)));
        }
        text(&error)
    })?);
    let _counted = Counted(Rc::clone(world), Arc::clone(&store));
    let mut health = store.health();
    let catalog = Catalog::open(Arc::clone(&store) as Arc<_>)
        .await
        .map_err(|error| text(&error))?;
    match parts::set_up(&catalog).await {
        // Another node was faster.
        Ok(()) | Err(CommitError::Conflict(_)) => {}
        Err(error) => return Err(text(&error)),
    }
    let router = world.router(&control_name(number));
    let incarnation = router.incarnation();
    let own = NodeIncarnation {
        node: router.node().to_owned(),
        boot: incarnation.boot,
        random: incarnation.random,
    };
    let options = ControlNodeOptions::default();
    let (catalog, nodes) = join(&catalog, &own, this.folder.get(), options)
        .await
        .map_err(|error| text(&error))?;
    parts::start_control(&world.plan, &router, &catalog, nodes.clone()).map_err(|error| text(&error))?;
    tokio::task::spawn_local(Monitor::new(catalog.clone(), nodes.clone(), options).run());
    let address = (std::net::Ipv4Addr::UNSPECIFIED, PORT).into();
    let _listener = router
        .listen(address, transport())
        .await
        .map_err(|error| text(&error))?;
    // Each dials each: without certificates, only one that was dialed is known to be a control node.
    for other in (0..CONTROLS).filter(|other| *other != number) {
        let _joined = router.join(format!("{}:{PORT}", control_name(other)), transport());
    }
    let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
    this.gateway.replace(Some(jobs));
    let gateway = Rc::new(Gateway {
        catalog: catalog.clone(),
        store,
        actors: router.any(),
    });
    let broken = async {
        let is_broken = |health: &Health| matches!(health, Health::Broken(_));
        if health.wait_for(is_broken).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(broken);
    loop {
        tokio::select! {
            biased;
            () = this.stop.notified() => {
                world.count("control nodes stopped");
                break;
            }
            why = nodes.fenced() => {
                tracing::info!(number, why, "a control node ends");
                world.count("control nodes that ended when they were fenced");
                break;
            }
            () = &mut broken => {
                world.count("control nodes that ended when their store failed");
                break;
            }
            Some(job) = queue.recv() => {
                tokio::task::spawn_local(job(Rc::clone(&gateway)));
            }
        }
    }
    drop(queue);
    router.shutdown(DRAIN_LIMIT).await;
    // It may not be possible, which others notice by its silence.
    let _ = tokio::time::timeout(LEAVE_LIMIT, leave(&catalog, &nodes)).await;
    Ok(())
}

/// One life of a volume node.
pub async fn volume(world: Rc<World>, number: usize) -> turmoil::Result {
    let storage = &world.storages[number];
    let router = world.router(&storage.node);
    parts::start_volume(&world.plan, &router, storage)?;
    for control in 0..CONTROLS {
        let _joined = router.join(format!("{}:{PORT}", control_name(control)), transport());
    }
    std::future::pending().await
}
