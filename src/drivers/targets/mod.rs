//! Target helpers: how a volume becomes reachable (cinder: `volume/targets/`; facts in `cinder/lvm_iscsi.md` 4 to 8).

mod backing;
pub mod chap;
pub mod configfs;
pub mod fake;
pub mod iscsi;
mod kernel;
pub mod lio;
pub mod nvmet;
pub mod tgt;
mod volume_locks;
mod watch;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{DriverError, DriverResult, Work};
use crate::model::volume::Secret;
use crate::model::{AttachMode, ConnectionInfo, Connector, VolumeSpec};

/// An export as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// `ip:port[;ip2:port],tid iqn lun` (cinder: `provider_location`).
    pub provider_location: String,
    /// `CHAP user password`.
    pub provider_auth: Option<Secret>,
}

/// A way to export volumes. Each verb blocks, looks at its [`Work`], and may be called twice.
pub trait TargetDriver: Send + Sync {
    /// `iSCSI`, `NVMe-oF`: what the pools report.
    fn storage_protocol(&self) -> &'static str;

    /// Makes ready: starts or finds the daemon. `Err` means that nothing can be exported now, and why.
    fn setup(&self, work: &Work) -> DriverResult<()>;

    /// Exports `backing_store` under the volume's name. An export that is there already is kept; `volume.provider_auth` is
    /// used again if it is set, else a fresh secret is made.
    fn ensure_export(&self, work: &Work, volume: &VolumeSpec, backing_store: &Path) -> DriverResult<Export>;

    /// Takes the export away, sessions and all. What is not there counts as done.
    fn remove_export(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()>;

    /// Whether the connector names an initiator that can be let in. Asked before anything is exported (cinder:
    /// `volume/driver.py`, `validate_connector`).
    ///
    /// # Errors
    /// [`DriverError::Refused`] with what it lacks.
    fn check_connector(&self, connector: &Connector) -> DriverResult<()>;

    /// Lets an initiator in, and says how to connect.
    fn grant_access(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        export: &Export,
        connector: &Connector,
        mode: AttachMode,
    ) -> DriverResult<ConnectionInfo>;

    /// Lets it in no longer; `None` means all of them.
    fn revoke_access(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        connector: Option<&Connector>,
    ) -> DriverResult<()>;

    /// The backing store has grown: say so to those who are connected, as far as can be.
    fn resized(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()>;

    /// Volume names that are exported now.
    fn list_exports(&self, work: &Work) -> DriverResult<Vec<String>>;

    /// A number that changes when exports must be restored: the daemon was started anew, or somebody cleared the kernel's
    /// configuration. `None` while there is nothing to export with.
    fn generation(&self) -> Option<u64>;

    /// The daemon that a verb would use now. If it is ending, its end is waited for, `patience` at most.
    fn daemon_state(&self, _patience: Duration) -> DaemonState {
        let generation = self.generation();
        DaemonState {
            generation: generation.unwrap_or(0),
            running: generation.is_some(),
        }
    }

    /// Ends what was started. Called once, at shutdown. Exports of the kernel stay, and serve on while we restart.
    fn shutdown(&self);
}

/// A target's daemon, or what else keeps its exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaemonState {
    /// Counts the daemons; that of the last one if none runs.
    pub generation: u64,
    /// Whether it runs.
    pub running: bool,
}

/// How long a daemon that dropped a connection may take to be seen dead.
const DYING: Duration = Duration::from_millis(100);

/// Runs a verb, and again whenever the daemon died under it: what was done has gone with it, so nothing has failed or is done,
/// and the next one can do all of it. One that is dead when the verb is done will be given all that the book has.
///
/// # Errors
/// Those of the verb under a daemon that outlived it.
pub fn retry_across_daemon_restart<T>(
    target: &dyn TargetDriver,
    work: &Work,
    verb: impl Fn() -> DriverResult<T>,
) -> DriverResult<T> {
    loop {
        let before = target.daemon_state(Duration::ZERO);
        match verb() {
            Err(error @ (DriverError::TimedOut | DriverError::Cancelled)) => return Err(error),
            Err(error) if target.daemon_state(DYING) != before => {
                tracing::info!(%error, "the target daemon died under a verb, which is run again");
            }
            Ok(done) => {
                let now = target.daemon_state(Duration::ZERO);
                if !now.running || now == before {
                    return Ok(done);
                }
            }
            Err(error) => return Err(error),
        }
        work.check()?;
    }
}

/// What Cinder's manager adds to what any target tells of a connection (cinder: `volume/manager.py`,
/// `_parse_connection_options`).
fn told_of_any(
    data: &mut Map<String, Value>,
    volume: &VolumeSpec,
    connector: &Connector,
    mode: AttachMode,
    discard: bool,
) {
    let mut put = |key: &str, value: Value| data.insert(key.to_owned(), value);
    // Of all that a connector says, os-brick wants this back beside the rest: it fails then where it finds one path only.
    if let Some(enforced) = connector.to_json().get("enforce_multipath") {
        put("enforce_multipath", enforced.clone());
    }
    if discard {
        put("discard", json!(true));
    }
    put("encrypted", json!(volume.encrypted));
    put("qos_specs", Value::Null);
    let readonly = volume.readonly || mode == AttachMode::Ro;
    put("access_mode", json!(if readonly { "ro" } else { "rw" }));
    put("cacheable", json!(false));
}

/// Whether initiators could connect to all of them.
fn check_portals(portals: &[SocketAddr]) -> DriverResult<()> {
    let wrong = |operator| Err(DriverError::target_unavailable(operator));
    match portals
        .iter()
        .find(|portal| portal.ip().is_unspecified() || portal.port() == 0)
    {
        Some(bad) => wrong(format!("{bad} is no address an initiator could connect to")),
        None if portals.is_empty() => wrong("the target has no portal".to_owned()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::fake::FakeTarget;
    use super::{TargetDriver, retry_across_daemon_restart};
    use crate::drivers::{DriverError, DriverResult, Work};

    fn broken() -> DriverResult<u32> {
        Err(DriverError::failed("", "the connection was reset"))
    }

    #[test]
    fn a_verb_outlives_each_daemon_that_dies_under_it_and_fails_with_one_that_lives() {
        let (target, work) = (FakeTarget::default(), Work::within(Duration::from_secs(10)));
        target.setup(&work).unwrap();
        let tries = Cell::new(0);
        let done = retry_across_daemon_restart(&target, &work, || {
            tries.set(tries.get() + 1);
            match tries.get() {
                1 => target.kill(),
                2 => target.revive(),
                3 => {
                    // Done, and lost.
                    target.kill();
                    target.revive();
                    return Ok(3);
                }
                try_ => {
                    target.kill();
                    return Ok(try_);
                }
            }
            broken()
        });
        assert_eq!(done.unwrap(), 4);
        target.revive();
        let tries = Cell::new(0);
        let failed = retry_across_daemon_restart(&target, &work, || {
            tries.set(tries.get() + 1);
            broken()
        });
        assert!(failed.is_err() && tries.get() == 1);
        work.cancel();
        let cancelled = retry_across_daemon_restart(&target, &work, || {
            target.kill();
            broken()
        });
        assert!(matches!(cancelled, Err(DriverError::Cancelled)));
    }
}
