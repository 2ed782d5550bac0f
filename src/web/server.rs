//! The web server: mounts all routes and the middleware.
//!
//! ```text
//!   /                      300, versions          no token
//!   /v3  /v3/  /v3/{p}     versions               no token
//!   /healthcheck           200 or 503             no token
//!   /openapi.json          OpenAPI document       no token
//!   /identity/…            Keystone v3            logins need none
//!   /v3/{p}/…  /v3/…       Cinder v3              token
//!   /inspect/…             inspection             token of an administrator
//! ```

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::{AppConfig, Server};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpResponse, Scope, web};
use tokio::net::TcpStream;

use super::connection::{ConnectionLimits, Connections, Encrypted, ListeningOn, Patience, Watched};
use super::cors::{self, Cors};
use super::identity::{self, Identity};
use super::routes::Routes;
use super::state::{ServerState, WebState};
use super::stream::Stream;
use super::tls::Tls;
use super::trusted_proxies::TrustedProxies;
use super::{fault, gate, healthcheck, inspect, middleware, openapi, v3, versions};

/// Options of the server.
#[derive(Clone)]
pub struct ServerOptions {
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The number of worker threads.
    pub workers: usize,
    /// Limits of the number of connections.
    pub connections: ConnectionLimits,
    /// The trusted proxies.
    pub trusted_proxies: TrustedProxies,
    /// Idle timeouts of connections.
    pub patience: Patience,
    /// How long open requests may take when the server stops.
    pub shutdown_timeout: Duration,
    /// Which pages of other origins may call; without it, none.
    pub cors: Option<Arc<Cors>>,
    /// The certificate of HTTPS; without one it is HTTP.
    pub tls: Option<Tls>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8776))],
            workers: 2,
            connections: ConnectionLimits {
                total: 10_000,
                per_address: 5_000,
            },
            trusted_proxies: TrustedProxies::default(),
            patience: Patience {
                client_timeout: Duration::from_secs(10),
                keep_alive: Duration::from_secs(75),
                bytes_per_second: 8192,
            },
            shutdown_timeout: Duration::from_secs(30),
            cors: None,
            tls: None,
        }
    }
}

/// The state of all routes. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    /// The state that every route needs.
    pub server: web::Data<ServerState>,
    /// The state of volume routes; `None` serves logins only.
    pub state: Option<web::Data<WebState>>,
    /// The embedded identity service, if enabled.
    pub identity: Option<web::Data<Identity>>,
}

/// The tables of routes, each with the prefix it is mounted under.
pub fn tables() -> Vec<(&'static str, Routes)> {
    vec![
        ("", Routes::of(open_routes)),
        ("/identity", Routes::of(identity::add_routes)),
        ("/inspect", Routes::of(inspect::routes)),
        (WITH_PROJECT, Routes::of(v3::routes)),
        (WITHOUT_PROJECT, Routes::of(v3::routes)),
    ]
}

/// Routes without a token.
pub fn open_routes(routes: &mut Routes) {
    openapi::routes(routes);
    versions::routes(routes);
    healthcheck::routes(routes);
}

const WITH_PROJECT: &str = "/v3/{project_id:[0-9a-f-]+}";
/// The prefix without a project, since 3.67.
const WITHOUT_PROJECT: &str = "/v3";

/// Mounts all routes. The application must be wrapped in [`middleware::edge`].
pub fn configure(cfg: &mut web::ServiceConfig, site: &Site) {
    cfg.app_data(site.server.clone());
    mount_open(cfg);
    if let Some(identity) = &site.identity {
        cfg.app_data(identity.clone());
        cfg.configure(identity::configure);
    }
    if let Some(state) = &site.state {
        cfg.app_data(state.clone());
        mount(cfg, "/inspect", Routes::of(inspect::routes));
        mount_volumes(cfg, v3::routes);
    }
    cfg.default_service(web::to(unknown));
}

/// Mounts version documents and the health check.
pub fn mount_open(cfg: &mut web::ServiceConfig) {
    for resource in Routes::of(open_routes).ungated(|| web::to(unknown)) {
        cfg.service(resource);
    }
}

/// Mounts routes of volumes behind the guard: with a project in the path, and (since 3.67) without.
pub fn mount_volumes(cfg: &mut web::ServiceConfig, routes: fn(&mut Routes)) {
    for prefix in [WITH_PROJECT, WITHOUT_PROJECT] {
        mount(cfg, prefix, Routes::of(routes));
    }
}

#[expect(clippy::disallowed_methods, reason = "the place where the table is mounted")]
fn mount(cfg: &mut web::ServiceConfig, prefix: &str, routes: Routes) {
    let scope = web::scope(prefix)
        .wrap(from_fn(middleware::wait_durable))
        .wrap(from_fn(middleware::guard))
        .default_service(web::to(unknown));
    cfg.service(gate::gated(routes).into_iter().fold(scope, Scope::service));
}

async fn unknown() -> actix_web::HttpResponse {
    fault::unknown_route()
}

/// Binds and serves until the returned server's handle stops it. Signals are handled by the caller.
///
/// # Errors
/// When an address cannot be bound.
pub fn run(options: &ServerOptions, site: Site) -> io::Result<(Server, Vec<SocketAddr>)> {
    run_with(options, move |cfg| configure(cfg, &site))
}

/// How many connections beyond the limit a worker accepts, to refuse them.
const REFUSED_AT_ONCE: usize = 64;

/// The answer to a connection beyond the limit.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";

/// As [`run`] with other routes: for tests with stub handlers behind the gate.
///
/// # Errors
/// When an address cannot be bound.
pub fn run_with(
    options: &ServerOptions,
    routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> io::Result<(Server, Vec<SocketAddr>)> {
    let trusted = options.trusted_proxies.clone();
    let connections = Connections::new(options.connections.clone(), move |address| {
        trusted.contains(address)
    });
    let mut server = actix_server::Server::build()
        .workers(options.workers.max(1))
        .max_concurrent_connections(options.connections.total + REFUSED_AT_ONCE)
        .shutdown_timeout(options.shutdown_timeout.as_secs())
        .disable_signals();
    let ending = server.graceful_shutdown_signal();
    let mut addresses = Vec::new();
    for address in &options.listen {
        let failed =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr()?;
        addresses.push(address);
        let (routes, ending, cors) = (routes.clone(), ending.clone(), options.cors.clone());
        let (connections, patience, tls) =
            (connections.clone(), options.patience.clone(), options.tls.clone());
        server = server.listen(format!("web {address}"), listener, move || {
            let (routes, ending) = (routes.clone(), ending.clone());
            let cors = cors.clone();
            let app = App::new()
                .wrap(from_fn(move |request, next: Next<_>| {
                    cors::cors(cors.clone(), request, next)
                }))
                .wrap(from_fn(middleware::edge))
                .configure(move |cfg| routes(cfg));
            let app = app.into_factory().map_err(HttpResponse::from_error);
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let ending = ending.clone();
                    async move { ending.notified().await }
                })
                .keep_alive(patience.keep_alive)
                .client_request_timeout(patience.client_timeout)
                .client_disconnect_timeout(LINGER)
                .local_addr(address)
                .on_connect_ext(move |stream: &Stream, data| {
                    data.insert(stream.activity());
                    if stream.is_encrypted() {
                        data.insert(Encrypted);
                    }
                    data.insert(ListeningOn(address));
                })
                .finish(map_config(app, |()| AppConfig::default()));
            let (connections, patience, tls) = (connections.clone(), patience.clone(), tls.clone());
            fn_service(move |stream: TcpStream| {
                let watched = watch(stream, &connections, &patience);
                open(watched, patience.client_timeout, tls.clone())
            })
            .and_then(http)
        })?;
    }
    Ok((server.run(), addresses))
}

/// How long a connection that is being closed reads what its client still sends.
const LINGER: Duration = Duration::from_secs(1);

/// Watches a new connection, unless the limit is reached.
fn watch(
    stream: TcpStream,
    connections: &Connections,
    patience: &Patience,
) -> Result<(Watched<TcpStream>, SocketAddr), DispatchError> {
    let peer = stream.peer_addr()?;
    let Some(permit) = connections.open(peer.ip()) else {
        // As much as is possible without waiting.
        if let Ok(mut stream) = stream.into_std() {
            let _ = stream.write(TOO_MANY);
        }
        return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
    };
    Ok((Watched::new(stream, patience.clone(), Some(permit)), peer))
}

/// Makes the handshake of TLS, if the server has a certificate.
async fn open(
    watched: Result<(Watched<TcpStream>, SocketAddr), DispatchError>,
    within: Duration,
    tls: Option<Tls>,
) -> Result<(Stream, Protocol, Option<SocketAddr>), DispatchError> {
    let (stream, peer) = watched?;
    let stream = match tls {
        None => Stream::Plain(stream),
        Some(tls) => {
            let activity = stream.activity();
            let accepted = tokio::time::timeout(within, tls.acceptor().accept(stream)).await;
            let accepted = accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let stream = accepted.inspect_err(|error| tracing::debug!(%peer, %error, "no TLS connection"))?;
            activity.handshaken();
            Stream::Tls(Box::new(stream))
        }
    };
    Ok((stream, Protocol::Http1, Some(peer)))
}
