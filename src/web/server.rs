//! The web server: all routes under one roof, with what every request passes.
//!
//! ```text
//!   /                      300, versions          no token
//!   /v3  /v3/  /v3/{p}     versions               no token
//!   /healthcheck           200 or 503             no token
//!   /identity/…            Keystone v3            logins need none
//!   /v3/{p}/…  /v3/…       Cinder v3              token
//!   /inspect/…             what goes on in here   token of an administrator
//! ```

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};

use super::identity::{self, Identity};
use super::state::{Door, WebState};
use super::{fault, healthcheck, inspect, middleware, turns, v3, versions};

/// How to listen.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where.
    pub listen: Vec<SocketAddr>,
    /// How many threads answer.
    pub workers: usize,
    /// How many connections each of them keeps; more wait in the kernel.
    pub connections_per_worker: usize,
    /// How long a client may take to send its head. Slow ones hold a connection, so not for ever.
    pub head_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// How long requests under way may take to end when the server stops.
    pub shutdown_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8776))],
            workers: 2,
            connections_per_worker: 10_000,
            head_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

/// What is behind the routes. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    /// Who may come in.
    pub door: web::Data<Door>,
    /// Volumes; `None` serves logins only.
    pub state: Option<web::Data<WebState>>,
    /// The identity service in here, if there is one.
    pub identity: Option<web::Data<Identity>>,
}

/// Mounts all routes. The application around it is to be wrapped in [`middleware::edge`].
pub fn configure(cfg: &mut web::ServiceConfig, site: &Site) {
    cfg.app_data(site.door.clone());
    cfg.configure(versions::configure)
        .configure(healthcheck::configure);
    if let Some(identity) = &site.identity {
        cfg.app_data(identity.clone());
        cfg.configure(identity::configure);
    }
    if let Some(state) = &site.state {
        cfg.app_data(state.clone());
        cfg.service(
            web::scope("/inspect")
                .wrap(from_fn(middleware::settle))
                .wrap(from_fn(middleware::guard))
                .configure(inspect::configure)
                .default_service(web::to(unknown)),
        );
        mount_volumes(cfg, v3::configure);
    }
    cfg.default_service(web::to(unknown));
}

/// Mounts routes of volumes behind the guard: with a project in the path, and (since 3.67) without.
pub fn mount_volumes(cfg: &mut web::ServiceConfig, routes: fn(&mut web::ServiceConfig)) {
    for scope in ["/v3/{project_id:[0-9a-f-]+}", "/v3"] {
        cfg.service(
            web::scope(scope)
                .wrap(from_fn(middleware::settle))
                .wrap(from_fn(turns::turn))
                .wrap(from_fn(middleware::guard))
                .configure(routes)
                .default_service(web::to(unknown)),
        );
    }
}

async fn unknown() -> actix_web::HttpResponse {
    fault::unknown_route()
}

/// Binds and serves until the returned server's handle stops it. Signals are the caller's.
///
/// # Errors
/// When an address cannot be bound.
pub fn run(options: &ServerOptions, site: Site) -> io::Result<(Server, Vec<SocketAddr>)> {
    run_with(options, move |cfg| configure(cfg, &site))
}

/// The same with other routes: for tests that put stand-ins behind the door.
///
/// # Errors
/// When an address cannot be bound.
pub fn run_with(
    options: &ServerOptions,
    routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> io::Result<(Server, Vec<SocketAddr>)> {
    let mut server = HttpServer::new(move || {
        let routes = routes.clone();
        App::new()
            .wrap(from_fn(middleware::edge))
            .configure(move |cfg| routes(cfg))
    })
    .workers(options.workers.max(1))
    .max_connections(options.connections_per_worker)
    .client_request_timeout(options.head_timeout)
    .keep_alive(options.keep_alive)
    .shutdown_timeout(options.shutdown_timeout.as_secs())
    .disable_signals();
    for address in &options.listen {
        server = server
            .bind(address)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
    }
    let addresses = server.addrs();
    Ok((server.run(), addresses))
}
