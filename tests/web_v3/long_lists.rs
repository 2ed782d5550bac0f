//! Lists that are long to compute delay no other request: they are read, sorted and written down beside the web workers.

use std::time::{Duration, Instant};

use crate::api::{House, PROJECT};
use pumice::model::user_message::{Action, Detail};
use pumice::model::{MessageId, Timestamp, UserMessage, Volume, VolumeStatus};

/// How many rows each kind of list has.
const ROWS: u32 = 5000;

/// Lists without an index that answers them: little is answered, and much is read for it, as when a table in memory is filled.
const LONG: [&str; 8] = [
    "/volumes?sort=description:asc,host:desc&limit=2",
    "/volumes/detail?sort=size:asc,name:desc,user_id:asc&limit=2",
    "/volumes?name~=nothing-has-this&limit=2",
    "/volumes?offset=4990&limit=2&sort=availability_zone",
    "/volumes/detail?metadata={'colour':'none'}&with_count=true",
    "/volumes/summary",
    "/messages?sort=request_id:asc,event_id:desc&limit=2",
    "/messages?resource_type=nothing-has-this",
];

async fn fill(house: &House) -> Volume {
    let made = |n: u32| {
        let mut volume = Volume::new(
            PROJECT.into(),
            "user".into(),
            n % 7 + 1,
            VolumeStatus::Available,
            "nova".to_owned(),
            Timestamp(1_700_000_000_000_000 + i64::from(n)),
        );
        volume.name = Some(format!("volume {n}"));
        volume.description = Some(format!("{:08}", n.wrapping_mul(7919) % ROWS).repeat(30));
        volume.metadata = (0..20)
            .map(|key| (format!("key {key}"), format!("value {n}")))
            .collect();
        volume
    };
    let volumes: Vec<Volume> = (0..ROWS).map(made).collect();
    for some in volumes.chunks(50) {
        let mut changes = house.catalog.change();
        for volume in some {
            let at = volume.created_at;
            changes.insert(volume).insert(&UserMessage {
                id: MessageId::new(),
                project_id: PROJECT.into(),
                request_id: format!("req-{}", volume.id),
                resource_type: "VOLUME".to_owned(),
                resource_uuid: Some(volume.id.0),
                action: Action::ScheduleAllocateVolume,
                detail: Detail::UnknownError,
                cause: None,
                created_at: at,
                expires_at: Timestamp(at.0 * 2),
            });
        }
        changes.commit().await.unwrap();
    }
    volumes[0].clone()
}

#[actix_web::test]
async fn lists_that_are_long_to_compute_delay_nobody() {
    let house = House::build_without_tables().await;
    let volume = fill(&house).await;
    let mut alone = Vec::new();
    for path in LONG {
        let began = Instant::now();
        let answer = house.get(path).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        alone.push(began.elapsed());
    }
    alone.sort();
    let alone = alone[alone.len() / 2];

    let measure = async {
        let mut short: Vec<Duration> = Vec::new();
        for _ in 0..10 {
            let began = Instant::now();
            let healthy = crate::web_support::send(house.address, "GET", "/healthcheck", &[], None).await;
            assert_eq!(healthy.status, 200);
            short.push(began.elapsed());
            let began = Instant::now();
            let shown = house.get(&format!("/volumes/{}", volume.id)).send().await;
            assert_eq!(shown.status, 200, "{}", shown.text);
            short.push(began.elapsed());
        }
        short.sort();
        short[short.len() / 2]
    };
    let flood = futures_util::future::join_all(LONG.iter().map(async |path| {
        loop {
            let answer = house.get(path).send().await;
            // A client that waited for too long is asked to try again.
            assert!(matches!(answer.status, 200 | 503), "{path}: {}", answer.text);
        }
    }));
    let short = tokio::select! {
        short = measure => short,
        _ = flood => unreachable!("it goes on"),
    };
    println!("alone {alone:?}, short beside {short:?}");
    assert!(
        short * 2 < alone,
        "beside long lists, one of which takes {alone:?} alone, a short request takes {short:?}"
    );
    house.close().await;
}
