//! Requests with an idempotency key, on several control nodes, and when they are forgotten.

use std::time::Duration;

use pumice::actors::api::{Options, endpoint};
use pumice::messages::api::{ApiTopic, RunOnce};
use pumice::model::idempotency::IdempotencyKey;
use pumice::model::{Context, ErrorKind, Volume};
use pumice::transport::{CallError, Handle, Router, codec};
use pumice::verbs::volume::CreateVolume;

use crate::support::{World, create, member, quick};

fn once(key: &str, request: &CreateVolume) -> RunOnce {
    let message = codec::encode(request).unwrap();
    RunOnce {
        key: IdempotencyKey::new(key, [b"POST", b"/v3/volumes", b"3.0", &message]).unwrap(),
        request: "create_volume".to_owned(),
        message,
    }
}

async fn ask(
    api: &Handle<ApiTopic>,
    context: &Context,
    message: RunOnce,
) -> Result<(Volume, bool), ErrorKind> {
    match api.call(context, message, Duration::from_secs(20)).await {
        Ok(ran) => Ok((codec::decode(&ran.reply).unwrap(), ran.is_repeated)),
        Err(CallError::Refused(error)) => Err(error.kind),
        Err(other) => panic!("{other}"),
    }
}

#[actix::test]
async fn two_control_nodes_make_it_once() {
    let world = World::new().await;
    let second = Router::new("second");
    second.register(endpoint(world.control()).start());
    let second = second.any::<ApiTopic>();
    let message = once("k", &create(1));
    let me = member();
    let both = [&world.api, &second, &world.api, &second].map(|api| ask(api, &me, message.clone()));
    let answers: Vec<(Volume, bool)> = futures_util::future::join_all(both)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(answers.iter().filter(|(_, is_repeated)| !is_repeated).count(), 1);
    assert!(
        answers.iter().all(|(volume, _)| *volume == answers[0].0),
        "{answers:?}"
    );
    assert_eq!(world.catalog.usage(&me.project_id).await.unwrap().len(), 4);
    let other = ask(&second, &me, once("k", &create(2))).await;
    assert_eq!(other.unwrap_err(), ErrorKind::Unprocessable);
    let unknown = RunOnce {
        request: "none".to_owned(),
        ..once("l", &create(1))
    };
    assert_eq!(ask(&second, &me, unknown).await.unwrap_err(), ErrorKind::Internal);
}

#[actix::test]
async fn an_expired_key_is_new_and_those_over_the_bound_are_forgotten() {
    let world = World::with(Options {
        idempotency_ttl: Duration::ZERO,
        ..quick()
    })
    .await;
    let me = member();
    let first = ask(&world.api, &me, once("k", &create(1))).await.unwrap();
    let second = ask(&world.api, &me, once("k", &create(1))).await.unwrap();
    assert!(first.0.id != second.0.id && !second.1);

    let bounded = World::without_api(Options {
        idempotency_keys_per_project: 3,
        ..quick()
    })
    .await;
    bounded.start_api();
    for key in 0..5 {
        ask(&bounded.api, &me, once(&key.to_string(), &create(1)))
            .await
            .unwrap();
    }
    let kept = async || {
        bounded
            .catalog
            .idempotent_requests_over(0, 10)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(kept().await, 5);
    // It looks for such keys when it starts.
    let next = Router::new("next");
    next.register(endpoint(bounded.control()).start());
    tokio::time::timeout(Duration::from_secs(10), async {
        while kept().await != 3 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let (_, is_repeated) = ask(&bounded.api, &me, once("4", &create(1))).await.unwrap();
    assert!(is_repeated, "the newest are kept");
}
