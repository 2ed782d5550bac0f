//! The memory of tables of lists.

use std::sync::Weak;
use std::time::Duration;

use crate::config::Config;
use crate::store::catalog::{Catalog, ListOptions, Tables};

/// How often unused tables are dropped.
const LOOK: Duration = Duration::from_secs(60);

/// The catalog with bounded tables, whose unused ones are dropped as long as the process runs.
pub(super) fn tables(config: &Config, catalog: Catalog) -> Catalog {
    let catalog = catalog.with_lists(ListOptions {
        memory: config.store.list_memory.as_usize(),
        ..ListOptions::default()
    });
    actix_rt::spawn(drop_unused(catalog.tables()));
    catalog
}

async fn drop_unused(tables: Weak<Tables>) {
    let mut interval = tokio::time::interval(LOOK);
    loop {
        interval.tick().await;
        match tables.upgrade() {
            Some(tables) => tables.drop_unused().await,
            None => return,
        }
    }
}
