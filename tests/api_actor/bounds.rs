//! What users write is bounded where it is asked for, and whatever was taken makes no later step impossible: no record, commit or
//! message is ever too large, and no answer a fault of ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use pumice::actors::api::Options;
use pumice::messages::api::{FailureKind, ListBackendVolumes, MetadataChange};
use pumice::model::bounds::{
    self, CONNECTOR, EARLIER_RECORD, EXTRA_SPECS, HINTS, METADATA, RECORD, REFERENCE,
};
use pumice::model::{
    BackendName, Connector, Error, ErrorKind, PoolName, Reference, SnapshotStatus, Volume, VolumeId,
    VolumeStatus,
};
use pumice::store::MAX_COMMIT;
use pumice::store::record::size_of;
use pumice::transport::codec::encoded_size;
use pumice::transport::frame::MAX_FRAME;
use pumice::verbs::attachment::{CreateAttachment, DeleteAttachment};
use pumice::verbs::snapshot::{DeleteSnapshot, UpdateSnapshotMetadata};
use pumice::verbs::volume::{
    ChangeVolume, CreateVolume, DeleteVolume, ExtendVolume, InitializeConnection, ManageVolume,
    RevertToSnapshot, TerminateConnection, UpdateVolume, UpdateVolumeMetadata, VolumeChange,
};
use pumice::verbs::volume_type::{CreateVolumeType, VolumeTypeChange};

use crate::measuring::Measuring;
use crate::support::*;

/// A frame's header: the context of the request.
const HEADER: usize = 64 * 1024;

fn name() -> String {
    "😀".repeat(255)
}

/// Pairs that weigh so much, of keys and values as long as may be.
fn pairs(weight: usize, prefix: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let mut left = weight;
    for n in 0.. {
        let key = format!("{prefix}{n:05}");
        let Some(value) = left.checked_sub(16 + key.len()) else {
            break;
        };
        let value = value.min(1020);
        left -= 16 + key.len() + value;
        // Of four bytes each, and what is left over.
        pairs.insert(key, "😀".repeat(value / 4) + &"x".repeat(value % 4));
    }
    pairs
}

fn sized(host: &str, weight: usize) -> Connector {
    let with = |note: usize| {
        let object = serde_json::json!({
            "host": host, "initiator": format!("iqn.{host}"), "mountpoint": "/dev/vdb", "note": "x".repeat(note),
        });
        Connector::from_json(object.as_object().unwrap())
    };
    with(weight.saturating_sub(with(0).weight()))
}

fn reference(weight: usize) -> Reference {
    let object = serde_json::json!({"source-name": "x".repeat(weight.saturating_sub(40))});
    Reference::from_json(object.as_object().unwrap())
}

fn new_volume(metadata: usize, hints: usize) -> CreateVolume {
    CreateVolume {
        name: Some(name()),
        description: Some(name()),
        metadata: pairs(metadata, "m"),
        hints: (hints > 20).then(|| format!("{{\"query\": \"{}\"}}", "h".repeat(hints.saturating_sub(21)))),
        ..create(1)
    }
}

fn long_pool(n: usize) -> PoolName {
    BackendName::new("h".repeat(250), format!("{}{n}", "b".repeat(250))).pool("p".repeat(255))
}

fn metadata_of(volume: VolumeId, change: MetadataChange) -> UpdateVolumeMetadata {
    UpdateVolumeMetadata {
        volume_id: volume.to_string(),
        change,
        expected: None,
    }
}

fn change(volume: VolumeId, change: VolumeChange) -> ChangeVolume {
    ChangeVolume {
        volume_id: volume.to_string(),
        change,
    }
}

fn must_be_too_large<T: std::fmt::Debug>(result: Result<T, Error>, words: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    assert!(error.client.contains(words), "{error}");
}

#[actix::test]
async fn each_part_that_users_write_is_refused_with_its_name_and_bound_when_it_is_too_large() {
    let world = World::new().await;
    world.announce("h1@fake").await;
    let over = METADATA.bytes + 1;
    must_be_too_large(
        world.call(new_volume(over, 0)).await,
        "Invalid metadata size: 102401 bytes, more than 102400.",
    );
    must_be_too_large(
        world.call(new_volume(0, HINTS.bytes + 1)).await,
        "Invalid scheduler_hints size: 16385 bytes, more than 16384.",
    );
    let made = world.call(new_volume(METADATA.bytes, HINTS.bytes)).await.unwrap();
    let volume = world.until(made.id, VolumeStatus::Available).await;
    // What is added up is bounded, not what one request brings.
    let more = MetadataChange::Merge(pairs(40, "more"));
    must_be_too_large(world.call(metadata_of(volume.id, more)).await, "metadata size");
    let all_new = MetadataChange::Replace(pairs(over, "n"));
    must_be_too_large(world.call(metadata_of(volume.id, all_new)).await, "metadata size");
    let update = UpdateVolume {
        volume_id: volume.id.to_string(),
        name: None,
        description: None,
        metadata: Some(pairs(over, "n")),
    };
    must_be_too_large(world.call(update).await, "metadata size");
    // The longest value that Cinder takes of an image; image metadata weigh with the others.
    let image = |key: &str, bytes: usize| {
        let pairs = [(key.to_owned(), "x".repeat(bytes))].into();
        change(volume.id, VolumeChange::SetImageMetadata(pairs))
    };
    must_be_too_large(world.call(image("longest", 1)).await, "metadata size");
    let room = METADATA.bytes - 65_535 - 16 - "longest".len();
    let fewer = MetadataChange::Replace(pairs(room, "m"));
    world.call(metadata_of(volume.id, fewer)).await.unwrap();
    world.call(image("longest", 65_535)).await.unwrap();
    must_be_too_large(world.call(image("second", 1)).await, "metadata size");
    let connect = |weight| InitializeConnection {
        volume_id: volume.id.to_string(),
        connector: sized("c1", weight),
    };
    must_be_too_large(
        world.call(connect(CONNECTOR.bytes + 1)).await,
        "Invalid connector size: 8193 bytes, more than 8192.",
    );
    for (host, fits) in [("c1", true), ("c2", false)] {
        let message = InitializeConnection {
            connector: sized(host, CONNECTOR.bytes),
            ..connect(0)
        };
        let connected = world.call(message).await;
        if fits {
            connected.unwrap();
        } else {
            must_be_too_large(connected, "Invalid connectors of the volume size");
        }
    }
    let attach = |weight| CreateAttachment {
        volume_id: volume.id.to_string(),
        instance_uuid: None,
        connector: Some(sized("c1", weight)),
        mode: None,
    };
    must_be_too_large(world.call(attach(CONNECTOR.bytes + 1)).await, "connector size");
    let terminate = TerminateConnection {
        volume_id: volume.id.to_string(),
        connector: Some(sized("c1", CONNECTOR.bytes + 1)),
    };
    must_be_too_large(world.call(terminate).await, "connector size");
    let mut snapshot = keep(volume.id);
    snapshot.metadata = pairs(over, "s");
    must_be_too_large(world.call(snapshot).await, "metadata size");
    let snapshot = world.snapshot(volume.id).await;
    let of_snapshot = UpdateSnapshotMetadata {
        snapshot_id: snapshot.id.to_string(),
        change: MetadataChange::Merge(pairs(over, "s")),
    };
    must_be_too_large(world.call(of_snapshot).await, "metadata size");
    let manage = |metadata, weight| ManageVolume {
        host: "h1@fake#p".to_owned(),
        reference: reference(weight),
        name: None,
        description: None,
        volume_type: None,
        availability_zone: None,
        metadata: pairs(metadata, "m"),
        bootable: false,
    };
    must_be_too_large(world.call_as(&admin(), manage(over, 100)).await, "metadata size");
    must_be_too_large(
        world.call_as(&admin(), manage(0, REFERENCE.bytes + 100)).await,
        "ref size",
    );
    let kind = |bytes| CreateVolumeType {
        name: "t".to_owned(),
        description: None,
        is_public: false,
        extra_specs: pairs(bytes, "s"),
    };
    must_be_too_large(
        world.call_as(&admin(), kind(EXTRA_SPECS.bytes + 1)).await,
        "Invalid extra_specs size: 32769 bytes, more than 32768.",
    );
    let kind = world.call_as(&admin(), kind(EXTRA_SPECS.bytes)).await.unwrap();
    for specs in [
        VolumeTypeChange::SetExtraSpecs(pairs(50, "more")),
        VolumeTypeChange::ChangeExtraSpecs([("more".to_owned(), Some("v".to_owned()))].into()),
    ] {
        must_be_too_large(world.change_type(kind.id, specs).await, "extra_specs size");
    }
    let mut open_to = 0;
    let refused = loop {
        let project = format!("{open_to:0>255}");
        match world
            .change_type(kind.id, VolumeTypeChange::AddProjectAccess(project))
            .await
        {
            Ok(_) => open_to += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(
        refused.client,
        "Invalid access list of the volume type size: 65750 bytes, more than 65536."
    );
}

/// A volume of an earlier version, as full as it could be.
fn full_of_earlier(volume: &Volume) -> Volume {
    let mut full = volume.clone();
    full.image_metadata = pairs(40_000, "i");
    full.metadata = pairs(EARLIER_RECORD - size_of(&full), "m");
    let left = EARLIER_RECORD - size_of(&full);
    if let Some(value) = full.metadata.values_mut().next() {
        value.push_str(&"x".repeat(left));
    }
    assert_eq!(size_of(&full), EARLIER_RECORD);
    full
}

#[actix::test]
async fn a_volume_that_an_earlier_version_let_be_filled_makes_every_transition() {
    let store = Arc::new(Measuring::default());
    let world = World::on(store.clone(), quick()).await;
    world.start_api();
    world.script.lock().reports_long_texts = true;
    let volume = world.volume(1).await;
    world.put(&full_of_earlier(&volume)).await;
    let id = volume.id.to_string();
    let connect = InitializeConnection {
        volume_id: id.clone(),
        connector: sized("c1", CONNECTOR.bytes),
    };
    world.call(connect).await.unwrap();
    let snapshot = world.snapshot(volume.id).await;
    let grow = ExtendVolume {
        volume_id: id.clone(),
        new_size: 2,
        attached_too: true,
    };
    world.call(grow).await.unwrap();
    world.until(volume.id, VolumeStatus::Available).await;
    let back = RevertToSnapshot {
        volume_id: id.clone(),
        snapshot_id: Some(snapshot.id.to_string()),
    };
    world.call(back).await.unwrap();
    world.until(volume.id, VolumeStatus::Available).await;
    world.until_snapshot(snapshot.id, SnapshotStatus::Available).await;
    world
        .call(TerminateConnection {
            volume_id: id.clone(),
            connector: None,
        })
        .await
        .unwrap();
    let attach = CreateAttachment {
        volume_id: id.clone(),
        instance_uuid: None,
        connector: Some(sized("c3", CONNECTOR.bytes)),
        mode: None,
    };
    let attachment = world.call(attach).await.unwrap();
    let detach = DeleteAttachment {
        attachment_id: attachment.id.to_string(),
    };
    world.call(detach).await.unwrap();
    // Its owner has no more room than any other.
    must_be_too_large(
        world
            .call(metadata_of(
                volume.id,
                MetadataChange::Merge(pairs(10_000, "more")),
            ))
            .await,
        "metadata size",
    );
    let was = world.catalog.volume(volume.id).await.unwrap().unwrap();
    let key = was.metadata.keys().next().unwrap().clone();
    world
        .call(metadata_of(volume.id, MetadataChange::Remove(key)))
        .await
        .unwrap();
    let delete = DeleteVolume {
        volume_id: id,
        cascade: true,
        force: false,
    };
    world.call(delete).await.unwrap();
    world.until_gone(volume.id).await;
    assert!(store.most().value <= RECORD, "{:?}", store.most());
}

#[actix::test]
async fn what_came_of_an_operation_and_cannot_be_written_ends_it_as_a_failure() {
    let world = World::new().await;
    let volume = world.volume(1).await;
    // As no version would let it be, so that the report of its export does not fit.
    let mut stuffed = volume.clone();
    stuffed.metadata = pairs(RECORD - size_of(&stuffed) - 100, "m");
    world.put(&stuffed).await;
    let attach = CreateAttachment {
        volume_id: volume.id.to_string(),
        instance_uuid: None,
        connector: Some(connector("c1")),
        mode: None,
    };
    world.script.lock().reports_long_texts = true;
    let error = world.call(attach).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Backend, "{error}");
    world.until_quiet().await;
    let attachment = world
        .catalog
        .volume_attachments(volume.id)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(attachment.status, pumice::model::AttachmentStatus::ErrorAttaching);
    // What the backend let in is taken back with it.
    let detach = DeleteAttachment {
        attachment_id: attachment.id.to_string(),
    };
    world.call(detach).await.unwrap();
    assert_eq!(world.got("terminate_connection").len(), 1);
}

/// What is done in a case, in its order.
#[derive(Clone, Debug)]
enum Act {
    Merge(usize),
    Replace(usize),
    Image(usize),
    Attach(usize),
    Detach,
    Connect(usize),
    Disconnect,
    Extend,
    Snapshot(usize),
    SnapshotMetadata(usize),
    DeleteSnapshot,
    Revert,
    Readonly,
    Reset,
    Manage(usize, usize),
    Copy(usize),
    Fail(&'static str),
}

/// Nothing, a little, about the bound, and far more.
fn near(bound: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        1 => Just(0_usize),
        2 => 20..bound,
        4 => bound.saturating_sub(40)..=bound,
        1 => (bound + 1)..=(bound + 40),
        1 => Just(bound * 2),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    let verbs = [
        "create_volume",
        "extend_volume",
        "initialize_connection",
        "terminate_connection",
        "create_snapshot",
        "delete_snapshot",
        "revert_to_snapshot",
        "manage_volume",
        "delete_volume",
        "delete_volume_cascade",
    ];
    prop_oneof![
        2 => near(METADATA.bytes).prop_map(Act::Merge),
        1 => near(METADATA.bytes).prop_map(Act::Replace),
        2 => near(65_600).prop_map(Act::Image),
        3 => near(CONNECTOR.bytes).prop_map(Act::Attach),
        1 => Just(Act::Detach),
        3 => near(CONNECTOR.bytes).prop_map(Act::Connect),
        1 => Just(Act::Disconnect),
        1 => Just(Act::Extend),
        2 => near(METADATA.bytes).prop_map(Act::Snapshot),
        1 => near(METADATA.bytes).prop_map(Act::SnapshotMetadata),
        1 => Just(Act::DeleteSnapshot),
        1 => Just(Act::Revert),
        1 => Just(Act::Readonly),
        1 => Just(Act::Reset),
        1 => (near(METADATA.bytes), near(REFERENCE.bytes)).prop_map(|(m, r)| Act::Manage(m, r)),
        1 => near(METADATA.bytes).prop_map(Act::Copy),
        3 => proptest::sample::select(verbs.to_vec()).prop_map(Act::Fail),
    ]
}

/// Whatever was asked, the answer is a success, a refusal of the request, or what the backend said.
fn no_fault_of_ours<T>(what: &Act, result: Result<T, Error>) -> Result<Option<T>, TestCaseError> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) => match error.kind {
            ErrorKind::Internal | ErrorKind::Unavailable { .. } => {
                Err(TestCaseError::fail(format!("{what:?}: {error}")))
            }
            _ => Ok(None),
        },
    }
}

async fn act(world: &World, volume: VolumeId, what: &Act, n: usize) -> Result<(), TestCaseError> {
    let id = volume.to_string();
    let host = format!("c{n}");
    let snapshots = world.catalog.volume_snapshots(volume).await.unwrap();
    let attachments = world.catalog.volume_attachments(volume).await.unwrap();
    let Some(stored) = world.catalog.volume(volume).await.unwrap() else {
        return Ok(());
    };
    let checked = |result: Result<(), Error>| no_fault_of_ours(what, result).map(drop);
    let changed = async |message| checked(world.call_as(&admin(), change(volume, message)).await.map(drop));
    match what {
        Act::Merge(weight) => {
            let merge = MetadataChange::Merge(pairs(*weight, &host));
            checked(world.call(metadata_of(volume, merge)).await.map(drop))
        }
        Act::Replace(weight) => {
            let replace = MetadataChange::Replace(pairs(*weight, &host));
            checked(world.call(metadata_of(volume, replace)).await.map(drop))
        }
        Act::Image(weight) => {
            let value = "x".repeat(weight.saturating_sub(16 + host.len()).min(65_535));
            changed(VolumeChange::SetImageMetadata([(host, value)].into())).await
        }
        Act::Attach(weight) => {
            let message = CreateAttachment {
                volume_id: id,
                instance_uuid: None,
                connector: Some(sized(&host, *weight)),
                mode: None,
            };
            checked(world.call(message).await.map(drop))
        }
        Act::Detach => match attachments.first() {
            Some(first) => {
                let attachment_id = first.id.to_string();
                checked(world.call(DeleteAttachment { attachment_id }).await.map(drop))
            }
            None => Ok(()),
        },
        Act::Connect(weight) => {
            let message = InitializeConnection {
                volume_id: id,
                connector: sized(&host, *weight),
            };
            checked(world.call(message).await.map(drop))
        }
        Act::Disconnect => {
            let message = TerminateConnection {
                volume_id: id,
                connector: None,
            };
            checked(world.call(message).await)
        }
        Act::Extend => {
            let message = ExtendVolume {
                volume_id: id,
                new_size: stored.size + 1,
                attached_too: true,
            };
            checked(world.call(message).await)
        }
        Act::Snapshot(weight) => {
            let mut message = keep(volume);
            message.name = Some(name());
            message.metadata = pairs(*weight, "s");
            checked(world.call(message).await.map(drop))
        }
        Act::SnapshotMetadata(weight) => match snapshots.first() {
            Some(first) => {
                let message = UpdateSnapshotMetadata {
                    snapshot_id: first.id.to_string(),
                    change: MetadataChange::Merge(pairs(*weight, &host)),
                };
                checked(world.call(message).await.map(drop))
            }
            None => Ok(()),
        },
        Act::DeleteSnapshot => match snapshots.first() {
            Some(first) => {
                let message = DeleteSnapshot {
                    snapshot_id: first.id.to_string(),
                    force: true,
                };
                checked(world.call_as(&admin(), message).await)
            }
            None => Ok(()),
        },
        Act::Revert => {
            let message = RevertToSnapshot {
                volume_id: id,
                snapshot_id: snapshots.last().map(|last| last.id.to_string()),
            };
            checked(world.call(message).await)
        }
        Act::Readonly => {
            changed(VolumeChange::UpdateReadonlyFlag {
                readonly: n.is_multiple_of(2),
            })
            .await
        }
        Act::Reset => {
            changed(VolumeChange::ResetStatus {
                status: Some(VolumeStatus::Available),
                attach_status: Some(pumice::model::AttachStatus::Detached),
                migration_status: None,
            })
            .await
        }
        Act::Manage(metadata, weight) => {
            let message = ManageVolume {
                host: long_pool(0).to_string(),
                reference: reference(*weight),
                name: Some(name()),
                description: Some(name()),
                volume_type: None,
                availability_zone: Some(name()),
                metadata: pairs(*metadata, "m"),
                bootable: false,
            };
            checked(world.call_as(&admin(), message).await.map(drop))
        }
        Act::Copy(weight) => {
            let message = CreateVolume {
                source_volid: Some(volume.0),
                size: Some(stored.size),
                ..new_volume(*weight, HINTS.bytes)
            };
            checked(world.call(message).await.map(drop))
        }
        Act::Fail(verb) => {
            world.will(verb, [Reaction::Fail(FailureKind::Backend)]);
            Ok(())
        }
    }
}

async fn one_case(specs: usize, metadata: usize, hints: usize, acts: &[Act]) -> Result<(), TestCaseError> {
    let store = Arc::new(Measuring::default());
    let options = Options {
        max_attempts: 100,
        retry_initial: Duration::from_millis(1),
        ..quick()
    };
    let world = World::on(store.clone(), options).await;
    world.start_api();
    let backends: Vec<PoolName> = (0..3).map(long_pool).collect();
    for pool in &backends {
        world.start_backend(&pool.backend.to_string());
    }
    world.announce(&backends[0].backend.to_string()).await;
    {
        let mut script = world.script.lock();
        script.reports_long_texts = true;
        script.pools = backends.iter().cloned().collect();
    }
    let kind = CreateVolumeType {
        name: name(),
        description: Some(name()),
        is_public: true,
        extra_specs: [("multiattach".to_owned(), "<is> True".to_owned())]
            .into_iter()
            .chain(pairs(specs, "s"))
            .collect(),
    };
    let made = Act::Fail("create_volume_type");
    let kind = no_fault_of_ours(&made, world.call_as(&admin(), kind).await)?;
    let wanted = CreateVolume {
        volume_type: kind.map(|kind| kind.id.to_string()),
        ..new_volume(metadata, hints)
    };
    // Two pools fail, and what they say of it is kept.
    world.will(
        "create_volume",
        [
            Reaction::Fail(FailureKind::Backend),
            Reaction::Fail(FailureKind::NoSpace),
        ],
    );
    let made = Act::Fail("create_volume");
    let volume = match no_fault_of_ours(&made, world.call(wanted).await)? {
        Some(volume) => volume,
        None => world.call(create(1)).await.unwrap(),
    };
    world.until_quiet().await;
    for (n, what) in acts.iter().enumerate() {
        act(&world, volume.id, what, n).await?;
        if n % 3 == 0 {
            world.until_quiet().await;
        }
    }
    world.until_quiet().await;
    for pool in &backends {
        let list = ListBackendVolumes {
            backend: pool.backend.clone(),
            after: None,
            limit: 256,
        };
        let listed = world.call(list).await.unwrap();
        prop_assert!(encoded_size(&listed).unwrap() + HEADER <= MAX_FRAME);
    }
    // Whatever it holds, it can go.
    for volume in world.volumes().await {
        let reset = VolumeChange::ResetStatus {
            status: Some(VolumeStatus::Available),
            attach_status: Some(pumice::model::AttachStatus::Detached),
            migration_status: None,
        };
        world.call_as(&admin(), change(volume.id, reset)).await.unwrap();
        world.script.lock().next.clear();
        let delete = DeleteVolume {
            volume_id: volume.id.to_string(),
            cascade: true,
            force: true,
        };
        world.call_as(&admin(), delete).await.unwrap();
        world.until_gone(volume.id).await;
    }
    let most = store.most();
    prop_assert!(most.value <= RECORD && most.commit <= MAX_COMMIT, "{most:?}");
    let message = world.script.lock().largest_message;
    prop_assert!(message + HEADER <= MAX_FRAME, "{message}");
    for message in world.messages().await {
        let cause = message.cause.unwrap_or_default();
        prop_assert!(cause.len() <= bounds::CAUSE, "{}", cause.len());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 30, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_taken_fits_every_record_commit_and_message_that_comes_of_it(
        specs in near(EXTRA_SPECS.bytes - 60),
        metadata in near(METADATA.bytes),
        hints in near(HINTS.bytes),
        acts in proptest::collection::vec(acts(), 4..16),
    ) {
        actix::System::new().block_on(one_case(specs, metadata, hints, &acts))?;
    }
}
