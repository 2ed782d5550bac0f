//! `[backend.<name>]`: a place for volumes, with its driver and its target.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use super::reading::{section, settings};
use super::units::{ByteSize, Duration};
pub use crate::model::lvm::{LvmType, VolumeClear};
pub use crate::model::service::OverSubscription;

/// The name of the backend that is there when none is configured.
pub const DEFAULT_BACKEND: &str = "file";

/// A volume driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// Sparse files in a folder.
    File,
    /// Logical volumes of a volume group.
    Lvm,
    /// Nothing at all: for tests of everything else.
    Fake,
}

settings! { read_plain; Driver: "\"file\", \"lvm\" or \"fake\"" }

settings! { read_plain; LvmType: "\"auto\", \"default\" (thick) or \"thin\"" }

settings! { read_plain; VolumeClear: "\"zero\" or \"none\"" }

/// How volumes become reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// iSCSI by a `tgtd` of our own; needs the program, neither root nor kernel modules.
    Tgt,
    /// iSCSI by the kernel (LIO); needs root.
    Lio,
    /// NVMe over TCP by the kernel; needs root.
    Nvmet,
    /// Connection data that lead nowhere: for tests.
    Fake,
    /// Not at all: attaching is refused.
    None,
}

settings! { read_plain; Target: "\"tgt\", \"lio\", \"nvmet\", \"fake\" or \"none\"" }

settings! { read_plain; Vec<IpAddr>: "a list of addresses in quotes" }

settings! { read_text; OverSubscription: "a ratio of at least 1 in quotes, such as \"20.0\", or \"auto\"" }

section! {
    /// A place for volumes, with its driver and its target.
    Backend {
        /// What makes the volumes.
        driver: Driver = Driver::File,
        /// The name that volume types are steered by (`volume_backend_name` of a type's extra specs). Empty: the section's name.
        volume_backend_name: String = String::new(),
        /// The folder of the volumes. Empty: `volumes/<name>` in `node.data_dir`.
        path: PathBuf = PathBuf::new(),
        /// Driver `lvm`: the volume group (cinder: `volume_group`). It must be there.
        volume_group: String = "cinder-volumes".to_owned(),
        /// Driver `lvm`: which kind of volumes it makes (cinder: `lvm_type`).
        lvm_type: LvmType = LvmType::Auto,
        /// Driver `lvm`: copies of each thick volume beside the first (cinder: `lvm_mirrors`).
        lvm_mirrors: u32 = 0,
        /// Driver `lvm`: LVM's configuration; if the file is there, LVM reads its folder (cinder: `lvm_conf_file`). Empty: LVM's own.
        lvm_conf_file: PathBuf = PathBuf::new(),
        /// Driver `lvm`: whether LVM is to be silent about open files (cinder: `lvm_suppress_fd_warnings`).
        lvm_suppress_fd_warnings: bool = false,
        /// Driver `lvm`: from how many per cent of data or metadata on a thin pool is warned of in the log.
        thin_pool_warn_percent: u8 = 80,
        /// What happens to the data of deleted thick volumes and snapshots (cinder: `volume_clear`), and whether a thin pool must zero
        /// its blocks.
        volume_clear: VolumeClear = VolumeClear::Zero,
        /// How many MiB of it; 0 is all (cinder: `volume_clear_size`).
        volume_clear_size: u32 = 0,
        /// Options of `ionice` for that (cinder: `volume_clear_ionice`). Empty: without.
        volume_clear_ionice: String = String::new(),
        /// How much of a volume is copied at once (cinder: `volume_dd_blocksize`).
        volume_dd_blocksize: ByteSize = ByteSize::mib(1),
        /// How many bytes a second its copies and wipes may move together; 0 is no limit (cinder: `volume_copy_bps_limit`).
        volume_copy_bps_limit: ByteSize = ByteSize(0),
        /// How they become reachable.
        target: Target = Target::Tgt,
        /// Where the target listens, and the address that initiators receive.
        target_portal: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 3261)),
        /// Further addresses it listens on, with the same port (cinder: `target_secondary_ip_addresses`).
        target_secondary_ip_addresses: Vec<IpAddr> = Vec::new(),
        /// What a target's name begins with; the volume's name follows (cinder: `target_prefix`).
        target_prefix: String = "iqn.2010-10.org.openstack:".to_owned(),
        /// The iSCSI daemon that target `tgt` runs, by name or path.
        tgtd: String = "tgtd".to_owned(),
        /// The daemon's tool, by name or path.
        tgtadm: String = "tgtadm".to_owned(),
        /// Whether clients are informed that discarded blocks are freed (cinder: `report_discard_supported`).
        report_discard_supported: bool = false,
        /// The kernel's number of target `nvmet`'s first portal; each further one has the next (cinder: `nvmet_port_id`).
        nvmet_port_id: u16 = 1,
        /// The namespace that a volume is in its subsystem (cinder: `nvmet_ns_id`).
        nvmet_ns_id: u32 = 10,
        /// The format of the connection data for NVMe clients: 1 has one portal, 2 several (cinder: `nvmeof_conn_info_version`).
        nvmeof_conn_info_version: u8 = 1,
        /// How often its space is looked at, if nothing calls for it sooner (cinder: `backend_stats_polling_interval`).
        backend_stats_polling_interval: Duration = Duration::from_secs(60),
        /// Per cent of the space that are kept free (cinder: `reserved_percentage`).
        reserved_percentage: u8 = 0,
        /// How far thin volumes may exceed the space (cinder: `max_over_subscription_ratio`).
        max_over_subscription_ratio: OverSubscription = OverSubscription::Ratio(20.0),
        /// How many commands it carries out at once.
        max_workers: usize = 4,
        /// How long one external command may take.
        command_timeout: Duration = Duration::from_mins(10),
        /// Whether initiators must prove themselves by CHAP (cinder makes it for every volume).
        chap: bool = true,
        /// Whether what lies on the storage under a name of ours, without a record, is deleted at start. Otherwise it is only
        /// reported in the log and in the pools' capabilities. Never set it where another service uses the same storage.
        delete_orphans: bool = false,
        /// Whether a storage that has none of the backend's volumes counts as the wrong one: the backend stays down then, and
        /// no volume is marked as missing.
        expect_storage: bool = true,
        /// Further capabilities of its pools, for the extra specs of volume types.
        capabilities: BTreeMap<String, String> = BTreeMap::new(),
    }
}

impl Backend {
    /// Where the target listens: the first address is the one for clients with one path.
    pub fn portals(&self) -> Vec<SocketAddr> {
        let port = self.target_portal.port();
        let further = self.target_secondary_ip_addresses.iter();
        std::iter::once(self.target_portal)
            .chain(further.map(|address| SocketAddr::new(*address, port)))
            .collect()
    }
}
