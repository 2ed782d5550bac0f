//! The node's certificate for connections to other nodes: read at the start, and again when one of its files has changed. Faulty files
//! leave the former ones in force. Connections whose certificate is revoked or has expired are ended.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::BoxError;
use super::watched_files::{LOOK, WatchedFiles};
use crate::config::{Config, Role};
use crate::model::{BackendName, NodeIdentity, NodeRole, Timestamp};
use crate::transport::{Credentials, Router, Tls, TlsFiles};

/// How often the certificates of all connections are verified again: time passes without a change of files.
const VERIFY: Duration = Duration::from_secs(60);

/// How long before its end a certificate should have been replaced.
const WARN_BEFORE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How often that is logged.
const WARN_EVERY: Duration = Duration::from_secs(3600);

fn files(config: &Config) -> Option<TlsFiles> {
    let transport = &config.transport;
    transport.has_tls().then(|| TlsFiles {
        ca: transport.ca.clone(),
        certificate: transport.certificate.clone(),
        key: transport.key.clone(),
        crl: Some(transport.crl.clone()).filter(|path| !path.as_os_str().is_empty()),
    })
}

/// The credentials of the configuration, if there are any.
///
/// # Errors
/// What is wrong with the files, or that the certificate is not for this node: another name, a role or a backend that is configured
/// and not in it.
pub(in crate::cli) fn read(config: &Config) -> Result<Option<Credentials>, String> {
    let Some(files) = files(config) else {
        return Ok(None);
    };
    let credentials = Credentials::read(&files)?;
    match mismatch(&credentials.own().identity, config) {
        None => Ok(Some(credentials)),
        Some(fault) => Err(format!("{}: {fault}", files.certificate.display())),
    }
}

fn mismatch(identity: &NodeIdentity, config: &Config) -> Option<String> {
    let name = super::node_name(config);
    if identity.node != name {
        return Some(format!(
            "it is the certificate of node '{}', and node.host and node.roles make this node '{name}'",
            identity.node
        ));
    }
    for (configured, role) in [
        (Role::Control, NodeRole::Control),
        (Role::Volume, NodeRole::Volume),
    ] {
        if config.node.has(configured) && !identity.has(role) {
            return Some(format!("it has no role '{role}', which node.roles names"));
        }
    }
    let backends = config.backend.keys().filter(|_| config.node.has(Role::Volume));
    let names = backends.map(|backend| BackendName::new(config.node.host.clone(), backend.clone()));
    let missing: Vec<String> = names
        .filter(|name| !identity.backends.contains(name))
        .map(|name| name.to_string())
        .collect();
    (!missing.is_empty()).then(|| format!("it does not name the backends {}", missing.join(", ")))
}

/// A warning about the node's own certificate: other nodes do not accept it, or soon will not.
pub(in crate::cli) fn warning(credentials: &Credentials) -> Option<String> {
    let now = Timestamp::now();
    if let Some(fault) = credentials.own_fault(now) {
        return Some(format!("{fault}: other nodes will not accept it"));
    }
    let not_after = credentials.own().not_after;
    (now.plus(WARN_BEFORE) >= not_after)
        .then(|| format!("this node's own certificate expires at {not_after} UTC: replace it before"))
}

/// The credentials, kept up to date as long as the process runs; `None` without a certificate.
///
/// # Errors
/// As [`read`].
pub(super) fn open(config: &Config, router: &Router) -> Result<Option<Tls>, BoxError> {
    open_and_look(config, router, LOOK)
}

fn open_and_look(config: &Config, router: &Router, look: Duration) -> Result<Option<Tls>, BoxError> {
    let Some(files) = files(config) else {
        return Ok(None);
    };
    let paths = [&files.ca, &files.certificate, &files.key]
        .into_iter()
        .chain(&files.crl);
    let watched = WatchedFiles::new(paths.map(|path| -> &Path { path }));
    let Some(credentials) = read(config)? else {
        return Ok(None);
    };
    if std::fs::metadata(&files.key)?.permissions().mode() & 0o007 != 0 {
        tracing::warn!(key = %files.key.display(), "every user of this machine can read the private key of this node");
    }
    let identity = &credentials.own().identity;
    tracing::info!(certificate = %identity, not_after = %credentials.own().not_after, "nodes speak TLS with each other");
    let tls = Tls::new(credentials);
    let (used, config, known) = (tls.clone(), config.clone(), router.clone());
    actix_rt::spawn(watched.watch(look, move || match read(&config) {
        Ok(Some(credentials)) => {
            tracing::info!(not_after = %credentials.own().not_after, "certificates of the transport read again");
            used.replace(credentials);
            known.verify_peers(&used);
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(error, "the certificates of the transport are faulty; the former ones stay in force");
        }
    }));
    actix_rt::spawn(verify_always(tls.clone(), router.clone()));
    Ok(Some(tls))
}

async fn verify_always(tls: Tls, router: Router) {
    let mut interval = tokio::time::interval(VERIFY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut warned: Option<Timestamp> = None;
    loop {
        interval.tick().await;
        router.verify_peers(&tls);
        let now = Timestamp::now();
        if warned.is_none_or(|at| at.plus(WARN_EVERY) <= now)
            && let Some(warning) = warning(&tls.credentials())
        {
            tracing::error!("{warning}");
            warned = Some(now);
        }
    }
}
