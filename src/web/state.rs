//! The state that every handler can use: the catalog for reads, handles of actors for changes.

use std::sync::Arc;

use actix_web::{HttpRequest, web};

use super::admission::{AdmissionOptions, AdmissionQueues};
use super::auth::Strategy;
use super::body_limits::BodyLimits;
use super::links::LinkOptions;
use super::policy::Policy;
use super::readiness::Readiness;
use super::trusted_proxies::TrustedProxies;
use crate::control::FinishedOperations;
use crate::control::decisions::Decisions;
use crate::messages::api::ApiTopic;
use crate::messages::quota::QuotaTopic;
use crate::messages::registry::RegistryTopic;
use crate::messages::scheduler::SchedulerTopic;
use crate::store::catalog::Catalog;
use crate::transport::{Handle, Router};

/// The extractor of the state, which all workers share.
pub type State = web::Data<WebState>;

/// The state of the routes of volumes, shared by all workers.
pub struct WebState {
    /// For reading.
    pub catalog: Catalog,
    /// For changing.
    pub api: Handle<ApiTopic>,
    /// For limits.
    pub quota: Handle<QuotaTopic>,
    /// For pools.
    pub scheduler: Handle<SchedulerTopic>,
    /// For services.
    pub registry: Handle<RegistryTopic>,
    /// For inspection.
    pub router: Router,
    /// Default limits of the configuration, by resource.
    pub default_limits: crate::model::quota::Limits,
    /// The type a volume gets when none is given.
    pub default_volume_type: String,
    /// The zone a volume gets when none is given.
    pub default_availability_zone: String,
    /// How long a call to an actor may take.
    pub call_timeout: std::time::Duration,
    /// What actors record for inspection.
    pub insight: Insight,
    /// Held by a check of the catalog, so that one runs at a time: each has the whole catalog in memory.
    pub checking: tokio::sync::Mutex<()>,
}

/// What actors record for inspection, shared so that reading it never waits for a mailbox.
#[derive(Clone, Default)]
pub struct Insight {
    /// Ended operations, and the steps of open ones that are not in the journal.
    pub operations: FinishedOperations,
    /// The scheduler's last decisions, with the reason for every pool; `None` where there is no scheduler.
    pub decisions: Option<Arc<Decisions>>,
}

/// The default page size of lists (cinder: `osapi_max_limit`).
pub const DEFAULT_PAGE_SIZE: usize = 1000;

impl WebState {
    /// Handles from the router, and the default configuration, without limits.
    pub fn new(catalog: Catalog, router: Router) -> Self {
        Self {
            catalog,
            api: router.any(),
            quota: router.any(),
            scheduler: router.any(),
            registry: router.any(),
            router,
            default_limits: crate::model::quota::default_limits(),
            default_volume_type: "__DEFAULT__".to_owned(),
            default_availability_zone: "nova".to_owned(),
            call_timeout: std::time::Duration::from_secs(60),
            insight: Insight::default(),
            checking: tokio::sync::Mutex::default(),
        }
    }
}

/// The state that every route needs before its handler: authentication, links, limits, readiness
/// (`web::Data<ServerState>`).
pub struct ServerState {
    /// Who may do what.
    pub policy: Arc<Policy>,
    /// How callers are authenticated.
    pub strategy: Strategy,
    /// How links begin.
    pub links: LinkOptions,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: TrustedProxies,
    /// Limits of request bodies.
    pub body: BodyLimits,
    /// The largest page size of lists.
    pub max_page_size: usize,
    /// The queues of admission.
    pub admission: AdmissionQueues,
    /// Whether the node is ready.
    pub readiness: Readiness,
    /// Returns why this node should not receive requests although it is ready, if so; called by each health check, so it
    /// must not block.
    pub unhealthy: Option<Box<dyn Fn() -> Option<String> + Send + Sync>>,
    /// Returns which function of this node is restricted at present, if any; called like `unhealthy`.
    pub restricted: Option<Box<dyn Fn() -> Option<String> + Send + Sync>>,
}

impl ServerState {
    /// The default configuration, not ready yet.
    pub fn new(strategy: Strategy) -> Self {
        Self {
            policy: Arc::default(),
            strategy,
            links: LinkOptions::default(),
            trusted_proxies: TrustedProxies::default(),
            body: BodyLimits::default(),
            max_page_size: DEFAULT_PAGE_SIZE,
            admission: AdmissionQueues::new(&AdmissionOptions::default()),
            readiness: Readiness::starting(),
            unhealthy: None,
            restricted: None,
        }
    }

    /// The URL by which the client of this request reaches this service: `http://host:port`, without a trailing slash.
    pub fn base_url(&self, request: &HttpRequest) -> String {
        self.links.base_url(&self.trusted_proxies, request)
    }
}
