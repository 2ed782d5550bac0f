//! A cluster of three control nodes, three members of etcd and four volume nodes, each on a host of its own in network namespaces:
//! processes are killed and stopped, links are cut in both directions or in one, hosts are cut off, clocks jump by minutes, one at a time
//! and two at a time, while clients make, copy, grow, describe, attach and delete through any control node. Again and again all faults end and all comes to
//! rest, and is held against what the clients were answered. Meanwhile others make histories of single volumes, for each of which an order of its calls is sought
//! (`histories`).
//!
//! `PUMICE_CLUSTER_FAULTS` says how often (`make cluster-soak` is the long form), `PUMICE_CLUSTER_EVERY` after how many faults it is
//! compared, `PUMICE_CLUSTER_SEED` repeats the choices of an earlier run (not their timing), and `PUMICE_CLUSTER_LOG` is the filter of
//! the logs.

#![expect(clippy::print_stdout, reason = "who runs it sees what was done and found")]
#![expect(clippy::disallowed_methods, reason = "chance draws the seed itself")]

#[path = "../support/acknowledged.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod acknowledged;
#[path = "../linearizability/checker.rs"]
mod checker;
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
#[expect(dead_code, reason = "other tests want more of it")]
mod endpoints;
mod faults;
#[path = "../soak_support/gate.rs"]
mod gate;
mod histories;
#[path = "../soak_support/load.rs"]
mod load;
mod network;
mod nodes;
#[path = "../soak_support/process.rs"]
mod process;
#[path = "../soak_support/rest.rs"]
mod rest;
#[path = "../soak_support/tally.rs"]
mod tally;
mod three_machines;
#[path = "../linearizability/volume.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod volume;

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use acknowledged::{AcknowledgedFacts, Resource};
use faults::{Active, Lengths};
use histories::{Historian, Histories};
use load::{Common, Worker};
use nodes::{CONTROL_NODES, Nodes, Part, VOLUME_NODES};
use rest::Found;
use tally::{End, Tally};

/// How many faults there are in `make test`, and after how many all comes to rest.
const FAULTS: usize = 12;
const EVERY: usize = 12;

/// From so many on, some faults last as long as they may.
const LONG: usize = 100;

/// How many clients there are that do all; one more only makes and deletes.
const CLIENTS: usize = 4;

/// How many histories are made at once, and how many of them must have been checked for every hundred faults.
const HISTORIANS: usize = 4;
const HISTORIES: usize = 30;

/// How many faults go on at once, and how long it is until the next one begins.
const AT_ONCE: usize = 2;
const NEXT: std::ops::Range<u64> = 200..4000;

/// How often it is looked whether a fault ends, or a process has.
const TICK: Duration = Duration::from_millis(20);

/// After the death of a control node others serve within this, and its operations are at rest within that.
const SERVED_AGAIN: Duration = Duration::from_secs(3);
const TAKEN_OVER: Duration = Duration::from_secs(10);

/// What must have been acknowledged at least so often for every hundred faults, or the clients did not get to work.
const WORK: [(&str, usize); 6] = [
    ("create", 100),
    ("create snapshot", 50),
    ("extend", 30),
    ("attach", 30),
    ("delete", 50),
    ("delete snapshot", 20),
];

#[test]
fn whatever_is_killed_stopped_or_cut_nothing_is_lost_or_stuck_or_left() -> Result<()> {
    let faults = variable("PUMICE_CLUSTER_FAULTS").unwrap_or(FAULTS);
    let every = variable("PUMICE_CLUSTER_EVERY").unwrap_or(EVERY).max(1);
    let seed = variable("PUMICE_CLUSTER_SEED").unwrap_or_else(rand::random);
    // Kept unless all went well, also when this process is killed itself.
    let folder = tempfile::Builder::new()
        .prefix("pumice-cluster-")
        .tempdir()?
        .keep();
    println!("seed {seed}, folder {}", folder.display());
    run(&folder, faults, every, seed).with_context(|| {
        format!(
            "PUMICE_CLUSTER_SEED={seed} PUMICE_CLUSTER_FAULTS={faults} PUMICE_CLUSTER_EVERY={every}; logs and state are in {}",
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

/// A cluster under load, and what befalls it.
struct Trial {
    nodes: Nodes,
    common: Arc<Common>,
    facts: Vec<Arc<Mutex<Facts>>>,
    histories: Arc<Histories>,
    rng: StdRng,
    lengths: Lengths,
    done: BTreeMap<String, usize>,
    longest_rest: Duration,
}

fn run(folder: &Path, faults: usize, every: usize, seed: u64) -> Result<()> {
    let mut nodes = Nodes::start(folder)?;
    println!(
        "{CONTROL_NODES} control nodes, {} members of etcd, {VOLUME_NODES} volume nodes, target {}",
        nodes::MEMBERS,
        nodes.target()
    );
    for index in 0..CONTROL_NODES {
        measure_take_over(&mut nodes, index).with_context(|| format!("control node {}", index + 1))?;
    }
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
    let histories = Arc::new(Histories::default());
    for index in 0..HISTORIANS {
        let historian = Historian {
            common: common.clone(),
            histories: Arc::clone(&histories),
            index,
            seed,
        };
        clients.push(std::thread::spawn(move || historian.run()));
    }
    let is_long = faults >= LONG;
    let mut trial = Trial {
        nodes,
        common,
        facts: all_facts,
        histories,
        rng: StdRng::seed_from_u64(seed),
        lengths: Lengths {
            cut: Duration::from_secs(if is_long { 30 } else { 8 }),
            stop: Duration::from_secs(if is_long { 60 } else { 8 }),
        },
        done: BTreeMap::new(),
        longest_rest: Duration::ZERO,
    };
    let found = trial.go_through(faults, every);
    trial.common.gate.end();
    for client in clients {
        client.join().expect("a client's thread ends");
    }
    trial.say();
    let found = found?;
    trial.did_work(faults)?;
    trial.nodes.stop()?;
    look_behind(&trial.nodes, folder, &found)
}

/// Kills a control node with operations under way, and says how soon others serve, and when its operations are at rest. Deletes what it
/// has made.
fn measure_take_over(nodes: &mut Nodes, index: usize) -> Result<()> {
    let (one, another) = (index, (index + 1) % CONTROL_NODES);
    let endpoints = nodes.endpoints().clone();
    let create = |at: usize, name: &str| -> Result<String> {
        let answer = endpoints.connect(at)?.create(name)?;
        ensure!(answer.status == 202, "{} {}", answer.status, answer.text());
        let made = answer.json()?;
        Ok(made["volume"]["id"].as_str().context("no id")?.to_owned())
    };
    let mut made = (0..20)
        .map(|number| create(one, &format!("of a killed node {number}")))
        .collect::<Result<Vec<_>>>()?;
    let killed_at = Instant::now();
    nodes.kill(Part::Control(one))?;
    made.push(create(another, "served again")?);
    let served = killed_at.elapsed();
    let mut client = endpoints.connect(another)?;
    for id in &made {
        loop {
            let shown = client.send("GET", &format!("/volumes/{id}"), "")?.json()?;
            if shown["volume"]["status"] == "available" {
                break;
            }
            ensure!(
                shown["volume"]["status"] == "creating" && killed_at.elapsed() < 2 * TAKEN_OVER,
                "{shown}"
            );
            std::thread::sleep(TICK);
        }
    }
    let taken = killed_at.elapsed();
    println!(
        "control node {} killed: served again after {:.0} ms (limit {SERVED_AGAIN:?}), its operations at rest after {:.1} s (limit {TAKEN_OVER:?})",
        index + 1,
        served.as_secs_f64() * 1e3,
        taken.as_secs_f64()
    );
    ensure!(
        served <= SERVED_AGAIN && taken <= TAKEN_OVER,
        "{served:?}, {taken:?}"
    );
    nodes.begin(Part::Control(one))?;
    nodes.wait_until_up(Part::Control(one))?;
    for id in &made {
        let answer = client.send("DELETE", &format!("/volumes/{id}"), "")?;
        ensure!(answer.status == 202, "{} {}", answer.status, answer.text());
    }
    rest::wait_for_rest(nodes).map(drop)
}

impl Trial {
    /// Does one fault after the other, and compares from time to time and in the end. What is there then stays so, for the clients are let
    /// in no more.
    fn go_through(&mut self, faults: usize, every: usize) -> Result<Found> {
        let mut begun = 0;
        loop {
            let until = (begun + every).min(faults);
            self.trouble(begun, until)
                .with_context(|| format!("at fault {begun} to {until}"))?;
            begun = until;
            let found = self
                .come_to_rest(begun)
                .with_context(|| format!("after {begun} faults"))?;
            if begun == faults {
                return Ok(found);
            }
            self.common.gate.open();
        }
    }

    /// Begins these faults, and waits until all have ended.
    fn trouble(&mut self, from: usize, until: usize) -> Result<()> {
        let mut active: Vec<Active> = Vec::new();
        let (mut begun, mut next) = (from, Instant::now());
        while begun < until || !active.is_empty() {
            let now = Instant::now();
            for at in (0..active.len()).rev() {
                if active[at].ends <= now {
                    active.swap_remove(at).end(&mut self.nodes)?;
                }
            }
            self.nodes.supervise()?;
            if begun < until && active.len() < AT_ONCE && next <= now {
                let one = Active::begin(&mut self.nodes, &active, &self.lengths, &mut self.rng)?;
                if let Some((one, name)) = one {
                    begun += 1;
                    println!(
                        "{:7.1} s, {begun}: {}",
                        self.common.began.elapsed().as_secs_f64(),
                        one.describe()
                    );
                    *self.done.entry(name).or_default() += 1;
                    active.push(one);
                    next = now + Duration::from_millis(self.rng.random_range(NEXT));
                }
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Holds the clients, waits until nothing is under way, and compares all with all.
    fn come_to_rest(&mut self, begun: usize) -> Result<Found> {
        self.common.gate.close();
        let began = Instant::now();
        loop {
            self.nodes.wait_until_all_are_up()?;
            rest::wait_for_rest(&self.nodes)?;
            // One that learns only now that its place was taken, or that a commit of unknown outcome has happened, ends.
            self.nodes.wait_until_all_have_committed()?;
            if !self.nodes.supervise()? {
                break;
            }
        }
        let took = began.elapsed();
        self.longest_rest = self.longest_rest.max(took);
        let (found, mut faults) = rest::compare_all(&self.nodes, &self.facts)?;
        faults.append(&mut self.histories.faults.lock());
        for index in 0..CONTROL_NODES {
            let mut client = self.nodes.endpoints().connect(index)?;
            if Found::read_with(&mut client, &mut faults)? != found {
                faults.push(format!("control node {} shows another state", index + 1));
            }
        }
        let mut client = self.nodes.endpoints().connect_any()?;
        let checked = client.send_raw("GET", "/inspect/fsck", "")?;
        if checked.json()?["findings"] != serde_json::json!([]) {
            faults.push(format!("fsck: {}", checked.text()));
        }
        for one in found.in_error() {
            println!("in error: {one}");
        }
        println!(
            "{:7.1} s, {begun} faults: at rest after {:.1} s with {}",
            self.common.began.elapsed().as_secs_f64(),
            took.as_secs_f64(),
            found.counts()
        );
        ensure!(
            faults.is_empty(),
            "{} faults after {begun}:\n{}",
            faults.len(),
            faults.join("\n")
        );
        Ok(found)
    }

    fn say(&self) {
        println!(
            "{} faults in {:.0} s; the longest way to rest took {:.1} s; control nodes that ended to be started again, by exit code: {:?}",
            self.done.values().sum::<usize>(),
            self.common.began.elapsed().as_secs_f64(),
            self.longest_rest.as_secs_f64(),
            self.nodes.ended
        );
        for (name, count) in &self.done {
            println!("  {count} × {name}");
        }
        println!("  {}", self.histories.line());
        for line in self.common.tally.lines() {
            println!("  {line}");
        }
    }

    fn did_work(&self, faults: usize) -> Result<()> {
        for (verb, least) in WORK {
            let count = self.common.tally.count(verb, End::Acknowledged);
            ensure!(
                count >= faults * least / 100,
                "{verb} was acknowledged {count} times only: the clients did not get to work"
            );
        }
        let checked = self.histories.count();
        ensure!(
            checked >= faults * HISTORIES / 100,
            "{checked} histories only were checked"
        );
        Ok(())
    }
}

/// With all of Pumice stopped: the state agrees with itself, and the files are those of what was there when all came to rest.
fn look_behind(nodes: &Nodes, folder: &Path, found: &Found) -> Result<()> {
    let said = nodes.fsck()?;
    ensure!(said == "all agrees\n", "pumice fsck: {said}");
    let names = found.storage_names();
    let mut files = std::collections::BTreeSet::new();
    for index in 0..VOLUME_NODES {
        files.extend(nodes::files(folder, index)?.into_keys());
    }
    ensure!(
        files == names,
        "the files are not those of the records: {:?}",
        files.symmetric_difference(&names).collect::<Vec<_>>()
    );
    Ok(())
}
