//! The paths of a volume's subsystem in configfs, and its names.
//!
//! ```text
//! nvmet/subsystems/<nqn>/namespaces/10            the volume
//!                       /allowed_hosts/<nqn>  ->  nvmet/hosts/<nqn>
//! nvmet/ports/1/subsystems/<nqn>  ->  nvmet/subsystems/<nqn>
//! ```

use std::path::{Path, PathBuf};

use crate::drivers::targets::kernel::hash_of;
use crate::drivers::{DriverError, DriverResult};
use crate::model::VolumeId;

/// All subsystems of this kernel.
pub(super) const SUBSYSTEMS: &str = "nvmet/subsystems";
/// All ports.
pub(super) const PORTS: &str = "nvmet/ports";
/// All hosts with access to any subsystem.
pub(super) const HOSTS: &str = "nvmet/hosts";

/// The paths of one export.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub(super) name: String,
    pub(super) nqn: String,
}

impl Paths {
    pub(super) fn new(prefix: &str, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            nqn: format!("{}{name}", nqn_prefix(prefix)),
        }
    }

    pub(super) fn subsystem(&self) -> PathBuf {
        Path::new(SUBSYSTEMS).join(&self.nqn)
    }

    pub(super) fn namespaces(&self) -> PathBuf {
        self.subsystem().join("namespaces")
    }

    pub(super) fn namespace(&self, ns_id: u32) -> PathBuf {
        self.namespaces().join(ns_id.to_string())
    }

    pub(super) fn allowed_hosts(&self) -> PathBuf {
        self.subsystem().join("allowed_hosts")
    }

    /// The link that makes it reachable by a port.
    pub(super) fn on_port(&self, id: &str) -> PathBuf {
        port(id).join("subsystems").join(&self.nqn)
    }
}

pub(super) fn port(id: &str) -> PathBuf {
    Path::new(PORTS).join(id)
}

pub(super) fn host(name: &str) -> PathBuf {
    Path::new(HOSTS).join(name)
}

/// The prefix of subsystem names.
pub(super) fn nqn_prefix(prefix: &str) -> String {
    let rest = prefix
        .strip_prefix("iqn.")
        .or_else(|| prefix.strip_prefix("nqn."));
    format!("nqn.{}", rest.unwrap_or(prefix))
}

/// Checks a prefix of subsystem names.
pub(super) fn check_prefix(prefix: &str) -> DriverResult<()> {
    if !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/') {
        return Ok(());
    }
    Err(DriverError::target_unavailable(format!(
        "target_prefix {prefix:?} is no beginning of an NVMe name"
    )))
}

/// The subsystem's serial number, 20 characters: the mark of the owner, and the end of the volume's id.
pub(super) fn serial(owner: &str, volume: VolumeId) -> String {
    let id = volume.to_string().replace('-', "");
    format!(
        "{}{}",
        mark(owner),
        id.get(id.len().saturating_sub(12)..).unwrap_or_default()
    )
}

/// The prefix of this backend's serial numbers, the same in each run.
pub(super) fn mark(owner: &str) -> String {
    format!("{:08x}", hash_of(owner))
}

#[cfg(test)]
mod tests {
    use super::{Paths, check_prefix, serial};
    use crate::model::VolumeId;

    #[test]
    fn names_are_those_of_the_kernel() {
        let paths = Paths::new("iqn.2010-10.org.openstack:", "volume-x");
        assert_eq!(paths.nqn, "nqn.2010-10.org.openstack:volume-x");
        assert_eq!(
            paths.on_port("1").to_str().unwrap(),
            "nvmet/ports/1/subsystems/nqn.2010-10.org.openstack:volume-x"
        );
        assert!(check_prefix("iqn.2010-10.org.openstack:").is_ok() && check_prefix("a/../b").is_err());
    }

    #[test]
    fn a_serial_number_is_stable_and_fits() {
        let (one, other) = (VolumeId::new(), VolumeId::new());
        assert_eq!(serial("a", one), serial("a", one));
        assert_eq!(serial("a", one).len(), 20);
        assert_ne!(serial("a", one), serial("a", other));
        assert_ne!(serial("a", one), serial("b", one));
    }
}
