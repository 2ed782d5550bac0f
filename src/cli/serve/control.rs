//! The control half of a node: the store, the Api, Quota, Scheduler and Registry actors, identity and the web server.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;

use super::BoxError;
use super::control_nodes::Membership;
use super::exports::Exports;
use super::store::{self, Opened};
use super::{keystone, lists, notifications, policy, tls};
use crate::actors::api::{self, Deadlines, FinishedOperations};
use crate::actors::logins;
use crate::actors::quota;
use crate::actors::registry::{self, Liveness, effective_down_time};
use crate::actors::relay;
use crate::actors::scheduler::{self, weighers::Multipliers};
use crate::config::{Config, auth};
use crate::messages::quota::QuotaTopic;
use crate::messages::scheduler::SchedulerTopic;
use crate::model::quota::{Limits, Resource as QuotaResource};
use crate::store::Health;
use crate::store::catalog::Catalog;
use crate::transport::Router;
use crate::web::admission::{AdmissionOptions, AdmissionQueues};
use crate::web::auth::Strategy;
use crate::web::body_limits::BodyLimits;
use crate::web::connection::{ConnectionLimits, Patience};
use crate::web::cors::Cors;
use crate::web::identity::{Identity, IdentityOptions, UserOptions};
use crate::web::links::LinkOptions;
use crate::web::readiness::Readiness;
use crate::web::server::{self, ServerOptions, Site};
use crate::web::state::{Insight, ServerState, WebState};
use crate::web::trusted_proxies::TrustedProxies;

/// How long open requests may take at shutdown.
const WEB_SHUTDOWN: Duration = Duration::from_secs(2);

/// How often expired tokens are removed.
const TIDY: Duration = Duration::from_secs(300);

/// The control actors and the web server, running.
pub struct Control {
    arbiter: Arbiter,
    /// Decisions among thousands of pools are made on a separate thread.
    scheduling: Arbiter,
    /// The relay forwards pieces of volumes on a separate thread.
    relay: Arbiter,
    /// Notifications are published on a separate thread.
    notifier: Option<Arbiter>,
    server: ServerHandle,
    readiness: Readiness,
    admission: AdmissionQueues,
    exports: Exports,
    membership: Membership,
    health: watch::Receiver<Health>,
}

impl Control {
    /// Opens the store, starts the actors, and binds the web server; it answers 503 to health checks until [`Control::open`].
    pub async fn start(config: &Config, data_dir: &Path, router: &Router) -> Result<Self, BoxError> {
        let Opened { store, health } = store::open(config, data_dir).await?;
        let catalog = Catalog::open(Arc::clone(&store)).await?;
        let Membership { catalog, nodes } = Membership::join(config, data_dir, catalog, router).await?;
        let catalog = lists::tables(config, catalog);
        let catalog = notifications::outbox(config, catalog).await?;
        let notifier = notifications::start(config, &catalog, &nodes, router)?;
        let (arbiter, scheduling) = (Arbiter::new(), Arbiter::new());
        let membership = Membership {
            catalog: catalog.clone(),
            nodes,
        };
        let insight = start_actors(config, &membership, router, &arbiter, &scheduling)?;
        membership.watch(&arbiter.handle());
        let relaying = Arbiter::new();
        router.register(relay::endpoint(router.clone()).start_on(&relaying.handle()));
        let readiness = Readiness::starting();
        let watched = Watched {
            readiness: readiness.clone(),
            health: health.clone(),
        };
        let admission = admission(config);
        let site = site(
            config,
            data_dir,
            catalog,
            router,
            watched,
            insight,
            admission.clone(),
        )
        .await?;
        let options = ServerOptions {
            listen: vec![config.web.listen],
            workers: config.web.workers,
            connections: connection_limits(config),
            trusted_proxies: TrustedProxies(config.web.trusted_proxies.clone()),
            patience: Patience {
                client_timeout: config.web.client_timeout.get(),
                keep_alive: config.web.keep_alive.get(),
                bytes_per_second: config.web.min_transfer_rate.0,
            },
            shutdown_timeout: WEB_SHUTDOWN,
            cors: Some(Arc::new(cors(config))),
            tls: tls::open(config)?,
        };
        if let Some(identity) = site.identity.as_ref().filter(|_| membership.catalog.is_shared()) {
            let counted = identity.share_attempts(router.any());
            let attempts = logins::endpoint(counted, config.transport.mailbox_bound);
            router.register(attempts.start_on(&arbiter.handle()));
        }
        let (server, addresses) = server::run(&options, site)?;
        let scheme = scheme(config);
        for address in addresses {
            tracing::info!(url = %format_args!("{scheme}://{address}"), "serving");
        }
        let handle = server.handle();
        actix_rt::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the web server ended");
            }
        });
        Ok(Self {
            arbiter,
            scheduling,
            relay: relaying,
            notifier,
            server: handle,
            readiness,
            admission,
            exports: Exports::start(store, &membership, config, data_dir)?,
            membership,
            health,
        })
    }

    /// Returns the reason once another node has taken this one's place: it can change nothing any more.
    pub async fn fenced(&self) -> String {
        let why = self.membership.nodes.fenced().await;
        self.readiness.unready(why.clone());
        why
    }

    /// Returns the reason once the store accepts no more commits. Then the process must stop: the state of the disk is known only
    /// after the store is opened again.
    pub async fn failed(&self) -> String {
        let mut health = self.health.clone();
        loop {
            if let Health::Broken(why) = &*health.borrow_and_update() {
                self.readiness.unready(format!("the store failed: {why}"));
                return why.clone();
            }
            if health.changed().await.is_err() {
                return "its writer ended".to_owned();
            }
        }
    }

    /// Marks the node as ready for requests.
    pub fn open(&self) {
        self.readiness.ready();
    }

    /// Refuses new requests; open ones may end.
    pub async fn close(&self) {
        if self.readiness.obstacle().is_none() {
            self.readiness.unready("stopping");
        }
        self.admission.close();
        self.server.stop(true).await;
    }

    /// Stops the remaining parts, with an export of the store.
    pub async fn end(self) {
        // What others take over ends here first.
        if let Some(notifier) = &self.notifier {
            notifier.stop();
        }
        self.membership.leave().await;
        self.arbiter.stop();
        self.scheduling.stop();
        self.relay.stop();
        self.exports.end().await;
    }
}

/// The limit of open files that is set: child programs inherit it, and some iterate over all of it.
const OPEN_FILES: u64 = 65_536;

/// The configured number of connections, reduced to the limit of open files, which is raised first: systemd and shells allow
/// 1,024 by default.
fn connection_limits(config: &Config) -> ConnectionLimits {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    let mut files = limit.current.unwrap_or(OPEN_FILES);
    if files < hard {
        let raised = Rlimit {
            current: Some(hard),
            maximum: limit.maximum,
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => files = hard,
            Err(error) => tracing::warn!(%error, files, "the limit of open files cannot be raised"),
        }
    }
    let web = &config.web;
    let limits = ConnectionLimits::within(web.max_connections, web.max_connections_per_address, files);
    if limits.total < web.max_connections {
        tracing::warn!(
            open_files = files,
            connections = limits.total,
            configured = web.max_connections,
            "fewer connections than configured: the process may not open so many files (LimitNOFILE, ulimit -n)"
        );
    }
    limits
}

fn start_actors(
    config: &Config,
    Membership { catalog, nodes }: &Membership,
    router: &Router,
    arbiter: &Arbiter,
    scheduling: &Arbiter,
) -> Result<Insight, BoxError> {
    let bound = config.transport.mailbox_bound;
    let report_interval = config.service.report_interval.get();
    let liveness = Arc::new(Liveness::new(effective_down_time(
        report_interval,
        config.service.down_time.get(),
    )));
    let registry_options = registry::Options {
        report_interval,
        mailbox_bound: bound,
        address: super::listen_address(config).map(|address| address.to_string()),
        ..registry::Options::default()
    }
    .with_scheduler(&config.node.host, &config.node.availability_zone);
    let quota_options = quota::Options {
        defaults: default_limits(config),
        mailbox_bound: bound,
    };
    let scheduler_options = scheduler::Options {
        filters: config.scheduler.filters.clone(),
        weighers: config.scheduler.weighers.clone(),
        multipliers: Multipliers {
            capacity: config.scheduler.capacity_weight_multiplier,
        },
        init_wait: config.scheduler.init_wait.get(),
        mailbox_bound: bound,
        ..scheduler::Options::default()
    };
    let scheduler_state = scheduler::SchedulerState::new(
        catalog.clone(),
        router.clone(),
        liveness.clone(),
        scheduler_options,
    )?;
    let insight = Insight {
        operations: FinishedOperations::new(),
        decisions: Some(Arc::clone(scheduler_state.decisions())),
    };
    let api_control = api::Control {
        catalog: catalog.clone(),
        quota: router.any::<QuotaTopic>(),
        scheduler: router.any::<SchedulerTopic>(),
        router: router.clone(),
        finished: insight.operations.clone(),
        nodes: nodes.clone(),
        options: api_options(config),
    };
    let on = &arbiter.handle();
    let registry = registry::endpoint(
        catalog.clone(),
        liveness,
        router.clone(),
        nodes.clone(),
        registry_options,
    );
    router.register(registry.start_on(on));
    router.register(quota::endpoint(catalog.clone(), quota_options).start_on(on));
    router.register(scheduler::endpoint(scheduler_state).start_on(&scheduling.handle()));
    router.register(api::endpoint(api_control).start_on(on));
    Ok(insight)
}

fn api_options(config: &Config) -> api::Options {
    let operations = &config.operations;
    api::Options {
        default_volume_type: config.volume.default_volume_type.clone(),
        default_availability_zone: Some(config.volume.default_availability_zone.clone()),
        storage_availability_zone: config.node.availability_zone.clone(),
        allow_availability_zone_fallback: config.volume.allow_availability_zone_fallback,
        cloned_volume_same_az: config.volume.cloned_volume_same_az,
        max_attempts: config.scheduler.max_attempts,
        deadlines: Deadlines {
            create: operations.create_deadline.get(),
            delete: operations.delete_deadline.get(),
            extend: operations.extend_deadline.get(),
            attachment: operations.attachment_deadline.get(),
            snapshot: operations.snapshot_deadline.get(),
            manage: operations.manage_deadline.get(),
            per_gib: operations.deadline_per_gib.get(),
        },
        retry_initial: operations.retry_initial.get(),
        retry_max: operations.retry_max.get(),
        patience: operations.resend_after.get(),
        // So that the actor's answer arrives before the caller's timeout.
        wait_limit: config.web.call_timeout.get().mul_f64(0.9),
        idempotency_ttl: config.web.idempotency_ttl.get(),
        idempotency_keys_per_project: config.web.idempotency_keys_per_project,
        // The rest is for the last record, and for the message around them.
        page_bytes: config.transport.max_frame.as_usize() / 2,
        page_size: usize::try_from(config.transport.page_size).unwrap_or(usize::MAX),
        mailbox_bound: config.transport.mailbox_bound,
        ..api::Options::default()
    }
}

fn default_limits(config: &Config) -> Limits {
    config
        .quota
        .limits()
        .into_iter()
        .map(|(name, limit)| (QuotaResource(name.to_owned()), limit))
        .collect()
}

/// The state that a health check reads.
struct Watched {
    readiness: Readiness,
    health: watch::Receiver<Health>,
}

fn admission(config: &Config) -> AdmissionQueues {
    AdmissionQueues::new(&AdmissionOptions {
        at_once: config.web.requests_at_once,
        per_project: config.web.requests_per_project,
        waiting: config.web.requests_waiting,
        patience: config.web.request_patience.get(),
    })
}

async fn site(
    config: &Config,
    data_dir: &Path,
    catalog: Catalog,
    router: &Router,
    watched: Watched,
    insight: Insight,
    admission: AdmissionQueues,
) -> Result<Site, BoxError> {
    let mut identity = None;
    let strategy = match config.auth.strategy {
        auth::Strategy::Noauth => Strategy::NoAuth,
        auth::Strategy::Keystone => Strategy::Tokens(keystone::start(config)?),
        auth::Strategy::Embedded => {
            let opened = Arc::new(
                Identity::open(catalog.clone(), router.any(), identity_options(config, data_dir)).await?,
            );
            actix_rt::spawn(opened.clone().keep_tidy(TIDY));
            identity = Some(opened.clone());
            Strategy::Tokens(opened)
        }
    };
    let Watched { readiness, health } = watched;
    let actors = router.clone();
    let server = ServerState {
        policy: policy::open(&config.auth.policy_file)?,
        links: LinkOptions {
            public_endpoint: config.web.public_endpoint().map(str::to_owned),
            proxy_headers: config.web.enable_proxy_headers,
        },
        trusted_proxies: TrustedProxies(config.web.trusted_proxies.clone()),
        body: BodyLimits {
            size: config.web.max_body_size.as_usize(),
            time: config.web.body_timeout.get(),
            bytes_per_second: config.web.min_transfer_rate.0,
        },
        max_page_size: config.web.max_page_size,
        admission,
        readiness,
        unhealthy: Some(Box::new(move || {
            (!actors.healthy()).then(|| "an actor failed too often; see /inspect/actors".to_owned())
        })),
        restricted: Some(Box::new(move || match &*health.borrow() {
            Health::NoRoom(why) | Health::Unreachable(why) => Some(format!("read-only: {why}")),
            Health::Well | Health::Broken(_) => None,
        })),
        ..ServerState::new(strategy)
    };
    let state = WebState {
        default_limits: default_limits(config),
        default_volume_type: config.volume.default_volume_type.clone(),
        default_availability_zone: config.volume.default_availability_zone.clone(),
        call_timeout: config.web.call_timeout.get(),
        insight,
        ..WebState::new(catalog, router.clone())
    };
    Ok(Site {
        server: Data::new(server),
        state: Some(Data::new(state)),
        identity: identity.map(Data::from),
    })
}

fn identity_options(config: &Config, data_dir: &Path) -> IdentityOptions {
    let users = config.auth.users.iter().map(|user| UserOptions {
        name: user.name.clone(),
        password: user.password.clone(),
        password_hash: user.password_hash.clone(),
        project: user.project.clone(),
        roles: user.roles.clone(),
    });
    IdentityOptions {
        users: users.collect(),
        token_lifetime: config.auth.token_lifetime.get(),
        region: config.auth.region.clone(),
        clouds_dir: Some(data_dir.to_owned()),
        url: local_url(config),
        call_timeout: config.web.call_timeout.get(),
        ..IdentityOptions::default()
    }
}

/// The URL for clients on this machine.
pub(in crate::cli) fn local_url(config: &Config) -> String {
    if let Some(url) = config.web.public_endpoint() {
        return url.to_owned();
    }
    let (listen, scheme) = (config.web.listen, scheme(config));
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => format!("{scheme}://127.0.0.1:{}", listen.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("{scheme}://[::1]:{}", listen.port()),
        _ => format!("{scheme}://{listen}"),
    }
}

fn cors(config: &Config) -> Cors {
    let of = &config.cors;
    Cors {
        allowed_origins: of.allowed_origins.clone(),
        allow_credentials: of.allow_credentials,
        expose_headers: of.expose_headers.clone(),
        max_age: of.max_age.get(),
        allow_methods: of.allow_methods.clone(),
        allow_headers: of.allow_headers.clone(),
    }
}

fn scheme(config: &Config) -> &'static str {
    if config.web.has_tls() { "https" } else { "http" }
}
