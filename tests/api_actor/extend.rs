//! Growing volumes.

use pumice::messages::api::FailureKind;
use pumice::model::quota::Resource;
use pumice::model::user_message::{Action, Detail};
use pumice::model::{ErrorKind, VolumeStatus};
use pumice::verbs::volume::ExtendVolume;

use crate::support::{Reaction, World};

fn extend(id: impl ToString, new_size: u32) -> ExtendVolume {
    ExtendVolume {
        volume_id: id.to_string(),
        new_size,
        attached_too: true,
    }
}

#[actix::test]
async fn a_grown_volume_counts_its_growth_as_reserved_until_it_has_grown() {
    let world = World::new().await;
    let volume = world.volume(2).await;
    world.always("extend_volume", Reaction::Lose);
    world.call(extend(volume.id, 5)).await.unwrap();
    let now = world.until(volume.id, VolumeStatus::Extending).await;
    assert_eq!(
        (now.size, now.previous_status),
        (2, Some(VolumeStatus::Available))
    );
    let usage = world.usage("gigabytes").await;
    assert_eq!((usage.in_use, usage.reserved), (2, 3));
    world.always("extend_volume", Reaction::ReportTwice);
    let now = world.until(volume.id, VolumeStatus::Available).await;
    assert_eq!((now.size, now.previous_status, now.operation), (5, None, None));
    world.until_quiet().await;
    for resource in ["gigabytes", "gigabytes___DEFAULT__"] {
        let usage = world.usage(resource).await;
        assert_eq!((usage.in_use, usage.reserved), (5, 0), "{resource}");
    }
}

#[actix::test]
async fn a_volume_grows_only() {
    let world = World::new().await;
    let volume = world.volume(2).await;
    let error = world.call(extend(volume.id, 2)).await.unwrap_err();
    assert_eq!(
        error.client,
        "Invalid input received: New size for extend must be greater than current size. (current: 2, extended: 2)."
    );
    world.always("extend_volume", Reaction::Lose);
    world.call(extend(volume.id, 3)).await.unwrap();
    let error = world.call(extend(volume.id, 4)).await.unwrap_err();
    assert_eq!(
        error.client,
        format!(
            "Invalid volume: Volume {} status must be available or in-use to extend, currently extending.",
            volume.id
        )
    );
}

#[actix::test]
async fn growth_over_the_quota_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let volume = world.volume(2).await;
    world.script.lock().limits = vec![(Resource::gigabytes(), 4)];
    let error = world.call(extend(volume.id, 5)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::OverQuota);
    assert_eq!(
        error.client,
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested 3G, \
         quota is 4G and 2G has been consumed."
    );
    world.until(volume.id, VolumeStatus::Available).await;
    assert!(world.operations().await.is_empty());
}

#[actix::test]
async fn where_the_pool_has_no_room_the_volume_stays_as_it_is_and_a_message_says_why() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    world.will("validate_extend", [Reaction::Fail(FailureKind::NoValidBackend)]);
    world.call(extend(volume.id, 2)).await.unwrap();
    let now = world.until(volume.id, VolumeStatus::Available).await;
    assert_eq!(now.size, 1);
    let messages = world.messages().await;
    assert_eq!(
        (messages[0].action, messages[0].detail),
        (Action::ExtendVolume, Detail::NoBackendAvailable)
    );
    world.will("extend_volume", [Reaction::Fail(FailureKind::NoSpace)]);
    world.call(extend(volume.id, 2)).await.unwrap();
    world.until_quiet().await;
    world.until(volume.id, VolumeStatus::Available).await;
    let usage = world.usage("gigabytes").await;
    assert_eq!((usage.in_use, usage.reserved), (1, 0));
}

#[actix::test]
async fn a_failed_growth_is_an_error_that_gives_its_room_back() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    world.will("extend_volume", [Reaction::Fail(FailureKind::Backend)]);
    world.call(extend(volume.id, 2)).await.unwrap();
    world.until(volume.id, VolumeStatus::ErrorExtending).await;
    let usage = world.usage("gigabytes").await;
    assert_eq!((usage.in_use, usage.reserved), (1, 0));
}
