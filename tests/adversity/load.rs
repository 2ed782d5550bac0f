//! Clients that make and delete volumes, what they were told, and holding what there is against it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::client::{Answer, Client, PROJECT};
use crate::process::Pumice;

/// What clients were told, by volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// 202 to the create.
    Created,
    /// A delete was sent; its answer may or may not have come.
    DeleteSent,
    /// 202 to the delete.
    Deleted,
}

/// What was told, and how often with which status.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub volumes: BTreeMap<String, Told>,
    pub statuses: BTreeMap<u16, usize>,
    /// What a 503 said.
    pub refusals: BTreeMap<String, usize>,
    /// Names that were asked for without an answer, and why: the connection ended first.
    pub unanswered: Vec<String>,
    /// How long those that were told 202 to a create waited for it.
    pub waits: Vec<Duration>,
}

impl Ledger {
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
    ledger: Arc<Mutex<Ledger>>,
    address: Arc<Mutex<SocketAddr>>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    pub fn start(clients: usize, to: SocketAddr) -> Self {
        let ledger = Arc::<Mutex<Ledger>>::default();
        let address = Arc::new(Mutex::new(to));
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..clients)
            .map(|index| {
                let (ledger, address, stop) = (ledger.clone(), address.clone(), stop.clone());
                std::thread::spawn(move || work(index, &ledger, &address, &stop))
            })
            .collect();
        Self {
            ledger,
            address,
            stop,
            clients,
        }
    }

    /// The clients go on there.
    pub fn move_to(&self, address: SocketAddr) {
        *self.address.lock().unwrap() = address;
    }

    pub fn ledger(&self) -> Ledger {
        self.ledger.lock().unwrap().clone()
    }

    /// Until what clients were told is as it should be.
    pub fn until(&self, what: &str, holds: impl Fn(&Ledger) -> bool) -> Result<()> {
        wait_for(what, || Ok(holds(&self.ledger.lock().unwrap())))
    }

    /// Ends the clients; what they were told.
    pub fn end(self) -> Result<Ledger> {
        self.stop.store(true, Ordering::Release);
        for client in self.clients {
            client.join().expect("a client thread ends")?;
        }
        Ok(self.ledger.lock().unwrap().clone())
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

fn work(index: usize, ledger: &Mutex<Ledger>, address: &Mutex<SocketAddr>, stop: &AtomicBool) -> Result<()> {
    let mut round = 0_usize;
    while !stop.load(Ordering::Acquire) {
        let to = *address.lock().unwrap();
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
                    ledger
                        .lock()
                        .unwrap()
                        .unanswered
                        .push(format!("{name}: {error:#}"));
                    break;
                }
            };
            let waited = began.elapsed();
            ledger.lock().unwrap().note(&answer)?;
            if answer.status != 202 {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            let id = answer.json()?["volume"]["id"]
                .as_str()
                .context("no id")?
                .to_owned();
            {
                let mut ledger = ledger.lock().unwrap();
                ledger.volumes.insert(id, Told::Created);
                ledger.waits.push(waited);
            }
            if round.is_multiple_of(3) && delete_one(&mut client, round, ledger)?.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// Deletes one of the volumes that were made, whatever it is doing: a refusal is an answer. `None`: there was no answer.
fn delete_one(client: &mut Client, round: usize, ledger: &Mutex<Ledger>) -> Result<Option<()>> {
    let id = {
        let mut ledger = ledger.lock().unwrap();
        let mut made = ledger
            .volumes
            .iter_mut()
            .filter(|(_, told)| **told == Told::Created);
        let Some((id, told)) = made.nth(round % 7) else {
            return Ok(Some(()));
        };
        *told = Told::DeleteSent;
        id.clone()
    };
    let Ok(answer) = client.send("DELETE", &format!("/volumes/{id}"), "") else {
        return Ok(None);
    };
    let mut ledger = ledger.lock().unwrap();
    ledger.note(&answer)?;
    match answer.status {
        202 => ledger.volumes.insert(id, Told::Deleted),
        // Still being made, or refused for now: it is to be there in the end.
        400 | 503 => ledger.volumes.insert(id, Told::Created),
        _ => None,
    };
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

/// That all that was told is so, and that quota is the sum of it. Of volumes that nobody was told of there may be as many as there
/// were requests without an answer; they are returned.
pub fn compare(pumice: &Pumice, told: &Ledger) -> Result<Vec<Value>> {
    let mut client = Client::connect(pumice.address)?;
    let there = volumes(&mut client)?;
    for (id, told) in &told.volumes {
        match told {
            Told::Created => ensure!(there.contains_key(id), "volume {id} was acknowledged and is gone"),
            Told::Deleted => ensure!(!there.contains_key(id), "volume {id} was deleted and is there"),
            Told::DeleteSent => {}
        }
    }
    for volume in there.values() {
        ensure!(volume["status"] == "available", "a volume rests in {volume}");
    }
    must_sum_up(&mut client, &there)?;
    let untold = there.into_iter().filter(|(id, _)| !told.volumes.contains_key(id));
    Ok(untold.map(|(_, volume)| volume).collect())
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
