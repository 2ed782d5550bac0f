//! The service with three control nodes on a simulated network and a modelled etcd: the engine of production (`store::etcd`), its gRPC
//! included, the real actors, the real transport. Control nodes crash, are cut off (in one direction, too) and held up; members of etcd
//! crash, lag, lose their majority, do requests late, lose replies, have their history removed; drivers fail. Clients ask any control
//! node. Then all is mended, and what is must be what was promised; what one control node has answered is shown by each, also while the trouble goes
//! on; and no transaction of a process that was fenced is ever accepted.
//!
//! `make sim` runs it beside the other simulations: see `tests/sim_service`, whose clients and checks these are.
//!
//! | file | what it is |
//! |---|---|
//! | `etcd` | the modelled etcd |
//! | `nodes` | the machines, and what outlives them |
//! | `trouble` | what goes wrong |
//!
//! What is not real, beside what is not in `tests/sim_service`: Raft, and the stop of a process with its clock. One that is held up sends and
//! receives nothing, but its time goes on.

#[path = "../support/acknowledged.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod acknowledged;
#[path = "../sim_service/check.rs"]
mod check;
#[path = "../sim_service/clients.rs"]
mod clients;
#[path = "../sim_service/driver_faults.rs"]
mod driver_faults;
mod etcd;
#[path = "../sim_service/history.rs"]
mod history;
mod nodes;
#[path = "../sim_service/parts.rs"]
mod parts;
#[path = "../sim_service/plan.rs"]
mod plan;
#[path = "../sim_service/reporting.rs"]
mod reporting;
#[path = "../sim_support/mod.rs"]
mod sim_support;
mod trouble;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use etcd::{Counts, MEMBERS, member_name};
use history::Answers;
use nodes::{CLIENTS, CONTROLS, World, control_name};
use parking_lot::Mutex;
use plan::Plan;
use pumice::sim;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reporting::{be_silent_about_scripted_panics, tell_the_log};
use sim_support::{every_seed, panic_text, setting};
use trouble::{KINDS, Troubles};

/// How long it may take, once all is mended, until nothing is on its way.
const REST_WITHIN: Duration = Duration::from_secs(240);
/// For how long it then must stay so.
const STAY: Duration = Duration::from_secs(12);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// A second of the calendar, so that no two runs differ in it.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);
/// How many runs are enough for each kind of trouble to happen.
const MANY: u64 = 200;

/// What a run came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    counts: Counts,
    answers: Answers,
    lives: u64,
    simulated: Duration,
    log: String,
}

fn run(seed: u64) -> Result<Run, String> {
    let plan = Plan::of(seed);
    sim::begin(seed, plan.verbs);
    let mut rng = StdRng::seed_from_u64(seed ^ 0xe7cd);
    let compact_interval = Duration::from_millis(rng.random_range(1_000..20_000));
    let world = World::new(plan.clone(), compact_interval);
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(UNIX_EPOCH + EPOCH)
        .tick_duration(Duration::from_millis(10))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(plan.latency)
        .repair_rate(0.3)
        .tcp_capacity(65_536)
        .simulation_duration(Duration::from_secs(1200))
        .enable_random_order()
        .build();
    for at in 0..MEMBERS {
        let etcd = Rc::clone(&world.etcd);
        sim.host(member_name(at), move || etcd::member(Rc::clone(&etcd), at));
    }
    for number in 0..CONTROLS {
        let world = Rc::clone(&world);
        sim.host(control_name(number), move || {
            nodes::control(Rc::clone(&world), number)
        });
    }
    for number in 0..plan.nodes {
        let node = world.storages[number].node.clone();
        let world = Rc::clone(&world);
        sim.host(node, move || nodes::volume(Rc::clone(&world), number));
    }
    {
        let world = Rc::clone(&world);
        sim.host(CLIENTS, move || nodes::clients(Rc::clone(&world)));
    }
    let mut troubles = Troubles::default();
    while sim.elapsed() < plan.trouble {
        troubles.step(&mut sim, &world, &mut rng);
        step(&mut sim, &mut troubles, &mut rng)?;
    }
    troubles.end(&mut sim, &world);
    world.calm.set(true);
    rest(&mut sim, &world, &mut troubles, &mut rng)?;
    let mut faults = world.etcd.faults();
    let asked = world.compare_views();
    if asked < CONTROLS {
        faults.push(format!("{asked} control nodes serve"));
    }
    let until = sim.elapsed() + STAY;
    while world.views.get() < asked && sim.elapsed() < until {
        step(&mut sim, &mut troubles, &mut rng)?;
    }
    if world.views.get() < asked {
        faults.push("a control node cannot read all of its store".to_owned());
    }
    faults.extend(check::faults(&world));
    if !faults.is_empty() {
        let history = world.history.borrow();
        return Err(format!("{plan:?}\n{}{}", history.log, faults.join("\n")));
    }
    let simulated = sim.elapsed();
    // The engines that run add what they have counted.
    drop(sim);
    let mut counts = world.counts();
    counts.add_all(&troubles.injected);
    let history = world.history.borrow();
    Ok(Run {
        counts,
        answers: history.answers,
        lives: world.boots.get(),
        simulated,
        log: history.log.clone(),
    })
}

fn step(sim: &mut turmoil::Sim<'_>, troubles: &mut Troubles, rng: &mut StdRng) -> Result<(), String> {
    troubles.supervise(sim, rng);
    sim.step().map(drop).map_err(|error| error.to_string())
}

/// Until nothing is on its way, and stays so; or until it takes too long.
fn rest(
    sim: &mut turmoil::Sim<'_>,
    world: &World,
    troubles: &mut Troubles,
    rng: &mut StdRng,
) -> Result<(), String> {
    let mended = sim.elapsed();
    let (mut looked, mut resting_since) = (mended, None);
    while resting_since.is_none_or(|since| sim.elapsed() < since + STAY) {
        step(sim, troubles, rng)?;
        if sim.elapsed() < looked + LOOK {
            continue;
        }
        looked = sim.elapsed();
        let all_serve = world.controls.iter().all(nodes::Control::serves);
        if world.busy.get() > 0 || !all_serve || world.etcd.has_operations() {
            resting_since = None;
        } else if resting_since.is_none() {
            resting_since = Some(looked);
        }
        if looked > mended + REST_WITHIN {
            break;
        }
    }
    Ok(())
}

/// One that panics fails like one that finds something.
fn run_caught(seed: u64) -> Result<Run, String> {
    catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|panic| Err(panic_text(panic)))
}

#[test]
fn three_control_nodes_on_etcd_keep_the_promises_of_the_service() {
    be_silent_about_scripted_panics();
    if let Some(seed) = setting("PUMICE_SIM_SEED") {
        tell_the_log();
        match run_caught(seed) {
            Ok(run) => println!("{}seed {seed}: {:?} {:?}", run.log, run.counts, run.answers),
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
        "three control nodes: {seeds} seeds in {:.1?}: {} simulated hours, {} lives, {:?}",
        begun.elapsed(),
        total.simulated.as_secs() / 3600,
        total.lives,
        total.answers,
    );
    for (what, times) in &total.counts.0 {
        println!("{times:>9} {what}");
    }
    let seeds_that_fail: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    if let Some((seed, why)) = failed.first() {
        panic!("seeds {seeds_that_fail:?} fail; PUMICE_SIM_SEED={seed} shows the first:\n{why}");
    }
    if seeds >= MANY {
        let never = KINDS.iter().filter(|kind| !total.counts.0.contains_key(*kind));
        assert_eq!(never.collect::<Vec<_>>(), Vec::<&&str>::new(), "never happened");
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
        self.counts.add_all(&other.counts);
        self.answers.add(&other.answers);
        self.lives += other.lives;
        self.simulated += other.simulated;
    }
}
