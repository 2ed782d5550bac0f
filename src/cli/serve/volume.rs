//! The volume half of a node: one VolumeManager for each backend, with its driver and its target helper.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;

use super::BoxError;
use crate::actors::volume_manager;
use crate::backend::driver_slot::DriverFactory;
use crate::backend::{BackendState, Options};
use crate::config::Config;
use crate::config::backend::{self, Backend};
use crate::drivers::VolumeDriver;
use crate::drivers::copy::process::CopyOptions;
use crate::drivers::fake::{FakeDriver, FakeOptions};
use crate::drivers::file::{FileDriver, FileOptions};
use crate::drivers::lvm::{LvmDriver, LvmOptions};
use crate::drivers::ownership::{LockError, Ownership, Place};
use crate::drivers::targets::TargetDriver;
use crate::drivers::targets::fake::FakeTarget;
use crate::drivers::targets::lio::{LioOptions, LioTarget};
use crate::drivers::targets::nvmet::{InfoVersion, NvmetOptions, NvmetTarget};
use crate::drivers::targets::tgt::{self, TgtOptions, TgtTarget};
use crate::model::BackendName;
use crate::transport::Router;

/// How long a start waits for the locks of the storage: a storage that does not answer is reported by its manager.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

/// The locks on the storage of each backend, as far as it exists.
pub type Owned = BTreeMap<String, Ownership>;

/// Locks the storage of each backend. A storage that does not exist, or cannot be locked now, is locked by its
/// driver's setup.
///
/// # Errors
/// If another process, or another backend, has one of them.
pub async fn own(config: &Config) -> Result<Owned, BoxError> {
    let mut owned = Owned::new();
    for (name, backend) in &config.backend {
        let ownership = Ownership::of(places(config, name, backend));
        let taking = ownership.clone();
        let taken = tokio::task::spawn_blocking(move || taking.take());
        match tokio::time::timeout(LOCK_LIMIT, taken).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error @ LockError::Held { .. }))) => {
                return Err(format!("backend.{name}: {error}").into());
            }
            // A folder that was never used.
            Ok(Ok(Err(LockError::Io { source, .. }))) if source.kind() == ErrorKind::NotFound => {}
            Ok(Ok(Err(error))) => {
                tracing::warn!(backend = name, %error, "the storage is not locked yet; trying again")
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => tracing::warn!(
                backend = name,
                "the storage does not answer; it is not locked yet"
            ),
        }
        owned.insert(name.clone(), ownership);
    }
    Ok(owned)
}

/// The resources that only one process may change.
fn places(config: &Config, name: &str, backend: &Backend) -> Vec<Place> {
    let owner = BackendName::new(config.node.host.clone(), name.to_owned()).to_string();
    let of_machine =
        |kind: &str, what: String, name: &str| Place::of_machine(&config.node.lock_dir, kind, &what, name);
    let storage = match backend.driver {
        backend::Driver::File => Some(Place::folder(&backend.path)),
        backend::Driver::Lvm => {
            let group = &backend.volume_group;
            Some(of_machine("lvm", format!("volume group {group}"), group))
        }
        backend::Driver::Fake => None,
    };
    let target = match backend.target {
        backend::Target::Lio => Some(of_machine("lio", format!("LIO exports of {owner}"), &owner)),
        backend::Target::Nvmet => Some(of_machine("nvmet", format!("nvmet exports of {owner}"), &owner)),
        // Its daemon's folder has a separate lock.
        backend::Target::Tgt | backend::Target::Fake | backend::Target::None => None,
    };
    storage.into_iter().chain(target).collect()
}

/// The backends of this node, running.
pub struct Volumes {
    arbiter: Arbiter,
    backends: Vec<Arc<BackendState>>,
}

impl Volumes {
    /// Starts a manager for each configured backend. Faults of a backend are reported by its manager.
    pub fn start(
        config: &Config,
        data_dir: &Path,
        router: &Router,
        mut owned: Owned,
    ) -> Result<Self, BoxError> {
        let arbiter = Arbiter::new();
        let mut backends = Vec::new();
        for (name, backend) in &config.backend {
            let parts = BackendState::with_ownership(
                BackendName::new(config.node.host.clone(), name.clone()),
                driver(backend, &config.node.host),
                target(&config.node.host, name, backend, data_dir),
                options(backend, config),
                owned.remove(name).unwrap_or_default(),
            );
            let bound = config.transport.mailbox_bound;
            let endpoint = volume_manager::endpoint(parts.clone(), router.clone(), bound);
            router.register(endpoint.start_on(&arbiter.handle()));
            backends.push(parts);
        }
        Ok(Self { arbiter, backends })
    }

    /// Returns the reason once another process is found to own the storage of a backend.
    pub async fn superseded(&self) -> String {
        let all = self
            .backends
            .iter()
            .map(|parts| Box::pin(parts.workers.superseded()));
        if self.backends.is_empty() {
            return std::future::pending().await;
        }
        futures_util::future::select_all(all).await.0
    }

    /// Cancels the drivers' work; the operations stay in the journal.
    pub fn park(&self) {
        for parts in &self.backends {
            parts.workers.stop();
        }
    }

    /// Ends the target daemons.
    pub async fn end(self) {
        for parts in self.backends {
            if let Some(target) = parts.target.clone() {
                let _ = tokio::task::spawn_blocking(move || target.shutdown()).await;
            }
        }
        self.arbiter.stop();
    }
}

pub(in crate::cli) fn driver(backend: &Backend, host: &str) -> DriverFactory {
    match backend.driver {
        backend::Driver::File => {
            let options = FileOptions {
                copy_bps_limit: backend.volume_copy_bps_limit.0,
                extra: backend.capabilities.clone(),
                ..FileOptions::new(&backend.path, &backend.volume_backend_name)
            };
            Arc::new(move || Arc::new(FileDriver::new(options.clone())) as Arc<dyn VolumeDriver>)
        }
        backend::Driver::Lvm => {
            let options = lvm_options(backend, host);
            Arc::new(move || Arc::new(LvmDriver::new(options.clone())) as Arc<dyn VolumeDriver>)
        }
        backend::Driver::Fake => {
            // One storage for all instances of the driver.
            let fake = FakeDriver::new(FakeOptions {
                pool_name: backend.volume_backend_name.clone(),
                remembers: false,
                ..FakeOptions::default()
            });
            Arc::new(move || Arc::new(fake.clone()) as Arc<dyn VolumeDriver>)
        }
    }
}

pub(in crate::cli) fn lvm_options(backend: &Backend, host: &str) -> LvmOptions {
    LvmOptions {
        lvm_type: backend.lvm_type,
        mirrors: backend.lvm_mirrors,
        conf_file: Some(backend.lvm_conf_file.clone()).filter(|file| !file.as_os_str().is_empty()),
        suppress_fd_warnings: backend.lvm_suppress_fd_warnings,
        thin_pool_warn_percent: backend.thin_pool_warn_percent,
        volume_clear: backend.volume_clear,
        volume_clear_size: backend.volume_clear_size,
        volume_clear_ionice: backend.volume_clear_ionice.clone(),
        command_timeout: backend.command_timeout.get(),
        copy: CopyOptions {
            pumice: None,
            block: backend.volume_dd_blocksize.as_usize(),
            limit: backend.volume_copy_bps_limit.0,
        },
        host: host.to_owned(),
        reserved_percentage: backend.reserved_percentage,
        max_over_subscription_ratio: backend.max_over_subscription_ratio,
        extra: backend.capabilities.clone(),
        ..LvmOptions::new(&backend.volume_group, &backend.volume_backend_name)
    }
}

pub(in crate::cli) fn target(
    host: &str,
    name: &str,
    backend: &Backend,
    data_dir: &Path,
) -> Option<Arc<dyn TargetDriver>> {
    let owner = BackendName::new(host.to_owned(), name.to_owned()).to_string();
    let (portal, portals) = (backend.target_portal, backend.portals());
    let target_prefix = backend.target_prefix.clone();
    let discard = backend.report_discard_supported;
    Some(match backend.target {
        backend::Target::None => return None,
        backend::Target::Fake => Arc::new(FakeTarget::default()),
        backend::Target::Tgt => Arc::new(TgtTarget::new(TgtOptions {
            portals,
            target_prefix,
            chap: backend.chap,
            discard,
            tgtd: backend.tgtd.clone().into(),
            tgtadm: backend.tgtadm.clone().into(),
            ..TgtOptions::new(tgt::folder(data_dir, name), portal)
        })),
        backend::Target::Lio => Arc::new(LioTarget::new(LioOptions {
            portals,
            target_prefix,
            chap: backend.chap,
            discard,
            ..LioOptions::new(owner, portal)
        })),
        backend::Target::Nvmet => Arc::new(NvmetTarget::new(NvmetOptions {
            portals,
            target_prefix,
            port_id: backend.nvmet_port_id,
            ns_id: backend.nvmet_ns_id,
            info_version: match backend.nvmeof_conn_info_version {
                2 => InfoVersion::Two,
                _ => InfoVersion::One,
            },
            discard,
            ..NvmetOptions::new(owner, portal)
        })),
    })
}

fn options(backend: &Backend, config: &Config) -> Options {
    Options {
        volume_backend_name: backend.volume_backend_name.clone(),
        availability_zone: config.node.availability_zone.clone(),
        max_workers: backend.max_workers,
        command_timeout: backend.command_timeout.get(),
        report_interval: config.service.report_interval.get(),
        stats_polling_interval: backend.backend_stats_polling_interval.get(),
        reserved_percentage: backend.reserved_percentage,
        max_over_subscription_ratio: backend.max_over_subscription_ratio,
        page_size: config.transport.page_size,
        delete_orphans: backend.delete_orphans,
        expect_storage: backend.expect_storage,
        ..Options::default()
    }
}
