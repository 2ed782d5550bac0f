//! The volume half of a node: one VolumeManager for each backend, with its driver and its target helper.

use std::path::Path;
use std::sync::Arc;

use actix_rt::Arbiter;

use super::BoxError;
use crate::actors::volume_manager::{self, Options, Parts, slot::DriverFactory};
use crate::config::Config;
use crate::config::backend::{self, Backend};
use crate::drivers::VolumeDriver;
use crate::drivers::copy::process::CopyOptions;
use crate::drivers::fake::{FakeDriver, FakeOptions};
use crate::drivers::file::{FileDriver, FileOptions};
use crate::drivers::lvm::{LvmDriver, LvmOptions, LvmType, VolumeClear};
use crate::drivers::target::TargetDriver;
use crate::drivers::target::fake::FakeTarget;
use crate::drivers::target::lio::{LioOptions, LioTarget};
use crate::drivers::target::nvmet::{InfoVersion, NvmetOptions, NvmetTarget};
use crate::drivers::target::tgt::{self, TgtOptions, TgtTarget};
use crate::model::BackendName;
use crate::model::service::OverSubscription;
use crate::transport::Router;

/// The backends of this node, running.
pub struct Volumes {
    arbiter: Arbiter,
    backends: Vec<Arc<Parts>>,
}

impl Volumes {
    /// Starts a manager for each configured backend. What is wrong with a backend is its manager's to report.
    pub fn start(config: &Config, data_dir: &Path, router: &Router) -> Result<Self, BoxError> {
        let arbiter = Arbiter::new();
        let mut backends = Vec::new();
        for (name, backend) in &config.backend {
            let parts = Parts::new(
                BackendName::new(config.node.host.clone(), name.clone()),
                driver(backend, &config.node.host),
                target(&config.node.host, name, backend, data_dir),
                options(backend, config),
            );
            let bound = config.transport.mailbox_bound;
            let endpoint = volume_manager::endpoint(parts.clone(), router.clone(), bound);
            router.register(endpoint.start_on(&arbiter.handle()));
            backends.push(parts);
        }
        Ok(Self { arbiter, backends })
    }

    /// Cancels what the drivers do; the operations stay in the journal.
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
            // One storage, however often the driver is made anew.
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
        lvm_type: match backend.lvm_type {
            backend::LvmType::Auto => LvmType::Auto,
            backend::LvmType::Default => LvmType::Thick,
            backend::LvmType::Thin => LvmType::Thin,
        },
        mirrors: backend.lvm_mirrors,
        conf_file: Some(backend.lvm_conf_file.clone()).filter(|file| !file.as_os_str().is_empty()),
        suppress_fd_warnings: backend.lvm_suppress_fd_warnings,
        thin_pool_warn_percent: backend.thin_pool_warn_percent,
        volume_clear: match backend.volume_clear {
            backend::VolumeClear::Zero => VolumeClear::Zero,
            backend::VolumeClear::None => VolumeClear::None,
        },
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
        max_over_subscription_ratio: over_subscription(backend),
        extra: backend.capabilities.clone(),
        ..LvmOptions::new(&backend.volume_group, &backend.volume_backend_name)
    }
}

fn over_subscription(backend: &Backend) -> OverSubscription {
    match backend.max_over_subscription_ratio {
        backend::OverSubscription::Ratio(ratio) => OverSubscription::Ratio(ratio),
        backend::OverSubscription::Auto => OverSubscription::Auto,
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
        max_over_subscription_ratio: over_subscription(backend),
        page_size: config.transport.page_size,
        delete_orphans: backend.delete_orphans,
        expect_storage: backend.expect_storage,
        ..Options::default()
    }
}
