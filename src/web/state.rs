//! What every handler can reach: the catalog to read, handles to write.

use std::sync::Arc;

use actix_web::{HttpRequest, web};

use super::admission::{AdmissionOptions, AdmissionQueues};
use super::auth::Strategy;
use super::body_limits::BodyLimits;
use super::links::LinkOptions;
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

/// How a handler is given it: one for all workers.
pub type State = web::Data<WebState>;

/// Shared by all workers.
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
    pub default_limits: crate::model::quota::Deltas,
    /// The type a volume gets when none is given.
    pub default_volume_type: String,
    /// The zone a volume gets when none is given.
    pub default_availability_zone: String,
    /// How long a call to an actor may take.
    pub call_timeout: std::time::Duration,
    /// What actors left for those who look in.
    pub insight: Insight,
    /// One check of the catalog at a time: each has all of it in memory.
    pub checking: tokio::sync::Mutex<()>,
}

/// What actors write down beside their work, shared so that looking never waits on a mailbox.
#[derive(Clone, Default)]
pub struct Insight {
    /// Operations that have ended, and steps of open ones that the journal does not hold.
    pub operations: FinishedOperations,
    /// The scheduler's last decisions, with the reason for every pool; `None` where there is no scheduler.
    pub decisions: Option<Arc<Decisions>>,
}

/// How many things a page of a list may have, unless told otherwise (cinder: `osapi_max_limit`).
pub const DEFAULT_PAGE_SIZE: usize = 1000;

impl WebState {
    /// Handles from the router, and the defaults of the configuration; limits are none until they are set.
    #[must_use]
    pub fn new(catalog: Catalog, router: Router) -> Self {
        Self {
            catalog,
            api: router.any(),
            quota: router.any(),
            scheduler: router.any(),
            registry: router.any(),
            router,
            default_limits: crate::model::quota::Deltas::new(),
            default_volume_type: "__DEFAULT__".to_owned(),
            default_availability_zone: "nova".to_owned(),
            call_timeout: std::time::Duration::from_secs(60),
            insight: Insight::default(),
            checking: tokio::sync::Mutex::default(),
        }
    }
}

/// What every route needs before its handler: how callers are authenticated, how links begin, whether requests are served
/// (`web::Data<ServerState>`).
pub struct ServerState {
    /// How callers are told apart.
    pub strategy: Strategy,
    /// How links begin.
    pub links: LinkOptions,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// How large a body may be, and how slowly it may come.
    pub body: BodyLimits,
    /// How many things a page of a list may have.
    pub max_page_size: usize,
    /// How many requests are in work at once.
    pub admission: AdmissionQueues,
    /// Whether the start is over.
    pub readiness: Readiness,
    /// Why this node should not get requests although it started, if so; asked by each health check, so it must not wait.
    pub unhealthy: Option<Box<dyn Fn() -> Option<String> + Send + Sync>>,
    /// What it cannot do at present although requests are welcome, if there is anything; asked like `unhealthy`.
    pub restricted: Option<Box<dyn Fn() -> Option<String> + Send + Sync>>,
}

impl ServerState {
    /// The defaults of the configuration, not ready yet.
    #[must_use]
    pub fn new(strategy: Strategy) -> Self {
        Self {
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

    /// How the client of this request reaches us: `http://host:port`, without a slash at its end.
    #[must_use]
    pub fn base_url(&self, request: &HttpRequest) -> String {
        self.links.base_url(&self.trusted_proxies, request)
    }
}
