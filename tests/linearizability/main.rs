//! Concurrent calls look as if they had come one after the other: for one volume, and for one quota.
//!
//! Clients in threads of their own call the real Api actor over the real store, and note when each call began and was answered,
//! and how. Then an order is sought in which a plain model of a volume, or of a quota, would have answered alike. If there is
//! none, an answer was wrong.
//!
//! What is asked is drawn from a seed, what meets whom is up to the threads: `PUMICE_HISTORIES=500` for more of it,
//! `PUMICE_HISTORY_SEED=7` for the same questions again.
//!
//! | file | what it is |
//! |---|---|
//! | `checker` | seeks an order, and the shortest history that has none |
//! | `volume`, `quota` | the models |
//! | `volume_client`, `quota_client` | the clients and their requests |
//! | `world` | the service |

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod checker;
mod quota;
mod quota_client;
mod volume;
mod volume_client;
mod world;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use checker::{Event, Model, contradiction};
use parking_lot::Mutex;
use pumice::model::ProjectId;
use pumice::model::quota::Resource;
use pumice::store::catalog::verify::verify;
use quota_client::QuotaClient;
use rand::SeedableRng;
use rand::rngs::StdRng;
use volume_client::VolumeClient;
use world::{Clock, World, clients};

const CLIENTS: usize = 4;
const CALLS: usize = 14;

fn seeds(default: u64) -> std::ops::Range<u64> {
    let setting = |name| {
        let text: Option<String> = std::env::var(name).ok();
        text.and_then(|text| text.parse::<u64>().ok())
    };
    match setting("PUMICE_HISTORY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("PUMICE_HISTORIES").unwrap_or(default),
    }
}

/// What is wrong with a history, in full.
fn complaint<M: Model>(start: &M, history: &[Event<M>]) -> Option<String> {
    let mut text = "no order of these calls gives these answers:\n".to_owned();
    for event in contradiction(start, history)? {
        let (answered, answer) = event.answer?;
        let (begun, client, call) = (event.begun, event.client, event.call);
        writeln!(
            text,
            "{begun:>4}..{answered:<4} client {client}: {call:?} -> {answer:?}"
        )
        .ok()?;
    }
    Some(text)
}

#[actix::test]
async fn concurrent_changes_of_one_volume_look_as_if_they_came_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path()).await;
    for seed in seeds(60) {
        let caller = world.caller(&format!("p{seed}"));
        let id = caller.volume(1).await;
        let (clock, attachments, next) = <(Arc<Clock>, Arc<Mutex<Vec<_>>>, Arc<AtomicUsize>)>::default();
        let asking = caller.clone();
        let history = clients(CLIENTS, move |number| {
            VolumeClient {
                caller: asking.clone(),
                clock: Arc::clone(&clock),
                number,
                id,
                rng: StdRng::seed_from_u64(seed << 8 | number as u64),
                attachments: Arc::clone(&attachments),
                next: Arc::clone(&next),
                noted: Vec::new(),
            }
            .work()
        })
        .await;
        if let Some(complaint) = complaint(&volume::Volume::available(1), &history) {
            panic!("seed {seed}: {complaint}");
        }
    }
    world.caller("p").until_quiet().await;
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
    world.stop();
}

#[actix::test]
async fn a_quota_lets_in_who_fits_and_nobody_else_however_many_come_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path()).await;
    for seed in seeds(25) {
        let project = format!("p{seed}");
        let start = quota::Quota {
            volumes: 4,
            gigabytes: 8,
            used: Default::default(),
        };
        let limits = [
            (Resource::volumes(), i64::from(start.volumes)),
            (Resource::gigabytes(), i64::from(start.gigabytes)),
        ];
        let mut changes = world.catalog.change();
        changes.put_project_limits(&ProjectId::from(project.as_str()), &limits.into());
        changes.commit().await.unwrap();
        let caller = world.caller(&project);
        let (clock, next) = <(Arc<Clock>, Arc<AtomicUsize>)>::default();
        let asking = caller.clone();
        let history = clients(CLIENTS, move |number| {
            QuotaClient {
                caller: asking.clone(),
                clock: Arc::clone(&clock),
                number,
                rng: StdRng::seed_from_u64(seed << 8 | number as u64),
                next: Arc::clone(&next),
                noted: Vec::new(),
                mine: Vec::new(),
            }
            .work()
        })
        .await;
        if let Some(complaint) = complaint(&start, &history) {
            panic!("seed {seed}: {complaint}");
        }
    }
    world.caller("p").until_quiet().await;
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
    world.stop();
}
