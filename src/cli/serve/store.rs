//! Opens the store of a control node.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::{BoxError, exports};
use crate::config::Config;
use crate::config::store::Engine;
use crate::store::catalog::IndexRows;
use crate::store::etcd::{EtcdOptions, EtcdStore};
use crate::store::sled::{OpenError, SledOptions, SledStore};
use crate::store::{Health, Store};

/// How often a store on the disk checks it.
const LOOK_AT_DISK: Duration = Duration::from_secs(1);

/// The file in which a node remembers its position in etcd.
const ETCD_POSITION: &str = "etcd-position";

/// A store, and its health.
pub(in crate::cli) struct Opened {
    pub(in crate::cli) store: Arc<dyn Store>,
    pub(in crate::cli) health: watch::Receiver<Health>,
}

/// Opens the store that is configured.
pub(super) async fn open(config: &Config, data_dir: &Path) -> Result<Opened, BoxError> {
    match config.store.engine {
        Engine::Sled => {
            let store = open_sled(config, data_dir).await?;
            actix_rt::spawn(look_at_disk(Arc::downgrade(&store)));
            Ok(Opened {
                health: store.health(),
                store,
            })
        }
        Engine::Etcd => open_etcd(etcd_options(config, data_dir)).await,
    }
}

/// Opens a store in etcd.
pub(in crate::cli) async fn open_etcd(options: EtcdOptions) -> Result<Opened, BoxError> {
    let store = EtcdStore::open(options, Arc::new(IndexRows)).await?;
    Ok(Opened {
        health: store.health(),
        store: Arc::new(store),
    })
}

/// The path of a store on the disk.
pub(in crate::cli) fn store_path(data_dir: &Path) -> PathBuf {
    data_dir.join("store")
}

/// The options of a store on the disk.
pub(in crate::cli) fn store_options(config: &Config) -> SledOptions {
    SledOptions {
        cache_capacity: config.store.cache_size.0,
        min_free: config.store.min_free_space.0,
        queue: config.store.queue,
    }
}

/// The options of a store in etcd.
pub(in crate::cli) fn etcd_options(config: &Config, data_dir: &Path) -> EtcdOptions {
    let of = &config.store;
    let given = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
    EtcdOptions {
        endpoints: of.etcd_endpoints.clone(),
        prefix: of.etcd_prefix.clone(),
        node: config.node.host.clone(),
        ca_file: given(&of.etcd_cafile),
        certificate: given(&of.etcd_certfile).zip(given(&of.etcd_keyfile)),
        user: (!of.etcd_user.is_empty())
            .then(|| (of.etcd_user.clone(), of.etcd_password.reveal().to_owned())),
        timeout: of.etcd_timeout.get(),
        compact_interval: of.etcd_compact_interval.get(),
        queue: of.queue,
        position: Some(data_dir.join(ETCD_POSITION)),
    }
}

/// Detects a full disk, free space again, or a deleted store, even without changes.
async fn look_at_disk(store: Weak<SledStore>) {
    let mut interval = tokio::time::interval(LOOK_AT_DISK);
    loop {
        interval.tick().await;
        match store.upgrade() {
            Some(store) if store.look().await.is_ok() => {}
            _ => return,
        }
    }
}

async fn open_sled(config: &Config, data_dir: &Path) -> Result<Arc<SledStore>, BoxError> {
    let path = store_path(data_dir);
    let options = store_options(config);
    let newest = exports::all(&exports::folder(data_dir)).pop();
    if let Some(export) = newest.as_ref().filter(|_| !is_there(&path)) {
        return Err(format!(
            "the store in {} is gone; `pumice store restore` makes it from its last export, {}. To begin with nothing, \
             move the exports away",
            path.display(),
            export.display()
        )
        .into());
    }
    // Recovery reads the whole log, so it must not run on this thread, which handles signals.
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&path, &options)).await?;
    match (opened, newest) {
        (Ok(store), _) => Ok(Arc::new(store)),
        (Err(error @ OpenError::Damaged { .. }), Some(export)) => Err(format!(
            "{error}; `pumice store restore --replace` puts its last export in its place, {}",
            export.display()
        )
        .into()),
        (Err(error @ OpenError::Damaged { .. }), None) => Err(format!(
            "{error}; there is no export beside it: `pumice store restore --replace FROM` puts one that was copied elsewhere in \
             its place"
        )
        .into()),
        (Err(error), _) => Err(error.into()),
    }
}

/// Whether there is a store on the disk: a folder without the log file is none.
pub(in crate::cli) fn is_there(path: &Path) -> bool {
    path.join("db").exists() || SledStore::is_half_restored(path)
}
