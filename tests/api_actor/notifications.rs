//! What each verb notifies of, in the same commits as its changes.

use std::collections::BTreeSet;

use pumice::messages::api::FailureKind;
use pumice::model::{
    AttachMode, Context, NotificationPriority, ProjectId, QosConsumer, SnapshotStatus, Volume, VolumeId,
    VolumeStatus,
};
use pumice::store::catalog::Position;
use pumice::verbs::attachment::{CompleteAttachment, CreateAttachment, DeleteAttachment, UpdateAttachment};
use pumice::verbs::qos_specs::{AssociateQosSpecs, CreateQosSpecs, DeleteQosSpecs};
use pumice::verbs::snapshot::{ChangeSnapshot, DeleteSnapshot, SnapshotChange, UpdateSnapshot};
use pumice::verbs::transfer::{AcceptTransfer, CreateTransfer, DeleteTransfer};
use pumice::verbs::volume::{
    ChangeVolume, DeleteVolume, ExtendVolume, MigrateVolume, RetypeVolume, RevertToSnapshot, UnmanageVolume,
    UpdateVolume, VolumeChange,
};
use pumice::verbs::volume_type::{DeleteVolumeType, VolumeTypeChange};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{Reaction, World, admin, connector, create, keep, member, pool, stranger};

/// A notification as a consumer sees it.
struct Seen {
    event_type: String,
    priority: NotificationPriority,
    publisher: String,
    payload: Value,
}

impl World {
    /// Everything that was notified so far, and is not asked for again.
    async fn notified(&self) -> Vec<Seen> {
        self.until_quiet().await;
        let queue = &self.catalog.outbox().unwrap().queues()[0];
        let rows = self
            .catalog
            .pending_notifications(queue, None, 1000)
            .await
            .unwrap();
        let positions: Vec<Position> = rows.iter().map(|row| row.position).collect();
        self.catalog
            .delete_notifications(queue, &positions, None)
            .await
            .unwrap();
        let seen = rows.into_iter().map(|row| {
            let notification = row.notification.unwrap();
            Seen {
                payload: serde_json::from_str(&notification.payload).unwrap(),
                event_type: notification.event_type,
                priority: notification.priority,
                publisher: notification.publisher_id,
            }
        });
        seen.collect()
    }

    /// Expects these events, each with this text in its payload.
    async fn expect(&self, expected: &[(&str, &str, &str)]) {
        let seen = self.notified().await;
        let key_of = |seen: &Seen, key: &str| match &seen.payload[key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let texts: Vec<(&str, &str, String)> = seen
            .iter()
            .zip(
                expected
                    .iter()
                    .map(|(_, key, _)| *key)
                    .chain(std::iter::repeat("status")),
            )
            .map(|(seen, key)| (seen.event_type.as_str(), key, key_of(seen, key)))
            .collect();
        let expected: Vec<(&str, &str, String)> = expected
            .iter()
            .map(|(event, key, text)| (*event, *key, (*text).to_owned()))
            .collect();
        assert_eq!(texts, expected);
        for seen in &seen {
            let is_failure = seen.event_type.ends_with(".error") || seen.event_type.starts_with("scheduler.");
            assert_eq!(
                seen.priority == NotificationPriority::Error,
                is_failure,
                "{}",
                seen.event_type
            );
        }
    }

    async fn change_as(&self, context: &Context, volume: VolumeId, change: VolumeChange) {
        let volume_id = volume.to_string();
        self.call_as(context, ChangeVolume { volume_id, change })
            .await
            .unwrap();
    }
}

fn extend(volume: &Volume, new_size: u32) -> ExtendVolume {
    ExtendVolume {
        volume_id: volume.id.to_string(),
        new_size,
        attached_too: true,
    }
}

fn delete(volume: &Volume, cascade: bool) -> DeleteVolume {
    DeleteVolume {
        volume_id: volume.id.to_string(),
        cascade,
        force: false,
    }
}

#[actix::test]
async fn a_volumes_life_is_notified_as_by_cinder() {
    let world = World::notifying().await;
    let volume = world.volume(1).await;
    world
        .expect(&[
            ("volume.create.start", "status", "creating"),
            ("volume.create.end", "status", "available"),
        ])
        .await;
    let update = UpdateVolume {
        volume_id: volume.id.to_string(),
        name: Some(Some("new".to_owned())),
        ..UpdateVolume::default()
    };
    world.call(update).await.unwrap();
    world
        .expect(&[
            ("volume.update.start", "display_name", "null"),
            ("volume.update.end", "display_name", "new"),
        ])
        .await;
    world.call(extend(&volume, 3)).await.unwrap();
    world
        .expect(&[
            ("volume.resize.start", "size", "1"),
            ("volume.resize.end", "size", "3"),
        ])
        .await;
    let change = VolumeChange::ResetStatus {
        status: Some(VolumeStatus::Error),
        attach_status: None,
        migration_status: None,
    };
    world.change_as(&admin(), volume.id, change).await;
    world
        .expect(&[
            ("volume.reset_status.start", "status", "available"),
            ("volume.reset_status.end", "status", "error"),
        ])
        .await;
    world.call(delete(&volume, false)).await.unwrap();
    world
        .expect(&[
            ("volume.delete.start", "status", "deleting"),
            ("volume.delete.end", "status", "deleted"),
        ])
        .await;
}

#[actix::test]
async fn the_events_of_snapshots_name_their_volume() {
    let world = World::notifying().await;
    let volume = world.volume(1).await;
    world.notified().await;
    let snapshot = world.snapshot(volume.id).await;
    let (id, of) = (snapshot.id.to_string(), volume.id.to_string());
    world
        .expect(&[
            ("snapshot.create.start", "status", "creating"),
            ("snapshot.create.end", "status", "available"),
        ])
        .await;
    let update = UpdateSnapshot {
        snapshot_id: id.clone(),
        name: Some(Some("n".to_owned())),
        description: None,
    };
    world.call(update).await.unwrap();
    world
        .expect(&[
            ("snapshot.update.start", "volume_id", &of),
            ("snapshot.update.end", "display_name", "n"),
        ])
        .await;
    let revert = RevertToSnapshot {
        volume_id: of.clone(),
        snapshot_id: Some(id.clone()),
    };
    world.call(revert.clone()).await.unwrap();
    world
        .expect(&[
            ("volume.revert.start", "status", "reverting"),
            ("snapshot.revert.start", "status", "restoring"),
            ("volume.revert.end", "status", "available"),
            ("snapshot.revert.end", "status", "available"),
        ])
        .await;
    world.will("revert_to_snapshot", [Reaction::Fail(FailureKind::Backend)]);
    world.call(revert).await.unwrap();
    let seen = world.notified().await;
    let types: Vec<&str> = seen.iter().map(|seen| seen.event_type.as_str()).collect();
    let after_failure = [
        "volume.revert.end",
        "volume.revert.error",
        "snapshot.revert.end",
        "snapshot.revert.error",
    ];
    assert_eq!(types[2..], after_failure);
    let change = ChangeSnapshot {
        snapshot_id: id.clone(),
        change: SnapshotChange::ResetStatus {
            status: SnapshotStatus::Available,
        },
    };
    world.call_as(&admin(), change).await.unwrap();
    world
        .expect(&[
            ("snapshot.reset_status.start", "snapshot_id", &id),
            ("snapshot.reset_status.end", "status", "available"),
        ])
        .await;
    let gone = DeleteSnapshot {
        snapshot_id: id.clone(),
        force: false,
    };
    world.call(gone).await.unwrap();
    world
        .expect(&[
            ("snapshot.delete.start", "status", "deleting"),
            ("snapshot.delete.end", "deleted", "True"),
        ])
        .await;
}

#[actix::test]
async fn snapshots_that_are_deleted_with_their_volume_have_their_own_events() {
    let world = World::notifying().await;
    let volume = world.volume(1).await;
    for _ in 0..12 {
        world.call(keep(volume.id)).await.unwrap();
    }
    world.notified().await;
    world.call(delete(&volume, true)).await.unwrap();
    world.until_gone(volume.id).await;
    let seen = world.notified().await;
    let of = |event_type: &str| {
        let of_type = seen.iter().filter(|seen| seen.event_type == event_type);
        of_type
            .map(|seen| seen.payload["snapshot_id"].to_string())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        (of("snapshot.delete.start").len(), of("snapshot.delete.end").len()),
        (12, 12)
    );
    assert_eq!(seen.first().unwrap().event_type, "volume.delete.start");
    assert_eq!(seen.last().unwrap().event_type, "volume.delete.end");
    assert_eq!(seen.len(), 26);
}

#[actix::test]
async fn attaching_and_detaching_are_notified_in_both_ways() {
    let world = World::notifying().await;
    let volume = world.volume(1).await;
    world.notified().await;
    let reserve = CreateAttachment {
        volume_id: volume.id.to_string(),
        instance_uuid: Some(Uuid::new_v4()),
        connector: None,
        mode: None,
    };
    let attachment = world.call(reserve.clone()).await.unwrap();
    let attachment_id = attachment.id.to_string();
    let connect = UpdateAttachment {
        attachment_id: attachment_id.clone(),
        connector: connector("a"),
    };
    world.call(connect).await.unwrap();
    world
        .call(CompleteAttachment {
            attachment_id: attachment_id.clone(),
        })
        .await
        .unwrap();
    let seen = world.notified().await;
    let types: Vec<&str> = seen.iter().map(|seen| seen.event_type.as_str()).collect();
    assert_eq!(types, ["volume.attach.start", "volume.attach.end"]);
    let attached = &seen[1].payload["volume_attachment"][0];
    assert_eq!(
        (&attached["attach_status"], &attached["connection_info"]),
        (&"attached".into(), &Value::Null)
    );
    assert_eq!(seen[1].publisher, "volume.h1@fake");
    world.call(DeleteAttachment { attachment_id }).await.unwrap();
    world
        .expect(&[
            ("volume.detach.start", "status", "in-use"),
            ("volume.detach.end", "volume_attachment", "[]"),
        ])
        .await;
    let attachment = world.call(reserve).await.unwrap();
    world
        .call(DeleteAttachment {
            attachment_id: attachment.id.to_string(),
        })
        .await
        .unwrap();
    world
        .expect(&[
            ("volume.detach.start", "status", "reserved"),
            ("volume.detach.end", "status", "available"),
        ])
        .await;
    let attach = VolumeChange::Attach {
        instance_uuid: Some(Uuid::new_v4()),
        host_name: None,
        mountpoint: "/dev/vdb".to_owned(),
        mode: AttachMode::Rw,
    };
    world.change_as(&member(), volume.id, attach).await;
    world
        .change_as(&member(), volume.id, VolumeChange::Detach { attachment_id: None })
        .await;
    world
        .expect(&[
            ("volume.attach.start", "status", "available"),
            ("volume.attach.end", "status", "in-use"),
            ("volume.detach.start", "status", "in-use"),
            ("volume.detach.end", "status", "available"),
        ])
        .await;
}

#[actix::test]
async fn transfers_are_notified_with_the_project_before_and_after() {
    let world = World::notifying().await;
    let volume = world.volume(1).await;
    world.notified().await;
    let offer = CreateTransfer {
        volume_id: volume.id.to_string(),
        name: None,
        no_snapshots: false,
        encrypted_too: true,
    };
    let made = world.call(offer.clone()).await.unwrap();
    let transfer_id = made.transfer.id.to_string();
    world.call(DeleteTransfer { transfer_id }).await.unwrap();
    let made = world.call(offer).await.unwrap();
    let accept = AcceptTransfer {
        transfer_id: made.transfer.id.to_string(),
        auth_key: made.auth_key,
    };
    world.call_as(&stranger(), accept).await.unwrap();
    let (giver, taker): (ProjectId, ProjectId) = (volume.project_id.clone(), stranger().project_id);
    world
        .expect(&[
            ("volume.transfer.create.start", "status", "available"),
            ("volume.transfer.create.end", "status", "awaiting-transfer"),
            ("volume.transfer.delete.start", "status", "awaiting-transfer"),
            ("volume.transfer.delete.end", "status", "available"),
            ("volume.transfer.create.start", "tenant_id", giver.as_str()),
            ("volume.transfer.create.end", "tenant_id", giver.as_str()),
            ("volume.transfer.accept.start", "tenant_id", giver.as_str()),
            ("volume.transfer.accept.end", "tenant_id", taker.as_str()),
        ])
        .await;
}

#[actix::test]
async fn failures_are_notified_as_errors() {
    let world = World::notifying().await;
    let volume = world.volume(1).await;
    world.notified().await;
    world.will("extend_volume", [Reaction::Fail(FailureKind::Backend)]);
    world.call(extend(&volume, 3)).await.unwrap();
    world
        .expect(&[
            ("volume.resize.start", "status", "extending"),
            ("volume.resize.error", "status", "error_extending"),
        ])
        .await;
    world.will("delete_volume", [Reaction::Fail(FailureKind::Busy)]);
    world
        .change_as(
            &admin(),
            volume.id,
            VolumeChange::ResetStatus {
                status: Some(VolumeStatus::Available),
                attach_status: None,
                migration_status: None,
            },
        )
        .await;
    world.notified().await;
    world.call(delete(&volume, false)).await.unwrap();
    world
        .expect(&[
            ("volume.delete.start", "status", "deleting"),
            ("volume.delete.error", "status", "available"),
        ])
        .await;
    world.script.lock().pools.clear();
    let unplaced = world.call(create(1)).await.unwrap();
    world.until(unplaced.id, VolumeStatus::Error).await;
    world
        .expect(&[
            ("volume.create.error", "status", "error"),
            ("scheduler.create_volume", "volume_id", &unplaced.id.to_string()),
        ])
        .await;
    // No backend has it: it is deleted at once.
    world.call(delete(&unplaced, false)).await.unwrap();
    let seen = world.notified().await;
    let publishers: Vec<(&str, &str)> = seen
        .iter()
        .map(|seen| (seen.event_type.as_str(), seen.publisher.as_str()))
        .collect();
    let expected = [
        ("volume.delete.start", "volume.api-host"),
        ("volume.delete.end", "volume.api-host"),
    ];
    assert_eq!(publishers, expected);
}

#[actix::test]
async fn a_migrated_volume_is_named_by_its_own_id_and_its_copy_not_at_all() {
    let world = World::notifying().await;
    world.start_backend("h2@fake");
    for host in ["h1@fake", "h2@fake"] {
        world.announce(host).await;
    }
    world.script.lock().pools.push_back(pool("h2@fake#p"));
    let volume = world.volume(1).await;
    world.notified().await;
    let migrate = MigrateVolume {
        volume_id: volume.id.to_string(),
        destination: "h2@fake#p".to_owned(),
        lock_volume: false,
    };
    world.call_as(&admin(), migrate).await.unwrap();
    world.until_quiet().await;
    let moved = world.catalog.volume(volume.id).await.unwrap().unwrap();
    assert_ne!(
        moved.storage_id(),
        volume.id,
        "its storage has the name of the copy"
    );
    world.expect(&[]).await;
    world.call(extend(&volume, 2)).await.unwrap();
    let id = volume.id.to_string();
    world
        .expect(&[
            ("volume.resize.start", "volume_id", &id),
            ("volume.resize.end", "volume_id", &id),
        ])
        .await;
}

#[actix::test]
async fn a_new_type_and_the_end_of_management_are_notified() {
    let world = World::notifying().await;
    let new_type = world.new_type("new", &[]).await;
    let volume = world.volume(1).await;
    world.notified().await;
    let retype = RetypeVolume {
        volume_id: volume.id.to_string(),
        new_type: "new".to_owned(),
        may_move: false,
    };
    world.call(retype).await.unwrap();
    world
        .expect(&[("volume.retype", "volume_type", &new_type.id.to_string())])
        .await;
    let unmanage = UnmanageVolume {
        volume_id: volume.id.to_string(),
    };
    world.call_as(&admin(), unmanage).await.unwrap();
    world
        .expect(&[
            ("volume.unmanage.start", "status", "unmanaging"),
            ("volume.unmanage.end", "status", "deleted"),
        ])
        .await;
}

#[actix::test]
async fn what_administrators_keep_is_notified_with_its_id() {
    let world = World::notifying().await;
    let made = world.new_type("t", &[("a", "1"), ("b", "1")]).await;
    let id = made.id.to_string();
    let specs = [("a", Some("2")), ("b", None), ("c", Some("1"))];
    let specs = specs.map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
    for change in [
        VolumeTypeChange::ChangeExtraSpecs(specs.into()),
        VolumeTypeChange::Update {
            name: None,
            description: None,
            is_public: Some(false),
        },
        VolumeTypeChange::AddProjectAccess("p2".to_owned()),
        VolumeTypeChange::RemoveProjectAccess("p2".to_owned()),
    ] {
        world.change_type(made.id, change).await.unwrap();
    }
    // Refused: nothing is notified.
    let change = VolumeTypeChange::RemoveProjectAccess("p2".to_owned());
    world.change_type(made.id, change).await.unwrap_err();
    let wanted = CreateQosSpecs {
        name: "q".to_owned(),
        consumer: QosConsumer::Both,
        specs: Default::default(),
    };
    let qos = world.call_as(&admin(), wanted).await.unwrap().id;
    let refer = AssociateQosSpecs {
        id: qos,
        volume_type_id: made.id,
    };
    world.call_as(&admin(), refer).await.unwrap();
    world
        .call_as(&admin(), DeleteQosSpecs { id: qos, force: true })
        .await
        .unwrap();
    world
        .call_as(&admin(), DeleteVolumeType { id: made.id })
        .await
        .unwrap();
    let qos = qos.to_string();
    world
        .expect(&[
            ("volume_type.create", "publisher", "null"),
            ("volume_type_extra_specs.create", "specs", r#"{"c":"1"}"#),
            ("volume_type_extra_specs.update", "id", "a"),
            ("volume_type_extra_specs.delete", "id", "b"),
            ("volume_type.update", "publisher", "null"),
            ("volume_type_project.access.add", "project_id", "p2"),
            ("volume_type_project.access.remove", "volume_type_id", &id),
            ("qos_specs.create", "name", "q"),
            ("qos_specs.associate", "type_id", &id),
            ("qos_specs.delete", "id", &qos),
            ("volume_type.delete", "publisher", "null"),
        ])
        .await;
}
