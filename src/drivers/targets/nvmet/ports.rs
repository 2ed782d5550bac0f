//! The kernel's ports: one for each portal, shared by all subsystems. A port listens while a subsystem is on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};

use super::paths::{self, PORTS, Paths};
use crate::drivers::targets::configfs::{Editor, Tree};
use crate::drivers::targets::kernel::cannot_listen;
use crate::drivers::{DriverError, DriverResult};

/// Ports and hosts are shared by all backends of this process, and removed with their last user.
static SHARED: Mutex<()> = Mutex::new(());

pub(super) fn alone() -> MutexGuard<'static, ()> {
    SHARED.lock()
}

/// The ports that one backend uses.
#[derive(Clone, Copy)]
pub(super) struct Ports<'a> {
    pub(super) first: u16,
    pub(super) portals: &'a [SocketAddr],
}

/// Proof that the ports were checked.
#[derive(Clone, Copy)]
pub(super) struct Known(());

impl Ports<'_> {
    fn numbered(&self) -> impl Iterator<Item = (String, &SocketAddr)> {
        (u32::from(self.first)..)
            .map(|id| id.to_string())
            .zip(self.portals)
    }

    /// Checks that none of them has another address.
    ///
    /// # Errors
    /// If one has.
    pub(super) fn are_ours(&self, tree: &Tree) -> DriverResult<Known> {
        for (id, portal) in self.numbered() {
            let port = paths::port(&id);
            let differs = attributes(portal)
                .iter()
                .any(|(name, value)| tree.read(&port.join(name)).as_deref() != Some(value.as_str()));
            if differs && !tree.links(&port.join("subsystems"))?.is_empty() {
                return Err(DriverError::target_unavailable(format!(
                    "the kernel's NVMe port {id} is not {portal} but in use by others: choose another nvmet_port_id"
                )));
            }
        }
        Ok(Known(()))
    }

    /// Whether the subsystem is reachable by all of them.
    pub(super) fn serve(&self, tree: &Tree, paths: &Paths) -> bool {
        self.numbered().all(|(id, _)| tree.exists(&paths.on_port(&id)))
    }

    /// Creates missing ports, and makes the subsystem reachable by exactly these.
    pub(super) fn open(&self, tree: &Editor<'_>, paths: &Paths, _known: Known) -> DriverResult<()> {
        let _alone = alone();
        for id in tree.folders(Path::new(PORTS))? {
            if !self.numbered().any(|(ours, _)| ours == id) {
                tree.disconnect(&paths.on_port(&id))?;
            }
        }
        for (id, portal) in self.numbered() {
            let port = paths::port(&id);
            tree.make(&port)?;
            for (name, value) in attributes(portal) {
                tree.set(&port.join(name), &value)?;
            }
            tree.connect(&paths.subsystem(), &paths.on_port(&id))
                .map_err(|error| cannot_listen(portal, ", and not in use", error))?;
        }
        Ok(())
    }

    /// Removes unused ports.
    pub(super) fn tidy(&self, tree: &Editor<'_>) -> DriverResult<()> {
        let _alone = alone();
        for (id, _) in self.numbered() {
            let port: PathBuf = paths::port(&id);
            if tree.links(&port.join("subsystems"))?.is_empty() {
                tree.remove_unused(&port)?;
            }
        }
        Ok(())
    }
}

/// Cuts all connections to a subsystem, and makes it unreachable.
pub(super) fn close_all(tree: &Editor<'_>, paths: &Paths) -> DriverResult<()> {
    let _alone = alone();
    for id in tree.folders(Path::new(PORTS))? {
        tree.disconnect(&paths.on_port(&id))?;
    }
    Ok(())
}

/// The type is set last: it makes the kernel use the others.
fn attributes(portal: &SocketAddr) -> [(&'static str, String); 4] {
    let family = if portal.is_ipv4() { "ipv4" } else { "ipv6" };
    [
        ("addr_adrfam", family.to_owned()),
        ("addr_traddr", portal.ip().to_string()),
        ("addr_trsvcid", portal.port().to_string()),
        ("addr_trtype", "tcp".to_owned()),
    ]
}
