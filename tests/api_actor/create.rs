//! Making volumes.

use std::rc::Rc;

use pumice::flow::inject::{At, FailAt, Twice};
use pumice::messages::api::FailureKind;
use pumice::model::quota::Resource;
use pumice::model::user_message::{Action, Detail};
use pumice::model::{Error, ErrorKind, VolumeStatus};
use pumice::verbs::volume::{CreateVolume, DeleteVolume};

use crate::support::{Reaction, World, create, pool, stranger};

const STEPS: [&str; 3] = ["extract_volume_request", "check_quota", "create_record"];

#[actix::test]
async fn a_volume_is_made_and_counted() {
    let world = World::new().await;
    let answer = world
        .call(CreateVolume {
            name: Some("n".into()),
            ..create(3)
        })
        .await
        .unwrap();
    assert_eq!((answer.status, answer.size), (VolumeStatus::Creating, 3));
    assert_eq!(answer.availability_zone, "nova");
    let volume = world.until(answer.id, VolumeStatus::Available).await;
    assert_eq!(volume.host, Some(pool("h1@fake#p")));
    assert!(volume.launched_at.is_some() && volume.operation.is_none());
    world.until_quiet().await;
    assert_eq!(world.usage("volumes").await.in_use, 1);
    assert_eq!(world.usage("gigabytes").await.in_use, 3);
    assert_eq!(world.usage("gigabytes___DEFAULT__").await.in_use, 3);
    assert_eq!(world.usage("gigabytes").await.reserved, 0);
    let finished = world.finished.of_volume(answer.id);
    let steps: Vec<_> = finished[0]
        .operation
        .steps
        .iter()
        .map(|step| step.name.as_str())
        .collect();
    assert_eq!(steps, STEPS);
}

#[actix::test]
async fn a_create_that_fails_at_any_step_leaves_nothing() {
    for step in STEPS {
        for at in [At::Before(step), At::After(step)] {
            let world = World::without_api(crate::support::quick()).await;
            AT.with(|cell| cell.set(Some(at)));
            world.start_observed_api(|| {
                let at = AT.with(|cell| cell.get()).unwrap();
                Rc::new(FailAt::new(at, |step| Error::internal(step)))
            });
            // A scheduler that has placed the volume already would keep it, rightly.
            world.always("schedule", Reaction::Lose);
            let error = world.call(create(1)).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Internal, "{at:?}");
            assert!(world.volumes().await.is_empty(), "{at:?}");
            assert!(world.operations().await.is_empty(), "{at:?}");
            assert_eq!(world.usage("volumes").await.in_use, 0, "{at:?}");
        }
    }
}

thread_local! {
    static AT: std::cell::Cell<Option<At>> = const { std::cell::Cell::new(None) };
}

#[actix::test]
async fn a_create_whose_steps_run_twice_makes_one_volume() {
    let world = World::without_api(crate::support::quick()).await;
    world.start_observed_api(|| Rc::new(Twice));
    let volume = world.call(create(2)).await.unwrap();
    world.until(volume.id, VolumeStatus::Available).await;
    world.until_quiet().await;
    assert_eq!(world.volumes().await.len(), 1);
    assert_eq!(world.usage("gigabytes").await.in_use, 2);
}

#[actix::test]
async fn what_a_request_names_must_be_there() {
    let world = World::new().await;
    let id = uuid::Uuid::new_v4();
    let named = CreateVolume {
        volume_type: Some("nope".into()),
        ..create(1)
    };
    let typed = CreateVolume {
        volume_type: Some(id.to_string()),
        ..create(1)
    };
    let cases = [
        (
            named,
            ErrorKind::NotFound,
            "Volume type with name nope could not be found.".to_owned(),
        ),
        (
            typed,
            ErrorKind::NotFound,
            format!("Volume type {id} could not be found."),
        ),
        (
            CreateVolume {
                snapshot_id: Some(id),
                ..create(1)
            },
            ErrorKind::NotFound,
            format!("Snapshot {id} could not be found."),
        ),
        (
            CreateVolume {
                source_volid: Some(id),
                ..create(1)
            },
            ErrorKind::NotFound,
            format!("Volume {id} could not be found."),
        ),
        (
            CreateVolume {
                group_id: Some(id),
                ..create(1)
            },
            ErrorKind::NotFound,
            format!("Group {id} could not be found."),
        ),
        (
            CreateVolume {
                image: Some("i".into()),
                ..create(1)
            },
            ErrorKind::BadRequest,
            "Invalid image identifier or unable to access requested image.".to_owned(),
        ),
        (
            CreateVolume {
                backup_id: Some(id),
                ..create(1)
            },
            ErrorKind::NotFound,
            format!("Backup {id} could not be found."),
        ),
        (
            CreateVolume::default(),
            ErrorKind::BadRequest,
            "Invalid input received: Volume size must be an integer and greater than 0".to_owned(),
        ),
        (
            CreateVolume {
                availability_zone: Some("mars".into()),
                ..create(1)
            },
            ErrorKind::BadRequest,
            "Availability zone 'mars' is invalid.".to_owned(),
        ),
    ];
    for (request, kind, text) in cases {
        let error = world.call(request).await.unwrap_err();
        assert_eq!((error.kind, error.client), (kind, text));
    }
}

#[actix::test]
async fn a_type_bounds_the_size_and_makes_multiattach() {
    let world = World::new().await;
    world
        .new_type(
            "bounded",
            &[
                ("provisioning:min_vol_size", "2"),
                ("provisioning:max_vol_size", "4"),
                ("multiattach", "<is> True"),
            ],
        )
        .await;
    let of = |size| CreateVolume {
        volume_type: Some("bounded".into()),
        ..create(size)
    };
    let small = world.call(of(1)).await.unwrap_err();
    assert_eq!(
        small.client,
        "Invalid input received: Specified volume size of '1' is less than the minimum required size of '2' for \
         volume type 'bounded'."
    );
    let large = world.call(of(5)).await.unwrap_err();
    assert_eq!(
        large.client,
        "Invalid input received: Specified volume size of '5' is greater than the maximum allowable size of '4' for \
         volume type 'bounded'."
    );
    assert!(world.call(of(3)).await.unwrap().multiattach);
}

#[actix::test]
async fn the_last_free_unit_is_given_once_even_if_quota_promised_it_twice() {
    let world = World::new().await;
    world.script.lock().limits = vec![(Resource::volumes(), 1), (Resource::gigabytes(), 3)];
    world.volume(2).await;
    let error = world.call(create(2)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::OverQuota);
    assert!(
        error
            .client
            .contains("exceeds allowed gigabytes quota. Requested 2G, quota is 3G and 2G has been consumed.")
            || error.client
                == "VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota 'volumes'.",
        "{error}"
    );
    assert_eq!(world.volumes().await.len(), 1);
}

#[actix::test]
async fn a_failed_pool_is_not_asked_again() {
    let world = World::new().await;
    world.start_backend("h2@fake");
    world.script.lock().pools.push_back(pool("h2@fake#p"));
    world.will("create_volume", [Reaction::Fail(FailureKind::Backend)]);
    let volume = world.call(create(1)).await.unwrap();
    let volume = world.until(volume.id, VolumeStatus::Available).await;
    assert_eq!(volume.host, Some(pool("h2@fake#p")));
    world.until_quiet().await;
    assert_eq!(world.got("create_volume").len(), 2);
    assert!(world.messages().await.is_empty());
}

#[actix::test]
async fn when_no_pool_is_left_the_volume_is_in_error_and_says_why() {
    let world = World::new().await;
    world.always("create_volume", Reaction::Fail(FailureKind::NoSpace));
    let volume = world.call(create(1)).await.unwrap();
    let volume = world.until(volume.id, VolumeStatus::Error).await;
    assert_eq!(volume.host, None);
    let messages = world.messages().await;
    assert_eq!(messages[0].action, Action::ScheduleAllocateVolume);
    assert_eq!(messages[0].detail, Detail::NoBackendAvailable);
    assert_eq!(world.usage("volumes").await.in_use, 1, "until it is deleted");
    let delete = DeleteVolume {
        volume_id: volume.id.to_string(),
        cascade: false,
        force: false,
    };
    world.call(delete).await.unwrap();
    assert!(world.volumes().await.is_empty());
    assert_eq!(world.usage("volumes").await.in_use, 0);
    assert!(world.got("delete_volume").is_empty(), "there is nothing anywhere");
}

#[actix::test]
async fn a_backend_that_timed_out_keeps_the_volume_so_that_delete_cleans_up() {
    let world = World::new().await;
    world.will("create_volume", [Reaction::Fail(FailureKind::TimedOut)]);
    let volume = world.call(create(1)).await.unwrap();
    let volume = world.until(volume.id, VolumeStatus::Error).await;
    assert_eq!(volume.host, Some(pool("h1@fake#p")));
    let delete = DeleteVolume {
        volume_id: volume.id.to_string(),
        cascade: false,
        force: false,
    };
    world.call(delete).await.unwrap();
    world.until_gone(volume.id).await;
    assert_eq!(world.got("delete_volume").len(), 1);
}

#[actix::test]
async fn a_lost_command_is_sent_again_and_a_report_said_twice_counts_once() {
    let world = World::new().await;
    world.will("schedule", [Reaction::Lose]);
    world.will("create_volume", [Reaction::Lose, Reaction::ReportTwice]);
    let volume = world.call(create(1)).await.unwrap();
    world.until(volume.id, VolumeStatus::Available).await;
    world.until_quiet().await;
    assert_eq!(world.usage("volumes").await.in_use, 1);
}

#[actix::test]
async fn a_clone_goes_to_its_sources_backend_and_takes_its_size_and_type() {
    let world = World::new().await;
    let source = world.volume(4).await;
    let clone = CreateVolume {
        source_volid: Some(source.id.0),
        ..CreateVolume::default()
    };
    let made = world.call(clone.clone()).await.unwrap();
    assert_eq!((made.size, made.source_volid), (4, Some(source.id)));
    world.until(made.id, VolumeStatus::Available).await;
    let scheduled = world.received::<pumice::verbs::volume::ScheduleVolume>();
    let last = scheduled.last().unwrap();
    assert_eq!(last.request.resource_backend, source.host);
    let small = CreateVolume {
        size: Some(3),
        ..clone.clone()
    };
    assert_eq!(
        world.call(small).await.unwrap_err().client,
        "Invalid input received: Volume size '3'GB cannot be smaller than original volume size  4GB. They must be \
         >= original volume size."
    );
    let error = world.call_as(&stranger(), clone).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[actix::test]
async fn many_creates_at_once_all_end_available() {
    let world = World::new().await;
    let made: Vec<_> = futures_util::future::join_all((0..200).map(|_| world.call(create(1)))).await;
    for volume in made {
        world.until(volume.unwrap().id, VolumeStatus::Available).await;
    }
    world.until_quiet().await;
    assert_eq!(world.usage("volumes").await.in_use, 200);
}
