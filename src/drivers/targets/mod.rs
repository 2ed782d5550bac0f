//! Target drivers, which export volumes (cinder: `volume/targets/`; facts in `cinder/lvm_iscsi.md` 4 to 8).

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

/// An existing export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// `ip:port[;ip2:port],tid iqn lun` (cinder: `provider_location`).
    pub provider_location: String,
    /// `CHAP user password`.
    pub provider_auth: Option<Secret>,
}

/// A way to export volumes. Each verb blocks, checks its [`Work`], and is idempotent.
pub trait TargetDriver: Send + Sync {
    /// `iSCSI`, `NVMe-oF`: as reported by the pools.
    fn storage_protocol(&self) -> &'static str;

    /// Prepares the target: starts or finds the daemon. `Err` is the reason why nothing can be exported now.
    fn setup(&self, work: &Work) -> DriverResult<()>;

    /// Exports `backing_store` under the volume's name. An existing export is kept; `volume.provider_auth` is used
    /// again if it is set, else a new secret is generated.
    fn ensure_export(&self, work: &Work, volume: &VolumeSpec, backing_store: &Path) -> DriverResult<Export>;

    /// Removes the export with its sessions. Succeeds if it does not exist.
    fn remove_export(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()>;

    /// Checks that the connector has a valid initiator. Called before anything is exported (cinder:
    /// `volume/driver.py`, `validate_connector`).
    ///
    /// # Errors
    /// [`DriverError::Refused`] with what is missing.
    fn check_connector(&self, connector: &Connector) -> DriverResult<()>;

    /// Grants an initiator access, and returns the connection data.
    fn grant_access(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        export: &Export,
        connector: &Connector,
        mode: AttachMode,
    ) -> DriverResult<ConnectionInfo>;

    /// Revokes the access of an initiator; `None` means all.
    fn revoke_access(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        connector: Option<&Connector>,
    ) -> DriverResult<()>;

    /// Announces the new size of an extended backing store to connected initiators, as far as possible.
    fn resized(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()>;

    /// The exported volume names.
    fn list_exports(&self, work: &Work) -> DriverResult<Vec<String>>;

    /// A number that changes when exports must be restored: the daemon was restarted, or another program cleared the
    /// kernel's configuration. `None` while exporting is impossible.
    fn generation(&self) -> Option<u64>;

    /// The daemon that a verb would use now. If it is ending, its end is waited for, `patience` at most.
    fn daemon_state(&self, _patience: Duration) -> DaemonState {
        let generation = self.generation();
        DaemonState {
            generation: generation.unwrap_or(0),
            running: generation.is_some(),
        }
    }

    /// Stops the target. Called once, at shutdown. Exports of the kernel are kept during a restart.
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

/// How long it may take to detect the end of a daemon that dropped a connection.
const DYING: Duration = Duration::from_millis(100);

/// Runs a verb, and again whenever the daemon ended during it: all that the verb did is lost with the daemon, so its
/// result does not count, and the next daemon can do all of it. If no daemon runs when the verb is done, the next one
/// gets all exports of the table.
///
/// # Errors
/// Those of the verb, if the daemon did not end during it.
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

/// The connection data that Cinder's manager adds for all targets (cinder: `volume/manager.py`,
/// `_parse_connection_options`).
fn common_connection_data(
    data: &mut Map<String, Value>,
    volume: &VolumeSpec,
    connector: &Connector,
    mode: AttachMode,
    discard: bool,
) {
    let mut put = |key: &str, value: Value| data.insert(key.to_owned(), value);
    // os-brick expects this field of the connector in the connection data: then it fails if it finds one path only.
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

/// Checks that initiators can connect to all of them.
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
                    // Done, but lost.
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
