//! iSCSI through tgt, in user space: needs no kernel module, no root, only the Debian package `tgt` (cinder:
//! `volume/targets/tgt.py`, which uses the system's daemon; Pumice starts its own, with its own portal and control
//! socket).
//!
//! ```text
//! ensure_export          target, LUN 1, CHAP account: no initiator can log in yet
//! grant_access  this initiator may log in
//! revoke_access   it may not log in, and its sessions are closed
//! remove_export          removes sessions, target, account
//! ```
//!
//! tgtd compares an initiator's name exactly with the one that the initiator sends, which is that of its connector: so
//! ACLs have names as written, and revoking removes all spellings of a name.
//!
//! An initiator needs both: its name in the target's ACL, and the export's secret. The created exports are recorded in
//! memory as long as the daemon lives; a new daemon ([`TargetDriver::generation`]) has none, and the manager restores
//! its exports. An incomplete export is reverted, or marked unsound and rebuilt by the next `ensure_export`.
//!
//! tgtd is one process for all volumes of a backend. Its LUNs are identified by the volume's id (SCSI id and serial
//! number): tgtd's default ids repeat in each tgtd, and a host with volumes of two daemons would treat them as two
//! paths to one volume.

mod admin;
mod control;
mod exports;
mod keeper;
mod leftovers;
mod show;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use self::admin::Admin;
use self::exports::{AppliedExport, Exports, Wanted, measure};
use self::keeper::{Keeper, Plan, Up};
use self::show::{Exported, free_tid};
use super::chap::Chap;
use super::iscsi::{self, LUN, Location};
use super::{DaemonState, Export, TargetDriver, check_portals};
use crate::drivers::command::Command;
use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::{AttachMode, ConnectionInfo, Connector, VolumeSpec};

/// tgt appends this to the control socket's path. The socket is in a separate folder, so it need not differ.
const CONTROL_PORT: &str = "1";

/// The control socket's name, without the control port that tgt appends.
const SOCKET: &str = "socket";

/// The Debian package that has the daemon and its tool.
const PACKAGE: &str = "tgt";

/// The longest path of a Unix socket, without the final zero.
const LONGEST_SOCKET: usize = 107;

/// How long a verb waits for a daemon that is being restarted.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a waiting verb checks whether it may still wait.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// Options of a tgt target.
#[derive(Clone, Debug)]
pub struct TgtOptions {
    /// Its own folder, for its socket and lock. Created if missing.
    pub folder: PathBuf,
    /// Its portals, which are also in the connection data.
    pub portals: Vec<SocketAddr>,
    /// The prefix of target names, before the volume's name (cinder: `target_prefix`).
    pub target_prefix: String,
    /// Whether initiators need a secret in addition to an ACL entry.
    pub chap: bool,
    /// Threads for each LUN's reads and writes.
    pub io_threads: u32,
    /// Whether LUNs are thin: UNMAP frees blocks, and the connection data has `discard` (cinder:
    /// `report_discard_supported`).
    pub discard: bool,
    /// The time limit of one call of tgtadm.
    pub command_limit: Duration,
    /// The daemon, by name or path.
    pub tgtd: OsString,
    /// Its tool, by name or path.
    pub tgtadm: OsString,
}

/// The programs that it needs: the daemon, its tool, and the one that binds the daemon to this process.
pub fn programs(tgtd: &str, tgtadm: &str) -> [Command; 3] {
    [
        Command::new(tgtd, PACKAGE),
        Command::new(tgtadm, PACKAGE),
        Command::new("setpriv", "util-linux"),
    ]
}

/// The folder of a backend's daemon.
pub fn folder(data_dir: &Path, backend: &str) -> PathBuf {
    data_dir.join("tgt").join(backend)
}

/// Whether the path of the socket in this folder is short enough.
pub fn has_room_for_socket(folder: &Path) -> bool {
    folder.as_os_str().len() + SOCKET.len() + CONTROL_PORT.len() + 2 <= LONGEST_SOCKET
}

impl TgtOptions {
    /// Default options with this folder and portal.
    pub fn new(folder: impl Into<PathBuf>, portal: SocketAddr) -> Self {
        Self {
            folder: folder.into(),
            portals: vec![portal],
            target_prefix: "iqn.2010-10.org.openstack:".to_owned(),
            chap: true,
            io_threads: 4,
            discard: false,
            command_limit: Duration::from_secs(10),
            tgtd: "tgtd".into(),
            tgtadm: "tgtadm".into(),
        }
    }
}

/// The exports of the present daemon.
#[derive(Default)]
struct ExportTable {
    generation: u64,
    exports: BTreeMap<String, AppliedExport>,
    /// Kept across daemons, so that a restored export keeps its secret.
    secrets: BTreeMap<String, Chap>,
}

/// See the module.
pub struct TgtTarget {
    options: TgtOptions,
    admin: Admin,
    exports: Exports,
    keeper: Keeper,
    /// Also the volume_locks: tgtd does one thing at a time, and so do we.
    table: Mutex<ExportTable>,
}

impl TgtTarget {
    /// A new target: [`TargetDriver::setup`] starts its daemon.
    pub fn new(options: TgtOptions) -> Self {
        let options = TgtOptions {
            folder: std::path::absolute(&options.folder).unwrap_or_else(|_| options.folder.clone()),
            ..options
        };
        let admin = Admin {
            tgtadm: options.tgtadm.clone(),
            socket: options.folder.join(SOCKET),
            limit: options.command_limit,
            folder: keeper::ownership(&options.folder),
        };
        let plan = Plan {
            folder: options.folder.clone(),
            tgtd: options.tgtd.clone(),
            portals: options.portals.clone(),
            io_threads: options.io_threads.max(1),
            admin: admin.clone(),
        };
        Self {
            exports: Exports {
                admin: admin.clone(),
                discard: options.discard,
            },
            options,
            admin,
            keeper: Keeper::new(plan),
            table: Mutex::default(),
        }
    }

    fn check_options(&self) -> DriverResult<()> {
        check_portals(&self.options.portals)?;
        iscsi::check_prefix(&self.options.target_prefix)?;
        let socket = self.admin.socket_path();
        if socket.as_os_str().len() > LONGEST_SOCKET {
            return Err(DriverError::target_unavailable(format!(
                "the path {} is too long for a socket ({LONGEST_SOCKET} characters at most): choose a shorter data_dir",
                socket.display()
            )));
        }
        Ok(())
    }

    /// The table, and the daemon that it is about. Waits for its turn, and for a daemon that is being restarted.
    fn lock_when_up(&self, work: &Work) -> DriverResult<(MutexGuard<'_, ExportTable>, Up)> {
        let mut table = self.lock(work)?;
        let up = self.keeper.soon_up(work, PATIENCE)?;
        if table.generation != up.generation {
            table.generation = up.generation;
            table.exports.clear();
        }
        Ok((table, up))
    }

    /// As [`Self::enter`], for removals: `None` if there is no daemon, and so nothing to remove.
    fn lock_if_up(&self, work: &Work) -> DriverResult<Option<MutexGuard<'_, ExportTable>>> {
        let mut table = self.lock(work)?;
        let generation = self.keeper.up().ok().map(|up| up.generation);
        if generation != Some(table.generation) {
            table.exports.clear();
        }
        Ok(generation.is_some().then_some(table))
    }

    fn lock(&self, work: &Work) -> DriverResult<MutexGuard<'_, ExportTable>> {
        self.keeper.check_owner()?;
        work.check_owner()?;
        loop {
            work.check()?;
            // Each verb takes some milliseconds, and at most `limit` for each step.
            if let Some(table) = self.table.try_lock_for(LOCK_POLL) {
                return Ok(table);
            }
        }
    }

    /// The secret of an export: that of the volume's record, else the one in memory, else a new one.
    fn secret(&self, table: &mut ExportTable, name: &str, volume: &VolumeSpec) -> DriverResult<Option<Chap>> {
        if !self.options.chap {
            return Ok(None);
        }
        let chap = match (&volume.provider_auth, table.secrets.get(name)) {
            (Some(auth), _) => Chap::recorded(auth, name)?,
            (None, Some(chap)) => chap.clone(),
            (None, None) => Chap::generate()?,
        };
        let is_same = |(other, secret): &(&String, &Chap)| *other != name && secret.name() == chap.name();
        if let Some((other, _)) = table.secrets.iter().find(is_same) {
            return Err(DriverError::failed(
                "The volume's secret is not its own.",
                format!("{name} and {other} have the same CHAP name"),
            ));
        }
        table.secrets.insert(name.to_owned(), chap.clone());
        Ok(Some(chap))
    }

    fn export_of(&self, export: &Exported, chap: Option<&Chap>) -> Export {
        let location = Location {
            portals: self.options.portals.clone(),
            tid: export.tid,
            iqn: export.iqn.clone(),
            lun: LUN,
        };
        Export {
            provider_location: location.to_provider_location(),
            provider_auth: chap.map(Chap::to_provider_auth),
        }
    }
}

impl TargetDriver for TgtTarget {
    fn storage_protocol(&self) -> &'static str {
        "iSCSI"
    }

    fn setup(&self, work: &Work) -> DriverResult<()> {
        self.check_options()?;
        self.keeper.start(work)
    }

    fn ensure_export(&self, work: &Work, volume: &VolumeSpec, backing_store: &Path) -> DriverResult<Export> {
        let name = volume.storage_name();
        let bytes = measure(backing_store)?;
        let (mut table, up) = self.lock_when_up(work)?;
        let chap = self.secret(&mut table, &name, volume)?;
        let shown = self.admin.targets(work)?;
        let own = table.exports.get(&name).map(|applied| applied.export.tid);
        let taken = |tid: u32| {
            own != Some(tid)
                && (shown.iter().any(|target| target.tid == tid)
                    || table.exports.values().any(|applied| applied.export.tid == tid))
        };
        let recorded = || Some(Location::parse(volume.provider_location.as_deref()?)?.tid);
        let mut desired = Exported {
            iqn: iscsi::target_name(&self.options.target_prefix, volume),
            tid: free_tid(own.or_else(recorded), &taken),
            account: chap.as_ref().map(|chap| chap.name().to_owned()),
            backing_store: backing_store.to_owned(),
            bytes,
            readonly: volume.readonly,
        };
        let wanted = Wanted {
            chap: chap.as_ref(),
            direct: up.direct,
            shown: &shown,
            id: volume.id,
        };
        self.exports
            .ensure(work, &mut table.exports, &name, &mut desired, &wanted)?;
        Ok(self.export_of(&desired, chap.as_ref()))
    }

    fn remove_export(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        let name = volume.storage_name();
        if let Some(mut table) = self.lock_if_up(work)?
            && let Some(applied) = table.exports.get_mut(&name)
        {
            applied.sound = false;
            let applied = applied.clone();
            self.exports.tear_down(work, &applied)?;
            table.exports.remove(&name);
        }
        self.lock(work)?.secrets.remove(&name);
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
        let (mut table, _) = self.lock_when_up(work)?;
        let name = volume.storage_name();
        let applied = table
            .exports
            .get_mut(&name)
            .filter(|applied| applied.sound)
            .ok_or_else(|| {
                DriverError::not_exported(format!(
                    "{name} is not exported: the daemon may have been restarted meanwhile"
                ))
            })?;
        if !applied.initiators.contains(&initiator) {
            self.admin.bind_initiator(work, applied.export.tid, &initiator)?;
            applied.initiators.insert(initiator);
        }
        Ok(info)
    }

    fn revoke_access(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        connector: Option<&Connector>,
    ) -> DriverResult<()> {
        let Some(mut table) = self.lock_if_up(work)? else {
            return Ok(());
        };
        let Some(applied) = table.exports.get_mut(&volume.storage_name()) else {
            return Ok(());
        };
        let leaving: Vec<String> = match connector {
            Some(connector) => connector
                .initiator()
                .into_iter()
                .flat_map(|name| {
                    let of_it = move |spelled: &&String| iscsi::is_same_name(spelled, &name);
                    applied.initiators.iter().filter(of_it).cloned()
                })
                .collect(),
            None => applied.initiators.iter().cloned().collect(),
        };
        for initiator in leaving {
            self.admin
                .unbind_initiator(work, applied.export.tid, &initiator)?;
            self.exports.close(work, applied.export.tid, Some(&initiator))?;
            applied.initiators.remove(&initiator);
        }
        Ok(())
    }

    fn resized(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        let Some(mut table) = self.lock_if_up(work)? else {
            return Ok(());
        };
        if let Some(applied) = table.exports.get_mut(&volume.storage_name()) {
            let bytes = measure(&applied.export.backing_store)?;
            if bytes != applied.export.bytes && self.exports.tell_size(work, &applied.export)? {
                applied.export.bytes = bytes;
            }
        }
        Ok(())
    }

    fn list_exports(&self, work: &Work) -> DriverResult<Vec<String>> {
        let Some(table) = self.lock_if_up(work)? else {
            return Ok(Vec::new());
        };
        let shown: BTreeSet<(u32, String)> = self
            .admin
            .targets(work)?
            .into_iter()
            .map(|target| (target.tid, target.iqn))
            .collect();
        let stands =
            |applied: &AppliedExport| shown.contains(&(applied.export.tid, applied.export.iqn.clone()));
        Ok(table
            .exports
            .iter()
            .filter(|(_, applied)| stands(applied))
            .map(|(name, _)| name.clone())
            .collect())
    }

    fn generation(&self) -> Option<u64> {
        self.keeper.up().ok().map(|up| up.generation)
    }

    fn daemon_state(&self, patience: Duration) -> DaemonState {
        self.keeper.daemon_state(patience)
    }

    fn shutdown(&self) {
        self.keeper.stop(|work| {
            let Ok(table) = self.lock(work) else {
                return;
            };
            for applied in table.exports.values() {
                // What cannot be removed in order is ended with the daemon.
                if self.exports.tear_down(work, applied).is_err() {
                    return;
                }
            }
        });
    }
}

impl Drop for TgtTarget {
    fn drop(&mut self) {
        self.shutdown();
    }
}
