//! Snapshots: made, deleted, gone back to, copied from, and going with their volume.

use pumice::messages::api::{FailureKind, MetadataChange};
use pumice::model::spec::VolumeSource;
use pumice::model::user_message::{Action, Detail};
use pumice::model::{ErrorKind, SnapshotId, SnapshotStatus, VolumeStatus};
use pumice::store::catalog::verify::verify;
use pumice::verbs::snapshot::{
    ChangeSnapshot, DeleteSnapshot, SnapshotChange, UpdateSnapshot, UpdateSnapshotMetadata,
};
use pumice::verbs::volume::{
    CreateVolumeCommand, DeleteVolume, DeleteVolumeCascadeCommand, ExtendVolume, RevertToSnapshot,
};

use crate::support::{Reaction, World, admin, create, keep, quick, stranger};

fn delete(id: SnapshotId, force: bool) -> DeleteSnapshot {
    DeleteSnapshot {
        snapshot_id: id.to_string(),
        force,
    }
}

fn delete_volume(id: impl ToString, cascade: bool, force: bool) -> DeleteVolume {
    DeleteVolume {
        volume_id: id.to_string(),
        cascade,
        force,
    }
}

async fn nothing_is_wrong(world: &World) {
    world.until_quiet().await;
    let findings = verify(&world.catalog).await.unwrap();
    assert!(findings.is_empty(), "{findings:?}");
}

#[actix::test]
async fn a_snapshot_is_made_shown_and_deleted_with_what_it_counts_for() {
    let world = World::new().await;
    let volume = world.volume(2).await;
    let snapshot = world.call(keep(volume.id)).await.unwrap();
    assert_eq!(
        (snapshot.status, snapshot.volume_size, snapshot.progress.as_str()),
        (SnapshotStatus::Creating, 2, "0%")
    );
    let made = world.until_snapshot(snapshot.id, SnapshotStatus::Available).await;
    assert_eq!((made.progress.as_str(), made.operation), ("100%", None));
    for (resource, used) in [
        ("snapshots", 1),
        ("gigabytes", 4),
        ("snapshots___DEFAULT__", 1),
        ("volumes", 1),
    ] {
        assert_eq!(world.usage(resource).await.in_use, used, "{resource}");
    }
    assert_eq!(
        world
            .call_as(&stranger(), delete(snapshot.id, false))
            .await
            .unwrap_err()
            .client,
        format!("Snapshot {} could not be found.", snapshot.id)
    );
    world.call(delete(snapshot.id, false)).await.unwrap();
    world.until_snapshot_gone(snapshot.id).await;
    world.until_quiet().await;
    for (resource, used) in [("snapshots", 0), ("gigabytes", 2), ("snapshots___DEFAULT__", 0)] {
        assert_eq!(world.usage(resource).await.in_use, used, "{resource}");
    }
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn what_fails_says_so_and_can_be_deleted() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    world.will("create_snapshot", [Reaction::Fail(FailureKind::NoSpace)]);
    let snapshot = world.call(keep(volume.id)).await.unwrap();
    world.until_snapshot(snapshot.id, SnapshotStatus::Error).await;
    let message = &world.messages().await[0];
    assert_eq!(
        (
            message.resource_type.as_str(),
            message.resource_uuid,
            message.action,
            message.detail
        ),
        (
            "VOLUME_SNAPSHOT",
            Some(snapshot.id.0),
            Action::SnapshotCreate,
            Detail::SnapshotCreateError
        )
    );
    world.will(
        "delete_snapshot",
        [
            Reaction::Fail(FailureKind::Busy),
            Reaction::Fail(FailureKind::Backend),
        ],
    );
    world.call(delete(snapshot.id, false)).await.unwrap();
    world.until_snapshot(snapshot.id, SnapshotStatus::Available).await;
    world.call(delete(snapshot.id, false)).await.unwrap();
    world
        .until_snapshot(snapshot.id, SnapshotStatus::ErrorDeleting)
        .await;
    let error = world.call(delete(snapshot.id, false)).await.unwrap_err();
    assert_eq!(
        error.client,
        "Invalid snapshot: Snapshot status must be available or error and must not be part of a group."
    );
    world.call_as(&admin(), delete(snapshot.id, true)).await.unwrap();
    world.until_snapshot_gone(snapshot.id).await;
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn a_lost_command_is_sent_again_after_a_restart() {
    let world = World::without_api(quick()).await;
    world.start_api();
    let volume = world.volume(1).await;
    world.always("create_snapshot", Reaction::Lose);
    let snapshot = world.call(keep(volume.id)).await.unwrap();
    world
        .wait("the command", async || {
            (!world.got("create_snapshot").is_empty()).then_some(())
        })
        .await;
    world.always("create_snapshot", Reaction::Succeed);
    // Another Api actor in the place of the first, with nothing but the journal.
    world.start_api();
    world.until_snapshot(snapshot.id, SnapshotStatus::Available).await;
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn a_volume_with_snapshots_stays_unless_they_go_with_it() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let (one, two) = (world.snapshot(volume.id).await, world.snapshot(volume.id).await);
    for force in [false, true] {
        let error = world
            .call_as(&admin(), delete_volume(volume.id, false, force))
            .await
            .unwrap_err();
        assert!(error.client.contains("have snapshots"), "{}", error.client);
    }
    world.always("delete_volume_cascade", Reaction::Lose);
    world.call(delete_volume(volume.id, true, false)).await.unwrap();
    world.until(volume.id, VolumeStatus::Deleting).await;
    for snapshot in [&one, &two] {
        world.until_snapshot(snapshot.id, SnapshotStatus::Deleting).await;
    }
    world.always("delete_volume_cascade", Reaction::Succeed);
    world.until_gone(volume.id).await;
    let command = world.received::<DeleteVolumeCascadeCommand>().pop().unwrap();
    assert_eq!(command.snapshots, [one.id, two.id]);
    for snapshot in [&one, &two] {
        world.until_snapshot_gone(snapshot.id).await;
    }
    world.until_quiet().await;
    for resource in ["snapshots", "gigabytes", "volumes", "snapshots___DEFAULT__"] {
        assert_eq!(world.usage(resource).await.in_use, 0, "{resource}");
    }
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn a_cascade_that_fails_leaves_errors_that_can_be_deleted() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let snapshot = world.snapshot(volume.id).await;
    world.will("delete_volume_cascade", [Reaction::Fail(FailureKind::Backend)]);
    world.call(delete_volume(volume.id, true, false)).await.unwrap();
    world.until(volume.id, VolumeStatus::ErrorDeleting).await;
    world
        .until_snapshot(snapshot.id, SnapshotStatus::ErrorDeleting)
        .await;
    world
        .call_as(&admin(), delete_volume(volume.id, true, true))
        .await
        .unwrap();
    world.until_gone(volume.id).await;
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn a_volume_goes_back_to_its_latest_snapshot_and_to_its_size() {
    let world = World::new().await;
    let volume = world.volume(2).await;
    let revert = |snapshot: Option<SnapshotId>| RevertToSnapshot {
        volume_id: volume.id.to_string(),
        snapshot_id: snapshot.map(|id| id.to_string()),
    };
    let error = world.call(revert(None)).await.unwrap_err();
    assert_eq!(
        error.client,
        format!("Volume {} doesn't have any snapshots.", volume.id)
    );
    let (old, latest) = (world.snapshot(volume.id).await, world.snapshot(volume.id).await);
    for wrong in [None, Some(old.id), Some(SnapshotId::new())] {
        let error = world.call(revert(wrong)).await.unwrap_err();
        let named = wrong.map_or_else(|| "None".to_owned(), |id| id.to_string());
        assert_eq!(
            error.client,
            format!(
                "Specified snapshot {named} is None or not the latest one of volume {}.",
                volume.id
            )
        );
    }
    let mut grown = world.catalog.volume(volume.id).await.unwrap().unwrap().record;
    grown.size = 5;
    world.put(&grown).await;
    let mut changes = world.catalog.change();
    let growth = pumice::model::quota::extend_deltas(3, volume.volume_type_id);
    changes.add_usage(&volume.project_id, &growth);
    changes.commit().await.unwrap();
    world.always("revert_to_snapshot", Reaction::Lose);
    world.call(revert(Some(latest.id))).await.unwrap();
    world.until(volume.id, VolumeStatus::Reverting).await;
    world.until_snapshot(latest.id, SnapshotStatus::Restoring).await;
    let error = world.call(delete(latest.id, false)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadRequest);
    world.always("revert_to_snapshot", Reaction::Succeed);
    let back = world.until(volume.id, VolumeStatus::Available).await;
    assert_eq!(back.size, 2);
    world.until_snapshot(latest.id, SnapshotStatus::Available).await;
    world.until_quiet().await;
    assert_eq!(world.usage("gigabytes").await.in_use, 2 + 2 + 2);
    world.will("revert_to_snapshot", [Reaction::Fail(FailureKind::Backend)]);
    world.call(revert(Some(latest.id))).await.unwrap();
    world.until(volume.id, VolumeStatus::Error).await;
    world.until_snapshot(latest.id, SnapshotStatus::Available).await;
    assert_eq!(world.messages().await[0].detail, Detail::DriverFailedRevert);
    let error = world.call(revert(Some(latest.id))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn what_is_being_copied_is_deleted_when_the_copy_is_made() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let snapshot = world.snapshot(volume.id).await;
    world.always("create_volume", Reaction::Lose);
    let mut from_snapshot = create(1);
    from_snapshot.snapshot_id = Some(snapshot.id.0);
    let copy = world.call(from_snapshot).await.unwrap();
    assert_eq!((copy.snapshot_id, copy.source_volid), (Some(snapshot.id), None));
    let mut clone = create(2);
    clone.source_volid = Some(volume.id.0);
    let clone = world.call(clone).await.unwrap();
    world
        .wait("the commands", async || {
            let creates = world.received::<CreateVolumeCommand>();
            let sources: Vec<VolumeSource> = creates
                .iter()
                .map(|create| create.volume.source.clone())
                .collect();
            let of_snapshot = VolumeSource::Snapshot {
                id: snapshot.id,
                volume_id: volume.id,
                size: 1,
            };
            let of_volume = VolumeSource::Volume {
                id: volume.id,
                size: 1,
            };
            (sources.contains(&of_snapshot) && sources.contains(&of_volume)).then_some(())
        })
        .await;
    world.call(delete(snapshot.id, false)).await.unwrap();
    // The volume waits for its snapshot to go and for its copy, too: a cascade names both.
    world
        .call_as(&admin(), delete_volume(volume.id, true, true))
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(world.got("delete_snapshot").is_empty());
    assert!(world.got("delete_volume_cascade").is_empty());
    world.always("create_volume", Reaction::Succeed);
    world.until(copy.id, VolumeStatus::Available).await;
    world.until(clone.id, VolumeStatus::Available).await;
    world.until_gone(volume.id).await;
    world.until_snapshot_gone(snapshot.id).await;
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn a_snapshot_that_is_being_copied_goes_with_its_volume_when_the_copy_is_made() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let snapshot = world.snapshot(volume.id).await;
    world.always("create_volume", Reaction::Lose);
    let mut from_snapshot = create(1);
    from_snapshot.snapshot_id = Some(snapshot.id.0);
    let copy = world.call(from_snapshot).await.unwrap();
    world.call(delete_volume(volume.id, true, false)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(world.got("delete_volume_cascade").is_empty());
    world.always("create_volume", Reaction::Succeed);
    world.until(copy.id, VolumeStatus::Available).await;
    world.until_gone(volume.id).await;
    world.until_snapshot_gone(snapshot.id).await;
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn what_is_being_copied_grows_when_the_copy_is_made() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    world.always("create_volume", Reaction::Lose);
    let mut clone = create(1);
    clone.source_volid = Some(volume.id.0);
    let clone = world.call(clone).await.unwrap();
    world
        .wait("the command", async || {
            (world.got("create_volume").len() > 1).then_some(())
        })
        .await;
    let grow = ExtendVolume {
        volume_id: volume.id.to_string(),
        new_size: 2,
        attached_too: false,
    };
    world.call(grow).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(world.got("extend_volume").is_empty());
    world.always("create_volume", Reaction::Succeed);
    world.until(clone.id, VolumeStatus::Available).await;
    assert_eq!(world.until(volume.id, VolumeStatus::Available).await.size, 2);
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn a_volume_grows_when_its_snapshot_is_made() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    world.always("create_snapshot", Reaction::Lose);
    let snapshot = world.call(keep(volume.id)).await.unwrap();
    let grow = ExtendVolume {
        volume_id: volume.id.to_string(),
        new_size: 2,
        attached_too: false,
    };
    world.call(grow).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(world.got("extend_volume").is_empty());
    world.always("create_snapshot", Reaction::Succeed);
    world.until_snapshot(snapshot.id, SnapshotStatus::Available).await;
    assert_eq!(world.until(volume.id, VolumeStatus::Available).await.size, 2);
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn a_volume_is_made_from_a_snapshot_by_cinders_rules() {
    let world = World::new().await;
    let volume = world.volume(2).await;
    let snapshot = world.snapshot(volume.id).await;
    let from = |size: Option<u32>| {
        let mut request = create(1);
        request.size = size;
        request.snapshot_id = Some(snapshot.id.0);
        request
    };
    let error = world.call(from(Some(1))).await.unwrap_err();
    assert_eq!(
        error.client,
        "Invalid input received: Volume size '1'GB cannot be smaller than the snapshot size 2GB. They must be >= \
         original snapshot size."
    );
    let mut both = from(None);
    both.source_volid = Some(volume.id.0);
    assert_eq!(
        world.call(both).await.unwrap_err().client,
        "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume"
    );
    let made = world.call(from(None)).await.unwrap();
    assert_eq!(made.size, 2);
    let reset = ChangeSnapshot {
        snapshot_id: snapshot.id.to_string(),
        change: SnapshotChange::ResetStatus {
            status: SnapshotStatus::Error,
        },
    };
    world.call_as(&admin(), reset).await.unwrap();
    assert_eq!(
        world.call(from(None)).await.unwrap_err().client,
        "Invalid snapshot: Originating snapshot status must be one of 'available' values"
    );
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn names_and_metadata_are_changed_and_compute_services_report() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    world.always("create_snapshot", Reaction::Lose);
    let snapshot = world.call(keep(volume.id)).await.unwrap();
    let id = snapshot.id.to_string();
    let report = |status: &str, progress: Option<&str>| ChangeSnapshot {
        snapshot_id: id.clone(),
        change: SnapshotChange::UpdateStatus {
            status: status.to_owned(),
            progress: progress.map(str::to_owned),
        },
    };
    assert_eq!(
        world
            .call(report("error_deleting", None))
            .await
            .unwrap_err()
            .client,
        "Provided snapshot status error_deleting not allowed for snapshot with status creating."
    );
    let changed = world.call(report("available", Some("90%"))).await.unwrap();
    assert_eq!(
        (changed.status, changed.progress.as_str()),
        (SnapshotStatus::Available, "90%")
    );
    assert_eq!(
        world.call(report("available", None)).await.unwrap_err().client,
        "Snapshot status available not allowed for update_snapshot_status"
    );
    let named = UpdateSnapshot {
        snapshot_id: id.clone(),
        name: Some(Some("n".to_owned())),
        description: Some(None),
    };
    assert_eq!(world.call(named).await.unwrap().name.as_deref(), Some("n"));
    let pairs = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let change = |change| UpdateSnapshotMetadata {
        snapshot_id: id.clone(),
        change,
    };
    let merged = change(MetadataChange::Merge(pairs(&[("a", "1"), ("b", "2")])));
    assert_eq!(world.call(merged).await.unwrap().len(), 2);
    let removed = change(MetadataChange::Remove("a".to_owned()));
    assert_eq!(world.call(removed.clone()).await.unwrap().len(), 1);
    assert_eq!(
        world.call(removed).await.unwrap_err().client,
        format!("Snapshot {id} has no metadata with key a.")
    );
    let replaced = change(MetadataChange::Replace(pairs(&[("c", "3")])));
    assert_eq!(world.call(replaced).await.unwrap(), pairs(&[("c", "3")]));
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn quota_is_checked_before_anything_is_written() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    world.script.lock().limits = vec![(pumice::model::quota::Resource::snapshots(), 1)];
    world.snapshot(volume.id).await;
    let error = world.call(keep(volume.id)).await.unwrap_err();
    assert_eq!(
        (error.kind, error.client.as_str()),
        (
            ErrorKind::OverQuota,
            "SnapshotLimitExceeded: Maximum number of snapshots allowed (1) exceeded"
        )
    );
    nothing_is_wrong(&world).await;
}

#[actix::test]
async fn the_snapshot_that_was_made_last_is_the_latest_though_the_clock_was_set_back() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let first = world.snapshot(volume.id).await;
    // As one that was made while the clock was an hour ahead.
    let was = world.catalog.snapshot(first.id).await.unwrap().unwrap();
    let mut ahead = was.record.clone();
    ahead.created_at = ahead.created_at.plus(std::time::Duration::from_secs(3600));
    let mut changes = world.catalog.change();
    changes.update(&was, &ahead);
    changes.commit().await.unwrap();
    let second = world.snapshot(volume.id).await;
    let latest = world.catalog.latest_snapshot(volume.id).await.unwrap().unwrap();
    assert_eq!(latest.id, second.id);
}
