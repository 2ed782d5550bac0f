//! Two nodes on a simulated network that splits, stalls and mends, with a node that crashes and comes back: minutes of it
//! in a second, the same network for the same seed.
//!
//! `make sim`; or `cargo test --features sim --test sim_transport`: `PUMICE_SIM_SEEDS=100` for more of it, `PUMICE_SIM_SEED=7` for
//! one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pumice::messages::{Call, Cast, Message, Pattern, Topic};
use pumice::model::{Context, Error};
use pumice::sim::{self, Verbs};
use pumice::transport::{Actor, CallError, EndpointBuilder, Router, Serve, TransportOptions};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

#[path = "sim_support/mod.rs"]
mod sim_support;

use sim_support::setting;

enum Trial {}

impl Topic for Trial {
    const NAME: &'static str = "trial";
    const VERSIONS: (u16, u16) = (1, 1);
}

/// Is counted under its number, after a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Count {
    number: u64,
    takes_ms: u64,
}

impl Message for Count {
    type To = Trial;
    type Reply = u64;
    const NAME: &'static str = "count";
    const PATTERN: Pattern = Pattern::Call;
    const SINCE: u16 = 1;
}

impl Call for Count {}

/// Is counted under its number; no caller waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mark(u64);

impl Message for Mark {
    type To = Trial;
    type Reply = ();
    const NAME: &'static str = "mark";
    const PATTERN: Pattern = Pattern::Cast;
    const SINCE: u16 = 1;
}

impl Cast for Mark {}

/// How often each number was handled, over all lives of the node.
type Handled = Arc<Mutex<BTreeMap<u64, u32>>>;

struct Counter(Handled);

impl Counter {
    fn count(&self, number: u64) {
        *self.0.lock().entry(number).or_default() += 1;
    }
}

impl Actor for Counter {
    type Topic = Trial;
}

impl Serve<Count> for Counter {
    async fn serve(self: Rc<Self>, _: Context, message: Count) -> Result<u64, Error> {
        self.count(message.number);
        tokio::time::sleep(Duration::from_millis(message.takes_ms)).await;
        Ok(message.number)
    }
}

impl Serve<Mark> for Counter {
    async fn serve(self: Rc<Self>, _: Context, message: Mark) -> Result<(), Error> {
        self.count(message.0);
        Ok(())
    }
}

fn options() -> TransportOptions {
    TransportOptions {
        allow_plaintext: true,
        trusts_every_peer: true,
        ..TransportOptions::default()
    }
}

const PORT: u16 = 8777;
const WITHIN: Duration = Duration::from_secs(5);

/// The node that serves: each call is one life of it.
async fn serve(handled: Handled, boot: u64) -> turmoil::Result {
    let router = Router::with_boot("far", boot);
    let endpoint = EndpointBuilder::new(None, 64, move || Rc::new(Counter(handled.clone())));
    router.register(endpoint.serves::<Count>().serves::<Mark>().start());
    router
        .listen((std::net::Ipv4Addr::UNSPECIFIED, PORT).into(), options())
        .await?;
    std::future::pending().await
}

/// How the senders were answered, by number.
#[derive(Default)]
struct Answers {
    acknowledged: Vec<u64>,
    undelivered: Vec<u64>,
    unknown: Vec<u64>,
}

fn note<T>(answers: &mut Answers, number: u64, result: Result<T, CallError>) {
    match result {
        Ok(_) => answers.acknowledged.push(number),
        Err(error) if error.undelivered().is_some() => answers.undelivered.push(number),
        Err(CallError::Timeout(_) | CallError::Lost(_)) => answers.unknown.push(number),
        Err(error) => panic!("unexpected error {error}"),
    }
}

/// Sends through whatever the network does, then sees that all is well again.
async fn send(seed: u64, answers: Arc<Mutex<Answers>>, trouble: Duration) -> turmoil::Result {
    let mut rng = StdRng::seed_from_u64(seed);
    let near = Router::with_boot("near", 1);
    near.join(format!("far:{PORT}"), options());
    let handle = near.any::<Trial>();
    let context = Context::internal("sim");
    let begun = Instant::now();
    let mut number = 0;
    let mut going = Vec::new();
    while begun.elapsed() < trouble {
        number += 1;
        let (handle, context, answers) = (handle.clone(), context.clone(), answers.clone());
        let takes_ms = rng.random_range(0..7000);
        let cast = rng.random_bool(0.5);
        going.push(tokio::task::spawn_local(async move {
            let asked = Instant::now();
            if cast {
                let result = handle.cast(&context, Mark(number)).await;
                note(&mut answers.lock(), number, result);
            } else {
                let result = handle.call(&context, Count { number, takes_ms }, WITHIN).await;
                note(&mut answers.lock(), number, result);
            }
            assert!(
                asked.elapsed() <= WITHIN + Duration::from_millis(100),
                "a sender was left waiting"
            );
        }));
        tokio::time::sleep(Duration::from_millis(rng.random_range(10..400))).await;
    }
    for sent in going {
        sent.await?;
    }
    // The network is whole by now: within the longest wait between attempts, and a handshake, all works again.
    let mended = Instant::now();
    loop {
        number += 1;
        if handle
            .call(&context, Count { number, takes_ms: 0 }, WITHIN)
            .await
            .is_ok()
        {
            break;
        }
        assert!(
            mended.elapsed() < Duration::from_secs(30),
            "it did not come back: {:?}",
            near.peers()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(near.shutdown(WITHIN).await);
    Ok(())
}

/// Returns the result, for observers.
fn run(seed: u64) -> String {
    sim::begin(seed, Verbs::default());
    let mut rng = StdRng::seed_from_u64(seed);
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(Duration::from_millis(5))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(rng.random_range(2..100)))
        .simulation_duration(Duration::from_secs(600))
        .build();
    let handled = Handled::default();
    let boots = Arc::new(Mutex::new(0));
    {
        let (handled, boots) = (handled.clone(), boots.clone());
        sim.host("far", move || {
            let handled = handled.clone();
            let boot = {
                let mut boots = boots.lock();
                *boots += 1;
                *boots
            };
            serve(handled, boot)
        });
    }
    let answers = Arc::<Mutex<Answers>>::default();
    let trouble = Duration::from_secs(90);
    sim.client("near", send(seed, answers.clone(), trouble));
    let mut until = Duration::ZERO;
    let mut mend = None;
    loop {
        if sim.step().unwrap() {
            break;
        }
        if sim.elapsed() < until {
            continue;
        }
        match mend.take() {
            Some(Trouble::Split) => sim.repair("near", "far"),
            Some(Trouble::Stall) => sim.release("near", "far"),
            Some(Trouble::Crash) | None => {}
        }
        until = sim.elapsed() + Duration::from_millis(rng.random_range(200..12_000));
        if until >= trouble {
            until = Duration::MAX;
            continue;
        }
        match rng.random_range(0..6) {
            0 => {
                sim.partition("near", "far");
                mend = Some(Trouble::Split);
            }
            1 => {
                sim.hold("near", "far");
                mend = Some(Trouble::Stall);
            }
            2 => {
                sim.bounce("far");
                mend = Some(Trouble::Crash);
            }
            _ => {}
        }
    }
    check(seed, &handled.lock(), &answers.lock(), *boots.lock())
}

enum Trouble {
    Split,
    Stall,
    Crash,
}

fn check(seed: u64, handled: &BTreeMap<u64, u32>, answers: &Answers, boots: u64) -> String {
    let summary = format!(
        "seed {seed}: {} well, {} surely not, {} perhaps, {boots} lives",
        answers.acknowledged.len(),
        answers.undelivered.len(),
        answers.unknown.len(),
    );
    let times = |number: &u64| handled.get(number).copied().unwrap_or(0);
    for (number, times) in handled {
        assert_eq!(*times, 1, "seed {seed}: {number} was handled more than once");
    }
    for number in &answers.undelivered {
        assert_eq!(
            times(number),
            0,
            "seed {seed}: {number} surely was not handled, but was"
        );
    }
    let lost = answers
        .acknowledged
        .iter()
        .filter(|number| times(number) == 0)
        .count();
    // A cast that was accepted may still die with its node, nothing else.
    assert!(
        lost == 0 || boots > 1,
        "seed {seed}: {lost} were accepted and never handled"
    );
    assert!(
        !answers.acknowledged.is_empty(),
        "seed {seed}: nothing got through"
    );
    summary
}

#[test]
fn whatever_the_network_does_nobody_hangs_and_nothing_is_done_twice() {
    if let Some(seed) = setting("PUMICE_SIM_SEED") {
        println!("{}", run(seed));
        return;
    }
    for seed in 0..setting("PUMICE_SIM_SEEDS").unwrap_or(10) {
        println!("{}", run(seed));
    }
}

/// Without that flag tokio itself draws lots, whom it wakes first.
#[cfg(tokio_unstable)]
#[test]
fn a_seed_is_the_same_run_again() {
    sim_support::replay(run);
}
