//! Small changes: names, metadata, flags, reset.

use std::collections::BTreeMap;

use pumice::messages::api::MetadataChange;
use pumice::model::{AttachStatus, Error, ErrorKind, MigrationStatus, Volume, VolumeStatus};
use pumice::verbs::attachment::CreateAttachment;
use pumice::verbs::volume::{
    ChangeVolume, CreateVolumeCommand, UpdateVolume, UpdateVolumeMetadata, VolumeChange,
};
use uuid::Uuid;

use crate::support::{Reaction, World, admin, create};

fn pairs(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

async fn metadata(
    world: &World,
    volume: &Volume,
    change: MetadataChange,
) -> Result<BTreeMap<String, String>, Error> {
    world
        .call(UpdateVolumeMetadata {
            volume_id: volume.id.to_string(),
            change,
            expected: None,
        })
        .await
}

fn reset(
    volume: &Volume,
    status: Option<VolumeStatus>,
    attach_status: Option<AttachStatus>,
    migration_status: Option<MigrationStatus>,
) -> ChangeVolume {
    ChangeVolume {
        volume_id: volume.id.to_string(),
        change: VolumeChange::ResetStatus {
            status,
            attach_status,
            migration_status,
        },
    }
}

#[actix::test]
async fn names_and_metadata_change_and_say_what_they_are_then() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let request = UpdateVolume {
        volume_id: volume.id.to_string(),
        name: Some(Some("n".into())),
        description: Some(None),
        metadata: Some(pairs(&[("a", "1")])),
    };
    let now = world.call(request).await.unwrap();
    assert_eq!(
        (now.name.as_deref(), now.metadata),
        (Some("n"), pairs(&[("a", "1")]))
    );
    let merged = metadata(&world, &volume, MetadataChange::Merge(pairs(&[("b", "2")]))).await;
    assert_eq!(merged, Ok(pairs(&[("a", "1"), ("b", "2")])));
    let removed = metadata(&world, &volume, MetadataChange::Remove("a".into())).await;
    assert_eq!(removed, Ok(pairs(&[("b", "2")])));
    let missing = metadata(&world, &volume, MetadataChange::Remove("a".into()))
        .await
        .unwrap_err();
    assert_eq!(
        (missing.kind, missing.client),
        (
            ErrorKind::NotFound,
            format!("Volume {} has no metadata with key a.", volume.id)
        )
    );
    let replaced = metadata(&world, &volume, MetadataChange::Replace(pairs(&[]))).await;
    assert_eq!(replaced, Ok(pairs(&[])));
    let stale = UpdateVolumeMetadata {
        volume_id: volume.id.to_string(),
        change: MetadataChange::Replace(pairs(&[])),
        expected: Some(pairs(&[("x", "y")])),
    };
    assert_eq!(world.call(stale).await.unwrap_err().kind, ErrorKind::Conflict);
}

#[actix::test]
async fn a_hundred_changes_at_once_all_count() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let changes = (0..20).map(|n| {
        let change = MetadataChange::Merge(pairs(&[(&n.to_string(), "x")]));
        metadata(&world, &volume, change)
    });
    for changed in futures_util::future::join_all(changes).await {
        changed.unwrap();
    }
    let now = world.catalog.volume(volume.id).await.unwrap().unwrap();
    assert_eq!(now.metadata.len(), 20);
}

#[actix::test]
async fn image_metadata_and_flags() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let change = |change| {
        world.call(ChangeVolume {
            volume_id: volume.id.to_string(),
            change,
        })
    };
    let now = change(VolumeChange::SetImageMetadata(pairs(&[("os", "linux")])))
        .await
        .unwrap();
    assert_eq!(now.image_metadata, pairs(&[("os", "linux")]));
    change(VolumeChange::UnsetImageMetadata("os".into()))
        .await
        .unwrap();
    let error = change(VolumeChange::UnsetImageMetadata("zz".into()))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.client),
        (
            ErrorKind::NotFound,
            format!(
                "Glance metadata for volume/snapshot {} cannot be found.",
                volume.id
            )
        )
    );
    assert!(
        change(VolumeChange::SetBootable { bootable: true })
            .await
            .unwrap()
            .bootable
    );
    let now = change(VolumeChange::UpdateReadonlyFlag { readonly: false })
        .await
        .unwrap();
    assert_eq!(now.admin_metadata["readonly"], "False");
}

#[actix::test]
async fn a_reset_overtakes_what_is_being_done_and_a_late_report_is_dropped() {
    let world = World::new().await;
    world.always("create_volume", Reaction::Lose);
    let volume = world.call(create(1)).await.unwrap();
    world
        .wait("the command", async || {
            world.got("create_volume").first().cloned()
        })
        .await;
    let now = world
        .call_as(&admin(), reset(&volume, Some(VolumeStatus::Error), None, None))
        .await
        .unwrap();
    assert_eq!((now.status, now.operation), (VolumeStatus::Error, None));
    assert!(world.operations().await.is_empty());
    let command = world.received::<CreateVolumeCommand>().remove(0);
    let outcome = pumice::messages::api::Outcome::Created { provider_id: None };
    crate::support::send_report(
        &world.router,
        &admin(),
        command.command,
        Some("h1@fake".parse().unwrap()),
        outcome,
    )
    .await;
    // Answered behind the report, in the order they came.
    let now = world
        .call(UpdateVolume {
            volume_id: volume.id.to_string(),
            ..UpdateVolume::default()
        })
        .await;
    assert_eq!(now.unwrap().status, VolumeStatus::Error);
}

#[actix::test]
async fn a_reset_says_no_where_cinder_does() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let error = world
        .call_as(&admin(), reset(&volume, Some(VolumeStatus::Deleting), None, None))
        .await
        .unwrap_err();
    assert_eq!(error.client, "Cannot reset-state to deleting");
    let error = world
        .call_as(&admin(), reset(&volume, Some(VolumeStatus::InUse), None, None))
        .await
        .unwrap_err();
    assert_eq!(
        error.client,
        "Cannot reset-state to in-use because volume does not have any attachments."
    );
}

#[actix::test]
async fn a_reset_to_detached_drops_the_attachments() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    let reserve = CreateAttachment {
        volume_id: volume.id.to_string(),
        instance_uuid: Some(Uuid::new_v4()),
        connector: None,
        mode: None,
    };
    world.call(reserve).await.unwrap();
    let request = reset(
        &volume,
        None,
        Some(AttachStatus::Detached),
        Some(MigrationStatus::None),
    );
    let now = world.call_as(&admin(), request).await.unwrap();
    assert_eq!(
        (now.status, now.attach_status),
        (VolumeStatus::Available, AttachStatus::Detached)
    );
    assert!(
        world
            .catalog
            .volume_attachments(volume.id)
            .await
            .unwrap()
            .is_empty()
    );
}
