//! Records for tests.

use std::sync::atomic::{AtomicI64, Ordering};

use super::changes::Indexed;
use super::{Catalog, Changes, CommitError, Revision};
use crate::model::{
    Attachment, AttachmentStatus, Operation, Snapshot, SnapshotStatus, Subject, Timestamp, Volume,
    VolumeStatus,
};

static CLOCK: AtomicI64 = AtomicI64::new(1_700_000_000_000_000);

/// A time later than all earlier results.
pub(super) fn tick() -> Timestamp {
    Timestamp(CLOCK.fetch_add(1_000, Ordering::Relaxed))
}

/// Commits these changes.
pub(super) async fn commit(catalog: &Catalog, add: impl FnOnce(&mut Changes) -> &mut Changes) {
    try_to_commit(catalog, add).await.unwrap();
}

/// The same, if it may be refused.
pub(super) async fn try_to_commit(
    catalog: &Catalog,
    add: impl FnOnce(&mut Changes) -> &mut Changes,
) -> Result<Revision, CommitError> {
    let mut changes = catalog.change();
    add(&mut changes);
    changes.commit().await
}

/// Commits the insertion of these records.
pub(super) async fn insert<'r, R: Indexed + 'r>(catalog: &Catalog, records: impl IntoIterator<Item = &'r R>) {
    let records = records.into_iter();
    commit(catalog, |changes| records.fold(changes, Changes::insert)).await;
}

pub(super) fn volume(project: &str, name: &str, size: u32) -> Volume {
    Volume {
        name: Some(name.to_owned()),
        ..Volume::new(
            project.into(),
            "user".into(),
            size,
            VolumeStatus::Available,
            "nova".to_owned(),
            tick(),
        )
    }
}

pub(super) fn attachment(volume: &Volume) -> Attachment {
    Attachment::of(volume, AttachmentStatus::Reserved, tick())
}

pub(super) fn snapshot(volume: &Volume, name: &str) -> Snapshot {
    Snapshot {
        name: Some(name.to_owned()),
        progress: "100%".to_owned(),
        ..Snapshot::of(volume, SnapshotStatus::Available, tick())
    }
}

pub(super) fn operation(volume: &Volume) -> Operation {
    let created_at = tick();
    let deadline = created_at.plus(std::time::Duration::from_secs(3600));
    Operation {
        request_id: "req-1".to_owned(),
        ..Operation::new("sample", Subject::Volume(volume.id), volume, created_at, deadline)
    }
}
