//! What a backend has, compared with what it should have.

use pumice::actors::api::Options;
use pumice::messages::api::{
    CompareStorage, ConfirmOrphans, FailureKind, ListBackendVolumes, ListBackendVolumesPage,
};
use pumice::model::user_message::Detail;
use pumice::model::{ErrorKind, SnapshotId, SnapshotStatus, StorageName, VolumeId, VolumeStatus};
use pumice::verbs::volume::DeleteVolume;

use crate::support::{Reaction, World, admin, create, pool, quick};

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
    world.always("create_volume", Reaction::Lose);
    let creating = world.call(create(1)).await.unwrap();
    world
        .wait("a place", async || {
            let volume = world.catalog.volume(creating.id).await.unwrap()?;
            volume.host.is_some().then_some(())
        })
        .await;
    world.will("create_volume", [Reaction::Fail(FailureKind::Request)]);
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
async fn what_another_backend_has_a_record_of_is_no_orphan_and_its_disk_is_refused() {
    let world = World::new().await;
    world.start_backend("h2@fake");
    world.announce("h2@fake").await;
    let own = world.volume(1).await;
    world.script.lock().pools = [pool("h2@fake#p")].into();
    let volume = world.volume(1).await;
    let other = StorageName::Volume(volume.id);
    let snapshot = StorageName::Snapshot(world.snapshot(volume.id).await.id);
    let stray = StorageName::Volume(VolumeId::new());
    let compare = async |found: &[StorageName]| {
        let mut found = found.to_vec();
        found.sort();
        world.call_as(&admin(), page(None, found, true)).await
    };
    let is_refused = async |found: &[StorageName]| {
        let refused = compare(found).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        assert!(refused.client.contains("h2@fake"), "{refused}");
    };
    is_refused(&[other, snapshot]).await;
    is_refused(&[other, stray]).await;
    world.until(own.id, VolumeStatus::Available).await;
    let difference = compare(&[StorageName::Volume(own.id), other, snapshot, stray])
        .await
        .unwrap();
    assert_eq!(difference.orphans, [stray]);
    let question = ConfirmOrphans {
        backend: "h1@fake".parse().unwrap(),
        names: vec![other, snapshot, stray],
    };
    assert_eq!(world.call_as(&admin(), question).await.unwrap(), [stray]);
    // Where nothing has to be, a name of another backend may be what a create has left that went on there; many are its disk.
    world.script.lock().pools = [pool("h1@fake#p")].into();
    let delete = DeleteVolume {
        volume_id: own.id.to_string(),
        cascade: false,
        force: false,
    };
    world.call(delete).await.unwrap();
    world.until_gone(own.id).await;
    let left = compare(&[other, snapshot, stray]).await.unwrap();
    assert_eq!(left.orphans, [stray]);
    let third = StorageName::Snapshot(world.snapshot(volume.id).await.id);
    is_refused(&[other, snapshot, third]).await;
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

#[actix::test]
async fn a_page_of_a_backend_has_no_more_bytes_than_a_message_may_have() {
    let options = Options {
        page_bytes: 1,
        ..quick()
    };
    let world = World::with(options).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.volume(1).await.id);
    }
    ids.sort();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let question = ListBackendVolumesPage {
            backend: "h1@fake".parse().unwrap(),
            after,
            limit: 3,
        };
        let page = world.call_as(&admin(), question).await.unwrap();
        assert_eq!(page.volumes.len(), 1);
        seen.push(page.volumes[0].volume.id);
        if page.next.is_none() {
            break;
        }
        after = page.next;
    }
    assert_eq!(seen, ids);
    let question = ListBackendVolumes {
        backend: "h1@fake".parse().unwrap(),
        after: None,
        limit: 100,
    };
    let all = world.call_as(&admin(), question).await.unwrap();
    assert_eq!(all.len(), ids.len(), "older managers are answered as they were");
}

#[actix::test]
async fn what_has_a_record_is_no_orphan_whatever_the_page_and_who_asks_again_is_told_so() {
    let options = Options {
        page_size: 2,
        ..quick()
    };
    let world = World::with(options).await;
    let mut names = Vec::new();
    for _ in 0..7 {
        names.push(StorageName::Volume(world.volume(1).await.id));
    }
    let first = world.volume(1).await;
    names.push(StorageName::Volume(first.id));
    names.push(StorageName::Snapshot(world.snapshot(first.id).await.id));
    names.sort();
    let stray = StorageName::Snapshot(SnapshotId::new());
    let mut found = names.clone();
    found.push(stray);
    found.sort();
    let (mut after, mut orphans, mut missing) = (None, Vec::new(), Vec::new());
    for part in found.chunks(3) {
        let complete = part.last() == found.last();
        let question = page(after, part.to_vec(), complete);
        let difference = world.call_as(&admin(), question).await.unwrap();
        orphans.extend(difference.orphans);
        missing.extend(difference.missing);
        after = part.last().copied();
    }
    assert_eq!((orphans, missing), (vec![stray], Vec::new()));
    let question = ConfirmOrphans {
        backend: "h1@fake".parse().unwrap(),
        names: found.clone(),
    };
    assert_eq!(world.call_as(&admin(), question).await.unwrap(), [stray]);
    let elsewhere = ConfirmOrphans {
        backend: "h1@other".parse().unwrap(),
        names: names.clone(),
    };
    let mut orphans = world.call_as(&admin(), elsewhere).await.unwrap();
    orphans.sort();
    assert_eq!(orphans, names, "they are of another backend");
    // All are missing on an empty storage, in pages that end anywhere.
    let mut missing = Vec::new();
    for (after, until) in names.iter().zip(&names[1..]) {
        // Covers what lies between two names, and the second.
        let question = page(Some(*after), vec![*until], false);
        missing.extend(world.call_as(&admin(), question).await.unwrap().missing);
    }
    assert_eq!(missing, []);
    let question = page(None, Vec::new(), true);
    missing.extend(world.call_as(&admin(), question).await.unwrap().missing);
    missing.sort();
    assert_eq!(missing, names);
}
