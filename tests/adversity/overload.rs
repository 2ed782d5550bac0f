//! One project that floods the service: the others are answered as if it were little more than busy, and what was accepted of the
//! flood is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::client::{Client, OTHER_PROJECT};
use crate::load::{self, Load};
use crate::process::{Place, Pumice};

/// Each of them asks as fast as it is answered.
const CONNECTIONS: usize = 200;

/// Fewer than there are connections find a permit or a place to wait for one.
const CONFIG: &str = "\n[web]\nrequests_per_project = 8\nrequests_waiting = 32\n";

/// How often the other project makes a volume and looks at it, beside the flood.
const ROUNDS: usize = 20;

/// What the other project may wait at most: a bound for machines that do much else, not what is to be expected.
const BOUND: Duration = Duration::from_secs(3);

/// More than it ever needs; without bounds on what waits it is soon above.
const MOST_MEMORY: u64 = 256 << 20;

/// How long requests took.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    fn most(&self) -> Duration {
        self.0[self.0.len() - 1]
    }

    fn ratio_to(&self, other: &Self) -> f64 {
        self.median().as_secs_f64() / other.median().as_secs_f64()
    }
}

/// What one project was answered, one request at a time.
struct Asked {
    creates: Times,
    reads: Times,
    made: Vec<String>,
}

/// Makes a volume and looks at it, again and again; every answer must be a good one.
fn ask_one_by_one(pumice: &Pumice, rounds: usize) -> Result<Asked> {
    let mut client = Client::connect_as(pumice.address, OTHER_PROJECT)?;
    let (mut creates, mut reads, mut made) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = Instant::now();
        let answer = client.create("calm")?;
        creates.push(began.elapsed());
        ensure!(answer.status == 202, "{} {}", answer.status, answer.text());
        let id = answer.json()?["volume"]["id"]
            .as_str()
            .context("no id")?
            .to_owned();
        let began = Instant::now();
        let answer = client.send("GET", &format!("/volumes/{id}"), "")?;
        reads.push(began.elapsed());
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        made.push(id);
    }
    Ok(Asked {
        creates: Times::of(creates),
        reads: Times::of(reads),
        made,
    })
}

/// The most memory that it has while something is done.
fn watched<T>(pumice: &Pumice, done: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| -> Result<u64> {
            let mut most = 0;
            while !over.load(Ordering::Acquire) {
                most = most.max(pumice.resident()?);
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(most)
        });
        let done = done();
        over.store(true, Ordering::Release);
        let memory = watching.join().expect("it watches to the end");
        Ok((done?, memory?))
    })
}

#[test]
fn a_project_that_floods_does_not_starve_another() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = Place {
        config: CONFIG,
        ..Place::plain(folder.path())
    };
    let pumice = Pumice::start(&place)?;
    let alone = ask_one_by_one(&pumice, 2 * ROUNDS)?;
    let load = Load::start(CONNECTIONS, pumice.address);
    load.until("the flood", |answers| {
        answers.count(503) > 200 && answers.count(202) > 20
    })?;
    let (beside, memory) = watched(&pumice, || ask_one_by_one(&pumice, ROUNDS))?;
    let answers = load.end()?;

    let flood = Times::of(answers.waits.clone());
    println!(
        "alone: create {:?}, read {:?}; beside {CONNECTIONS} connections: create {:?} ({:.1} times, {:?} at most), read {:?} ({:.1} \
         times, {:?} at most); the flood received {:?}, and waited {:?} for a 202; {} MiB",
        alone.creates.median(),
        alone.reads.median(),
        beside.creates.median(),
        beside.creates.ratio_to(&alone.creates),
        beside.creates.most(),
        beside.reads.median(),
        beside.reads.ratio_to(&alone.reads),
        beside.reads.most(),
        answers.statuses,
        flood.median(),
        memory >> 20
    );
    for times in [&beside.creates, &beside.reads] {
        ensure!(
            times.most() < BOUND,
            "the other project waits for {:?}",
            times.most()
        );
    }
    // This holds on a machine of any speed: a project with few requests does not wait behind one with many.
    ensure!(
        beside.creates.median() * 2 < flood.median(),
        "who floods is answered as soon"
    );
    ensure!(memory < MOST_MEMORY, "{memory} bytes in memory");
    ensure!(
        answers.count(202) > 0 && answers.count(503) > 0,
        "{:?}",
        answers.statuses
    );
    ensure!(
        answers.count(500) == 0 && answers.unanswered.is_empty(),
        "{:?} {:?}",
        answers.statuses,
        answers.unanswered
    );

    load::wait_for_rest(&pumice)?;
    load::compare(&pumice, &answers)?;
    let mut client = Client::connect_as(pumice.address, OTHER_PROJECT)?;
    let there = load::volumes(&mut client)?;
    ensure!(
        alone
            .made
            .iter()
            .chain(&beside.made)
            .all(|id| there.contains_key(id)),
        "what was accepted is not there"
    );
    let complaints = place
        .log()?
        .matches("requests of this project are refused")
        .count();
    ensure!(
        complaints > 0 && complaints < answers.count(503) / 4,
        "{complaints} complaints"
    );
    pumice.stop()?;
    place.must_agree()
}
