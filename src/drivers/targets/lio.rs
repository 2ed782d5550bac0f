//! iSCSI through LIO, the target in Linux itself, by configfs: no daemon, no tool, no Python (cinder: `volume/targets/lio.py`,
//! which starts `cinder-rtstool` for each verb; see `docs/decisions` for the reasons).
//!
//! ```text
//! ensure_export  backstore, target, LUN 0, portals, enabled: no initiator can log in yet
//! grant_access   an ACL for this initiator, with its secret and the LUN
//! revoke_access  removes its ACL and its sessions
//! remove_export  removes sessions, ACLs, portals, LUN, target, backstore
//! ```
//!
//! The kernel has all the state, and continues to serve during a restart: this process stores only what is needed to
//! detect missing exports. So an incomplete export is simply completed. Unlike those of tgt, exports survive this
//! process: `shutdown` keeps them, and after a reboot the manager restores all of them from the catalog.
//!
//! A block device is exported by `iblock`, a file by `fileio` (buffered, which is reported to initiators, so that they
//! flush).

mod access;
mod export;
mod place;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use self::export::Wanted;
use self::place::Place;
use super::backing::Backing;
use super::chap::Chap;
use super::configfs::{self, Mounted, Tree};
use super::iscsi::{self, Location};
use super::kernel::{self, Kernel};
use super::volume_locks::VolumeLocks;
use super::watch::Watch;
use super::{Export, TargetDriver, check_portals};
use crate::drivers::{DriverResult, Work};
use crate::model::{AttachMode, ConnectionInfo, Connector, VolumeSpec};

/// The LUN of every volume (cinder: `volume/targets/lio.py`, `_get_target_and_lun`).
pub const LUN: u64 = 0;

/// Its kernel modules, first the one that creates its part of configfs.
pub const MODULES: &[&str] = &[
    "target_core_mod",
    "target_core_iblock",
    "target_core_file",
    "iscsi_target_mod",
];

/// The number of the only target portal group.
const TAG: u32 = 1;

/// Options of a LIO target.
#[derive(Clone, Debug)]
pub struct LioOptions {
    /// The owner of the exports: a node may have several backends, and each lists its own only.
    pub owner: String,
    /// Its portals, which are also in the connection data.
    pub portals: Vec<SocketAddr>,
    /// The prefix of target names, before the volume's name (cinder: `target_prefix`).
    pub target_prefix: String,
    /// Whether initiators need a secret in addition to an ACL.
    pub chap: bool,
    /// Whether UNMAP frees blocks, and the connection data has `discard` (cinder: `report_discard_supported`).
    pub discard: bool,
    /// The mount point of configfs.
    pub configfs: PathBuf,
    /// The program that loads kernel modules, by name or path.
    pub modprobe: OsString,
}

impl LioOptions {
    /// Default options with this owner and portal.
    pub fn new(owner: impl Into<String>, portal: SocketAddr) -> Self {
        Self {
            owner: owner.into(),
            portals: vec![portal],
            target_prefix: "iqn.2010-10.org.openstack:".to_owned(),
            chap: true,
            discard: false,
            configfs: configfs::ROOT.into(),
            modprobe: "modprobe".into(),
        }
    }
}

/// See the module.
pub struct LioTarget {
    options: LioOptions,
    kernel: Kernel,
    tree: Tree,
    watch: Watch,
    volume_locks: VolumeLocks,
    /// Secrets that are not in a record yet, because the answer of `ensure_export` was lost.
    secrets: Mutex<BTreeMap<String, Chap>>,
    probe: fn(&Path) -> DriverResult<Backing>,
}

impl LioTarget {
    /// A new target. It does not access the kernel.
    pub fn new(options: LioOptions) -> Self {
        let tree = Tree::new(Mounted::new(&options.configfs));
        Self::over(options, tree, Backing::of)
    }

    fn over(options: LioOptions, tree: Tree, probe: fn(&Path) -> DriverResult<Backing>) -> Self {
        Self {
            kernel: Kernel::new(&options.configfs, "target", MODULES, &options.modprobe),
            watch: Watch::new(tree.clone(), "target/core"),
            options,
            tree,
            volume_locks: VolumeLocks::default(),
            secrets: Mutex::default(),
            probe,
        }
    }

    fn place(&self, volume: &VolumeSpec) -> Place {
        let (prefix, name) = (&self.options.target_prefix, volume.storage_name());
        let place = Place::new(&self.options.owner, iscsi::target_name(prefix, volume), &name);
        place.or_where_it_stands(&self.tree, format!("{prefix}{name}"))
    }

    /// Creates the fabric, which is missing after another program cleared the kernel's configuration.
    fn fabric(&self, work: &Work) -> DriverResult<()> {
        if self.tree.exists(Path::new(place::FABRIC)) {
            return Ok(());
        }
        self.kernel.prepare(work)?;
        self.tree.editor(work).make(Path::new(place::FABRIC))
    }

    /// The secret of an export: that of the volume's record, else the one in memory or in the kernel, else a new one.
    fn secret(&self, place: &Place, volume: &VolumeSpec) -> DriverResult<Option<Chap>> {
        if !self.options.chap {
            return Ok(None);
        }
        let mut secrets = self.secrets.lock();
        let chap = match (&volume.provider_auth, secrets.get(&place.name)) {
            (Some(auth), _) => Chap::recorded(auth, &place.name)?,
            (None, Some(chap)) => chap.clone(),
            (None, None) => match access::some_secret(&self.tree, place)? {
                Some(chap) => chap,
                None => Chap::generate()?,
            },
        };
        secrets.insert(place.name.clone(), chap.clone());
        Ok(Some(chap))
    }

    fn forget_secret(&self, place: &Place) {
        self.secrets.lock().remove(&place.name);
    }
}

impl TargetDriver for LioTarget {
    fn storage_protocol(&self) -> &'static str {
        "iSCSI"
    }

    fn setup(&self, work: &Work) -> DriverResult<()> {
        check_portals(&self.options.portals)?;
        iscsi::check_prefix(&self.options.target_prefix)?;
        work.take_ownership()?;
        self.watch.start();
        self.kernel.prepare(work)?;
        self.fabric(work)?;
        self.watch.ready();
        Ok(())
    }

    fn ensure_export(&self, work: &Work, volume: &VolumeSpec, backing_store: &Path) -> DriverResult<Export> {
        let place = self.place(volume);
        let _turn = self.volume_locks.lock(work, &place.name)?;
        let backing = (self.probe)(backing_store)?;
        let tree = self.tree.editor(work);
        self.fabric(work)?;
        let chap = self.secret(&place, volume)?;
        let wanted = Wanted {
            path: backing_store,
            backing,
            serial: volume.id.to_string(),
            portals: &self.options.portals,
            chap: chap.as_ref(),
            discard: self.options.discard,
        };
        if !export::is_of(&self.tree, &place, &wanted) {
            self.watch.goes(&place.name);
            export::take_down(&tree, &place, work)?;
        }
        export::build(&tree, &place, &wanted)?;
        self.watch.stands(&place.name, place.group());
        let location = Location {
            portals: self.options.portals.clone(),
            tid: TAG,
            iqn: place.iqn,
            lun: LUN,
        };
        Ok(Export {
            provider_location: location.to_provider_location(),
            provider_auth: chap.as_ref().map(Chap::to_provider_auth),
        })
    }

    fn remove_export(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        let place = self.place(volume);
        let _turn = self.volume_locks.lock(work, &place.name)?;
        self.watch.goes(&place.name);
        export::take_down(&self.tree.editor(work), &place, work)?;
        self.forget_secret(&place);
        Ok(())
    }

    fn check_connector(&self, connector: &Connector) -> DriverResult<()> {
        iscsi::initiator(connector).map(drop)
    }

    fn grant_access(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        export: &Export,
        connector: &Connector,
        mode: AttachMode,
    ) -> DriverResult<ConnectionInfo> {
        let initiator = iscsi::initiator(connector)?;
        let info = iscsi::connection_info(volume, export, connector, mode, self.options.discard)?;
        let place = self.place(volume);
        let _turn = self.volume_locks.lock(work, &place.name)?;
        if !export::stands(&self.tree, &place) {
            return Err(kernel::not_exported(&place.name));
        }
        let chap = match (&export.provider_auth, self.options.chap) {
            (Some(auth), true) => Chap::parse(auth),
            _ => None,
        };
        let readonly = volume.readonly || mode == AttachMode::Ro;
        access::grant(
            &self.tree.editor(work),
            &place,
            &initiator,
            chap.as_ref(),
            readonly,
            volume.readonly,
        )?;
        Ok(info)
    }

    fn revoke_access(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        connector: Option<&Connector>,
    ) -> DriverResult<()> {
        let place = self.place(volume);
        let _turn = self.volume_locks.lock(work, &place.name)?;
        let tree = self.tree.editor(work);
        match connector {
            // An initiator without a valid name has no access.
            Some(connector) => match iscsi::initiator(connector) {
                Ok(initiator) => access::revoke(&tree, &place, &initiator),
                Err(_) => Ok(()),
            },
            None => access::revoke_all(&tree, &place),
        }
    }

    fn resized(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        let place = self.place(volume);
        let _turn = self.volume_locks.lock(work, &place.name)?;
        export::resize(&self.tree.editor(work), &place, self.probe)
    }

    fn list_exports(&self, work: &Work) -> DriverResult<Vec<String>> {
        work.check()?;
        place::exports(&self.tree, &self.options.owner)
    }

    fn generation(&self) -> Option<u64> {
        self.watch.generation()
    }

    fn shutdown(&self) {
        self.watch.stop();
    }
}
