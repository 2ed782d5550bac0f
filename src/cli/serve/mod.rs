//! `pumice serve`: builds the parts of the service, runs them, and stops them in order.
//!
//! One process is a *node*. A node with the role `control` has the store, the Api, Quota, Scheduler and Registry actors and
//! the web server; a node with the role `volume` has one VolumeManager for each backend. With both roles (the default)
//! everything is in one process and no connection is needed; otherwise the volume node joins the control node.
//!
//! It stops in the order of the data flow: first no new requests, then the drivers' work is parked (its operations stay
//! in the journal and continue after the next start), then the actors, the target daemons, the store.

pub(in crate::cli) mod control;
mod control_nodes;
pub(in crate::cli) mod exports;
pub(in crate::cli) mod keystone;
mod lists;
pub(in crate::cli) mod notifications;
mod policy;
pub(super) mod store;
mod tls;
pub(in crate::cli) mod transport;
pub(in crate::cli) mod volume;
mod watched_files;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::actors::registry::control_nodes::JoinError;
use crate::config::{Config, Role};
use crate::drivers::ownership::{Lost, OwnerLock};
use crate::model::node_identity;
use crate::private_files;
use crate::rng;
use crate::store::number_file::NumberFile;
use crate::store::{CommitError, StoreError};
use crate::transport::{Router, TransportOptions};

/// The time limit of the shutdown. After it the process exits anyway: killing Pumice loses no data.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(9);

/// How long actors may take to handle their messages.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);

/// How often it is checked whether this process still owns the data directory.
const LOOK_AT_LOCK: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error>;

/// The store cannot write any more (`EX_IOERR` of sysexits.h). The supervisor should restart the process: opening the store
/// determines the state of the disk.
const EXIT_STORE_FAILED: u8 = 74;

/// The exit code of a start that failed: that of a failed store if its servers are out of reach, for that is over by itself, else 1.
pub fn exit_code(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    let is_out_of_reach = std::iter::successors(Some(error), |error| error.source())
        .filter_map(of_store)
        .any(|error| error.unavailable);
    match is_out_of_reach {
        true => ExitCode::from(EXIT_STORE_FAILED),
        false => ExitCode::FAILURE,
    }
}

/// The store's error, also if it is that of what passes it on without a word of its own.
fn of_store<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e StoreError> {
    let of_commit = || match error.downcast_ref::<CommitError>() {
        Some(CommitError::Store(error)) => Some(error),
        _ => None,
    };
    let of_join = || match error.downcast_ref::<JoinError>() {
        Some(JoinError::Store(error)) => Some(error),
        _ => None,
    };
    error
        .downcast_ref::<StoreError>()
        .or_else(of_commit)
        .or_else(of_join)
}

/// Another process owns the data directory or a storage (`EX_TEMPFAIL`): this one was paused for so long that it lost a lock. The
/// operator must ensure that only one is started.
const EXIT_SUPERSEDED: u8 = 75;

/// Runs the service until a signal, a failure of its store, or until another process has taken its place.
///
/// # Errors
/// If something that is needed at start is unavailable: a port, the data directory, the store.
pub fn serve(config: Config) -> Result<ExitCode, BoxError> {
    actix_rt::System::new().block_on(run(config))
}

async fn run(config: Config) -> Result<ExitCode, BoxError> {
    // Before anything is started: an early signal must not be lost.
    let mut signals = Signals::new()?;
    let data_dir = config.node.data_dir.clone();
    prepare(&data_dir)?;
    let owner = Arc::new(own(&data_dir)?);
    let (has_control, has_volume) = (config.node.has(Role::Control), config.node.has(Role::Volume));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        host = config.node.host,
        control = has_control,
        volume = has_volume,
        data_dir = %data_dir.display(),
        "pumice starts"
    );
    // Before anything is served: a storage of another process must not be used.
    let owned = if has_volume {
        volume::own(&config).await?
    } else {
        volume::Owned::new()
    };
    let router = Router::of_folder(
        &node_name(&config),
        boot_number(&data_dir)?,
        folder_number(&data_dir)?,
    );
    let control = if has_control {
        Some(control::Control::start(&config, &data_dir, &router).await?)
    } else {
        None
    };
    let volumes = if has_volume {
        Some(volume::Volumes::start(&config, &data_dir, &router, owned)?)
    } else {
        None
    };
    let options = TransportOptions {
        tls: transport::open(&config, &router)?,
        ..transport_options(&config)
    };
    let listener = match listen_address(&config) {
        Some(address) => Some(router.listen(address, options.clone()).await?),
        None => None,
    };
    if let Some(listener) = &listener {
        tracing::info!(address = %listener.local_addr(), "waiting for volume nodes");
    }
    let peers: Vec<_> = config
        .transport
        .join
        .iter()
        .filter(|address| **address != config.transport.listen)
        .map(|address| router.join(address.to_string(), options.clone()))
        .collect();
    if let Some(control) = &control {
        control.open();
    }
    let code = tokio::select! {
        why = signals.wait() => {
            tracing::info!(signal = why, "stopping");
            ExitCode::SUCCESS
        }
        why = store_failed(control.as_ref()) => {
            tracing::error!(
                why,
                exit_code = EXIT_STORE_FAILED,
                "stopping, for the store cannot be written to. What was acknowledged is kept: see to the disk, then start again"
            );
            ExitCode::from(EXIT_STORE_FAILED)
        }
        why = fenced(control.as_ref()) => {
            tracing::error!(why, exit_code = EXIT_SUPERSEDED, "stopping, for another control node has taken this one's place");
            ExitCode::from(EXIT_SUPERSEDED)
        }
        why = data_dir_is_anothers(Arc::clone(&owner)) => {
            tracing::error!(why, exit_code = EXIT_SUPERSEDED, "leaving at once, for another process has taken this one's place");
            return Ok(ExitCode::from(EXIT_SUPERSEDED));
        }
        why = storage_is_anothers(volumes.as_ref()) => {
            tracing::error!(why, exit_code = EXIT_SUPERSEDED, "stopping, for another process has taken this one's place");
            ExitCode::from(EXIT_SUPERSEDED)
        }
    };
    let down = async {
        if let Some(control) = &control {
            control.close().await;
        }
        if let Some(volumes) = &volumes {
            volumes.park();
        }
        if !router.shutdown(DRAIN_LIMIT).await {
            tracing::warn!("some actors had not ended their work; it goes on after the next start");
        }
        drop(peers);
        drop(listener);
        if let Some(volumes) = volumes {
            volumes.end().await;
        }
        if let Some(control) = control {
            control.end().await;
        }
    };
    tokio::select! {
        () = down => tracing::info!("stopped"),
        () = tokio::time::sleep(SHUTDOWN_LIMIT) => tracing::warn!("not everything stopped in time; leaving anyway"),
        signal = signals.wait() => tracing::warn!(signal, "second signal; leaving at once"),
    }
    Ok(code)
}

/// Returns when the store has failed; never without a store.
async fn store_failed(control: Option<&control::Control>) -> String {
    match control {
        Some(control) => control.failed().await,
        None => std::future::pending().await,
    }
}

/// Returns when another control node has taken this one's place; never on a store that is not shared.
async fn fenced(control: Option<&control::Control>) -> String {
    match control {
        Some(control) => control.fenced().await,
        None => std::future::pending().await,
    }
}

/// Returns when another process owns the data directory. A deleted directory is detected by the store.
async fn data_dir_is_anothers(owner: Arc<OwnerLock>) -> String {
    let mut interval = tokio::time::interval(LOOK_AT_LOCK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let owner = Arc::clone(&owner);
        // It may block as long as the disk does.
        let looked = tokio::task::spawn_blocking(move || owner.check()).await;
        if let Ok(Err(Lost::Replaced(why))) = looked {
            return why;
        }
    }
}

/// Returns when another process owns the storage of a backend.
async fn storage_is_anothers(volumes: Option<&volume::Volumes>) -> String {
    match volumes {
        Some(volumes) => volumes.superseded().await,
        None => std::future::pending().await,
    }
}

/// Locks the data directory for the lifetime of the process.
///
/// # Errors
/// If another process has it.
pub(in crate::cli) fn own(data_dir: &Path) -> Result<OwnerLock, BoxError> {
    let what = format!("data directory {}", data_dir.display());
    Ok(OwnerLock::take(&data_dir.join("lock"), &what, false)?)
}

/// The node name of this process.
fn node_name(config: &Config) -> String {
    let node = &config.node;
    node_identity::node_name(&node.host, node.has(Role::Control), node.has(Role::Volume))
}

/// Creates the data directory, or removes the permissions of other users from it and its content: it contains volumes and
/// credentials, and may have been created by an older version or by an init system.
fn prepare(data_dir: &Path) -> Result<(), BoxError> {
    private_files::create_dir(data_dir)
        .map_err(|error| format!("node.data_dir: cannot make {}: {error}", data_dir.display()))?;
    let tightened = private_files::tighten(data_dir)?;
    if tightened.changed > 0 {
        tracing::warn!(
            data_dir = %data_dir.display(),
            changed = tightened.changed,
            "others could read files of the data directory; only the owner can now"
        );
    }
    for (path, error) in &tightened.failed {
        tracing::warn!(
            path = %path.display(),
            %error,
            "others can read this, and it cannot be changed; chmod go-rwx it as its owner"
        );
    }
    Ok(())
}

/// Counts the starts of this node: part of its incarnation, so that peers distinguish a restarted node from a slow one.
fn boot_number(data_dir: &Path) -> Result<u64, BoxError> {
    let path: PathBuf = data_dir.join("boot");
    let counted = NumberFile::open(&path).and_then(|file| {
        let next = file.read()?.unwrap_or(0) + 1;
        file.write(next).map(|()| next)
    });
    counted.map_err(|error| format!("cannot count this start in {}: {error}", path.display()).into())
}

/// The number of the data folder, which is chosen at random at its first start: it distinguishes two nodes that were given one name.
fn folder_number(data_dir: &Path) -> Result<u64, BoxError> {
    let path = data_dir.join("folder");
    let number = NumberFile::open(&path).and_then(|file| match file.read()? {
        Some(number) => Ok(number),
        None => {
            let number = rng::number();
            file.write(number).map(|()| number)
        }
    });
    number.map_err(|error| format!("cannot number the data folder in {}: {error}", path.display()).into())
}

/// The address for volume nodes. A node with both roles needs no others, so it opens no port for them unless they can
/// authenticate.
pub(in crate::cli) fn listen_address(config: &Config) -> Option<std::net::SocketAddr> {
    let can_authenticate = config.transport.has_tls() || config.transport.secret().is_some();
    let wanted = !config.node.has(Role::Volume) || can_authenticate;
    (config.node.has(Role::Control) && wanted).then_some(config.transport.listen)
}

fn transport_options(config: &Config) -> TransportOptions {
    TransportOptions {
        max_frame: config.transport.max_frame.as_usize(),
        ping_interval: config.transport.ping_interval.get(),
        handshake_timeout: config.transport.handshake_timeout.get(),
        secret: config.transport.secret(),
        ..TransportOptions::default()
    }
}

/// SIGTERM and Ctrl-C.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_out_of_reach_is_found_in_what_passes_it_on() {
        let unavailable = || StoreError::unavailable("etcd");
        let found = |error: BoxError| {
            let chain = std::iter::successors(Some(error.as_ref()), |error| error.source());
            chain.filter_map(of_store).any(|error| error.unavailable)
        };
        assert!(found(unavailable().into()));
        assert!(found(CommitError::from(unavailable()).into()));
        assert!(found(JoinError::from(unavailable()).into()));
        assert!(found(StoreError::new("opening").caused_by(unavailable()).into()));
        assert!(!found(StoreError::new("a bad record").into()));
        assert!(!found("a port is taken".into()));
    }
}
