//! Many volumes without many requests: written to the store as the service would have written them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use pumice::model::quota::volume_deltas;
use pumice::model::volume_type::DEFAULT_TYPE_NAME;
use pumice::model::{
    AttachStatus, BackendName, MigrationStatus, ProjectId, SnapshotId, Timestamp, UserId, Volume, VolumeId,
    VolumeStatus,
};
use pumice::store::Store;
use pumice::store::catalog::Catalog;
use pumice::store::sled::{SledOptions, SledStore};
use uuid::Uuid;

use super::server::Server;

/// How many volumes go into one commit.
const AT_ONCE: usize = 30;

/// Starts the service once, so that it makes its first user and project. Which one that is.
pub async fn project_of_first_start(folder: &Path) -> Result<ProjectId> {
    let server = Server::start(folder).await?;
    Ok(ProjectId::from(server.project.clone()))
}

/// Writes `count` volumes of that project into the data folder of a service that is not running: all alike but for their
/// names and times.
pub async fn volumes(folder: &Path, project: &ProjectId, count: usize) -> Result<()> {
    write(folder, project, count, |_, volume| volume).await
}

/// Writes `count` volumes that differ in every field that lists sort and filter by: some values are shared by many of them, some
/// by few, and some are of one volume alone.
pub async fn varied_volumes(folder: &Path, project: &ProjectId, count: usize) -> Result<()> {
    write(folder, project, count, varied).await
}

/// One volume in `few` has a value.
fn one_in<T>(few: usize, index: usize, value: impl FnOnce() -> T) -> Option<T> {
    index.is_multiple_of(few).then(value)
}

fn varied(index: usize, volume: Volume) -> Volume {
    // Spreads values over the order of creation.
    let mixed = index.wrapping_mul(7_919) % 100_003;
    let number = |of: usize| u32::try_from(mixed % of).unwrap_or_default();
    let later = |seconds: usize| volume.created_at.plus(Duration::from_secs(seconds as u64));
    let attached = mixed.is_multiple_of(20);
    Volume {
        name: Some(format!("bench-{mixed:06}")),
        description: one_in(2, index, || format!("description {mixed}")),
        size: 1 + number(200),
        status: match mixed % 100 {
            0 => VolumeStatus::Error,
            1 => VolumeStatus::Reserved,
            _ => VolumeStatus::Available,
        },
        attach_status: if attached {
            AttachStatus::Reserved
        } else {
            AttachStatus::Detached
        },
        migration_status: one_in(50, index, || MigrationStatus::Success),
        availability_zone: format!("zone-{}", mixed % 3),
        host: Some(BackendName::new(format!("node-{}", mixed % 20), "fake").pool("fake")),
        user_id: UserId::from(format!("user-{}", mixed % 50)),
        metadata: [
            ("run".to_owned(), "bench".to_owned()),
            ("shelf".to_owned(), (mixed % 1_000).to_string()),
            ("serial".to_owned(), mixed.to_string()),
        ]
        .into(),
        snapshot_id: one_in(10, index, SnapshotId::new),
        source_volid: one_in(10, index + 5, VolumeId::new),
        group_id: one_in(100, index, || Uuid::from_u128((index % 1_000) as u128)),
        bootable: mixed.is_multiple_of(4),
        multiattach: mixed.is_multiple_of(10),
        replication_status: one_in(3, index, || "disabled".to_owned()),
        consumes_quota: !index.is_multiple_of(500),
        updated_at: Some(later(mixed)),
        scheduled_at: Some(later(1)),
        launched_at: one_in(3, index + 1, || later(mixed % 100)),
        ..volume
    }
}

async fn write(
    folder: &Path,
    project: &ProjectId,
    count: usize,
    made: impl Fn(usize, Volume) -> Volume,
) -> Result<()> {
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
            let volume = Volume {
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
            };
            let volume = made(index, volume);
            changes.insert(&volume);
            changes.add_usage(project, &volume_deltas(volume.size, volume.volume_type_id));
        }
        changes.commit().await?;
    }
    Ok(())
}
