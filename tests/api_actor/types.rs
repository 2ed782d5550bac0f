//! Volume types.

use pumice::model::quota::Resource;
use pumice::model::{ControlLocation, ErrorKind, VolumeStatus};
use pumice::store::CommitError;
use pumice::verbs::volume::{CreateVolume, DeleteVolume};
use pumice::verbs::volume_type::{
    CreateTypeEncryption, CreateVolumeType, DeleteVolumeType, VolumeTypeChange,
};

use crate::support::{World, admin, create, member, project};

#[actix::test]
async fn names_are_unique() {
    let world = World::new().await;
    world.new_type("a", &[]).await;
    let again = CreateVolumeType {
        name: "a".into(),
        description: None,
        is_public: true,
        extra_specs: Default::default(),
    };
    let error = world.call_as(&admin(), again).await.unwrap_err();
    assert_eq!(
        (error.kind, error.client.as_str()),
        (ErrorKind::Conflict, "Volume Type a already exists.")
    );
    let b = world.new_type("b", &[]).await;
    let rename = VolumeTypeChange::Update {
        name: Some("a".into()),
        description: None,
        is_public: None,
    };
    let error = world.change_type(b.id, rename).await.unwrap_err();
    assert_eq!(error.client, "Volume Type a already exists.");
}

#[actix::test]
async fn a_type_in_use_stays_and_so_does_the_default() {
    let world = World::new().await;
    let kind = world.new_type("a", &[]).await;
    let volume = CreateVolume {
        volume_type: Some("a".into()),
        ..create(1)
    };
    let volume = world.call(volume).await.unwrap();
    world.until(volume.id, VolumeStatus::Available).await;
    let delete = DeleteVolumeType { id: kind.id };
    let error = world.call_as(&admin(), delete.clone()).await.unwrap_err();
    assert_eq!(error.client, "Target volume type is still in use.");
    let specs = VolumeTypeChange::SetExtraSpecs([("a".to_owned(), "b".to_owned())].into());
    assert_eq!(
        world.change_type(kind.id, specs).await.unwrap_err().client,
        "Volume Type is currently in use."
    );
    world
        .call(DeleteVolume {
            volume_id: volume.id.to_string(),
            cascade: false,
            force: false,
        })
        .await
        .unwrap();
    world.until_gone(volume.id).await;
    world.call_as(&admin(), delete.clone()).await.unwrap();
    let error = world.call_as(&admin(), delete).await.unwrap_err();
    assert_eq!(
        error.client,
        format!("Volume type {} could not be found.", kind.id)
    );
    let default = world
        .catalog
        .volume_type_by_name("__DEFAULT__")
        .await
        .unwrap()
        .unwrap();
    let error = world
        .call_as(&admin(), DeleteVolumeType { id: default.id })
        .await
        .unwrap_err();
    assert_eq!(
        error.client,
        format!(
            "The volume type {} is a default volume type and cannot be deleted.",
            default.id
        )
    );
}

#[actix::test]
async fn a_private_type_is_for_those_it_is_open_to() {
    let world = World::new().await;
    let kind = world.new_type("p", &[]).await;
    let private = VolumeTypeChange::Update {
        name: None,
        description: None,
        is_public: Some(false),
    };
    let error = world
        .change_type(kind.id, VolumeTypeChange::AddProjectAccess("p1".into()))
        .await
        .unwrap_err();
    assert_eq!(
        error.client,
        "Invalid volume type: Type access modification is not applicable to public volume type."
    );
    world.change_type(kind.id, private).await.unwrap();
    let of_it = CreateVolume {
        volume_type: Some("p".into()),
        ..create(1)
    };
    let error = world.call_as(&member(), of_it.clone()).await.unwrap_err();
    assert_eq!(error.client, "Volume type with name p could not be found.");
    world
        .change_type(kind.id, VolumeTypeChange::AddProjectAccess("p1".into()))
        .await
        .unwrap();
    let error = world
        .change_type(kind.id, VolumeTypeChange::AddProjectAccess("p1".into()))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    world.call_as(&member(), of_it).await.unwrap();
    world
        .change_type(kind.id, VolumeTypeChange::RemoveProjectAccess("p1".into()))
        .await
        .unwrap();
    let error = world
        .change_type(kind.id, VolumeTypeChange::RemoveProjectAccess("p1".into()))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[actix::test]
async fn extra_specs_come_and_go() {
    let world = World::new().await;
    let kind = world.new_type("t", &[("multiattach", "<is> True")]).await;
    let set =
        |key: &str, value: &str| VolumeTypeChange::SetExtraSpecs([(key.to_owned(), value.to_owned())].into());
    let error = world
        .change_type(kind.id, set("cacheable", "<is> True"))
        .await
        .unwrap_err();
    assert_eq!(error.client, "cacheable cannot be set with multiattach.");
    let now = world.change_type(kind.id, set("a", "b")).await.unwrap();
    assert_eq!(now.extra_specs["a"], "b");
    let now = world
        .change_type(kind.id, VolumeTypeChange::UnsetExtraSpec("a".into()))
        .await
        .unwrap();
    assert!(!now.extra_specs.contains_key("a"));
    let error = world
        .change_type(kind.id, VolumeTypeChange::UnsetExtraSpec("a".into()))
        .await
        .unwrap_err();
    assert_eq!(
        error.client,
        format!("Volume Type {} has no extra specs with key a.", kind.id)
    );
}

#[actix::test]
async fn usage_and_limits_follow_a_types_new_name() {
    let world = World::new().await;
    let kind = world.new_type("old", &[]).await;
    let of_it = CreateVolume {
        volume_type: Some("old".into()),
        ..create(2)
    };
    let volume = world.call(of_it).await.unwrap();
    world.until(volume.id, VolumeStatus::Available).await;
    let mut changes = world.catalog.change();
    changes.put_project_limits(&project(), &[(Resource::volumes().of_type(kind.id), 7)].into());
    changes.commit().await.unwrap();
    let rename = VolumeTypeChange::Update {
        name: Some("new".into()),
        description: None,
        is_public: None,
    };
    world.change_type(kind.id, rename).await.unwrap();
    assert_eq!(world.usage("gigabytes_old").await.in_use, 0);
    assert_eq!(world.usage("gigabytes_new").await.in_use, 2);
    let limits = world.catalog.project_limits(&project()).await.unwrap();
    assert_eq!(limits, [(Resource::volumes().of_type(kind.id), 7)].into());
    world
        .call(DeleteVolume {
            volume_id: volume.id.to_string(),
            cascade: false,
            force: false,
        })
        .await
        .unwrap();
    world.until_gone(volume.id).await;
    assert_eq!(world.usage("gigabytes_new").await.in_use, 0);
}

#[actix::test]
async fn a_volume_that_is_created_while_its_type_becomes_encrypted_is_decided_anew() {
    let world = World::new().await;
    let kind = world.new_type("a", &[]).await;
    let read_before = world.catalog.volume_type(kind.id).await.unwrap().unwrap();
    let encrypt = CreateTypeEncryption {
        volume_type_id: kind.id,
        provider: "luks".into(),
        control_location: ControlLocation::FrontEnd,
        cipher: None,
        key_size: None,
    };
    world.call_as(&admin(), encrypt).await.unwrap();
    let mut changes = world.catalog.change();
    changes.require(&read_before);
    assert!(matches!(changes.commit().await, Err(CommitError::Conflict(_))));
}
