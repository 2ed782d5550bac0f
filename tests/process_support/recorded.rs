//! What lies in the catalog of a program that is not running.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use pumice::model::{Snapshot, Volume};
use pumice::store::Store;
use pumice::store::catalog::{Catalog, SnapshotQuery, VolumeQuery};

/// The contents of the catalog when no process has it open.
#[derive(Debug, Default)]
pub struct Recorded {
    /// What the checker finds.
    pub findings: Vec<String>,
    /// The storage names of its volumes and snapshots.
    pub names: BTreeSet<String>,
    /// Those of them that must be on the storage: what is in error may be or not.
    pub on_storage: BTreeSet<String>,
}

impl Recorded {
    fn note(&mut self, name: String, status: &impl std::fmt::Display) {
        if !status.to_string().starts_with("error") {
            self.on_storage.insert(name.clone());
        }
        self.names.insert(name);
    }
}

/// Reads the catalog of this data folder.
pub fn read_catalog(data_dir: &Path) -> Result<Recorded> {
    actix_rt::System::new().block_on(async {
        let store: Arc<dyn Store> = Arc::new(pumice::store::sled::SledStore::open(
            &data_dir.join("store"),
            &pumice::store::sled::SledOptions::default(),
        )?);
        let catalog = Catalog::open(store).await?;
        let mut recorded = Recorded::default();
        for finding in pumice::store::catalog::verify::verify(&catalog).await? {
            recorded.findings.push(finding.to_string());
        }
        let mut query = VolumeQuery {
            limit: 1000,
            ..VolumeQuery::default()
        };
        loop {
            let page = catalog.page::<Volume>(&query).await?;
            for volume in &page.records {
                recorded.note(volume.storage_name(), &volume.status);
            }
            let Some(last) = page.records.last() else { break };
            query.marker = Some(last.id);
        }
        let mut query = SnapshotQuery {
            limit: 1000,
            ..SnapshotQuery::default()
        };
        loop {
            let page = catalog.page::<Snapshot>(&query).await?;
            for snapshot in &page.records {
                recorded.note(format!("_snapshot-{}", snapshot.id), &snapshot.status);
            }
            let Some(last) = page.records.last() else { break };
            query.marker = Some(last.id);
        }
        Ok(recorded)
    })
}
