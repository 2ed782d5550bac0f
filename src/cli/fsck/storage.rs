//! The storage of this node's backends, read without a running manager: the volumes and the exports.

use std::time::Duration;

use super::BoxError;
use crate::cli::serve::volume;
use crate::config::{Backend, Config};
use crate::drivers::{DriverResult, Work};
use crate::model::BackendName;
use crate::store::catalog::Catalog;
use crate::store::catalog::verify::{self, Finding, Found};

/// The time limit of listing a backend.
const LIMIT: Duration = Duration::from_secs(60);

/// The differences from the catalog, on all backends of this node.
pub(super) async fn look(catalog: &Catalog, config: &Config) -> Result<Vec<Finding>, BoxError> {
    let mut findings = Vec::new();
    for (name, backend) in &config.backend {
        let called = BackendName::new(config.node.host.clone(), name.clone());
        let found = {
            let (config, name, backend) = (config.clone(), name.clone(), backend.clone());
            tokio::task::spawn_blocking(move || ask(&config, &name, &backend)).await?
        };
        match found {
            Ok(Some(found)) => findings.extend(verify::verify_storage(catalog, &called, &found).await?),
            Ok(None) => {}
            Err(error) if verify::expects_storage(catalog, &called).await? => {
                findings.push(Finding::UnknownStorage {
                    backend: called,
                    why: error.to_string(),
                });
            }
            // A backend that was never used.
            Err(_) => {}
        }
    }
    Ok(findings)
}

/// `None` for a backend without persistent storage.
fn ask(config: &Config, name: &str, backend: &Backend) -> DriverResult<Option<Found>> {
    let work = Work::within(LIMIT);
    let driver = volume::driver(backend, &config.node.host)();
    if !driver.remembers() {
        return Ok(None);
    }
    let target = volume::target(&config.node.host, name, backend, &config.node.data_dir);
    let exports = target.map(|target| target.list_exports(&work));
    Ok(Some(Found {
        existing: driver.list_existing(&work)?,
        // The daemon of a user-space target has ended with the service, and its exports with it.
        exports: exports.and_then(Result::ok).unwrap_or_default(),
    }))
}
