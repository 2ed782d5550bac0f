//! The **Registry** actor: the liveness of services, and their enabling and disabling by operators.
//!
//! Heartbeats are kept in memory, since they are obsolete after a restart. The existence of a service and whether it is
//! disabled must survive one: these are written to the catalog when they change. Readers that cannot wait for an actor
//! read [`Liveness`].
//!
//! | file | content |
//! |---|---|
//! | `liveness` | which services are up, suspect, stopped and down, as this process sees them |
//! | `connections` | which nodes are connected, have said goodbye, or were lost |
//! | `statuses` | the states of all services, as far as any control node knows |
//! | `remove_host` | removing the services of a host that is gone |
//! | `control_nodes` | joining the control nodes that share the store, and finding those that do not run |
//! | `describe` | what a control node says of itself |

mod connections;
pub mod control_nodes;
mod describe;
mod liveness;
mod remove_host;
mod statuses;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

pub use self::liveness::{Known, Liveness, SCHEDULER_BINARY, VOLUME_BINARY, effective_down_time};
use crate::actors::permission::demand;
use crate::control::ControlNodes;
use crate::messages::registry::{
    DescribeControlNode, GetHeardServices, Heartbeat, ListServiceStates, ListServices, ReadServices,
    RegistryTopic, RemoveHost, ServiceView, SetServiceDisabled, SetServiceFrozen,
};
use crate::model::role::Level;
use crate::model::{Context, Error, Service, ServiceId, Timestamp, bounds};
use crate::store::catalog::Catalog;
use crate::store::{CommitError, StoreError};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, Router, Serve, Started};

/// How often a change is retried after a conflict with another node.
const COMMIT_TRIES: u32 = 8;

/// The pause before the known services are read from the catalog again after an error.
const LOAD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often services are read again that other control nodes may have changed.
const READ_AMONG_OTHERS: Duration = Duration::from_secs(1);

/// The options of the actor.
#[derive(Clone, Debug)]
pub struct Options {
    /// The interval of heartbeats of this process (`[service] report_interval`).
    pub report_interval: Duration,
    /// The services in this process without a separate heartbeat: its scheduler.
    pub own: Vec<Heartbeat>,
    /// The bound of the mailbox.
    pub mailbox_bound: usize,
    /// Where this process listens for other nodes, for those who look at the cluster.
    pub address: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            report_interval: Duration::from_secs(10),
            own: Vec::new(),
            mailbox_bound: 1024,
            address: None,
        }
    }
}

impl Options {
    /// Adds the scheduler of this process, with its host and zone.
    #[must_use]
    pub fn with_scheduler(mut self, host: &str, availability_zone: &str) -> Self {
        self.own.push(Heartbeat {
            binary: SCHEDULER_BINARY.to_owned(),
            host: host.to_owned(),
            availability_zone: availability_zone.to_owned(),
            backend_up: None,
        });
        self
    }
}

/// See the module.
pub struct Registry {
    catalog: Catalog,
    liveness: Arc<Liveness>,
    router: Router,
    nodes: ControlNodes,
    options: Options,
    /// Held while a record is read, decided on and written, so that two messages do not write the same one.
    writing: Mutex<()>,
}

/// The endpoint, ready to be started and registered.
pub fn endpoint(
    catalog: Catalog,
    liveness: Arc<Liveness>,
    router: Router,
    nodes: ControlNodes,
    options: Options,
) -> EndpointBuilder<Registry> {
    EndpointBuilder::new(None, options.mailbox_bound, move || {
        Rc::new(Registry {
            catalog: catalog.clone(),
            liveness: Arc::clone(&liveness),
            router: router.clone(),
            nodes: nodes.clone(),
            options: options.clone(),
            writing: Mutex::new(()),
        })
    })
    .serves::<Heartbeat>()
    .serves::<ListServices>()
    .serves::<SetServiceDisabled>()
    .serves::<SetServiceFrozen>()
    .serves::<ListServiceStates>()
    .serves::<GetHeardServices>()
    .serves::<ReadServices>()
    .serves::<RemoveHost>()
    .serves::<DescribeControlNode>()
}

impl Registry {
    async fn load(&self) {
        while !self.liveness.is_loaded() {
            if let Err(error) = self.read().await {
                tracing::error!(%error, "services could not be read; trying again");
                tokio::time::sleep(LOAD_AGAIN_AFTER).await;
            }
        }
    }

    async fn read(&self) -> Result<(), StoreError> {
        let services = self.catalog.services().await?;
        self.liveness
            .load(services.into_iter().map(|stored| stored.record));
        Ok(())
    }

    async fn beat(&self, beat: &Heartbeat) -> Result<(), Error> {
        check(beat)?;
        self.liveness.loaded().await;
        let known = self.liveness.get(&beat.binary, &beat.host);
        if known.is_none_or(|known| known.service.availability_zone != beat.availability_zone) {
            self.write_down(beat).await?;
        }
        self.liveness
            .heard(&beat.binary, &beat.host, beat.backend_up, Instant::now());
        Ok(())
    }

    /// Stores a service that is new, or has another zone.
    async fn write_down(&self, beat: &Heartbeat) -> Result<(), Error> {
        self.change(&beat.binary, &beat.host, |known| match known {
            Some(known) if known.availability_zone == beat.availability_zone => known,
            Some(known) => Service {
                availability_zone: beat.availability_zone.clone(),
                updated_at: Some(Timestamp::now()),
                ..known
            },
            None => Service {
                id: ServiceId::new(),
                binary: beat.binary.clone(),
                host: beat.host.clone(),
                availability_zone: beat.availability_zone.clone(),
                disabled: false,
                disabled_reason: None,
                frozen: false,
                created_at: Timestamp::now(),
                updated_at: None,
            },
        })
        .await
        .map(|service| {
            tracing::info!(
                binary = service.binary,
                host = service.host,
                zone = service.availability_zone,
                "service seen"
            );
        })
    }

    /// Reads a service in the catalog, where another node may have changed it, and writes the result of `change`. It is made
    /// durable first, then published.
    async fn change(
        &self,
        binary: &str,
        host: &str,
        change: impl Fn(Option<Service>) -> Service,
    ) -> Result<Service, Error> {
        let _writing = self.writing.lock().await;
        for _ in 0..COMMIT_TRIES {
            let was = self.catalog.service(binary, host).await?;
            let now = change(was.as_ref().map(|was| was.record.clone()));
            let mut changes = self.catalog.change();
            changes.update_service(was.as_ref(), &now);
            match changes.commit().await {
                Ok(_) => {
                    self.liveness.put(now.clone());
                    self.tell_others();
                    return Ok(now);
                }
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.for_client("writing a service")),
            }
        }
        Err(Error::unavailable(
            "The service is temporarily unable to handle the request.",
            1,
        ))
    }

    /// Makes other control nodes read the services again. It need not reach them: a placement compares the record of its service.
    fn tell_others(&self) {
        if self.nodes.own().is_some() {
            let registries = self.router.any::<RegistryTopic>();
            tokio::task::spawn_local(async move {
                let context = Context::internal("registry");
                registries.fanout_to_others(&context, ReadServices {}).await;
            });
        }
    }

    /// Reads the services again, to include the changes of other nodes.
    async fn read_again(&self) {
        let _writing = self.writing.lock().await;
        if let Err(error) = self.read().await {
            tracing::warn!(%error, "services could not be read again; the known state is kept");
        }
    }
}

/// Refuses a heartbeat whose service is too large for a record.
fn check(beat: &Heartbeat) -> Result<(), Error> {
    bounds::check_length(&beat.binary, "binary")?;
    bounds::check_length(&beat.host, "host")?;
    bounds::check_length(&beat.availability_zone, "availability_zone")
}

impl Actor for Registry {
    type Topic = RegistryTopic;

    fn started(self: Rc<Self>, started: &Started) {
        let registry = Rc::clone(&self);
        started.spawn(connections::follow(
            self.router.clone(),
            Arc::clone(&self.liveness),
        ));
        started.spawn(async move {
            registry.load().await;
            let mut interval = tokio::time::interval(registry.options.report_interval);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    _ = interval.tick() => registry.read_again().await,
                    () = tokio::time::sleep(READ_AMONG_OTHERS), if registry.catalog.is_shared() => {
                        registry.read_again().await;
                        continue;
                    }
                }
                for beat in &registry.options.own {
                    if let Err(error) = registry.beat(beat).await {
                        tracing::error!(
                            error = error.for_operator(),
                            host = beat.host,
                            "own heartbeat failed"
                        );
                    }
                }
            }
        });
    }
}

impl Serve<Heartbeat> for Registry {
    async fn serve(self: Rc<Self>, _context: Context, beat: Heartbeat) -> Result<(), Error> {
        self.beat(&beat).await
    }
}

impl Serve<ListServices> for Registry {
    async fn serve(
        self: Rc<Self>,
        context: Context,
        _message: ListServices,
    ) -> Result<Vec<ServiceView>, Error> {
        let statuses = self.statuses(&context).await?;
        Ok(statuses.services.into_iter().map(ServiceView::from).collect())
    }
}

impl Serve<ReadServices> for Registry {
    async fn serve(self: Rc<Self>, _context: Context, _message: ReadServices) -> Result<(), Error> {
        self.liveness.loaded().await;
        self.read_again().await;
        Ok(())
    }
}

impl Serve<SetServiceDisabled> for Registry {
    async fn serve(self: Rc<Self>, context: Context, message: SetServiceDisabled) -> Result<Service, Error> {
        demand::<SetServiceDisabled>(Level::Admin, &context)?;
        self.liveness.loaded().await;
        let mut changed = None;
        for known in self.liveness.services_of(&message.binary, &message.host) {
            let service = self
                .change(&known.binary, &known.host, |was| Service {
                    disabled: message.disabled,
                    disabled_reason: message.reason.clone().filter(|_| message.disabled),
                    updated_at: Some(Timestamp::now()),
                    ..was.unwrap_or_else(|| known.clone())
                })
                .await?;
            tracing::info!(
                binary = service.binary,
                host = service.host,
                disabled = service.disabled,
                reason = service.disabled_reason,
                "service disabled or enabled for scheduling"
            );
            changed.get_or_insert(service);
        }
        changed.ok_or_else(|| {
            let SetServiceDisabled { binary, host, .. } = &message;
            Error::not_found(format!("Service {binary} could not be found on host {host}."))
        })
    }
}

impl Serve<SetServiceFrozen> for Registry {
    /// cinder: `volume/api.py` `_replication_db_change`.
    async fn serve(self: Rc<Self>, context: Context, message: SetServiceFrozen) -> Result<(), Error> {
        demand::<SetServiceFrozen>(Level::Admin, &context)?;
        self.liveness.loaded().await;
        let SetServiceFrozen { host, frozen } = message;
        let known = match &self.liveness.services_of(VOLUME_BINARY, &host)[..] {
            [known] => known.clone(),
            [] => return Err(Error::bad_request(format!("No service found with host={host}"))),
            _ => return Err(Error::bad_request("Services from different clusters found.")),
        };
        if known.frozen == frozen {
            let expected = if frozen { "False" } else { "True" };
            return Err(Error::invalid_input(format!(
                "No service could be changed: frozen in ['{}'] must be {expected} to failover.",
                known.host
            )));
        }
        let service = self
            .change(&known.binary, &known.host, |was| Service {
                frozen,
                updated_at: Some(Timestamp::now()),
                ..was.unwrap_or_else(|| known.clone())
            })
            .await?;
        tracing::info!(host = service.host, frozen, "backend frozen or thawed");
        Ok(())
    }
}
