//! Clients that create and delete volumes, their answers, and a comparison of both with the records.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use serde_json::Value;

use crate::acknowledged::{AcknowledgedFacts, Answer as Effect, Resource};
use crate::client::{Answer, Client, PROJECT};
use crate::process::Pumice;

/// The answers that clients received, and how often with which status.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Of volumes, by id.
    pub facts: AcknowledgedFacts<String>,
    pub statuses: BTreeMap<u16, usize>,
    /// What a 503 said.
    pub refusals: BTreeMap<String, usize>,
    /// Names that were asked for without an answer, and why: the connection ended first.
    pub unanswered: Vec<String>,
    /// How long the clients that received 202 for a create waited for it.
    pub waits: Vec<Duration>,
}

impl Answers {
    fn note(&mut self, answer: &Answer) -> Result<()> {
        *self.statuses.entry(answer.status).or_default() += 1;
        if answer.status == 503 {
            *self.refusals.entry(answer.must_be_unavailable()?).or_default() += 1;
        }
        Ok(())
    }

    pub fn count(&self, status: u16) -> usize {
        self.statuses.get(&status).copied().unwrap_or(0)
    }
}

/// Clients at work.
pub struct Load {
    answers: Arc<Mutex<Answers>>,
    address: Arc<Mutex<SocketAddr>>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    pub fn start(clients: usize, to: SocketAddr) -> Self {
        let answers = Arc::<Mutex<Answers>>::default();
        let address = Arc::new(Mutex::new(to));
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..clients)
            .map(|index| {
                let (answers, address, stop) = (answers.clone(), address.clone(), stop.clone());
                std::thread::spawn(move || work(index, &answers, &address, &stop))
            })
            .collect();
        Self {
            answers,
            address,
            stop,
            clients,
        }
    }

    /// The clients go on there.
    pub fn move_to(&self, address: SocketAddr) {
        *self.address.lock() = address;
    }

    pub fn answers(&self) -> Answers {
        self.answers.lock().clone()
    }

    /// Waits until the answers of clients are as expected.
    pub fn until(&self, what: &str, holds: impl Fn(&Answers) -> bool) -> Result<()> {
        wait_for(what, || Ok(holds(&self.answers.lock())))
    }

    /// Ends the clients and returns their answers.
    pub fn end(self) -> Result<Answers> {
        self.stop.store(true, Ordering::Release);
        for client in self.clients {
            client.join().expect("a client thread ends")?;
        }
        Ok(self.answers.lock().clone())
    }
}

/// Until something is so.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let limit = Instant::now() + Duration::from_secs(30);
    while !holds()? {
        ensure!(Instant::now() < limit, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn work(
    index: usize,
    answers: &Mutex<Answers>,
    address: &Mutex<SocketAddr>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut round = 0_usize;
    while !stop.load(Ordering::Acquire) {
        let to = *address.lock();
        let Ok(mut client) = Client::connect(to) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        while !stop.load(Ordering::Acquire) {
            round += 1;
            let name = format!("load-{index}-{round}");
            let began = Instant::now();
            let answer = match client.create(&name) {
                Ok(answer) => answer,
                Err(error) => {
                    answers.lock().unanswered.push(format!("{name}: {error:#}"));
                    break;
                }
            };
            let waited = began.elapsed();
            answers.lock().note(&answer)?;
            if answer.status != 202 {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            let id = answer.json()?["volume"]["id"]
                .as_str()
                .context("no id")?
                .to_owned();
            {
                let mut answers = answers.lock();
                let volume = Resource::existing("volume", None, &id);
                answers.facts.resources.insert(id, volume);
                answers.waits.push(waited);
            }
            if round.is_multiple_of(3) && delete_one(&mut client, round, answers)?.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// Deletes one of the volumes that were made, whatever it is doing: a refusal is an answer. `None`: there was no answer.
fn delete_one(client: &mut Client, round: usize, answers: &Mutex<Answers>) -> Result<Option<()>> {
    let (id, before) = {
        let mut answers = answers.lock();
        let mut made = answers.facts.all("volume").filter(|(_, volume)| volume.exists());
        let Some(id) = made.nth(round % 7).map(|(id, _)| id.clone()) else {
            return Ok(Some(()));
        };
        drop(made);
        let before = answers.facts.begin_delete(&id, false);
        (id, before)
    };
    let Ok(answer) = client.send("DELETE", &format!("/volumes/{id}"), "") else {
        return Ok(None);
    };
    let mut answers = answers.lock();
    answers.note(&answer)?;
    let kind = match answer.status {
        202 => Effect::Acknowledged,
        // Still being made, or refused for now: it is to be there in the end.
        400 | 503 => Effect::Refused,
        _ => Effect::Open,
    };
    answers.facts.end_delete(&id, before, kind);
    Ok(Some(()))
}

/// Waits until every operation has ended by itself.
pub fn wait_for_rest(pumice: &Pumice) -> Result<()> {
    let mut open = Value::Null;
    let waited = wait_for("all operations to end", || {
        open = Client::connect(pumice.address)?
            .send_raw("GET", "/inspect/operations", "")?
            .json()?;
        Ok(open["operations"].as_array().context("no operations")?.is_empty())
    });
    waited.with_context(|| open.to_string())
}

/// Every volume, by id.
pub fn volumes(client: &mut Client) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    let mut marker = String::new();
    loop {
        let answer = client.send("GET", &format!("/volumes/detail?limit=500{marker}"), "")?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        let page = answer.json()?;
        let volumes = page["volumes"].as_array().context("no volumes")?;
        let Some(last) = volumes.last() else {
            return Ok(all);
        };
        marker = format!("&marker={}", last["id"].as_str().context("no id")?);
        for volume in volumes {
            all.insert(volume["id"].as_str().context("no id")?.to_owned(), volume.clone());
        }
    }
}

/// Checks that all answers are true, and that quota is the sum of them. Volumes that no client knows of may be as many as there
/// were requests without an answer; they are returned.
pub fn compare(pumice: &Pumice, answers: &Answers) -> Result<Vec<Value>> {
    let mut client = Client::connect(pumice.address)?;
    let there = volumes(&mut client)?;
    for (id, volume) in &answers.facts.resources {
        let wrong = volume.existence.contradiction(there.contains_key(id));
        ensure!(wrong.is_none(), "volume {id} {}", wrong.unwrap_or_default());
    }
    for volume in there.values() {
        ensure!(volume["status"] == "available", "a volume rests in {volume}");
    }
    must_sum_up(&mut client, &there)?;
    let unknown_volumes = there
        .into_iter()
        .filter(|(id, _)| !answers.facts.resources.contains_key(id));
    Ok(unknown_volumes.map(|(_, volume)| volume).collect())
}

/// That quota is the sum of what is listed.
pub fn must_sum_up(client: &mut Client, there: &BTreeMap<String, Value>) -> Result<()> {
    let path = format!("/os-quota-sets/{PROJECT}?usage=True");
    let quota = client.send("GET", &path, "")?.json()?;
    let sizes: u64 = there.values().filter_map(|volume| volume["size"].as_u64()).sum();
    for (resource, sum) in [("volumes", there.len() as u64), ("gigabytes", sizes)] {
        let counted = &quota["quota_set"][resource];
        ensure!(
            counted["in_use"] == sum && counted["reserved"] == 0,
            "{resource}: {counted} for a sum of {sum}"
        );
    }
    Ok(())
}
