//! The service on a simulated network: the real actors of a control node and of volume nodes, over the real transport, while
//! the network delays, loses, splits and stalls, processes die and come back, drivers fail. Then all is mended, and what is
//! must be what was promised.
//!
//! `make sim` runs thousands of seeds, `make sim SEEDS=100` so many. `PUMICE_SIM_SEED=7 make sim` runs one and tells what clients
//! were answered, with `RUST_LOG=pumice=debug` the log as well. A failure names its seed, and the same build makes the same run of it,
//! event by event: `make sim-replay` runs a thousand seeds twice and compares them.
//!
//! What is not real: the network and all clocks (turmoil), the store's engine (in memory: sled has threads of its own), the
//! drivers (in memory, without threads: `pumice::sim`), HTTP. So it says nothing of disks, of LVM, and of what threads do to each
//! other; that is for the crash matrix, the kills and the guests.
//!
//! | file | what it is |
//! |---|---|
//! | `plan` | what a seed makes of a run |
//! | `nodes`, `parts`, `disk` | the machines, and what outlives them |
//! | `clients`, `history` | the clients, and their answers |
//! | `trouble`, `driver_faults` | what goes wrong |
//! | `check` | what must be in the end |

#[path = "../support/acknowledged.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod acknowledged;
mod check;
mod clients;
mod disk;
mod driver_faults;
mod history;
mod nodes;
mod parts;
mod plan;
mod reporting;
#[path = "../sim_support/mod.rs"]
mod sim_support;
mod trouble;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use history::Answers;
use nodes::{CONTROL, World};
use parking_lot::Mutex;
use plan::Plan;
use pumice::sim;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reporting::{be_silent_about_scripted_panics, tell_the_log};
use sim_support::{every_seed, panic_text, setting};
use trouble::{Injected, Troubles};

/// How long it may take, once all is mended, until nothing is on its way.
const REST_WITHIN: Duration = Duration::from_secs(180);
/// For how long it then must stay so.
const STAY: Duration = Duration::from_secs(12);
/// A second of the calendar, so that no two runs differ in it.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// What a run came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    injected: Injected,
    answers: Answers,
    lives: u64,
    simulated: Duration,
    log: String,
}

fn run(seed: u64) -> Result<Run, String> {
    let plan = Plan::of(seed);
    sim::begin(seed, plan.verbs);
    let mut rng = StdRng::seed_from_u64(seed ^ 0x7001);
    let world = World::new(plan.clone());
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(UNIX_EPOCH + EPOCH)
        .tick_duration(Duration::from_millis(10))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(plan.latency)
        .repair_rate(0.3)
        .simulation_duration(Duration::from_secs(1200))
        .enable_random_order()
        .build();
    {
        let world = Rc::clone(&world);
        sim.host(CONTROL, move || nodes::control(Rc::clone(&world)));
    }
    for number in 0..plan.nodes {
        let node = world.storages[number].node.clone();
        let world = Rc::clone(&world);
        sim.host(node, move || nodes::volume(Rc::clone(&world), number));
    }
    let step = |sim: &mut turmoil::Sim<'_>| sim.step().map_err(|error| error.to_string());
    let mut troubles = Troubles::default();
    while sim.elapsed() < plan.trouble {
        troubles.step(&mut sim, &world, &mut rng);
        step(&mut sim)?;
    }
    troubles.end(&mut sim, &world);
    world.calm.set(true);
    let catalog = check::catalog(&world);
    let mended = sim.elapsed();
    let mut resting_since = None;
    while resting_since.is_none_or(|since| sim.elapsed() < since + STAY) {
        step(&mut sim)?;
        if world.busy.get() > 0 || !check::open_operations(&catalog).is_empty() {
            resting_since = None;
        } else if resting_since.is_none() {
            resting_since = Some(sim.elapsed());
        }
        if sim.elapsed() > mended + REST_WITHIN {
            break;
        }
    }
    let faults = check::faults(&world);
    let history = world.history.borrow();
    if !faults.is_empty() {
        return Err(format!("{plan:?}\n{}{}", history.log, faults.join("\n")));
    }
    Ok(Run {
        injected: troubles.injected,
        answers: history.answers,
        lives: world.boots.get(),
        simulated: sim.elapsed(),
        log: history.log.clone(),
    })
}

/// One that panics fails like one that finds something.
fn run_caught(seed: u64) -> Result<Run, String> {
    catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|panic| Err(panic_text(panic)))
}

#[test]
fn whatever_the_network_does_the_service_keeps_its_promises() {
    be_silent_about_scripted_panics();
    if let Some(seed) = setting("PUMICE_SIM_SEED") {
        tell_the_log();
        match run_caught(seed) {
            Ok(run) => println!("{}seed {seed}: {:?} {:?}", run.log, run.injected, run.answers),
            Err(why) => panic!("seed {seed}: {why}"),
        }
        return;
    }
    let seeds = setting("PUMICE_SIM_SEEDS").unwrap_or(20);
    let (total, begun) = (Mutex::new(Run::default()), Instant::now());
    // A few failures are enough to look at.
    let failed = every_seed(seeds, 10, |seed| {
        let run = run_caught(seed)?;
        total.lock().add(&run);
        Ok(())
    });
    let total = total.into_inner();
    println!(
        "{seeds} seeds in {:.1?}: {} simulated hours, {} lives, {:?}, {:?}",
        begun.elapsed(),
        total.simulated.as_secs() / 3600,
        total.lives,
        total.answers,
        total.injected
    );
    let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    if let Some((seed, why)) = failed.first() {
        panic!("seeds {seeds:?} fail; PUMICE_SIM_SEED={seed} shows the first:\n{why}");
    }
}

/// Without that flag tokio itself draws lots, whom it wakes first.
#[cfg(tokio_unstable)]
#[test]
fn a_seed_is_the_same_run_again() {
    be_silent_about_scripted_panics();
    sim_support::replay(run);
}

impl Run {
    fn add(&mut self, other: &Self) {
        self.injected.add(&other.injected);
        self.answers.add(&other.answers);
        self.lives += other.lives;
        self.simulated += other.simulated;
    }
}
