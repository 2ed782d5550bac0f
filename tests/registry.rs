//! The registry as operators and other actors see it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

#[expect(dead_code, reason = "other tests want more of it")]
mod transport_support;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pumice::actors::api::ControlNodes;
use pumice::actors::registry::control_nodes::{ControlNodeOptions, Monitor, join, leave};
use pumice::actors::registry::{self, Liveness, Options, SCHEDULER_BINARY, VOLUME_BINARY};
use pumice::messages::Topic;
use pumice::messages::registry::{
    DescribeControlNode, Heartbeat, ListServiceStates, ListServices, RegistryTopic, RemoveHost, ServiceState,
    ServiceView, SetServiceDisabled, SpokenTopic,
};
use pumice::messages::volume::{CancelOperation, CommandId, VolumeTopic};
use pumice::model::{BackendName, Context, Error, ErrorKind, NodeIncarnation, OperationId, Service};
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;
use pumice::transport::{Actor, CallError, EndpointBuilder, Handle, Router, Serve, TransportOptions};
use transport_support::net::Wire;

const WITHIN: Duration = Duration::from_secs(5);

/// One life of a control node.
struct Life {
    registry: Handle<RegistryTopic>,
    liveness: Arc<Liveness>,
}

impl Life {
    async fn begin(store: &Arc<MemoryStore>, options: Options) -> Self {
        let catalog = Catalog::open(Arc::clone(store) as _).await.unwrap();
        let liveness = Arc::new(Liveness::new(Duration::from_secs(60)));
        let router = Router::new("test");
        let nodes = ControlNodes::alone();
        let registry = registry::endpoint(catalog, Arc::clone(&liveness), router.clone(), nodes, options);
        router.register(registry.start());
        Self {
            registry: router.any(),
            liveness,
        }
    }

    async fn beat(&self, host: &str, zone: &str) {
        let beat = Heartbeat {
            binary: VOLUME_BINARY.into(),
            host: host.into(),
            availability_zone: zone.into(),
            backend_up: Some(true),
        };
        self.registry
            .cast(&Context::internal("test"), beat)
            .await
            .unwrap();
    }

    async fn services(&self) -> Vec<ServiceView> {
        self.registry
            .call(&Context::internal("test"), ListServices {}, WITHIN)
            .await
            .unwrap()
    }

    /// The services, as soon as this holds for them.
    async fn services_when(&self, holds: impl Fn(&[ServiceView]) -> bool) -> Vec<ServiceView> {
        for _ in 0..10_000 {
            let services = self.services().await;
            if holds(&services) {
                return services;
            }
        }
        panic!("it never held: {:?}", self.services().await)
    }

    async fn set_disabled(&self, binary: &str, host: &str, disabled: bool) -> Result<Service, Error> {
        let message = SetServiceDisabled {
            binary: binary.into(),
            host: host.into(),
            disabled,
            reason: disabled.then(|| "new disks".to_owned()),
        };
        match self
            .registry
            .call(&Context::internal("test"), message, WITHIN)
            .await
        {
            Err(CallError::Refused(error)) => Err(error),
            other => Ok(other.unwrap()),
        }
    }
}

#[actix::test]
async fn a_heartbeat_that_no_record_has_room_for_is_not_written_down() {
    let life = Life::begin(&Arc::default(), Options::default()).await;
    life.beat(&"h".repeat(256), "nova").await;
    life.beat("h@lvm", &"z".repeat(256)).await;
    life.beat("h@fits", &"z".repeat(255)).await;
    let services = life
        .services_when(|services| services.iter().any(|view| view.service.host == "h@fits"))
        .await;
    assert_eq!(services.len(), 1);
}

#[actix::test]
async fn a_service_that_beats_is_listed_once_and_up() {
    let life = Life::begin(&Arc::default(), Options::default()).await;
    for _ in 0..5 {
        life.beat("h@lvm", "nova").await;
    }
    let services = life
        .services_when(|services| services.iter().any(|view| view.up))
        .await;
    assert_eq!(services.len(), 1);
    let view = &services[0];
    assert_eq!(
        (view.service.binary.as_str(), view.service.host.as_str()),
        (VOLUME_BINARY, "h@lvm")
    );
    assert!(view.heard_at.is_some() && view.backend_up == Some(true));
}

#[actix::test]
async fn a_disabled_service_stays_disabled_over_a_restart_and_is_back_when_enabled() {
    let store = Arc::default();
    let life = Life::begin(&store, Options::default()).await;
    life.beat("h@lvm", "nova").await;
    let id = life.services_when(|services| !services.is_empty()).await[0]
        .service
        .id;
    let service = life.set_disabled("", "h@lvm", true).await.unwrap();
    assert!(service.disabled && service.disabled_reason.as_deref() == Some("new disks"));

    let life = Life::begin(&store, Options::default()).await;
    let services = life.services().await;
    assert_eq!(services.len(), 1);
    assert!(
        services[0].service.disabled && !services[0].up,
        "known, but not heard of"
    );
    let backend: BackendName = "h@lvm".parse().unwrap();
    assert_eq!(
        life.liveness.forbids(&backend).unwrap(),
        "its service is disabled: new disks"
    );
    life.beat("h@lvm", "nova").await;
    let services = life.services_when(|services| services[0].up).await;
    assert!(
        services[0].service.disabled && services[0].service.id == id,
        "a heartbeat enables no service"
    );

    let service = life.set_disabled(VOLUME_BINARY, "h@lvm", false).await.unwrap();
    assert!(!service.disabled && service.disabled_reason.is_none());
    assert_eq!(life.liveness.forbids(&backend), None);
}

#[actix::test]
async fn an_unknown_service_is_not_found() {
    let life = Life::begin(&Arc::default(), Options::default()).await;
    let error = life
        .set_disabled(VOLUME_BINARY, "nobody", true)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(
        error.client,
        "Service cinder-volume could not be found on host nobody."
    );
}

#[actix::test]
async fn a_service_that_moved_to_another_zone_is_the_same_service() {
    let life = Life::begin(&Arc::default(), Options::default()).await;
    life.beat("h@lvm", "nova").await;
    let id = life.services_when(|services| !services.is_empty()).await[0]
        .service
        .id;
    life.beat("h@lvm", "mars").await;
    let services = life
        .services_when(|services| services[0].service.availability_zone == "mars")
        .await;
    assert_eq!((services.len(), services[0].service.id), (1, id));
}

#[actix::test]
async fn the_scheduler_of_this_process_reports_itself() {
    let life = Life::begin(&Arc::default(), Options::default().with_scheduler("h", "nova")).await;
    let services = life
        .services_when(|services| services.iter().any(|view| view.up))
        .await;
    assert_eq!(services[0].service.binary, SCHEDULER_BINARY);
    assert_eq!(services[0].service.host, "h");
    assert_eq!(services[0].backend_up, None);
}

#[actix::test]
async fn a_store_that_fails_at_the_first_heartbeat_is_asked_again_at_the_next() {
    let store = Arc::<MemoryStore>::default();
    let life = Life::begin(&store, Options::default()).await;
    assert!(life.services().await.is_empty());
    store.fail_next_commits(1);
    life.beat("h@lvm", "nova").await;
    life.beat("h@lvm", "nova").await;
    life.services_when(|services| !services.is_empty()).await;
}

#[actix::test]
async fn what_another_node_wrote_of_a_service_is_known_after_one_report_interval_and_kept() {
    let store = Arc::<MemoryStore>::default();
    let often = Options {
        report_interval: Duration::from_millis(5),
        ..Options::default()
    };
    let (one, other) = (
        Life::begin(&store, often.clone()).await,
        Life::begin(&store, often).await,
    );
    one.beat("h@lvm", "nova").await;
    other.services_when(|services| !services.is_empty()).await;
    other.set_disabled(VOLUME_BINARY, "h@lvm", true).await.unwrap();
    one.services_when(|services| services[0].service.disabled).await;
    let backend = BackendName::new("h", "lvm");
    assert!(one.liveness.forbids(&backend).is_some());
    // Who writes one thing takes nothing back that somebody else wrote meanwhile.
    let rarely = Life::begin(&store, Options::default()).await;
    rarely.services_when(|services| !services.is_empty()).await;
    one.set_disabled(VOLUME_BINARY, "h@lvm", false).await.unwrap();
    rarely.beat("h@lvm", "mars").await;
    let services = one
        .services_when(|services| services[0].service.availability_zone == "mars")
        .await;
    assert!(!services[0].service.disabled);
}

/// Options of connections that break and come back quickly.
fn transport() -> TransportOptions {
    TransportOptions {
        ping_interval: Duration::from_millis(100),
        first_backoff: Duration::from_millis(5),
        longest_backoff: Duration::from_millis(50),
        trusts_every_peer: true,
        ..TransportOptions::default()
    }
}

/// One of several control nodes that share a store, on its own router.
struct Node {
    life: Life,
    router: Router,
    address: String,
    catalog: Catalog,
    nodes: ControlNodes,
}

impl Node {
    async fn start(store: &Arc<MemoryStore>, name: &str) -> Self {
        let catalog = Catalog::open(Arc::clone(store) as _).await.unwrap();
        let incarnation = NodeIncarnation {
            node: format!("{name}/control"),
            boot: 1,
            random: 1,
        };
        let times = ControlNodeOptions::default();
        let (catalog, nodes) = join(&catalog, &incarnation, 1, times).await.unwrap();
        actix::spawn(Monitor::new(catalog.clone(), nodes.clone(), times).run());
        let router = Router::new(&incarnation.node);
        let liveness = Arc::new(Liveness::new(Duration::from_secs(60)));
        let options = Options {
            address: Some(format!("{name}:7776")),
            ..Options::default()
        }
        .with_scheduler(name, "nova");
        let registry = registry::endpoint(
            catalog.clone(),
            Arc::clone(&liveness),
            router.clone(),
            nodes.clone(),
            options,
        );
        router.register(registry.start());
        let listener = router
            .listen("127.0.0.1:0".parse().unwrap(), transport())
            .await
            .unwrap();
        Self {
            life: Life {
                registry: router.any(),
                liveness,
            },
            address: listener.local_addr().to_string(),
            router,
            catalog,
            nodes,
        }
    }

    async fn states(&self) -> Vec<(String, ServiceState)> {
        let listed = self
            .life
            .registry
            .call(&Context::internal("test"), ListServiceStates {}, WITHIN)
            .await
            .unwrap();
        listed
            .into_iter()
            .map(|status| (status.service.host, status.state))
            .collect()
    }

    async fn until_state(&self, host: &str, state: ServiceState) {
        for _ in 0..2000 {
            if self.states().await.contains(&(host.to_owned(), state)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{host} never was {state:?}: {:?}", self.states().await)
    }

    async fn remove(&self, host: &str) -> Result<Vec<Service>, Error> {
        let message = RemoveHost {
            host: host.to_owned(),
        };
        let context = Context::internal("test");
        match self.life.registry.call(&context, message, WITHIN).await {
            Err(CallError::Refused(error)) => Err(error),
            other => Ok(other.unwrap()),
        }
    }
}

/// What a volume node serves.
struct Manager;

impl Actor for Manager {
    type Topic = VolumeTopic;
}

impl Serve<CancelOperation> for Manager {
    async fn serve(self: Rc<Self>, _: Context, _: CancelOperation) -> Result<(), Error> {
        Ok(())
    }
}

/// A volume node with one backend, `HOST@lvm`, that has sent a heartbeat to all whom it has joined.
async fn volume_node(host: &str, boot: u64, controls: &[&str]) -> Router {
    let router = Router::with_boot(&format!("{host}/volume"), boot);
    let backend = format!("{host}@lvm");
    let endpoint = EndpointBuilder::new(Some(backend.clone()), 8, || Rc::new(Manager));
    router.register(endpoint.serves::<CancelOperation>().start());
    for address in controls {
        router.join((*address).to_owned(), transport());
    }
    let beat = Heartbeat {
        binary: VOLUME_BINARY.into(),
        host: backend,
        availability_zone: "nova".into(),
        backend_up: Some(true),
    };
    for _ in 0..2000 {
        let heard = router.any::<RegistryTopic>();
        if heard.fanout(&Context::internal("test"), beat.clone()).await == controls.len() {
            return router;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{host} is not connected")
}

/// Two control nodes that are connected.
async fn two() -> (Arc<MemoryStore>, Node, Node) {
    let store = Arc::default();
    let (a, b) = (Node::start(&store, "a").await, Node::start(&store, "b").await);
    b.router.join(a.address.clone(), transport());
    (store, a, b)
}

#[actix::test]
async fn whichever_control_node_is_asked_all_schedulers_and_volume_services_are_listed_with_their_states() {
    let (_, a, b) = two().await;
    // Connected to one of them only.
    let volume = volume_node("v", 1, &[&b.address]).await;
    for node in [&a, &b] {
        for host in ["a", "b", "v@lvm"] {
            node.until_state(host, ServiceState::Up).await;
        }
        assert_eq!(node.states().await.len(), 3);
    }
    let services = a.life.services().await;
    assert!(
        services.iter().all(|view| view.up && view.heard_at.is_some()),
        "{services:?}"
    );
    // A goodbye counts at once, wherever it was heard.
    volume.shutdown(Duration::from_secs(5)).await;
    for node in [&b, &a] {
        node.until_state("v@lvm", ServiceState::Stopped).await;
    }
    let services = a.life.services().await;
    assert!(
        !services
            .iter()
            .find(|view| view.service.host == "v@lvm")
            .unwrap()
            .up
    );
    leave(&b.catalog, &b.nodes).await.unwrap();
    a.until_state("b", ServiceState::Stopped).await;
}

#[actix::test]
async fn a_node_that_is_lost_is_suspect_and_gets_no_placements_until_it_is_back_at_whatever_address() {
    let (_, a, _b) = two().await;
    let first = Wire::to(a.address.parse().unwrap()).await;
    let _lost = volume_node("v", 1, &[&first.address.to_string()]).await;
    a.until_state("v@lvm", ServiceState::Up).await;
    let backend = BackendName::new("v", "lvm");
    assert_eq!(a.life.liveness.excluded(true).get(&backend), None);
    first.silence();
    a.until_state("v@lvm", ServiceState::Suspect).await;
    let services = a.life.services().await;
    let view = services.iter().find(|view| view.service.host == "v@lvm").unwrap();
    assert!(view.up, "Cinder's clients see it up until its time is over");
    assert!(a.life.liveness.excluded(true).contains_key(&backend));
    let command = CancelOperation {
        command: CommandId {
            operation: OperationId::new(),
            attempt: 1,
        },
    };
    let manager = a.router.server::<VolumeTopic>("v@lvm");
    let context = Context::internal("test");
    assert!(matches!(
        manager.cast(&context, command.clone()).await,
        Err(CallError::Unreachable(_))
    ));
    // It is started again, and comes by another way: the control node sees another address.
    let second = Wire::to(a.address.parse().unwrap()).await;
    let _back = volume_node("v", 2, &[&second.address.to_string()]).await;
    a.until_state("v@lvm", ServiceState::Up).await;
    assert_eq!(a.life.liveness.excluded(true).get(&backend), None);
    manager.cast(&context, command).await.unwrap();
}

#[actix::test]
async fn a_host_is_removed_when_it_is_gone_and_has_no_volumes() {
    let (_, a, b) = two().await;
    let volume = volume_node("v", 1, &[&b.address]).await;
    a.until_state("v@lvm", ServiceState::Up).await;
    let error = a.remove("v").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.client.contains("is up"), "{}", error.client);
    assert_eq!(a.remove("nobody").await.unwrap_err().kind, ErrorKind::NotFound);
    volume.shutdown(Duration::from_secs(5)).await;
    a.until_state("v@lvm", ServiceState::Stopped).await;
    b.until_state("v@lvm", ServiceState::Stopped).await;
    let removed = a.remove("v").await.unwrap();
    assert_eq!(removed[0].host, "v@lvm");
    for node in [&a, &b] {
        let hosts: Vec<_> = node.states().await.into_iter().map(|(host, _)| host).collect();
        assert_eq!(hosts, ["a", "b"]);
    }
    // A control node that has ended, too: what is left of it may commit nothing.
    leave(&b.catalog, &b.nodes).await.unwrap();
    a.until_state("b", ServiceState::Stopped).await;
    a.remove("b").await.unwrap();
    assert!(!b.catalog.may_commit().await.unwrap());
    assert_eq!(a.catalog.control_nodes().await.unwrap().len(), 1);
}

#[actix::test]
async fn a_host_is_not_removed_while_a_control_node_that_may_know_it_does_not_answer() {
    let (_, a, b) = two().await;
    let volume = volume_node("v", 1, &[&a.address]).await;
    a.until_state("v@lvm", ServiceState::Up).await;
    volume.shutdown(Duration::from_secs(5)).await;
    a.until_state("v@lvm", ServiceState::Stopped).await;
    // It still says in the store that it runs, and cannot be asked.
    b.router.shutdown(Duration::from_secs(5)).await;
    let error = a.remove("v").await.unwrap_err();
    assert!(
        error.client.contains("Control node b/control does not answer"),
        "{}",
        error.client
    );
    assert!(a.states().await.iter().any(|(host, _)| host == "v@lvm"));
}

#[actix::test]
async fn a_control_node_describes_itself_and_the_versions_that_all_have() {
    let (_, a, b) = two().await;
    let _volume = volume_node("v", 1, &[&a.address]).await;
    let context = Context::internal("test");
    let report = a
        .life
        .registry
        .call(&context, DescribeControlNode {}, WITHIN)
        .await
        .unwrap();
    assert_eq!(report.node, "a/control");
    assert_eq!(report.address.as_deref(), Some("a:7776"));
    let of = |topic: &str, all: &[SpokenTopic]| all.iter().find(|of| of.topic == topic).map(|of| of.max);
    assert_eq!(of("registry", &report.speaks), Some(RegistryTopic::VERSIONS.1));
    assert_eq!(of("volume", &report.speaks), None);
    assert_eq!(of("volume", &report.common), Some(VolumeTopic::VERSIONS.1));
    let others = b
        .life
        .registry
        .call_others(&context, DescribeControlNode {}, WITHIN)
        .await;
    assert_eq!(others.len(), 1);
    assert_eq!(others[0].1.as_ref().unwrap().node, "a/control");
}
