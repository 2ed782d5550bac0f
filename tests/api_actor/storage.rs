//! What a backend has, compared with what it should have.

use pumice::messages::api::{CompareStorage, FailureKind};
use pumice::model::user_message::Detail;
use pumice::model::{SnapshotId, SnapshotStatus, StorageName, VolumeId, VolumeStatus};

use crate::support::{Deed, World, admin, create};

fn page(after: Option<StorageName>, found: Vec<StorageName>, complete: bool) -> CompareStorage {
    CompareStorage {
        backend: "h1@fake".parse().unwrap(),
        after,
        found,
        complete,
    }
}

#[actix::test]
async fn what_is_missing_is_marked_with_a_reason_and_orphans_are_named() {
    let world = World::new().await;
    let (there, gone) = (world.volume(1).await, world.volume(1).await);
    let lost = world.snapshot(there.id).await;
    let (stray, stray_snapshot) = (VolumeId::new(), SnapshotId::new());
    let mut found = vec![
        StorageName::Volume(there.id),
        StorageName::Volume(stray),
        StorageName::Snapshot(stray_snapshot),
    ];
    found.sort();
    let difference = world.call_as(&admin(), page(None, found, true)).await.unwrap();
    assert_eq!(
        difference.orphans,
        [StorageName::Volume(stray), StorageName::Snapshot(stray_snapshot)]
    );
    let mut missing = difference.missing.clone();
    missing.sort();
    assert_eq!(
        missing,
        [StorageName::Volume(gone.id), StorageName::Snapshot(lost.id)]
    );
    world.until(gone.id, VolumeStatus::Error).await;
    world.until_snapshot(lost.id, SnapshotStatus::Error).await;
    world.until(there.id, VolumeStatus::Available).await;
    let messages = world.messages().await;
    assert_eq!(messages.len(), 2);
    assert!(
        messages
            .iter()
            .all(|message| message.detail == Detail::StorageMissing)
    );
}

#[actix::test]
async fn what_is_being_worked_on_or_an_error_already_is_left_alone() {
    let world = World::new().await;
    world.always("create", Deed::Lose);
    let creating = world.call(create(1)).await.unwrap();
    world
        .wait("a place", async || {
            let volume = world.catalog.volume(creating.id).await.unwrap()?;
            volume.host.is_some().then_some(())
        })
        .await;
    world.will("create", [Deed::Fail(FailureKind::Request)]);
    let failed = world.call(create(1)).await.unwrap();
    world.until(failed.id, VolumeStatus::Error).await;
    let difference = world
        .call_as(&admin(), page(None, Vec::new(), true))
        .await
        .unwrap();
    assert!(difference.missing.is_empty() && difference.orphans.is_empty());
    world.until(creating.id, VolumeStatus::Creating).await;
}

#[actix::test]
async fn a_page_speaks_of_its_own_part_only() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.volume(1).await.id);
    }
    ids.sort();
    let name = |index: usize| StorageName::Volume(ids[index]);
    let first = page(None, vec![name(1)], false);
    let difference = world.call_as(&admin(), first).await.unwrap();
    assert_eq!(difference.missing, [name(0)], "nothing was said of the last one");
    let rest = page(Some(name(1)), vec![name(2)], true);
    let difference = world.call_as(&admin(), rest).await.unwrap();
    assert!(difference.missing.is_empty());
}
