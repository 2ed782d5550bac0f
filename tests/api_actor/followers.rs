//! Volumes that take hundreds of attachments and snapshots along: no commit grows with their number.

use std::sync::Arc;

use pumice::messages::api::{FailureKind, ListBackendVolumes};
use pumice::model::bounds::{ATTACHMENTS, RECORDS_IN_A_COMMIT, SNAPSHOTS};
use pumice::model::quota::snapshot_deltas;
use pumice::model::{
    AttachStatus, Attachment, AttachmentId, AttachmentStatus, ConnectionInfo, ErrorKind, OperationId,
    Snapshot, SnapshotId, SnapshotStatus, Volume, VolumeStatus,
};
use pumice::store::catalog::verify;
use pumice::verbs::attachment::CreateAttachment;
use pumice::verbs::volume::{ChangeVolume, DeleteVolume, VolumeChange};
use uuid::Uuid;

use crate::measuring::Measuring;
use pumice::verbs::volume::DeleteVolumeCascadeCommand;

use crate::support::*;

/// The volume, its operation, a message, and what goes in one commit with it: attachments and snapshots, or each with its
/// operation.
const MOST_RECORDS: usize = 3 + 2 * RECORDS_IN_A_COMMIT;

async fn measured() -> (Arc<Measuring>, World) {
    let store = Arc::new(Measuring::default());
    let world = World::on(store.clone(), quick()).await;
    world.start_api();
    (store, world)
}

async fn add_snapshots(world: &World, of: &Volume, count: usize) -> Vec<SnapshotId> {
    let first = world.snapshot(of.id).await;
    let mut ids = vec![first.id];
    while ids.len() < count {
        let mut changes = world.catalog.change();
        for _ in 0..(count - ids.len()).min(100) {
            let snapshot = Snapshot {
                id: SnapshotId::new(),
                metadata: [("k".to_owned(), "v".repeat(100))].into(),
                ..first.clone()
            };
            changes.insert(&snapshot);
            changes.add_usage(&of.project_id, &snapshot_deltas(of.size, of.volume_type_id));
            ids.push(snapshot.id);
        }
        changes.commit().await.unwrap();
    }
    ids
}

async fn add_attachments(world: &World, of: &Volume, count: usize) {
    let data = serde_json::json!({"target_lun": 1});
    for start in (0..count).step_by(100) {
        let mut changes = world.catalog.change();
        for n in start..count.min(start + 100) {
            changes.insert(&Attachment {
                id: AttachmentId::new(),
                volume_id: of.id,
                project_id: of.project_id.clone(),
                instance_uuid: Some(Uuid::from_u128(n as u128)),
                status: AttachmentStatus::Attached,
                mode: None,
                attached_host: Some(format!("h{n}")),
                mountpoint: None,
                connector: Some(connector(&format!("h{n}"))),
                connection_info: Some(ConnectionInfo::new("iscsi", data.as_object().unwrap().clone())),
                operation: None,
                created_at: of.created_at,
                updated_at: None,
                attached_at: None,
                detached_at: None,
            });
        }
        changes.commit().await.unwrap();
    }
}

fn cascade(volume: &Volume, force: bool) -> DeleteVolume {
    DeleteVolume {
        volume_id: volume.id.to_string(),
        cascade: true,
        force,
    }
}

#[actix::test]
async fn a_volume_takes_hundreds_of_snapshots_along_a_few_at_a_time() {
    let (store, world) = measured().await;
    let volume = world.volume(1).await;
    let ids = add_snapshots(&world, &volume, 100).await;
    store.begin();
    world.will(
        "delete_volume_cascade",
        [
            Reaction::Fail(FailureKind::Backend),
            Reaction::Fail(FailureKind::Busy),
        ],
    );
    world.call(cascade(&volume, false)).await.unwrap();
    let failed = world.until(volume.id, VolumeStatus::ErrorDeleting).await;
    world.until_quiet().await;
    for id in &ids {
        world.until_snapshot(*id, SnapshotStatus::ErrorDeleting).await;
    }
    world.call_as(&admin(), cascade(&failed, true)).await.unwrap();
    for id in &ids {
        world.until_snapshot(*id, SnapshotStatus::Available).await;
    }
    world.until_quiet().await;
    world.call_as(&admin(), cascade(&failed, true)).await.unwrap();
    world.until_gone(volume.id).await;
    assert_eq!(world.usage("snapshots").await.in_use, 0);
    assert_eq!(world.usage("gigabytes___DEFAULT__").await.in_use, 0);
    assert_eq!(verify::verify(&world.catalog).await.unwrap(), []);
    assert!(store.most().records <= MOST_RECORDS, "{:?}", store.most());
}

#[actix::test]
async fn a_delete_that_was_cut_short_between_its_commits_goes_on_after_a_restart() {
    let world = World::without_api(quick()).await;
    world.start_api();
    let volume = world.volume(1).await;
    let ids = add_snapshots(&world, &volume, 20).await;
    world.always("delete_volume_cascade", Reaction::Lose);
    world.call(cascade(&volume, false)).await.unwrap();
    // As if the process had ended when a part of them was marked, and a part was gone.
    let mut changes = world.catalog.change();
    for id in &ids[..5] {
        let was = world.catalog.snapshot(*id).await.unwrap().unwrap();
        assert_eq!(was.status, SnapshotStatus::Deleting);
        let unmarked = Snapshot {
            status: SnapshotStatus::Available,
            operation: None,
            ..was.record.clone()
        };
        changes.update(&was, &unmarked);
    }
    let was = world.catalog.snapshot(ids[19]).await.unwrap().unwrap();
    let deltas = snapshot_deltas(was.volume_size, was.volume_type_id);
    changes.delete(&was);
    changes.add_usage(&volume.project_id, &pumice::model::quota::given_back(deltas));
    changes.commit().await.unwrap();
    world.always("delete_volume_cascade", Reaction::Succeed);
    world.until_gone(volume.id).await;
    let got = world.received::<DeleteVolumeCascadeCommand>();
    let last = got.last().unwrap();
    assert_eq!(last.snapshots.len(), 19);
    assert_eq!(verify::verify(&world.catalog).await.unwrap(), []);
}

#[actix::test]
async fn a_forced_delete_and_a_reset_take_hundreds_of_attachments_away_a_few_at_a_time() {
    let (store, world) = measured().await;
    for reset in [true, false] {
        let volume = world.volume(1).await;
        add_attachments(&world, &volume, 90).await;
        // One of them is in the middle of something.
        let was = world
            .catalog
            .volume_attachments(volume.id)
            .await
            .unwrap()
            .remove(0);
        let at_work = Attachment {
            operation: Some(OperationId::new()),
            ..was.record.clone()
        };
        let mut changes = world.catalog.change();
        changes.update(&was, &at_work);
        changes.commit().await.unwrap();
        store.begin();
        if reset {
            let change = VolumeChange::ResetStatus {
                status: Some(VolumeStatus::Available),
                attach_status: Some(AttachStatus::Detached),
                migration_status: None,
            };
            let message = ChangeVolume {
                volume_id: volume.id.to_string(),
                change,
            };
            world.call_as(&admin(), message).await.unwrap();
            assert!(
                world
                    .catalog
                    .volume_attachments(volume.id)
                    .await
                    .unwrap()
                    .is_empty()
            );
        }
        world.call_as(&admin(), cascade(&volume, true)).await.unwrap();
        world.until_gone(volume.id).await;
        world.until_quiet().await;
        assert_eq!(verify::verify(&world.catalog).await.unwrap(), []);
        assert!(store.most().records <= MOST_RECORDS, "{:?}", store.most());
    }
}

#[actix::test]
async fn a_volume_has_so_many_attachments_and_snapshots_and_no_more() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    add_attachments(&world, &volume, ATTACHMENTS).await;
    let one_more = CreateAttachment {
        volume_id: volume.id.to_string(),
        instance_uuid: None,
        connector: None,
        mode: None,
    };
    let error = world.call(one_more).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert_eq!(
        error.client,
        "Invalid number of attachments: the volume has 512, and may have 512."
    );
    let list = ListBackendVolumes {
        backend: pool("h1@fake#p").backend,
        after: None,
        limit: 10,
    };
    let listed = world.call(list).await.unwrap();
    assert_eq!(listed[0].connectors.len(), ATTACHMENTS);
    let volume = world.volume(1).await;
    add_snapshots(&world, &volume, SNAPSHOTS).await;
    let error = world.call(keep(volume.id)).await.unwrap_err();
    assert_eq!(
        error.client,
        "Invalid number of snapshots: the volume has 1000, and may have 1000."
    );
    world.call(cascade(&volume, false)).await.unwrap();
    world.until_gone(volume.id).await;
    assert_eq!(world.usage("snapshots").await.in_use, 0);
}
