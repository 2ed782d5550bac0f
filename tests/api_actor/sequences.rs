//! Whatever clients ask and backends answer, in whatever order: nothing is stuck, nothing drifts, everything can go.

use std::time::Duration;

use proptest::prelude::*;
use pumice::actors::api::Options;
use pumice::messages::api::FailureKind;
use pumice::model::{AttachMode, AttachStatus, VolumeId, VolumeStatus};
use pumice::store::catalog::verify::verify;
use pumice::verbs::attachment::{CompleteAttachment, CreateAttachment, DeleteAttachment, UpdateAttachment};
use pumice::verbs::volume::{
    ChangeVolume, DeleteVolume, ExtendVolume, InitializeConnection, TerminateConnection, VolumeChange,
};
use uuid::Uuid;

use crate::support::{Reaction, World, admin, connector, create, quick};

#[derive(Clone, Debug)]
enum Act {
    Create,
    Delete { force: bool },
    Extend,
    Reserve,
    Unreserve,
    BeginDetaching,
    Attach,
    Detach,
    Initialize,
    Terminate { all: bool },
    CreateAttachment { connected: bool },
    UpdateAttachment,
    Complete,
    DeleteAttachment,
    Reset,
    ResetDetached,
    Next(&'static str, Reaction),
}

fn reactions() -> impl Strategy<Value = Reaction> {
    prop_oneof![
        Just(Reaction::Lose),
        Just(Reaction::ReportTwice),
        Just(Reaction::Fail(FailureKind::Backend)),
        Just(Reaction::Fail(FailureKind::NoSpace)),
        Just(Reaction::Fail(FailureKind::TimedOut)),
        Just(Reaction::Fail(FailureKind::Busy)),
        Just(Reaction::Fail(FailureKind::Request)),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    let verbs = [
        "schedule",
        "create_volume",
        "delete_volume",
        "extend_volume",
        "initialize_connection",
        "terminate_connection",
        "validate_extend",
    ];
    prop_oneof![
        2 => Just(Act::Create),
        1 => any::<bool>().prop_map(|force| Act::Delete { force }),
        2 => Just(Act::Extend),
        1 => Just(Act::Reserve),
        1 => Just(Act::Unreserve),
        1 => Just(Act::BeginDetaching),
        1 => Just(Act::Attach),
        1 => Just(Act::Detach),
        1 => Just(Act::Initialize),
        1 => any::<bool>().prop_map(|all| Act::Terminate { all }),
        2 => any::<bool>().prop_map(|connected| Act::CreateAttachment { connected }),
        2 => Just(Act::UpdateAttachment),
        1 => Just(Act::Complete),
        2 => Just(Act::DeleteAttachment),
        1 => Just(Act::Reset),
        1 => Just(Act::ResetDetached),
        6 => (proptest::sample::select(verbs.to_vec()), reactions()).prop_map(|(verb, reaction)| Act::Next(verb, reaction)),
    ]
}

/// Does it to one of the volumes (and one of its attachments). What comes back does not matter here.
async fn act(world: &World, act: &Act, which: usize) {
    let volumes = world.volumes().await;
    let volume = volumes
        .get(which % volumes.len().max(1))
        .map(|volume| volume.id.to_string());
    let of = || volume.clone().unwrap_or_default();
    let mut attachments = Vec::new();
    if let Some(id) = volume.as_ref().and_then(|id| id.parse::<VolumeId>().ok()) {
        attachments = world.catalog.volume_attachments(id).await.unwrap();
    }
    let attachment = || {
        attachments
            .get(which % attachments.len().max(1))
            .map(|a| a.id.to_string())
            .unwrap_or_default()
    };
    let change = async |change| {
        let _ = world
            .call_as(
                &admin(),
                ChangeVolume {
                    volume_id: of(),
                    change,
                },
            )
            .await;
    };
    match act {
        Act::Create if volumes.len() < 3 => drop(world.call(create(1)).await),
        Act::Create => {}
        Act::Delete { force } => {
            drop(
                world
                    .call_as(
                        &admin(),
                        DeleteVolume {
                            volume_id: of(),
                            cascade: false,
                            force: *force,
                        },
                    )
                    .await,
            );
        }
        Act::Extend => {
            let size = volumes
                .get(which % volumes.len().max(1))
                .map_or(1, |volume| volume.size);
            drop(
                world
                    .call(ExtendVolume {
                        volume_id: of(),
                        new_size: size + 1,
                        attached_too: true,
                    })
                    .await,
            );
        }
        Act::Reserve => change(VolumeChange::Reserve).await,
        Act::Unreserve => change(VolumeChange::Unreserve).await,
        Act::BeginDetaching => change(VolumeChange::BeginDetaching).await,
        Act::Attach => {
            change(VolumeChange::Attach {
                instance_uuid: Some(Uuid::from_u128(which as u128)),
                host_name: None,
                mountpoint: "/dev/vdb".into(),
                mode: AttachMode::Rw,
            })
            .await;
        }
        Act::Detach => change(VolumeChange::Detach { attachment_id: None }).await,
        Act::Initialize => {
            let host = if which.is_multiple_of(2) { "a" } else { "b" };
            drop(
                world
                    .call(InitializeConnection {
                        volume_id: of(),
                        connector: connector(host),
                    })
                    .await,
            );
        }
        Act::Terminate { all } => {
            let connector = (!all).then(|| connector(if which.is_multiple_of(2) { "a" } else { "b" }));
            drop(
                world
                    .call(TerminateConnection {
                        volume_id: of(),
                        connector,
                    })
                    .await,
            );
        }
        Act::CreateAttachment { connected } => {
            let request = CreateAttachment {
                volume_id: of(),
                instance_uuid: Some(Uuid::from_u128(which as u128 % 2)),
                connector: connected.then(|| connector("a")),
                mode: None,
            };
            drop(world.call(request).await);
        }
        Act::UpdateAttachment => {
            let host = if which.is_multiple_of(2) { "a" } else { "b" };
            drop(
                world
                    .call(UpdateAttachment {
                        attachment_id: attachment(),
                        connector: connector(host),
                    })
                    .await,
            );
        }
        Act::Complete => drop(
            world
                .call(CompleteAttachment {
                    attachment_id: attachment(),
                })
                .await,
        ),
        Act::DeleteAttachment => {
            drop(
                world
                    .call(DeleteAttachment {
                        attachment_id: attachment(),
                    })
                    .await,
            );
        }
        Act::Reset => {
            let status = Some(if which.is_multiple_of(2) {
                VolumeStatus::Available
            } else {
                VolumeStatus::Error
            });
            change(VolumeChange::ResetStatus {
                status,
                attach_status: None,
                migration_status: None,
            })
            .await;
        }
        Act::ResetDetached => {
            let attach_status = Some(AttachStatus::Detached);
            change(VolumeChange::ResetStatus {
                status: None,
                attach_status,
                migration_status: None,
            })
            .await;
        }
        Act::Next(verb, reaction) => world.will(verb, [reaction.clone()]),
    }
}

/// A transient status has an owner, and whatever names an operation names an open one.
async fn nothing_is_orphaned(world: &World) {
    // The end of an operation may come between two of these reads, so only what stays so is a fault.
    let mut faults = Vec::new();
    for _ in 0..20 {
        faults.clear();
        for volume in world.volumes().await {
            if volume.status.is_transient() && volume.operation.is_none() {
                faults.push(format!("{} is {} without an owner", volume.id, volume.status));
            }
            let attachments = world.catalog.volume_attachments(volume.id).await.unwrap();
            let named = attachments
                .iter()
                .filter_map(|attachment| attachment.operation)
                .chain(volume.operation);
            for id in named {
                if world.catalog.operation(id).await.unwrap().is_none() {
                    faults.push(format!("{} names {id}, which has ended", volume.id));
                }
            }
        }
        if faults.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{faults:?}");
}

async fn run(script: Vec<(Act, usize)>) {
    let options = Options {
        wait_limit: Duration::from_millis(200),
        ..quick()
    };
    let world = World::with(options).await;
    world.start_backend("h2@fake");
    world
        .script
        .lock()
        .pools
        .push_back(crate::support::pool("h2@fake#p"));
    for at_once in script.chunks(3) {
        let acts = at_once.iter().map(|(what, which)| act(&world, what, *which));
        futures_util::future::join_all(acts).await;
        nothing_is_orphaned(&world).await;
    }
    world.script.lock().next.clear();
    world.until_quiet().await;
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
    for volume in world.volumes().await {
        assert!(
            !volume.status.is_transient() && volume.operation.is_none(),
            "{volume:?}"
        );
        let reset = VolumeChange::ResetStatus {
            status: None,
            attach_status: Some(AttachStatus::Detached),
            migration_status: None,
        };
        let volume_id = volume.id.to_string();
        world
            .call_as(
                &admin(),
                ChangeVolume {
                    volume_id: volume_id.clone(),
                    change: reset,
                },
            )
            .await
            .unwrap();
        world
            .call_as(
                &admin(),
                DeleteVolume {
                    volume_id,
                    cascade: false,
                    force: true,
                },
            )
            .await
            .unwrap();
        world.until_gone(volume.id).await;
    }
    world.until_quiet().await;
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
    for resource in [
        "volumes",
        "gigabytes",
        "volumes___DEFAULT__",
        "gigabytes___DEFAULT__",
    ] {
        let usage = world.usage(resource).await;
        assert_eq!((usage.in_use, usage.reserved), (0, 0), "{resource}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_ever_stuck_or_miscounted(script in proptest::collection::vec((acts(), 0_usize..6), 1..60)) {
        actix::System::new().block_on(run(script));
    }
}
