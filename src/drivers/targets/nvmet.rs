//! NVMe over TCP through the target in Linux itself, by configfs (cinder: `volume/targets/nvmet.py`, `nvmeof.py`).
//!
//! ```text
//! ensure_export  subsystem, namespace, ports: no host has access yet
//! grant_access   this host has access
//! revoke_access  it has no access, and all connections to the volume are cut; other hosts reconnect
//! remove_export  removes connections, ports, namespace, subsystem
//! ```
//!
//! As with LIO, the kernel has all the state and continues to serve during a restart ([`super::lio`]). The differences:
//! - Ports and hosts are shared by all subsystems. They are created with their first user and removed with the last.
//! - The kernel cannot cut one host's connections. After the access of one host is revoked, the others reconnect by
//!   themselves (the initiator's `reconnect_delay`: 10 s).
//! - It cannot prevent a host from writing: `ro` is in the connection data, and enforced by the host, as in Cinder.
//!   Cinder gives all hosts access.
//! - DH-HMAC-CHAP is left out: neither Cinder's connection data nor os-brick support its keys.

mod paths;
mod ports;
mod subsystem;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use self::paths::Paths;
use self::ports::Ports;
use self::subsystem::Wanted;
use super::backing::Backing;
use super::configfs::{self, Mounted, Tree};
use super::kernel::{self, Kernel};
use super::volume_locks::VolumeLocks;
use super::watch::Watch;
use super::{Export, TargetDriver, check_portals, common_connection_data};
use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::{AttachMode, ConnectionInfo, Connector, VolumeSpec};

/// The longest NVMe name (NVM Express Base 2.0, 4.5).
const LONGEST_NAME: usize = 223;

/// Its kernel modules, first the one that creates its part of configfs.
pub const MODULES: &[&str] = &["nvmet", "nvmet-tcp"];

/// The version of the connection data (cinder: `nvmeof_conn_info_version`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoVersion {
    /// One portal.
    One,
    /// Several, and the volume's UUID.
    Two,
}

/// Options of an nvmet target.
#[derive(Clone, Debug)]
pub struct NvmetOptions {
    /// The owner of the exports: a node may have several backends, and each lists its own only.
    pub owner: String,
    /// Its portals, which are also in the connection data; all with the same port number.
    pub portals: Vec<SocketAddr>,
    /// The prefix of subsystem names, before the volume's name (cinder: `target_prefix`); `iqn.` at its beginning
    /// becomes `nqn.`.
    pub target_prefix: String,
    /// The kernel's number of the first portal; each further one has the next (cinder: `nvmet_port_id`).
    pub port_id: u16,
    /// The namespace of each volume (cinder: `nvmet_ns_id`).
    pub ns_id: u32,
    /// The version of the connection data.
    pub info_version: InfoVersion,
    /// Whether the connection data has `discard` (cinder: `report_discard_supported`).
    pub discard: bool,
    /// The mount point of configfs.
    pub configfs: PathBuf,
    /// The program that loads kernel modules, by name or path.
    pub modprobe: OsString,
}

impl NvmetOptions {
    /// Default options with this owner and portal.
    pub fn new(owner: impl Into<String>, portal: SocketAddr) -> Self {
        Self {
            owner: owner.into(),
            portals: vec![portal],
            target_prefix: "iqn.2010-10.org.openstack:".to_owned(),
            port_id: 1,
            ns_id: 10,
            info_version: InfoVersion::One,
            discard: false,
            configfs: configfs::ROOT.into(),
            modprobe: "modprobe".into(),
        }
    }
}

/// See the module.
pub struct NvmetTarget {
    options: NvmetOptions,
    kernel: Kernel,
    tree: Tree,
    watch: Watch,
    volume_locks: VolumeLocks,
}

impl NvmetTarget {
    /// A new target. It does not access the kernel.
    pub fn new(options: NvmetOptions) -> Self {
        let tree = Tree::new(Mounted::new(&options.configfs));
        Self::over(options, tree)
    }

    fn over(options: NvmetOptions, tree: Tree) -> Self {
        Self {
            kernel: Kernel::new(&options.configfs, "nvmet", MODULES, &options.modprobe),
            watch: Watch::new(tree.clone(), paths::SUBSYSTEMS),
            options,
            tree,
            volume_locks: VolumeLocks::default(),
        }
    }

    fn paths(&self, volume: &VolumeSpec) -> Paths {
        Paths::new(&self.options.target_prefix, &volume.storage_name())
    }

    fn ports(&self) -> Ports<'_> {
        Ports {
            first: self.options.port_id,
            portals: &self.options.portals,
        }
    }

    fn provider_location(&self, nqn: &str) -> String {
        let addresses: Vec<String> = self.options.portals.iter().map(address).collect();
        let port = self.options.portals.first().map_or(0, SocketAddr::port);
        format!("{}:{port} tcp {nqn} {}", addresses.join(","), self.options.ns_id)
    }

    /// The connection data. Numbers are text where they are text in Cinder.
    fn connection_info(
        &self,
        volume: &VolumeSpec,
        nqn: &str,
        connector: &Connector,
        mode: AttachMode,
    ) -> ConnectionInfo {
        let port = |portal: &SocketAddr| portal.port().to_string();
        let address = |portal: &SocketAddr| portal.ip().to_string();
        let ns_id = self.options.ns_id.to_string();
        let mut data = Map::new();
        let mut put = |key: &str, value: Value| data.insert(key.to_owned(), value);
        match (self.options.info_version, self.options.portals.first()) {
            (InfoVersion::One, Some(first)) => {
                put("target_portal", json!(address(first)));
                put("target_port", json!(port(first)));
                put("nqn", json!(nqn));
                put("transport_type", json!("tcp"));
                put("ns_id", json!(ns_id));
            }
            _ => {
                let portals: Vec<Value> = self
                    .options
                    .portals
                    .iter()
                    .map(|portal| json!([address(portal), port(portal), "tcp"]))
                    .collect();
                put("target_nqn", json!(nqn));
                put("vol_uuid", json!(volume.id.to_string()));
                put("portals", json!(portals));
                put("ns_id", json!(ns_id));
            }
        }
        common_connection_data(&mut data, volume, connector, mode, self.options.discard);
        ConnectionInfo::new("nvmeof", data)
    }
}

/// In a URL's notation, so that its colons are distinguished from that before a port.
fn address(portal: &SocketAddr) -> String {
    match portal.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The host's name, if it has a valid one: it becomes the name of a folder.
///
/// # Errors
/// [`DriverError::Refused`] with Cinder's text (cinder: `volume/targets/nvmeof.py`, `validate_connector`).
pub fn host(connector: &Connector) -> DriverResult<String> {
    let name = connector.text("nqn").filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| DriverError::refused("Connector doesn't have required information: nqn"))?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    if name.len() <= LONGEST_NAME && name.starts_with("nqn.") && name.bytes().all(is_plain) {
        Ok(name)
    } else {
        Err(DriverError::refused("The connector's nqn is not an NVMe name."))
    }
}

impl TargetDriver for NvmetTarget {
    fn storage_protocol(&self) -> &'static str {
        "NVMe-oF"
    }

    fn setup(&self, work: &Work) -> DriverResult<()> {
        check_portals(&self.options.portals)?;
        paths::check_prefix(&self.options.target_prefix)?;
        work.take_ownership()?;
        self.watch.start();
        self.kernel.prepare(work)?;
        self.watch.ready();
        Ok(())
    }

    fn ensure_export(&self, work: &Work, volume: &VolumeSpec, backing_store: &Path) -> DriverResult<Export> {
        let paths = self.paths(volume);
        let _turn = self.volume_locks.lock(work, &paths.name)?;
        Backing::of(backing_store)?;
        if !self.tree.exists(Path::new(paths::SUBSYSTEMS)) {
            self.kernel.prepare(work)?;
        }
        let wanted = Wanted {
            path: backing_store,
            uuid: volume.id.to_string(),
            serial: paths::serial(&self.options.owner, volume.id),
            ns_id: self.options.ns_id,
        };
        let tree = self.tree.editor(work);
        let known = self.ports().are_ours(&tree)?;
        if !self.ports().serve(&tree, &paths) {
            // Hosts that an interrupted removal left.
            subsystem::revoke_all(&tree, &paths)?;
        }
        subsystem::build(&tree, &paths, &wanted)?;
        self.ports().open(&tree, &paths, known)?;
        self.watch.stands(&paths.name, paths.subsystem());
        Ok(Export {
            provider_location: self.provider_location(&paths.nqn),
            provider_auth: None,
        })
    }

    fn remove_export(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        let paths = self.paths(volume);
        let _turn = self.volume_locks.lock(work, &paths.name)?;
        self.watch.goes(&paths.name);
        let tree = self.tree.editor(work);
        ports::close_all(&tree, &paths)?;
        subsystem::take_down(&tree, &paths)?;
        self.ports().tidy(&tree)
    }

    fn check_connector(&self, connector: &Connector) -> DriverResult<()> {
        host(connector).map(drop)
    }

    fn grant_access(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        _export: &Export,
        connector: &Connector,
        mode: AttachMode,
    ) -> DriverResult<ConnectionInfo> {
        let host = host(connector)?;
        let paths = self.paths(volume);
        let _turn = self.volume_locks.lock(work, &paths.name)?;
        if !self.ports().serve(&self.tree, &paths) {
            return Err(kernel::not_exported(&paths.name));
        }
        subsystem::grant(&self.tree.editor(work), &paths, &host)?;
        Ok(self.connection_info(volume, &paths.nqn, connector, mode))
    }

    fn revoke_access(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        connector: Option<&Connector>,
    ) -> DriverResult<()> {
        let paths = self.paths(volume);
        let _turn = self.volume_locks.lock(work, &paths.name)?;
        let tree = self.tree.editor(work);
        if !tree.exists(&paths.subsystem()) {
            return Ok(());
        }
        let allowed = subsystem::allowed(&tree, &paths)?;
        // A host without a valid name has no access.
        let Ok(leaving) = connector.map(host).transpose() else {
            return Ok(());
        };
        if leaving
            .as_ref()
            .map_or(!allowed.is_empty(), |host| allowed.contains(host))
        {
            // First, so that after an interruption it is done again.
            ports::close_all(&tree, &paths)?;
        }
        match leaving {
            Some(host) => subsystem::revoke(&tree, &paths, &host)?,
            None => subsystem::revoke_all(&tree, &paths)?,
        }
        let known = self.ports().are_ours(&tree)?;
        self.ports().open(&tree, &paths, known)
    }

    fn resized(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        let paths = self.paths(volume);
        let _turn = self.volume_locks.lock(work, &paths.name)?;
        subsystem::look_at_size(&self.tree.editor(work), &paths, self.options.ns_id)
    }

    fn list_exports(&self, work: &Work) -> DriverResult<Vec<String>> {
        work.check()?;
        subsystem::exports(&self.tree, &self.options.target_prefix, &self.options.owner)
    }

    fn generation(&self) -> Option<u64> {
        self.watch.generation()
    }

    fn shutdown(&self) {
        self.watch.stop();
    }
}
