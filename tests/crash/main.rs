//! Nothing acknowledged is lost, nothing is stuck, nothing is left behind: the whole program is killed again and again while
//! clients make, grow and delete volumes, and is then compared with the answers that clients received.

#[path = "../support/acknowledged.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod acknowledged;
#[path = "../process_support/child.rs"]
mod child;
#[path = "../process_support/client.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod client;
mod identity;
mod matrix;
mod owner;
mod process;
#[path = "../process_support/recorded.rs"]
mod recorded;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use serde_json::Value;

use acknowledged::{AcknowledgedFacts, Answer, Resource};
use client::Client;
use process::Pumice;

/// The backends of the program's configuration, and their folders.
const BACKENDS: [&str; 2] = ["file", "other"];

/// How often the program is killed in `make test`. `PUMICE_CRASH_KILLS` sets another number for longer runs.
const KILLS: usize = 12;

/// The answers that clients received, by id.
type Facts = AcknowledgedFacts<String>;

#[test]
fn whatever_is_killed_and_when_nothing_is_lost_or_stuck_or_left() -> Result<()> {
    let kills = std::env::var("PUMICE_CRASH_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(KILLS);
    let folder = tempfile::tempdir()?;
    let mut pumice = Pumice::start(folder.path())?;
    let facts = Arc::new(Mutex::new(Facts::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let address = Arc::new(Mutex::new(pumice.address));
    let clients: Vec<_> = (0..4)
        .map(|index| {
            let (facts, stop, address) = (facts.clone(), stop.clone(), address.clone());
            std::thread::spawn(move || work(index, &facts, &stop, &address))
        })
        .collect();
    for kill in 0..kills {
        // A prime step walks through all phases of the flows instead of hitting the same one.
        std::thread::sleep(Duration::from_millis(60 + (kill as u64 * 137) % 400));
        pumice.kill()?;
        pumice = Pumice::start(folder.path())?;
        *address.lock() = pumice.address;
        // What has begun is under way, and yet all agrees at any moment.
        let checked = Client::connect(pumice.address)?
            .send_raw("GET", "/inspect/fsck", "")?
            .json()?;
        ensure!(
            checked["findings"].as_array().is_some_and(Vec::is_empty),
            "{checked}"
        );
    }
    stop.store(true, Ordering::Release);
    for client in clients {
        client.join().expect("a client thread ends");
    }
    let facts = facts.lock();
    let made = facts.resources.len();
    ensure!(
        made >= kills,
        "only {made} volumes were made: the clients did not get to work"
    );

    wait_for_rest(&pumice)?;
    compare(&pumice, &facts)?;
    pumice.stop()?;
    look_behind(folder.path(), &BTreeSet::new())?;
    let deleted = facts.resources.values().filter(|volume| !volume.may_exist());
    println!(
        "survived {kills} kills; {made} volumes were made, {} deleted",
        deleted.count()
    );
    Ok(())
}

/// Makes volumes and deletes some of them, until requested to stop. A broken connection is what this test is about.
fn work(index: usize, facts: &Mutex<Facts>, stop: &AtomicBool, address: &Mutex<std::net::SocketAddr>) {
    let mut round = 0_usize;
    while !stop.load(Ordering::Acquire) {
        let to = *address.lock();
        let Ok(mut client) = Client::connect(to) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        while !stop.load(Ordering::Acquire) {
            round += 1;
            if step(&mut client, index, round, facts).is_err() {
                break;
            }
        }
    }
}

fn step(client: &mut Client, index: usize, round: usize, facts: &Mutex<Facts>) -> Result<()> {
    let made = client.create(&format!("crash-{index}-{round}"))?;
    if made.status != 202 {
        // Overloaded or not ready: that is an answer too.
        std::thread::sleep(Duration::from_millis(5));
        return Ok(());
    }
    let id = made.json()?["volume"]["id"].as_str().context("no id")?.to_owned();
    let volume = Resource {
        sizes: [1].into(),
        ..Resource::existing("volume", None, &id)
    };
    facts.lock().resources.insert(id.clone(), volume);
    if round.is_multiple_of(3) {
        delete_one(client, round, facts)?;
    } else if round.is_multiple_of(5) {
        extend(client, &id, facts)?;
    }
    Ok(())
}

/// What an answer says of a change that was asked for. Whatever is neither 202 nor a refusal says nothing.
fn answer(status: u16) -> Answer {
    match status {
        202 => Answer::Acknowledged,
        400 => Answer::Refused,
        _ => Answer::Open,
    }
}

fn extend(client: &mut Client, id: &String, facts: &Mutex<Facts>) -> Result<()> {
    let before = facts.lock().of(id).sizes.begin_change(2);
    let path = format!("/volumes/{id}/action");
    let sent = client.send("POST", &path, r#"{"os-extend": {"new_size": 2}}"#)?;
    let mut facts = facts.lock();
    facts.of(id).sizes.end_change(before, 2, answer(sent.status));
    Ok(())
}

/// Deletes one of the volumes that were made, whatever it is doing: a refusal is an answer.
fn delete_one(client: &mut Client, round: usize, facts: &Mutex<Facts>) -> Result<()> {
    let (id, before) = {
        let mut facts = facts.lock();
        let mut made = facts.all("volume").filter(|(_, volume)| volume.exists());
        let Some(id) = made.nth(round % 7).map(|(id, _)| id.clone()) else {
            return Ok(());
        };
        drop(made);
        let before = facts.begin_delete(&id, false);
        (id, before)
    };
    let sent = client.send("DELETE", &format!("/volumes/{id}"), "")?;
    let mut facts = facts.lock();
    facts.end_delete(&id, before, answer(sent.status));
    Ok(())
}

/// Waits until every operation has ended by itself.
fn wait_for_rest(pumice: &Pumice) -> Result<()> {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let mut client = Client::connect(pumice.address)?;
        let open = client.send_raw("GET", "/inspect/operations", "")?.json()?;
        let count = open["operations"]
            .as_array()
            .context("no operations in the answer")?
            .len();
        if count == 0 {
            return Ok(());
        }
        ensure!(
            Instant::now() < limit,
            "{count} operations are still open after a minute: {open}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Compares the records with the answers that clients received.
fn compare(pumice: &Pumice, facts: &Facts) -> Result<()> {
    let mut client = Client::connect(pumice.address)?;
    let volumes = all_volumes(&mut client)?;
    for volume in volumes.values() {
        let status = volume["status"].as_str().context("no status")?;
        ensure!(
            matches!(status, "available"),
            "a volume rests in {status}: {volume}"
        );
    }
    for (id, known) in &facts.resources {
        let found = volumes.get(id);
        let wrong = known.existence.contradiction(found.is_some());
        ensure!(wrong.is_none(), "volume {id} {}", wrong.unwrap_or_default());
        let size = found.and_then(|found| found["size"].as_u64());
        let wrong = size.and_then(|size| known.sizes.contradiction(&size));
        ensure!(wrong.is_none(), "the size of volume {id} {wrong:?}");
    }
    let quota = client
        .send(
            "GET",
            &format!("/os-quota-sets/{}?usage=True", client::PROJECT),
            "",
        )?
        .json()?;
    let sizes: u64 = volumes
        .values()
        .filter_map(|volume| volume["size"].as_u64())
        .sum();
    ensure!(
        quota["quota_set"]["volumes"]["in_use"] == volumes.len(),
        "{quota} for {} volumes",
        volumes.len()
    );
    ensure!(
        quota["quota_set"]["gigabytes"]["in_use"] == sizes,
        "{quota} for {sizes} GiB"
    );
    for resource in ["volumes", "gigabytes"] {
        ensure!(
            quota["quota_set"][resource]["reserved"] == 0,
            "{resource} is reserved for no operation: {quota}"
        );
    }
    Ok(())
}

fn all_volumes(client: &mut Client) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    let mut marker = String::new();
    loop {
        let page = client
            .send("GET", &format!("/volumes/detail?limit=500{marker}"), "")?
            .json()?;
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

/// With the program stopped: the catalog is consistent, and the files are those of its volumes and snapshots, no more, no fewer.
/// `let_go`: what may be there without a record, for it was let go.
fn look_behind(folder: &Path, let_go: &BTreeSet<String>) -> Result<()> {
    let recorded = recorded::read_catalog(&folder.join("data"))?;
    ensure!(
        recorded.findings.is_empty(),
        "the catalog is not consistent: {:#?}",
        recorded.findings
    );
    let mut files = BTreeSet::new();
    for backend in BACKENDS {
        for entry in std::fs::read_dir(folder.join("data/volumes").join(backend))? {
            let name = entry?.file_name().into_string().ok();
            files.insert(name.context("a file name that is no text")?);
        }
    }
    files.remove(".pumice.lock");
    let orphans: Vec<_> = files
        .difference(&recorded.names)
        .filter(|name| !let_go.contains(*name))
        .collect();
    let missing: Vec<_> = recorded.on_storage.difference(&files).collect();
    ensure!(
        orphans.is_empty() && missing.is_empty(),
        "without a record: {orphans:?}; without a file: {missing:?}"
    );
    Ok(())
}
