//! Many volumes without many requests: written to the store as the service would have written them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use pumice::model::quota::volume_deltas;
use pumice::model::volume_type::DEFAULT_TYPE_NAME;
use pumice::model::{BackendName, ProjectId, Timestamp, UserId, Volume, VolumeStatus};
use pumice::store::Store;
use pumice::store::catalog::Catalog;
use pumice::store::sled::{SledOptions, SledStore};

use super::server::Server;

/// How many volumes go into one commit.
const AT_ONCE: usize = 250;

/// Starts the service once, so that it makes its first user and project. Which one that is.
pub async fn project_of_first_start(folder: &Path) -> Result<ProjectId> {
    let server = Server::start(folder).await?;
    Ok(ProjectId::from(server.project.clone()))
}

/// Writes `count` volumes of that project into the data folder of a service that is not running.
pub async fn volumes(folder: &Path, project: &ProjectId, count: usize) -> Result<()> {
    let store: Arc<dyn Store> = Arc::new(SledStore::open(
        &folder.join("data/store"),
        &SledOptions::default(),
    )?);
    let catalog = Catalog::open(store).await?;
    let default_type = catalog
        .volume_type_by_name(DEFAULT_TYPE_NAME)
        .await?
        .context("no default type")?;
    let begun = Timestamp::now();
    let host = BackendName::new("bench", "fake").pool("fake");
    for first in (0..count).step_by(AT_ONCE) {
        let mut changes = catalog.change();
        for index in first..count.min(first + AT_ONCE) {
            let created_at = Timestamp(begun.0 - i64::try_from(count - index)? * 1000);
            changes.insert(&Volume {
                name: Some(format!("bench-{index}")),
                volume_type_id: Some(default_type.id),
                host: Some(host.clone()),
                placed: true,
                metadata: [("run".to_owned(), "bench".to_owned())].into(),
                updated_at: Some(created_at),
                scheduled_at: Some(created_at),
                launched_at: Some(created_at),
                ..Volume::new(
                    project.clone(),
                    UserId::from("bench"),
                    1,
                    VolumeStatus::Available,
                    "nova".to_owned(),
                    created_at,
                )
            });
            changes.add_usage(project, &volume_deltas(1, Some(default_type.id)));
        }
        changes.commit().await?;
    }
    Ok(())
}
