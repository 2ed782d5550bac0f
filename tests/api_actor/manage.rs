//! Adopting what exists on a backend, and forgetting it again.

use std::collections::BTreeMap;

use pumice::messages::api::{FailureKind, ListManageableSnapshots, ListManageableVolumes};
use pumice::model::{Error, ErrorKind, Existing, Reference, SnapshotStatus, VolumeStatus};
use pumice::store::catalog::verify::verify;
use pumice::verbs::snapshot::{ManageSnapshot, UnmanageSnapshot};
use pumice::verbs::volume::{DeleteVolume, ManageVolume, UnmanageVolume};

use crate::support::{Reaction, World, admin};

fn manage(host: &str, name: &str) -> ManageVolume {
    ManageVolume {
        host: host.to_owned(),
        reference: Reference::named(name),
        name: Some("found".to_owned()),
        description: None,
        volume_type: None,
        availability_zone: None,
        metadata: BTreeMap::new(),
        bootable: true,
    }
}

fn existing(name: impl ToString, origin: Option<String>, in_use: bool) -> Existing {
    Existing {
        name: name.to_string(),
        bytes: (1 << 30) + 1,
        in_use,
        origin,
    }
}

async fn world() -> World {
    let world = World::new().await;
    world.announce("h1@fake").await;
    world
}

#[actix::test]
async fn what_exists_becomes_a_volume_and_counts_for_its_size() {
    let world = world().await;
    let volume = world.call_as(&admin(), manage("h1@fake#p", "lv1")).await.unwrap();
    assert_eq!((volume.status, volume.size), (VolumeStatus::Managing, 0));
    let managed = world.until(volume.id, VolumeStatus::Available).await;
    assert_eq!((managed.size, managed.bootable), (7, true));
    assert!(managed.launched_at.is_some());
    world.until_quiet().await;
    for (resource, used) in [("volumes", 1), ("gigabytes", 7), ("gigabytes___DEFAULT__", 7)] {
        assert_eq!(world.usage(resource).await.in_use, used, "{resource}");
    }
    let again = world
        .call_as(&admin(), manage("h1@fake", &volume.storage_name()))
        .await
        .unwrap_err();
    assert_eq!(
        again.client,
        "Invalid volume: Unable to manage existing volume. The volume is already managed"
    );
    let forget = UnmanageVolume {
        volume_id: volume.id.to_string(),
    };
    world.call_as(&admin(), forget).await.unwrap();
    world.until_gone(volume.id).await;
    assert_eq!(
        (
            world.got("unmanage_volume").len(),
            world.got("delete_volume").len()
        ),
        (1, 0)
    );
    world.until_quiet().await;
    for resource in ["volumes", "gigabytes", "gigabytes___DEFAULT__"] {
        assert_eq!(world.usage(resource).await.in_use, 0, "{resource}");
    }
    assert!(verify(&world.catalog).await.unwrap().is_empty());
}

#[actix::test]
async fn unknown_hosts_and_dead_ones_are_told_at_once() {
    let world = world().await;
    world.announce("h2@fake").await;
    for (host, text) in [
        ("zz", "Host 'zz' not found"),
        ("h3@fake#p", "Host 'h3@fake#p' not found"),
        ("h1@fake#q", "Service is unavailable at this time."),
        ("h2@fake", "Service is unavailable at this time."),
    ] {
        let error = world.call_as(&admin(), manage(host, "lv1")).await.unwrap_err();
        assert_eq!((error.kind, error.client.as_str()), (ErrorKind::BadRequest, text));
    }
    assert!(world.volumes().await.is_empty());
}

#[actix::test]
async fn what_cannot_be_adopted_is_forgotten_and_not_deleted() {
    let world = world().await;
    world.will("manage_volume", [Reaction::Fail(FailureKind::Request)]);
    let volume = world.call_as(&admin(), manage("h1@fake", "none")).await.unwrap();
    world.until(volume.id, VolumeStatus::ErrorManaging).await;
    assert_eq!(world.messages().await[0].cause.as_deref(), Some("It broke."));
    let delete = DeleteVolume {
        volume_id: volume.id.to_string(),
        cascade: false,
        force: false,
    };
    world.call_as(&admin(), delete).await.unwrap();
    world.until_gone(volume.id).await;
    assert_eq!(
        (
            world.got("unmanage_volume").len(),
            world.got("delete_volume").len()
        ),
        (1, 0)
    );
    world.until_quiet().await;
    assert_eq!(world.usage("volumes").await.in_use, 0);
    assert!(verify(&world.catalog).await.unwrap().is_empty());
}

#[actix::test]
async fn what_is_too_large_for_the_quota_is_an_error() {
    let world = world().await;
    world.always("manage_volume", Reaction::Lose);
    let volume = world.call_as(&admin(), manage("h1@fake", "lv1")).await.unwrap();
    world.script.lock().refuse_quota = Some(Error::over_quota("too much"));
    world.always("manage_volume", Reaction::Succeed);
    world.until(volume.id, VolumeStatus::ErrorManaging).await;
    assert_eq!(world.messages().await[0].cause.as_deref(), Some("too much"));
    world.until_quiet().await;
    assert_eq!(world.usage("gigabytes").await.in_use, 0);
}

#[actix::test]
async fn a_snapshot_is_adopted_and_forgotten() {
    let world = world().await;
    let volume = world.volume(2).await;
    let adopt = ManageSnapshot {
        volume_id: volume.id.to_string(),
        reference: Reference::named("snap1"),
        name: None,
        description: None,
        metadata: BTreeMap::new(),
    };
    let snapshot = world.call_as(&admin(), adopt).await.unwrap();
    world.until_snapshot(snapshot.id, SnapshotStatus::Available).await;
    assert_eq!(world.usage("snapshots").await.in_use, 1);
    let forget = UnmanageSnapshot {
        snapshot_id: snapshot.id.to_string(),
    };
    world.call_as(&admin(), forget).await.unwrap();
    world.until_snapshot_gone(snapshot.id).await;
    assert_eq!(
        (
            world.got("unmanage_snapshot").len(),
            world.got("delete_snapshot").len()
        ),
        (1, 0)
    );
    world.until_quiet().await;
    assert_eq!(world.usage("snapshots").await.in_use, 0);
    assert!(verify(&world.catalog).await.unwrap().is_empty());
}

#[actix::test]
async fn what_exists_is_listed_with_whose_it_is() {
    let world = world().await;
    let volume = world.volume(1).await;
    let snapshot = world.snapshot(volume.id).await;
    world.script.lock().existing = vec![
        existing(volume.storage_name(), None, true),
        existing(snapshot.storage_name(), Some(volume.storage_name()), false),
        existing("free", None, false),
        existing("busy", None, true),
        existing("snap1", Some("free".to_owned()), false),
    ];
    let host = "h1@fake".to_owned();
    let volumes = world
        .call_as(&admin(), ListManageableVolumes { host: host.clone() })
        .await
        .unwrap();
    let seen: Vec<(String, bool, Option<&str>)> = volumes
        .iter()
        .map(|found| {
            (
                found.reference.source_name().unwrap(),
                found.safe_to_manage,
                found.reason_not_safe.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("busy".to_owned(), false, Some("volume in use")),
            ("free".to_owned(), true, None),
            (volume.storage_name(), false, Some("already managed")),
        ]
    );
    assert_eq!((volumes[2].cinder_id, volumes[2].size), (Some(volume.id), 2));
    let snapshots = world
        .call_as(&admin(), ListManageableSnapshots { host })
        .await
        .unwrap();
    assert_eq!(snapshots[0].cinder_id, Some(snapshot.id));
    assert_eq!(
        snapshots[0].source_reference,
        Reference::named(&volume.storage_name())
    );
    assert_eq!(snapshots[1].reference, Reference::named("snap1"));
    assert!(snapshots[1].safe_to_manage);
    let unknown = ListManageableVolumes {
        host: "zz".to_owned(),
    };
    let error = world.call_as(&admin(), unknown).await.unwrap_err();
    assert_eq!(
        (error.kind, error.client.as_str()),
        (
            ErrorKind::NotFound,
            "Service cinder-volume could not be found on host zz."
        )
    );
}
