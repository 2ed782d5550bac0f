//! Transfers: offered, accepted, taken back; by two projects at once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use pumice::messages::api::MetadataChange;
use pumice::model::quota::Resource;
use pumice::model::transfer::SNAPSHOTS;
use pumice::model::volume::Secret;
use pumice::model::{
    Context, Error, ErrorKind, ProjectId, SnapshotStatus, Transfer, TransferId, Volume, VolumeId,
    VolumeStatus,
};
use pumice::store::catalog::verify::verify;
use pumice::verbs::attachment::CreateAttachment;
use pumice::verbs::snapshot::{CreateSnapshot, DeleteSnapshot, UpdateSnapshotMetadata};
use pumice::verbs::transfer::{AcceptTransfer, CreateTransfer, DeleteTransfer, NewTransfer};
use pumice::verbs::volume::{
    ChangeVolume, DeleteVolume, ExtendVolume, InitializeConnection, RevertToSnapshot, TerminateConnection,
    UnmanageVolume, VolumeChange,
};
use pumice::verbs::volume_type::VolumeTypeChange;

use crate::support::{World, admin, connector, create, keep, member, project, reader, stranger};

fn taker() -> Context {
    Context {
        user_id: "u2".into(),
        ..stranger()
    }
}

fn offer(volume: VolumeId) -> CreateTransfer {
    CreateTransfer {
        volume_id: volume.to_string(),
        name: Some("tr".to_owned()),
        no_snapshots: false,
        encrypted_too: true,
    }
}

fn without_snapshots(volume: VolumeId) -> CreateTransfer {
    CreateTransfer {
        no_snapshots: true,
        ..offer(volume)
    }
}

fn accept(made: &NewTransfer) -> AcceptTransfer {
    AcceptTransfer {
        transfer_id: made.transfer.id.to_string(),
        auth_key: made.auth_key.clone(),
    }
}

fn withdraw(id: TransferId) -> DeleteTransfer {
    DeleteTransfer {
        transfer_id: id.to_string(),
    }
}

fn delete(volume: VolumeId, cascade: bool, force: bool) -> DeleteVolume {
    DeleteVolume {
        volume_id: volume.to_string(),
        cascade,
        force,
    }
}

async fn reset(world: &World, volume: VolumeId, status: VolumeStatus) {
    let change = VolumeChange::ResetStatus {
        status: Some(status),
        attach_status: None,
        migration_status: None,
    };
    let volume_id = volume.to_string();
    world
        .call_as(&admin(), ChangeVolume { volume_id, change })
        .await
        .unwrap();
}

async fn volume(world: &World, id: VolumeId) -> Volume {
    world.catalog.volume(id).await.unwrap().unwrap().record
}

async fn transfers(world: &World, project: Option<&ProjectId>) -> Vec<Transfer> {
    world
        .catalog
        .newest::<Transfer>(project, None, 100)
        .await
        .unwrap()
        .records
}

/// What a project has in use, without what is zero.
async fn usage(world: &World, project: &ProjectId) -> BTreeMap<String, i64> {
    let mut used = BTreeMap::new();
    for (resource, usage) in world.catalog.usage(project).await.unwrap() {
        assert_eq!(usage.reserved, 0, "{}", resource.0);
        if usage.in_use != 0 {
            used.insert(world.catalog.shown(&resource).await.unwrap(), usage.in_use);
        }
    }
    used
}

fn counts(pairs: &[(&str, i64)]) -> BTreeMap<String, i64> {
    let typed = |(name, count): &(&str, i64)| {
        [
            ((*name).to_owned(), *count),
            (format!("{name}___DEFAULT__"), *count),
        ]
    };
    pairs.iter().flat_map(typed).collect()
}

fn error_of<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind, error.client)
}

#[actix::test]
async fn a_volume_changes_hands_with_its_snapshots_and_all_that_they_count_for() {
    let world = World::new().await;
    let offered = world.volume(2).await;
    let kept = world.snapshot(offered.id).await;
    let made = world.call(offer(offered.id)).await.unwrap();
    let key = made.auth_key.reveal().to_owned();
    assert!(key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(!format!("{made:?}").contains(&key) && !format!("{:?}", accept(&made)).contains(&key));
    assert_eq!(
        volume(&world, offered.id).await.status,
        VolumeStatus::AwaitingTransfer
    );
    let again = world.call(offer(offered.id)).await;
    assert_eq!(
        error_of(again),
        (
            ErrorKind::BadRequest,
            "Invalid volume: status must be available".to_owned()
        )
    );
    let taken = world.call_as(&taker(), accept(&made)).await.unwrap();
    assert_eq!(taken, made.transfer);
    let now = volume(&world, offered.id).await;
    assert_eq!(
        (now.status, now.project_id.as_str(), now.user_id.as_str()),
        (VolumeStatus::Available, "p2", "u2")
    );
    assert_eq!(
        (now.metadata, now.created_at),
        (offered.metadata, offered.created_at)
    );
    let along = world.catalog.snapshot(kept.id).await.unwrap().unwrap();
    assert_eq!((along.project_id.as_str(), along.user_id.as_str()), ("p2", "u2"));
    assert_eq!(usage(&world, &project()).await, BTreeMap::new());
    let worth = counts(&[("volumes", 1), ("gigabytes", 4), ("snapshots", 1)]);
    assert_eq!(usage(&world, &"p2".into()).await, worth);
    assert_eq!(transfers(&world, None).await, []);
    let gone = format!("Transfer {} could not be found.", made.transfer.id);
    for result in [
        error_of(world.call_as(&taker(), accept(&made)).await),
        error_of(world.call_as(&admin(), withdraw(made.transfer.id)).await),
    ] {
        assert_eq!(result, (ErrorKind::NotFound, gone.clone()));
    }
    assert_eq!(
        error_of(world.call(delete(offered.id, true, false)).await).0,
        ErrorKind::NotFound
    );
    world
        .call_as(&taker(), delete(offered.id, true, false))
        .await
        .unwrap();
    world.until_gone(offered.id).await;
    assert_eq!(usage(&world, &"p2".into()).await, BTreeMap::new());
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
}

#[actix::test]
async fn an_offer_that_is_taken_back_leaves_the_volume_as_it_was() {
    let world = World::new().await;
    let offered = world.volume(1).await;
    let made = world.call(offer(offered.id)).await.unwrap();
    let foreign = world.call_as(&stranger(), withdraw(made.transfer.id)).await;
    assert_eq!(error_of(foreign).0, ErrorKind::NotFound);
    world.call(withdraw(made.transfer.id)).await.unwrap();
    assert_eq!(volume(&world, offered.id).await.status, VolumeStatus::Available);
    assert_eq!(transfers(&world, None).await, []);
    // One whose volume waits no longer goes, too, and the volume stays what it is.
    let made = world.call(offer(offered.id)).await.unwrap();
    reset(&world, offered.id, VolumeStatus::Error).await;
    world.call(withdraw(made.transfer.id)).await.unwrap();
    assert_eq!(volume(&world, offered.id).await.status, VolumeStatus::Error);
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
}

#[actix::test]
async fn snapshots_that_stay_are_their_projects_and_no_one_elses() {
    let world = World::new().await;
    let offered = world.volume(1).await;
    let kept = world.snapshot(offered.id).await;
    let made = world.call(without_snapshots(offered.id)).await.unwrap();
    world.call_as(&taker(), accept(&made)).await.unwrap();
    let worth = counts(&[("gigabytes", 1), ("snapshots", 1)]);
    assert_eq!(usage(&world, &project()).await, worth);
    let worth = counts(&[("volumes", 1), ("gigabytes", 1)]);
    assert_eq!(usage(&world, &"p2".into()).await, worth);
    // The new owner neither goes back to it, nor deletes it with the volume, nor takes it by a transfer to itself.
    let back = RevertToSnapshot {
        volume_id: offered.id.to_string(),
        snapshot_id: Some(kept.id.to_string()),
    };
    let none = format!("Volume {} doesn't have any snapshots.", offered.id);
    assert_eq!(
        error_of(world.call_as(&taker(), back).await),
        (ErrorKind::BadRequest, none)
    );
    let cascade = world.call_as(&taker(), delete(offered.id, true, false)).await;
    assert!(
        error_of(cascade)
            .1
            .contains("or be disassociated from snapshots after volume transfer.")
    );
    let made = world.call_as(&taker(), offer(offered.id)).await.unwrap();
    world.call_as(&taker(), accept(&made)).await.unwrap();
    let still = world.catalog.snapshot(kept.id).await.unwrap().unwrap();
    assert_eq!(still.project_id, project());
    // A copy of it is its project's, and its errors are reported there.
    let copy = pumice::verbs::volume::CreateVolume {
        snapshot_id: Some(kept.id.0),
        ..create(1)
    };
    let copy = world.call(copy).await.unwrap();
    world.until(copy.id, VolumeStatus::Available).await;
    world.will(
        "delete_snapshot",
        [crate::support::Reaction::Fail(
            pumice::messages::api::FailureKind::Backend,
        )],
    );
    let gone = DeleteSnapshot {
        snapshot_id: kept.id.to_string(),
        force: false,
    };
    world.call(gone).await.unwrap();
    world.until_snapshot(kept.id, SnapshotStatus::ErrorDeleting).await;
    let messages = world.messages().await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].resource_uuid, Some(kept.id.0));
    // An administrator deletes all of it.
    world
        .call_as(&admin(), delete(offered.id, true, true))
        .await
        .unwrap();
    world.until_gone(offered.id).await;
    world.until_quiet().await;
    assert_eq!(usage(&world, &"p2".into()).await, BTreeMap::new());
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
}

#[actix::test]
async fn who_may_not_have_it_does_not_get_it() {
    let world = World::new().await;
    let offered = world.volume(1).await;
    world.snapshot(offered.id).await;
    let made = world.call(offer(offered.id)).await.unwrap();
    let wrong = AcceptTransfer {
        auth_key: Secret::new("0000000000000000"),
        ..accept(&made)
    };
    assert_eq!(
        error_of(world.call_as(&taker(), wrong).await),
        (
            ErrorKind::BadRequest,
            format!(
                "Invalid auth key: Attempt to transfer {} with invalid auth key.",
                made.transfer.id
            )
        )
    );
    let looking = Context {
        roles: vec!["reader".to_owned()],
        ..taker()
    };
    assert_eq!(
        error_of(world.call_as(&looking, accept(&made)).await).0,
        ErrorKind::Forbidden
    );
    assert_eq!(
        error_of(world.call_as(&reader(), offer(offered.id)).await).0,
        ErrorKind::Forbidden
    );
    assert_eq!(
        error_of(world.call_as(&taker(), offer(offered.id)).await).0,
        ErrorKind::NotFound
    );
    for id in ["x", "11111111-2222-4333-8444-555555555555"] {
        let unknown = AcceptTransfer {
            transfer_id: id.to_owned(),
            ..accept(&made)
        };
        let text = format!("Transfer {id} could not be found.");
        assert_eq!(
            error_of(world.call_as(&taker(), unknown).await),
            (ErrorKind::NotFound, text)
        );
    }
    // The numbers are those that Cinder tells: snapshots come on top of the volume.
    for (limits, text) in [
        (
            vec![(Resource::gigabytes(), 1)],
            "Requested volume or snapshot exceeds allowed gigabytes quota. Requested 1G, quota is 1G and 1G has been \
             consumed.",
        ),
        (
            vec![(Resource::volumes(), 0)],
            "VolumeLimitExceeded: Maximum number of volumes allowed (0) exceeded for quota 'volumes'.",
        ),
        (
            vec![(Resource::snapshots(), 0)],
            "SnapshotLimitExceeded: Maximum number of snapshots allowed (0) exceeded",
        ),
    ] {
        world.script.lock().limits = limits;
        let over = world.call_as(&taker(), accept(&made)).await;
        assert_eq!(error_of(over), (ErrorKind::OverQuota, text.to_owned()));
    }
    world.script.lock().limits.clear();
    let (status, who) = (VolumeStatus::AwaitingTransfer, volume(&world, offered.id).await);
    assert_eq!((who.status, who.project_id), (status, project()));
    assert_eq!(usage(&world, &"p2".into()).await, BTreeMap::new());
    assert_eq!(transfers(&world, Some(&project())).await, [made.transfer]);
    assert_eq!(transfers(&world, Some(&"p2".into())).await, []);
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
}

#[actix::test]
async fn a_private_type_keeps_its_volumes_among_those_who_may_use_it() {
    let world = World::new().await;
    let private = world.new_type("private", &[]).await;
    let hide = VolumeTypeChange::Update {
        name: None,
        description: None,
        is_public: Some(false),
    };
    let add = VolumeTypeChange::AddProjectAccess("p1".to_owned());
    world.change_type(private.id, hide).await.unwrap();
    world.change_type(private.id, add).await.unwrap();
    let wanted = pumice::verbs::volume::CreateVolume {
        volume_type: Some("private".to_owned()),
        ..create(1)
    };
    let offered = world.call(wanted).await.unwrap();
    world.until(offered.id, VolumeStatus::Available).await;
    let made = world.call(offer(offered.id)).await.unwrap();
    let refused = world.call_as(&taker(), accept(&made)).await;
    let text = format!("Volume type {} could not be found.", private.id);
    assert_eq!(error_of(refused), (ErrorKind::NotFound, text));
    let open = VolumeTypeChange::AddProjectAccess("p2".to_owned());
    world.change_type(private.id, open).await.unwrap();
    world.call_as(&taker(), accept(&made)).await.unwrap();
    let used = usage(&world, &"p2".into()).await;
    assert_eq!((used["volumes_private"], used["gigabytes_private"]), (1, 1));
    assert_eq!(usage(&world, &project()).await, BTreeMap::new());
}

#[actix::test]
async fn nobody_reaches_a_volume_that_has_another_owner() {
    let world = World::new().await;
    let offered = world.volume(1).await;
    let connect = InitializeConnection {
        volume_id: offered.id.to_string(),
        connector: connector("a"),
    };
    let disconnect = TerminateConnection {
        volume_id: offered.id.to_string(),
        connector: Some(connector("a")),
    };
    world.call(connect.clone()).await.unwrap();
    let refusal = format!(
        "Invalid volume: Volume {} must not be migrating, attached or connected to be transferred.",
        offered.id
    );
    assert_eq!(error_of(world.call(offer(offered.id)).await).1, refusal);
    world.call(disconnect.clone()).await.unwrap();
    let made = world.call(offer(offered.id)).await.unwrap();
    // As in Cinder, it can be connected meanwhile; then it does not change hands.
    world.call(connect).await.unwrap();
    assert_eq!(error_of(world.call_as(&taker(), accept(&made)).await).1, refusal);
    world.call(disconnect).await.unwrap();
    world.call_as(&taker(), accept(&made)).await.unwrap();
    // Nor is one offered that is reserved, whatever its status was set to.
    let reserved = world.volume(1).await;
    let reserve = CreateAttachment {
        volume_id: reserved.id.to_string(),
        instance_uuid: None,
        connector: None,
        mode: None,
    };
    world.call(reserve).await.unwrap();
    reset(&world, reserved.id, VolumeStatus::Available).await;
    assert_eq!(
        error_of(world.call(offer(reserved.id)).await).0,
        ErrorKind::BadRequest
    );
}

#[actix::test]
async fn a_volume_that_goes_takes_its_offer_along() {
    let world = World::new().await;
    let [forced, reset_first, let_go] = [
        world.volume(1).await,
        world.volume(1).await,
        world.volume(1).await,
    ];
    for one in [&forced, &reset_first, &let_go] {
        world.call(offer(one.id)).await.unwrap();
    }
    let waiting = world.call(delete(forced.id, false, false)).await;
    assert!(error_of(waiting).1.contains("awaiting a transfer"));
    world
        .call_as(&admin(), delete(forced.id, false, true))
        .await
        .unwrap();
    world.until_gone(forced.id).await;
    reset(&world, reset_first.id, VolumeStatus::Available).await;
    world.call(delete(reset_first.id, false, false)).await.unwrap();
    world.until_gone(reset_first.id).await;
    reset(&world, let_go.id, VolumeStatus::Available).await;
    let volume_id = let_go.id.to_string();
    world
        .call_as(&admin(), UnmanageVolume { volume_id })
        .await
        .unwrap();
    world.until_gone(let_go.id).await;
    assert_eq!(transfers(&world, None).await, []);
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
}

#[actix::test]
async fn a_second_offer_takes_the_place_of_one_whose_volume_was_reset() {
    let world = World::new().await;
    let offered = world.volume(1).await;
    let first = world.call(offer(offered.id)).await.unwrap();
    reset(&world, offered.id, VolumeStatus::Available).await;
    let waits_not = world.call_as(&taker(), accept(&first)).await;
    assert_eq!(
        error_of(waits_not).1,
        format!(
            "Invalid volume: Transfer {}: Volume id {} expected in awaiting-transfer state.",
            first.transfer.id, offered.id
        )
    );
    let second = world.call(offer(offered.id)).await.unwrap();
    assert_eq!(
        error_of(world.call_as(&taker(), accept(&first)).await).0,
        ErrorKind::NotFound
    );
    reset(&world, offered.id, VolumeStatus::Maintenance).await;
    assert_eq!(
        error_of(world.call_as(&taker(), accept(&second)).await).1,
        "Invalid volume: The volume cannot accept transfer in maintenance mode."
    );
    reset(&world, offered.id, VolumeStatus::AwaitingTransfer).await;
    world.call_as(&taker(), accept(&second)).await.unwrap();
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
}

#[actix::test]
async fn more_snapshots_than_one_commit_moves_are_refused_when_they_are_offered() {
    let world = World::new().await;
    let offered = world.volume(1).await;
    let first = world.snapshot(offered.id).await;
    let mut changes = world.catalog.change();
    for _ in 1..SNAPSHOTS {
        let mut another = first.clone();
        another.id = pumice::model::SnapshotId::new();
        changes.insert(&another);
    }
    changes.commit().await.unwrap();
    let heavy = UpdateSnapshotMetadata {
        snapshot_id: first.id.to_string(),
        change: MetadataChange::Merge([("k".to_owned(), "v".repeat(255))].into()),
    };
    world.call(heavy).await.unwrap();
    let made = world.call(offer(offered.id)).await.unwrap();
    world.call_as(&taker(), accept(&made)).await.unwrap();
    world.snapshot_by(&taker(), offered.id).await;
    let many = world.call_as(&taker(), offer(offered.id)).await;
    assert_eq!(
        error_of(many),
        (
            ErrorKind::TooLarge,
            "Invalid number of snapshots: the volume has 101, and 100 can be transferred with it.".to_owned()
        )
    );
    world
        .call_as(&taker(), without_snapshots(offered.id))
        .await
        .unwrap();
}

impl World {
    async fn snapshot_by(&self, who: &Context, volume: VolumeId) {
        let kept = self.call_as(who, keep(volume)).await.unwrap();
        self.until_snapshot(kept.id, SnapshotStatus::Available).await;
    }
}

#[actix::test]
async fn of_many_who_accept_at_once_one_gets_it() {
    let world = World::new().await;
    for _ in 0..8 {
        let offered = world.volume(1).await;
        world.snapshot(offered.id).await;
        let made = world.call(offer(offered.id)).await.unwrap();
        let takers = ["q1", "q2", "q3"].map(|project| Context {
            project_id: project.into(),
            ..taker()
        });
        let one = world.call_as(&takers[0], accept(&made));
        let other = world.call_as(&takers[1], accept(&made));
        let third = world.call_as(&takers[2], accept(&made));
        let back = world.call(withdraw(made.transfer.id));
        let (one, other, third, back) = tokio::join!(one, other, third, back);
        let taken = [&one, &other, &third]
            .iter()
            .filter(|taken| taken.is_ok())
            .count();
        assert_eq!(
            taken + usize::from(back.is_ok()),
            1,
            "{one:?} {other:?} {third:?} {back:?}"
        );
    }
    assert_eq!(transfers(&world, None).await, []);
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
}

#[derive(Clone, Debug)]
enum Act {
    Create,
    Offer { no_snapshots: bool },
    Accept,
    Withdraw,
    Snapshot,
    DeleteSnapshot,
    Extend,
    Attach,
    Reset,
    Delete { cascade: bool, force: bool },
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Create),
        4 => any::<bool>().prop_map(|no_snapshots| Act::Offer { no_snapshots }),
        6 => Just(Act::Accept),
        1 => Just(Act::Withdraw),
        3 => Just(Act::Snapshot),
        2 => Just(Act::DeleteSnapshot),
        1 => Just(Act::Extend),
        1 => Just(Act::Attach),
        1 => Just(Act::Reset),
        2 => any::<(bool, bool)>().prop_map(|(cascade, force)| Act::Delete { cascade, force }),
    ]
}

/// The keys of offers, as in the answers to those that made them.
type Keys = RefCell<Vec<NewTransfer>>;

/// A user of one of two projects does it to one of the volumes. What comes back does not matter here.
async fn act(world: &World, keys: &Keys, what: &Act, which: usize) {
    let who = match which % 2 {
        0 => member(),
        _ => taker(),
    };
    let volumes = world.volumes().await;
    let volume = volumes
        .get(which / 2 % volumes.len().max(1))
        .map(|volume| volume.id);
    let Some(id) = volume.filter(|_| !matches!(what, Act::Create)) else {
        if volumes.len() < 3 {
            let _ = world.call_as(&who, create(1)).await;
        }
        return;
    };
    let last = keys.borrow().last().cloned();
    match what {
        Act::Create => {}
        Act::Offer { no_snapshots } => {
            let request = CreateTransfer {
                no_snapshots: *no_snapshots,
                ..offer(id)
            };
            if let Ok(made) = world.call_as(&who, request).await {
                keys.borrow_mut().push(made);
            }
        }
        Act::Accept => {
            if let Some(made) = last {
                let _ = world.call_as(&who, accept(&made)).await;
            }
        }
        Act::Withdraw => {
            if let Some(made) = last {
                let _ = world.call_as(&who, withdraw(made.transfer.id)).await;
            }
        }
        Act::Snapshot => {
            let request = CreateSnapshot {
                volume_id: id.to_string(),
                ..CreateSnapshot::default()
            };
            let _ = world.call_as(&who, request).await;
        }
        Act::DeleteSnapshot => {
            let all = world.catalog.volume_snapshots(id).await.unwrap();
            if let Some(first) = all.first() {
                let snapshot_id = first.id.to_string();
                let force = which.is_multiple_of(3);
                let _ = world.call_as(&who, DeleteSnapshot { snapshot_id, force }).await;
            }
        }
        Act::Extend => {
            let request = ExtendVolume {
                volume_id: id.to_string(),
                new_size: 2,
                attached_too: false,
            };
            let _ = world.call_as(&who, request).await;
        }
        Act::Attach => {
            let request = InitializeConnection {
                volume_id: id.to_string(),
                connector: connector("a"),
            };
            if world.call_as(&who, request).await.is_ok() {
                let request = TerminateConnection {
                    volume_id: id.to_string(),
                    connector: None,
                };
                let _ = world.call_as(&who, request).await;
            }
        }
        Act::Reset => {
            let change = VolumeChange::ResetStatus {
                status: Some(VolumeStatus::Available),
                attach_status: None,
                migration_status: None,
            };
            let volume_id = id.to_string();
            let _ = world.call_as(&admin(), ChangeVolume { volume_id, change }).await;
        }
        Act::Delete { cascade, force } => {
            let who = if *force { admin() } else { who };
            let _ = world.call_as(&who, delete(id, *cascade, *force)).await;
        }
    }
}

async fn run(script: Vec<(Act, usize)>) {
    let world = World::new().await;
    let keys = Keys::default();
    for at_once in script.chunks(3) {
        let acts = at_once
            .iter()
            .map(|(what, which)| act(&world, &keys, what, *which));
        futures_util::future::join_all(acts).await;
        let mut offered: Vec<VolumeId> = transfers(&world, None)
            .await
            .iter()
            .map(|transfer| transfer.volume_id)
            .collect();
        let all = offered.len();
        offered.sort_unstable();
        offered.dedup();
        assert_eq!(offered.len(), all, "a volume is offered twice");
    }
    world.until_quiet().await;
    // Usage is what exists, in whichever project it is now, and no transfer is of a volume that is gone.
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
    for volume in world.volumes().await {
        world
            .call_as(&admin(), delete(volume.id, true, true))
            .await
            .unwrap();
        world.until_gone(volume.id).await;
    }
    world.until_quiet().await;
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
    for project in [project(), "p2".into()] {
        assert_eq!(usage(&world, &project).await, BTreeMap::new());
    }
    assert_eq!(transfers(&world, None).await, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn whoever_asks_for_what_usage_is_what_each_project_has(
        script in proptest::collection::vec((acts(), 0_usize..12), 1..50),
    ) {
        actix::System::new().block_on(run(script));
    }
}
