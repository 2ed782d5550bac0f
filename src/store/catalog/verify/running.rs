//! Checks of a catalog in use.
//!
//! A check reads a snapshot, which is in memory until the check ends, on a thread of its own: it blocks on the disk.

use std::sync::Arc;

use super::{Finding, verify};
use crate::store::StoreError;
use crate::store::catalog::Catalog;
use crate::store::memory::MemoryStore;

/// All inconsistencies of a catalog in use.
///
/// # Errors
/// As [`verify`].
pub async fn verify_running(catalog: &Catalog) -> Result<Vec<Finding>, StoreError> {
    on_snapshot(catalog, async |snapshot| verify(&snapshot).await).await
}

/// Runs a check of a snapshot on a thread of its own.
async fn on_snapshot<T, F>(catalog: &Catalog, check: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: AsyncFnOnce(Catalog) -> Result<T, StoreError> + Send + 'static,
{
    let catalog = catalog.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreError::new("no thread to check in").caused_by(error))?;
        runtime.block_on(async {
            let copy = MemoryStore::copy_of(catalog.store.as_ref()).await?;
            check(Catalog::open(Arc::new(copy)).await?).await
        })
    });
    let checked = checked.await;
    checked.map_err(|error| StoreError::new("the check was given up").caused_by(error))?
}
