//! Nothing acknowledged is lost, nothing is stuck, nothing is left behind, whichever process of a service of several dies and when:
//! a control node, volume nodes and their target daemons are killed by chance, for as long as one likes, while clients make, copy,
//! grow, describe, attach and delete. What a node that starts learns comes in many small pages, volumes are deleted through every
//! start, and some metadata and connectors are as large as they may be. Again and again all comes to rest, and is held against what
//! the clients were answered.
//!
//! `PUMICE_SOAK_KILLS` says how often (`make soak` is the long form), `PUMICE_SOAK_EVERY` after how many kills it is compared,
//! `PUMICE_SOAK_SEED` repeats the choices of an earlier run (not their timing), and `PUMICE_SOAK_LOG` is the filter of the logs.

#![expect(clippy::print_stdout, reason = "who runs it sees what was killed and done")]
#![expect(clippy::disallowed_methods, reason = "chance draws the seed itself")]

#[path = "../support/acknowledged.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod acknowledged;
#[path = "../process_support/child.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod child;
#[path = "../process_support/client.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod client;
#[path = "../soak_support/daemon.rs"]
mod daemon;
#[path = "../soak_support/data.rs"]
mod data;
#[path = "../soak_support/endpoints.rs"]
mod endpoints;
#[path = "../soak_support/gate.rs"]
mod gate;
#[path = "../soak_support/load.rs"]
mod load;
mod nodes;
#[path = "../soak_support/process.rs"]
mod process;
#[path = "../process_support/recorded.rs"]
mod recorded;
#[path = "../soak_support/rest.rs"]
mod rest;
#[path = "../soak_support/tally.rs"]
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use acknowledged::{AcknowledgedFacts, Resource};
use load::{Common, Worker};
use nodes::{Nodes, Part, VOLUME_NODES};
use rest::Found;
use tally::{End, Tally};

/// How often something is killed in `make test`, and after how many kills all comes to rest.
const KILLS: usize = 60;
const EVERY: usize = 20;

/// How many clients there are that do all; one more only makes and deletes.
const CLIENTS: usize = 4;

/// How long after it is up a process is left alone.
const ALONE: std::ops::Range<u64> = 100..500;

/// How often the next kill does not wait until what was killed is up, and how long it then waits.
const HASTE: f64 = 0.25;
const HASTY: std::ops::Range<u64> = 0..250;

/// What must have been acknowledged at least so often for every hundred kills, or the clients did not get to work.
const WORK: [(&str, usize); 9] = [
    ("create", 30),
    ("create from snapshot", 10),
    ("create snapshot", 20),
    ("extend", 20),
    ("describe", 10),
    ("attach", 10),
    ("detach", 5),
    ("delete", 10),
    ("delete snapshot", 5),
];

#[test]
fn whoever_is_killed_and_when_nothing_is_lost_or_stuck_or_left() -> Result<()> {
    let kills = variable("PUMICE_SOAK_KILLS").unwrap_or(KILLS);
    let every = variable("PUMICE_SOAK_EVERY").unwrap_or(EVERY).max(1);
    let seed = variable("PUMICE_SOAK_SEED").unwrap_or_else(rand::random);
    // Kept unless all went well, also when this process is killed itself.
    let folder = tempfile::Builder::new().prefix("pumice-soak-").tempdir()?.keep();
    println!("seed {seed}, folder {}", folder.display());
    soak(&folder, kills, every, seed).with_context(|| {
        format!(
            "PUMICE_SOAK_SEED={seed} PUMICE_SOAK_KILLS={kills} PUMICE_SOAK_EVERY={every}; logs and state are in {}",
            folder.display()
        )
    })?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// The answers to one client, by the names that it gave. Of metadata it knows how many pairs there are.
type Facts = AcknowledgedFacts<String, usize>;
type Known = Resource<String, usize>;

/// A service under load, and what kills it.
struct Soak {
    nodes: Nodes,
    common: Arc<Common>,
    facts: Vec<Arc<Mutex<Facts>>>,
    rng: StdRng,
    /// What was killed last.
    last: Option<Part>,
    killed: BTreeMap<&'static str, usize>,
    longest_rest: Duration,
    /// How many attachments rested in an error that their client was informed of.
    in_error: usize,
}

fn soak(folder: &Path, kills: usize, every: usize, seed: u64) -> Result<()> {
    let nodes = Nodes::start(folder)?;
    println!(
        "a control node and {VOLUME_NODES} volume nodes, target {}",
        nodes.target()
    );
    let common = Arc::new(Common {
        folder: folder.to_owned(),
        endpoints: nodes.endpoints().clone(),
        gate: gate::Gate::default(),
        tally: Tally::default(),
        began: Instant::now(),
    });
    let mut all_facts = Vec::new();
    let mut clients = Vec::new();
    let habits = std::iter::repeat_with(|| load::ALL_VERBS).take(CLIENTS);
    for (index, habit) in habits.chain([load::COME_AND_GO]).enumerate() {
        let facts = Arc::new(Mutex::new(Facts::default()));
        let worker = Worker::new(common.clone(), facts.clone(), index, habit, seed)?;
        clients.push(std::thread::spawn(move || worker.run()));
        all_facts.push(facts);
    }
    let mut soak = Soak {
        nodes,
        common,
        facts: all_facts,
        rng: StdRng::seed_from_u64(seed),
        last: None,
        killed: BTreeMap::new(),
        longest_rest: Duration::ZERO,
        in_error: 0,
    };
    let found = soak.kill_and_compare(kills, every);
    soak.common.gate.end();
    for client in clients {
        client.join().expect("a client's thread ends");
    }
    soak.say();
    let found = found?;
    soak.did_work(kills)?;
    soak.nodes.stop()?;
    look_behind(folder, &found)
}

impl Soak {
    /// Kills, and compares from time to time and in the end. What is there then stays so, for the clients are let in no more.
    fn kill_and_compare(&mut self, kills: usize, every: usize) -> Result<Found> {
        for kill in 1..=kills {
            self.kill_one().with_context(|| format!("at kill {kill}"))?;
            if kill % every == 0 && kill < kills {
                self.come_to_rest(kill)?;
                self.common.gate.open();
            }
        }
        self.come_to_rest(kills)
    }

    fn kill_one(&mut self) -> Result<()> {
        let pause = match self.last {
            Some(_) if self.rng.random_bool(HASTE) => HASTY,
            Some(part) => {
                self.nodes.wait_until_up(part)?;
                ALONE
            }
            None => ALONE,
        };
        std::thread::sleep(Duration::from_millis(self.rng.random_range(pause)));
        let mut parts = self.nodes.parts();
        // There is one of it, and all depends on it.
        parts.push(Part::Control);
        loop {
            let part = *parts.choose(&mut self.rng).context("there are parts")?;
            if self.nodes.kill(part)? {
                *self.killed.entry(part.kind()).or_default() += 1;
                self.last = Some(part);
                return Ok(());
            }
        }
    }

    /// Holds the clients, waits until nothing is under way, and compares all with all.
    fn come_to_rest(&mut self, kill: usize) -> Result<Found> {
        self.common.gate.close();
        self.nodes.wait_until_all_are_up()?;
        self.last = None;
        let took = rest::wait_for_rest(&self.nodes)?;
        self.longest_rest = self.longest_rest.max(took);
        let (found, faults) = rest::compare_all(&self.nodes, &self.facts)?;
        let in_error = found.in_error();
        self.in_error += in_error.len();
        for one in in_error {
            println!("in error: {one}");
        }
        println!(
            "{:7.1} s, {kill} kills: at rest after {:.1} s with {}",
            self.common.began.elapsed().as_secs_f64(),
            took.as_secs_f64(),
            found.counts()
        );
        ensure!(
            faults.is_empty(),
            "{} faults after {kill} kills:\n{}",
            faults.len(),
            faults.join("\n")
        );
        Ok(found)
    }

    fn say(&self) {
        let kinds = self.killed.iter().map(|(kind, count)| format!("{count} {kind}"));
        println!(
            "{} kills ({}) in {:.0} s; the longest way to rest took {:.1} s; {} attachments in error at rest",
            self.killed.values().sum::<usize>(),
            kinds.collect::<Vec<_>>().join(", "),
            self.common.began.elapsed().as_secs_f64(),
            self.longest_rest.as_secs_f64(),
            self.in_error
        );
        for line in self.common.tally.lines() {
            println!("  {line}");
        }
    }

    fn did_work(&self, kills: usize) -> Result<()> {
        for (verb, least) in WORK {
            let count = self.common.tally.count(verb, End::Acknowledged);
            ensure!(
                count >= kills * least / 100,
                "{verb} was acknowledged {count} times only: the clients did not get to work"
            );
        }
        Ok(())
    }
}

/// With all stopped: the state agrees with itself, and still tells of what was there when all came to rest, as do the files.
fn look_behind(folder: &Path, found: &Found) -> Result<()> {
    let said = Nodes::fsck(folder)?;
    ensure!(said == "all agrees\n", "pumice fsck: {said}");
    let recorded = recorded::read_catalog(&folder.join("control"))?;
    ensure!(recorded.findings.is_empty(), "{:#?}", recorded.findings);
    let names = found.storage_names();
    ensure!(
        recorded.names == names && recorded.on_storage == names,
        "the records are not what they were: {:?}",
        recorded
            .names
            .symmetric_difference(&names)
            .collect::<BTreeSet<_>>()
    );
    let mut files = BTreeSet::new();
    for index in 0..VOLUME_NODES {
        files.extend(nodes::files(folder, index)?.into_keys());
    }
    ensure!(
        files == names,
        "the files are not those of the records: {:?}",
        files.symmetric_difference(&names).collect::<BTreeSet<_>>()
    );
    Ok(())
}
