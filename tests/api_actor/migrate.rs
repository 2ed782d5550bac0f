//! Moving volumes to other backends, and giving them other types.

use pumice::messages::Message;
use pumice::messages::api::{CopyProgress, FailureKind};
use pumice::messages::volume::CommandId;
use pumice::model::user_message::Detail;
use pumice::model::{
    ControlLocation, ErrorKind, MigrationStatus, Volume, VolumeId, VolumeStatus, VolumeTypeId,
};
use pumice::store::catalog::VolumeQuery;
use pumice::verbs::volume::{
    ChangeVolume, CompleteMigration, CopyVolumeDataCommand, DeleteVolumeCommand, ExtendVolume,
    InitializeConnection, MigrateVolume, RetypeVolume, RetypeVolumeCommand, VolumeChange,
};
use pumice::verbs::volume_type::{CreateTypeEncryption, DeleteVolumeType};

use crate::support::{Reaction, World, admin, connector, keep, pool, project, quick};

const COPY: &str = CopyVolumeDataCommand::NAME;

/// A world with two backends, `h1@fake` and `h2@fake`.
async fn two_backends() -> World {
    let world = World::with(quick()).await;
    world.start_backend("h2@fake");
    for host in ["h1@fake", "h2@fake"] {
        world.announce(host).await;
    }
    world.script.lock().pools.push_back(pool("h2@fake#p"));
    world
}

fn migrate(volume: VolumeId, destination: &str) -> MigrateVolume {
    MigrateVolume {
        volume_id: volume.to_string(),
        destination: destination.to_owned(),
        lock_volume: false,
    }
}

fn retype(volume: VolumeId, new_type: &str, may_move: bool) -> RetypeVolume {
    RetypeVolume {
        volume_id: volume.to_string(),
        new_type: new_type.to_owned(),
        may_move,
    }
}

impl World {
    async fn until_migrated(&self, id: VolumeId, end: MigrationStatus) -> Volume {
        let moved = self
            .wait("the migration to end", async || {
                let volume = self.catalog.volume(id).await.unwrap()?;
                (volume.migration_status == Some(end)).then(|| volume.record.clone())
            })
            .await;
        self.until_quiet().await;
        moved
    }

    /// The migration waits for its data.
    async fn copying(&self, id: VolumeId) -> Volume {
        self.always(COPY, Reaction::Lose);
        self.call_as(&admin(), migrate(id, "h2@fake")).await.unwrap();
        self.wait("the copy to begin", async || self.got(COPY).first().cloned())
            .await;
        let volumes = self.volumes().await;
        volumes
            .into_iter()
            .find(|volume| volume.copy_of() == Some(id))
            .unwrap()
    }
}

#[actix::test]
async fn a_volume_moves_and_what_it_left_is_deleted() {
    let world = two_backends().await;
    let volume = world.volume(2).await;
    let before = world.usage("gigabytes").await;
    let request = migrate(volume.id, "h2@fake#p");
    world.call_as(&admin(), request).await.unwrap();
    let moved = world.until_migrated(volume.id, MigrationStatus::Success).await;
    assert_eq!(moved.status, VolumeStatus::Available);
    assert_eq!(moved.host, Some(pool("h2@fake#p")));
    assert_ne!(moved.storage_id(), volume.id);
    assert_eq!(world.volumes().await.len(), 1, "the hidden volume is gone");
    assert_eq!(world.usage("gigabytes").await, before);
    let deleted = world.received::<DeleteVolumeCommand>();
    assert_eq!(deleted[0].volume.id, volume.id, "what it left has its old name");
    assert_eq!(deleted[0].volume.pool, pool("h1@fake#p"));
    let refused = world
        .call_as(&admin(), migrate(volume.id, "h2@fake"))
        .await
        .unwrap_err();
    assert!(
        refused.client.contains("must be different than the current one"),
        "{refused}"
    );
    // Its storage is known by its name.
    world
        .call(pumice::verbs::volume::DeleteVolume {
            volume_id: volume.id.to_string(),
            cascade: false,
            force: false,
        })
        .await
        .unwrap();
    world.until_gone(volume.id).await;
    assert_eq!(
        world.received::<DeleteVolumeCommand>()[1].volume.id,
        moved.storage_id()
    );
}

#[actix::test]
async fn while_it_is_copied_nobody_changes_or_reaches_it_and_its_owner_sees_one_volume() {
    let world = two_backends().await;
    let volume = world.volume(1).await;
    let copy = world.copying(volume.id).await;
    assert_eq!(
        copy.shown_migration_status(),
        Some(format!("target:{}", volume.id))
    );
    let query = VolumeQuery {
        project: Some(project()),
        limit: 9,
        ..VolumeQuery::default()
    };
    let listed = world.catalog.page::<Volume>(&query).await.unwrap().records;
    assert_eq!(
        listed.iter().map(|volume| volume.id).collect::<Vec<_>>(),
        [volume.id]
    );
    let extend = ExtendVolume {
        volume_id: volume.id.to_string(),
        new_size: 2,
        attached_too: true,
    };
    let connect = InitializeConnection {
        volume_id: volume.id.to_string(),
        connector: connector("c1"),
    };
    let refused = [
        world.call(extend).await.unwrap_err(),
        world.call(connect).await.unwrap_err(),
        world.call(keep(volume.id)).await.unwrap_err(),
        world
            .call(retype(volume.id, "__DEFAULT__", true))
            .await
            .unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind, ErrorKind::BadRequest, "{error}");
        assert!(error.client.contains("active migration"), "{error}");
    }
}

#[actix::test]
async fn an_administrator_ends_a_migration_and_only_as_failed() {
    let world = two_backends().await;
    let volume = world.volume(1).await;
    let copy = world.copying(volume.id).await;
    let complete = |error| CompleteMigration {
        volume_id: volume.id.to_string(),
        new_volume: copy.id.to_string(),
        error,
    };
    let refused = world.call_as(&admin(), complete(false)).await.unwrap_err();
    assert!(refused.client.contains("completes by itself"), "{refused}");
    let stays = world.call_as(&admin(), complete(true)).await.unwrap();
    assert_eq!(stays, volume.id.to_string());
    let left = world.until_migrated(volume.id, MigrationStatus::Error).await;
    assert_eq!((left.host, left.status), (volume.host, VolumeStatus::Available));
    assert_eq!(world.volumes().await.len(), 1);
    let deleted = world.received::<DeleteVolumeCommand>();
    assert_eq!(deleted[0].volume.id, copy.id);
    let refused = world.call_as(&admin(), complete(true)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NotFound);
}

#[actix::test]
async fn a_reset_of_its_status_has_the_copy_deleted() {
    let world = two_backends().await;
    let volume = world.volume(1).await;
    let copy = world.copying(volume.id).await;
    let reset = ChangeVolume {
        volume_id: volume.id.to_string(),
        change: VolumeChange::ResetStatus {
            status: Some(VolumeStatus::Available),
            attach_status: None,
            migration_status: Some(MigrationStatus::None),
        },
    };
    world.call_as(&admin(), reset).await.unwrap();
    let deleting = world.catalog.volume(copy.id).await.unwrap().unwrap();
    assert_eq!(deleting.status, VolumeStatus::Deleting);
    // The journal is read again now and then; a backend that starts has its operations sent at once.
    world.start_api();
    world.until_gone(copy.id).await;
    assert_eq!(
        world.catalog.volume(volume.id).await.unwrap().unwrap().operation,
        None
    );
}

#[actix::test]
async fn what_fails_leaves_the_volume_as_it_was_and_says_why() {
    let world = two_backends().await;
    let volume = world.volume(1).await;
    let stages = [
        ("place_volume", FailureKind::NoValidBackend),
        ("create_volume", FailureKind::NoSpace),
        ("open_copy_source", FailureKind::Backend),
        (COPY, FailureKind::Backend),
    ];
    for (number, (verb, failure)) in stages.into_iter().enumerate() {
        world.will(verb, [Reaction::Fail(failure)]);
        world
            .call_as(&admin(), migrate(volume.id, "h2@fake"))
            .await
            .unwrap();
        world
            .wait("its message", async || {
                (world.messages().await.len() == number + 1).then_some(())
            })
            .await;
        let left = world.until_migrated(volume.id, MigrationStatus::Error).await;
        assert_eq!((&left.host, left.name_id()), (&volume.host, None), "{verb}");
        assert_eq!(world.volumes().await.len(), 1, "{verb}");
    }
    // What its source does not let it read it reads later.
    world.will(COPY, [Reaction::Fail(FailureKind::Busy)]);
    world
        .call_as(&admin(), migrate(volume.id, "h2@fake"))
        .await
        .unwrap();
    world.until_migrated(volume.id, MigrationStatus::Success).await;
    let unknown = world
        .call_as(&admin(), migrate(volume.id, "zz@lvm#lvm"))
        .await
        .unwrap_err();
    assert_eq!(
        unknown.client,
        "Invalid host: No available service named 'zz@lvm#lvm'"
    );
    assert_eq!(
        world.call(migrate(volume.id, "h1@fake")).await.unwrap_err().kind,
        ErrorKind::Forbidden
    );
}

#[actix::test]
async fn an_attached_volume_stays_where_it_is_with_a_message() {
    let world = two_backends().await;
    let volume = world.volume(1).await;
    let connect = InitializeConnection {
        volume_id: volume.id.to_string(),
        connector: connector("c1"),
    };
    world.call(connect).await.unwrap();
    world
        .call_as(&admin(), migrate(volume.id, "h2@fake"))
        .await
        .unwrap();
    let left = world.until_migrated(volume.id, MigrationStatus::Error).await;
    assert_eq!(left.host, volume.host);
    assert_eq!(world.messages().await[0].detail, Detail::NeedsComputeService);
    assert!(world.got(COPY).is_empty());
}

#[actix::test]
async fn a_copy_goes_on_from_what_is_durable() {
    let world = two_backends().await;
    let volume = world.volume(1).await;
    world.copying(volume.id).await;
    let operation = world.operations().await.remove(0);
    let progress = |attempt, from: &str, offset| CopyProgress {
        command: CommandId {
            operation: operation.id,
            attempt,
        },
        from: from.parse().unwrap(),
        offset,
    };
    let context = admin();
    for late in [
        progress(operation.attempt - 1, "h2@fake", 9 << 20),
        progress(operation.attempt, "h1@fake", 9 << 20),
        progress(operation.attempt, "h2@fake", 7 << 20),
    ] {
        world.api.cast(&context, late).await.unwrap();
    }
    let sent_again = world.wait("the command to be sent again", async || {
        let commands = world.received::<CopyVolumeDataCommand>();
        commands.into_iter().find(|command| command.offset > 0)
    });
    assert_eq!(sent_again.await.offset, 7 << 20);
    world.always(COPY, Reaction::Succeed);
    world.until_migrated(volume.id, MigrationStatus::Success).await;
}

#[actix::test]
async fn a_type_is_changed_where_the_volume_is_or_where_it_may_be() {
    let world = two_backends().await;
    let volume = world.volume(3).await;
    world.new_type("fast", &[]).await;
    world.call(retype(volume.id, "fast", false)).await.unwrap();
    world.until_quiet().await;
    let fast = world.until(volume.id, VolumeStatus::Available).await;
    assert_ne!(fast.volume_type_id, volume.volume_type_id);
    assert_eq!(fast.host, volume.host);
    let usage = async |name: &str| world.usage(&format!("gigabytes_{name}")).await.in_use;
    assert_eq!((usage("fast").await, usage("__DEFAULT__").await), (3, 0));
    assert_eq!(world.usage("gigabytes").await.in_use, 3);
    // Its own pool will not do any more.
    world.new_type("elsewhere", &[]).await;
    world.will("place_volume", [Reaction::Fail(FailureKind::NoValidBackend)]);
    world.call(retype(volume.id, "elsewhere", false)).await.unwrap();
    world.until_quiet().await;
    let same = world.until(volume.id, VolumeStatus::Available).await;
    assert_eq!(same.volume_type_id, fast.volume_type_id);
    assert_eq!(world.usage("gigabytes_elsewhere").await.reserved, 0);
    world.script.lock().pools.pop_front();
    world.will("retype_volume", [Reaction::Fail(FailureKind::Backend)]);
    world.call(retype(volume.id, "elsewhere", true)).await.unwrap();
    world.until_quiet().await;
    assert_eq!(world.messages().await.len(), 2);
    let refused = world.call(retype(volume.id, "fast", true)).await.unwrap_err();
    assert!(
        refused.client.starts_with("Invalid volume: Retype needs"),
        "{refused}"
    );
}

#[actix::test]
async fn a_volume_keeps_its_type_if_the_new_one_is_deleted_or_encrypted_meanwhile() {
    let world = two_backends().await;
    let volume = world.volume(1).await;
    let commands = || world.received::<RetypeVolumeCommand>().len();
    for change in ["deleted", "encrypted"] {
        let kind = world.new_type(change, &[]).await;
        let before = commands();
        world.will("retype_volume", [Reaction::Lose]);
        world.call(retype(volume.id, change, false)).await.unwrap();
        world
            .wait("the backend to be asked", async || {
                (commands() > before).then_some(())
            })
            .await;
        let context = admin();
        match change {
            "deleted" => world
                .call_as(&context, DeleteVolumeType { id: kind.id })
                .await
                .unwrap(),
            _ => drop(world.call_as(&context, encryption_of(kind.id)).await.unwrap()),
        }
        world.until_quiet().await;
        let same = world.until(volume.id, VolumeStatus::Available).await;
        assert_eq!(same.volume_type_id, volume.volume_type_id);
    }
    assert_eq!(world.messages().await.len(), 2);
}

fn encryption_of(volume_type_id: VolumeTypeId) -> CreateTypeEncryption {
    CreateTypeEncryption {
        volume_type_id,
        provider: "luks".into(),
        control_location: ControlLocation::FrontEnd,
        cipher: None,
        key_size: None,
    }
}
