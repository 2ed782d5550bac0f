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
mod turn;
mod watch;

use std::net::SocketAddr;
use std::path::Path;

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

    /// Lets an initiator in, and says how to connect.
    fn initialize_connection(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        export: &Export,
        connector: &Connector,
        mode: AttachMode,
    ) -> DriverResult<ConnectionInfo>;

    /// Lets it in no longer; `None` means all of them.
    fn terminate_connection(
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

    /// Ends what was started. Called once, at shutdown. Exports of the kernel stay, and serve on while we restart.
    fn shutdown(&self);
}

/// What Cinder's manager adds to what any target tells of a connection (cinder: `volume/manager.py`,
/// `_parse_connection_options`).
fn told_of_any(data: &mut Map<String, Value>, volume: &VolumeSpec, mode: AttachMode, discard: bool) {
    let mut put = |key: &str, value: Value| data.insert(key.to_owned(), value);
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
    let wrong = |operator: String| {
        Err(DriverError::Failed {
            client: "The storage target service is not available.".to_owned(),
            operator,
        })
    };
    match portals
        .iter()
        .find(|portal| portal.ip().is_unspecified() || portal.port() == 0)
    {
        Some(bad) => wrong(format!("{bad} is no address an initiator could connect to")),
        None if portals.is_empty() => wrong("the target has no portal".to_owned()),
        None => Ok(()),
    }
}
