//! The nodes: each call is one life of one of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pumice::actors::api::ControlNodes;
use pumice::messages::api::ApiTopic;
use pumice::messages::{Call, Message};
use pumice::model::{Context, Volume, VolumeId};
use pumice::store::Store;
use pumice::store::catalog::Catalog;
use pumice::transport::{CallError, Handle, Router};

use crate::clients;
use crate::disk::Disk;
use crate::history::History;
use crate::parts::{self, PORT, Storage, transport};
use crate::plan::Plan;

pub const CONTROL: &str = "control";

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
        Rc::new(Self {
            disk: Disk::default(),
            storages: Storage::all(&plan),
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

    /// What is stored at last.
    pub fn store(&self) -> Arc<dyn Store> {
        self.disk.memory.clone()
    }
}

/// What became of a request.
pub enum Asked<T> {
    Answered(Result<T, CallError>),
    /// It was not asked.
    #[expect(dead_code, reason = "here clients end with the node that they ask")]
    Nobody,
    /// Whom it was asked has died.
    #[expect(dead_code, reason = "here clients end with the node that they ask")]
    Lost,
}

/// What a client asks: the control node that it belongs to.
pub struct Api {
    catalog: Catalog,
    actors: Handle<ApiTopic>,
}

impl Api {
    pub async fn call<M: Call + Message<To = ApiTopic>>(
        &self,
        context: &Context,
        message: M,
        within: Duration,
    ) -> Asked<M::Reply> {
        Asked::Answered(self.actors.call(context, message, within).await)
    }

    /// A volume as it is shown, or that there is none; `None` without an answer.
    pub async fn volume(&self, id: VolumeId) -> Option<Option<Volume>> {
        let found = self.catalog.volume(id).await.ok()?;
        Some(found.map(|volume| volume.record))
    }
}

async fn open(world: &World) -> Result<Catalog, Box<dyn std::error::Error>> {
    let catalog = Catalog::open(Arc::new(world.disk.clone())).await?;
    parts::set_up(&catalog).await?;
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
    parts::start_control(&world.plan, &router, &catalog, ControlNodes::alone())?;
    let address = (std::net::Ipv4Addr::UNSPECIFIED, PORT).into();
    let _listener = router.listen(address, transport()).await?;
    world.busy.set(world.plan.clients);
    for number in 0..world.plan.clients {
        let api = Api {
            catalog: catalog.clone(),
            actors: router.any(),
        };
        tokio::task::spawn_local(clients::work(Rc::clone(&world), number, api));
    }
    std::future::pending().await
}

/// One life of a volume node.
pub async fn volume(world: Rc<World>, number: usize) -> turmoil::Result {
    let storage = &world.storages[number];
    let router = world.router(&storage.node);
    parts::start_volume(&world.plan, &router, storage)?;
    let _joined = router.join(format!("{CONTROL}:{PORT}"), transport());
    std::future::pending().await
}
