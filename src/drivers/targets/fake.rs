//! A target that keeps exports in memory and looks like iSCSI: for tests of flows, and for load tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::chap::Chap;
use super::iscsi::{self, LUN, Location};
use super::{Export, TargetDriver};
pub use crate::drivers::faults::Fault;
use crate::drivers::faults::Faults;
use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::volume::Secret;
use crate::model::{AttachMode, ConnectionInfo, Connector, VolumeSpec};

/// The verbs, for scripts and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the target driver's verbs")]
pub enum Verb {
    Setup,
    EnsureExport,
    RemoveExport,
    InitializeConnection,
    TerminateConnection,
    Resized,
    ListExports,
}

#[derive(Clone, Debug)]
struct Exported {
    tid: u32,
    backing_store: PathBuf,
    auth: Secret,
    initiators: BTreeSet<String>,
}

#[derive(Default)]
struct Daemon {
    /// `None` while it does not run.
    generation: Option<u64>,
    starts: u64,
    exports: BTreeMap<String, Exported>,
    restart_is_due: bool,
}

/// A handle of a fake target; clones share it.
#[derive(Clone)]
pub struct FakeTarget {
    portal: SocketAddr,
    daemon: Arc<Mutex<Daemon>>,
    faults: Arc<Faults<Verb>>,
}

impl Default for FakeTarget {
    fn default() -> Self {
        Self::new(Duration::ZERO)
    }
}

impl FakeTarget {
    /// A target whose verbs take this long each.
    pub fn new(latency: Duration) -> Self {
        Self {
            portal: SocketAddr::from(([127, 0, 0, 1], 3260)),
            daemon: Arc::default(),
            faults: Arc::new(Faults::new(latency)),
        }
    }

    /// Sets the fault of the next call of `verb` without one.
    pub fn script(&self, verb: Verb, fault: Fault) {
        self.faults.push(verb, fault);
    }

    /// Removes all scripted faults.
    pub fn heal(&self) {
        self.faults.clear();
    }

    /// How often `verb` was called.
    pub fn calls(&self, verb: Verb) -> usize {
        self.faults.calls(verb)
    }

    /// Ends the daemon, and with it every export.
    pub fn kill(&self) {
        let mut daemon = self.daemon();
        daemon.generation = None;
        daemon.exports.clear();
    }

    /// Starts the daemon again, without exports.
    pub fn revive(&self) {
        let mut daemon = self.daemon();
        daemon.exports.clear();
        daemon.start();
    }

    /// Restarts the daemon right after the next access is granted.
    pub fn restart_after_next_connection(&self) {
        self.daemon().restart_is_due = true;
    }

    /// The exported volume names, without counting a call.
    pub fn exports(&self) -> Vec<String> {
        self.daemon().exports.keys().cloned().collect()
    }

    /// The initiators with access to a volume.
    pub fn initiators(&self, volume: &VolumeSpec) -> Vec<String> {
        let daemon = self.daemon();
        let initiators = daemon
            .exports
            .get(&volume.storage_name())
            .map(|export| &export.initiators);
        initiators.into_iter().flatten().cloned().collect()
    }

    /// The backing store of a volume's export.
    pub fn backing_store(&self, volume: &VolumeSpec) -> Option<PathBuf> {
        let daemon = self.daemon();
        daemon
            .exports
            .get(&volume.storage_name())
            .map(|export| export.backing_store.clone())
    }

    fn daemon(&self) -> MutexGuard<'_, Daemon> {
        self.daemon.lock()
    }

    fn alive(&self) -> DriverResult<MutexGuard<'_, Daemon>> {
        let daemon = self.daemon();
        if daemon.generation.is_some() {
            return Ok(daemon);
        }
        Err(DriverError::target_unavailable("the fake target does not run"))
    }
}

impl Daemon {
    fn start(&mut self) {
        self.starts += 1;
        self.generation = Some(self.starts);
    }

    fn free_tid(&self) -> u32 {
        let taken: BTreeSet<u32> = self.exports.values().map(|export| export.tid).collect();
        (1..).find(|tid| !taken.contains(tid)).unwrap_or(u32::MAX)
    }
}

impl TargetDriver for FakeTarget {
    fn storage_protocol(&self) -> &'static str {
        "iSCSI"
    }

    fn setup(&self, work: &Work) -> DriverResult<()> {
        self.faults.run(Verb::Setup, work, || {
            let mut daemon = self.daemon();
            if daemon.generation.is_none() {
                daemon.start();
            }
            Ok(())
        })
    }

    fn ensure_export(&self, work: &Work, volume: &VolumeSpec, backing_store: &Path) -> DriverResult<Export> {
        self.faults.run(Verb::EnsureExport, work, || {
            let mut daemon = self.alive()?;
            let name = volume.storage_name();
            if !daemon.exports.contains_key(&name) {
                let exported = Exported {
                    tid: daemon.free_tid(),
                    backing_store: backing_store.to_owned(),
                    auth: match &volume.provider_auth {
                        Some(auth) => auth.clone(),
                        None => Chap::generate()?.to_provider_auth(),
                    },
                    initiators: BTreeSet::new(),
                };
                daemon.exports.insert(name.clone(), exported);
            }
            let exported = &daemon.exports[&name];
            let location = Location {
                portals: vec![self.portal],
                tid: exported.tid,
                iqn: format!("iqn.2010-10.org.openstack:{name}"),
                lun: LUN,
            };
            Ok(Export {
                provider_location: location.to_provider_location(),
                provider_auth: Some(exported.auth.clone()),
            })
        })
    }

    fn remove_export(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        self.faults.run(Verb::RemoveExport, work, || {
            self.daemon().exports.remove(&volume.storage_name());
            Ok(())
        })
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
        self.faults.run(Verb::InitializeConnection, work, || {
            let initiator = iscsi::initiator(connector)?;
            let mut daemon = self.alive()?;
            let exported = daemon.exports.get_mut(&volume.storage_name()).ok_or_else(|| {
                DriverError::not_exported(format!("{} is not exported", volume.storage_name()))
            })?;
            exported.initiators.insert(initiator);
            if std::mem::take(&mut daemon.restart_is_due) {
                daemon.exports.clear();
                daemon.start();
            }
            iscsi::connection_info(volume, export, connector, mode, false)
        })
    }

    fn revoke_access(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        connector: Option<&Connector>,
    ) -> DriverResult<()> {
        self.faults.run(Verb::TerminateConnection, work, || {
            if let Some(exported) = self.daemon().exports.get_mut(&volume.storage_name()) {
                match connector {
                    Some(connector) => {
                        let name = connector.initiator().unwrap_or_default();
                        exported
                            .initiators
                            .retain(|spelled| !iscsi::is_same_name(spelled, &name));
                    }
                    None => exported.initiators.clear(),
                }
            }
            Ok(())
        })
    }

    fn resized(&self, work: &Work, _volume: &VolumeSpec) -> DriverResult<()> {
        self.faults.run(Verb::Resized, work, || Ok(()))
    }

    fn list_exports(&self, work: &Work) -> DriverResult<Vec<String>> {
        self.faults.run(Verb::ListExports, work, || {
            Ok(self.daemon().exports.keys().cloned().collect())
        })
    }

    fn generation(&self) -> Option<u64> {
        self.daemon().generation
    }

    fn shutdown(&self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::FakeTarget;
    use crate::drivers::Work;
    use crate::drivers::targets::TargetDriver;
    use crate::drivers::testing::{connector, volume};
    use crate::model::AttachMode;

    #[test]
    fn an_export_is_kept_until_the_daemon_dies() {
        let target = FakeTarget::default();
        let work = Work::within(Duration::from_secs(10));
        let volume = volume(1);
        let path = Path::new("/fake/v");
        assert!(target.ensure_export(&work, &volume, path).is_err());
        target.setup(&work).unwrap();
        let export = target.ensure_export(&work, &volume, path).unwrap();
        assert_eq!(target.ensure_export(&work, &volume, path).unwrap(), export);
        target
            .grant_access(&work, &volume, &export, &connector("iqn.x"), AttachMode::Rw)
            .unwrap();
        assert_eq!(target.initiators(&volume), ["iqn.x"]);
        let before = target.generation();
        target.kill();
        assert_eq!(target.generation(), None);
        target.revive();
        assert!(target.exports().is_empty());
        assert!(target.generation().is_some() && target.generation() != before);
    }
}
