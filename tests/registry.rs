//! The registry as operators and other actors see it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::sync::Arc;
use std::time::Duration;

use pumice::actors::registry::{self, Liveness, Options, SCHEDULER_BINARY, VOLUME_BINARY};
use pumice::messages::registry::{Heartbeat, ListServices, RegistryTopic, ServiceView, SetServiceDisabled};
use pumice::model::{BackendName, Context, Error, ErrorKind, Service};
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;
use pumice::transport::{CallError, Handle, Router};

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
        router.register(registry::endpoint(catalog, Arc::clone(&liveness), options).start());
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
