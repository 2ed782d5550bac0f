//! Control nodes are upgraded one at a time, under load: the program of a later release is a debug build with
//! `PUMICE_RAISED_VERSIONS`, which has a version more of a topic and of the record of a volume (`src/raised.rs`).

#![expect(
    clippy::disallowed_types,
    reason = "the program under test is started with another environment"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pumice::store::{Scan, Store};
use serde_json::json;

use super::child::PROGRAM;
use super::client::{Answer, Client};
use super::cluster::Cluster;
use super::cluster_tasks::{SOON, control_nodes, volume_node};
use super::control_nodes::{Node, is_available, volume, wait};
use super::open;
use super::service::{at_rest, create};

/// The program of the later release.
fn later() -> Command {
    let mut program = Command::new(PROGRAM);
    program.env("PUMICE_RAISED_VERSIONS", "1");
    program
}

/// The addresses of the nodes that serve.
type Serving = Arc<Mutex<BTreeMap<usize, SocketAddr>>>;

/// Clients who make volumes and rename them at all nodes in turns, and repeat at another what one did not answer.
struct Load {
    serving: Serving,
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<BTreeMap<String, String>>>>,
}

impl Load {
    fn start(serving: &Serving) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let client = |number: usize| {
            let (serving, is_over) = (Arc::clone(serving), Arc::clone(&is_over));
            std::thread::spawn(move || work(number, &serving, &is_over))
        };
        Self {
            serving: Arc::clone(serving),
            clients: (0..3).map(client).collect(),
            is_over,
        }
    }

    /// Whether a client has given up.
    fn has_ended(&self) -> bool {
        self.clients.iter().any(JoinHandle::is_finished)
    }

    /// The names that volumes have, as far as their change was answered.
    fn end(self) -> Result<BTreeMap<String, String>> {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.serving);
        let mut named = BTreeMap::new();
        for client in self.clients {
            let Ok(of_client) = client.join() else {
                bail!("a client panicked");
            };
            named.extend(of_client?);
        }
        Ok(named)
    }
}

fn work(number: usize, serving: &Serving, is_over: &AtomicBool) -> Result<BTreeMap<String, String>> {
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    let mut turn = number;
    let mut round = 0_usize;
    while !is_over.load(Ordering::Relaxed) {
        round += 1;
        if round % 4 == 1 && named.len() < 40 {
            // With a key: a repeat makes no second volume.
            let key = format!("client-{number}-round-{round}");
            let body = json!({ "volume": { "size": 1, "name": key } }).to_string();
            let made = ask(serving, &mut turn, Some(&key), "POST", "/volumes", &body, 202)?;
            let id = made.json()?["volume"]["id"].as_str().context("no id")?.to_owned();
            named.insert(id, key);
        } else {
            let ids: Vec<String> = named.keys().cloned().collect();
            let id = &ids[round % ids.len()];
            let name = format!("name {number} {round}");
            let body = json!({ "volume": { "name": name } }).to_string();
            ask(
                serving,
                &mut turn,
                None,
                "PUT",
                &format!("/volumes/{id}"),
                &body,
                200,
            )?;
            let shown = ask(
                serving,
                &mut turn,
                None,
                "GET",
                &format!("/volumes/{id}"),
                "",
                200,
            )?
            .json()?;
            ensure!(
                shown["volume"]["name"] == *name,
                "another node shows {shown}, not {name}"
            );
            named.insert(id.clone(), name);
        }
    }
    Ok(named)
}

/// Asks nodes in turns until one answers; refused connections, hang-ups and 503 are those of a node that stops.
fn ask(
    serving: &Serving,
    turn: &mut usize,
    key: Option<&str>,
    method: &str,
    path: &str,
    body: &str,
    expected: u16,
) -> Result<Answer> {
    let limit = Instant::now() + SOON;
    loop {
        *turn += 1;
        let at: Vec<SocketAddr> = serving.lock().unwrap().values().copied().collect();
        let at = at[*turn % at.len()];
        let answer = Client::connect(at).and_then(|mut client| {
            client.use_key(key.map(str::to_owned));
            client.send(method, path, body)
        });
        match answer {
            Ok(answer) if answer.status == expected => return Ok(answer),
            Ok(answer) if answer.status != 503 => {
                bail!("{method} {path}: {} {}", answer.status, answer.text())
            }
            _ => {}
        }
        ensure!(Instant::now() < limit, "{method} {path} is not answered");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The versions of the records of volumes, as they are stored.
async fn stored_versions(store: &impl Store) -> Vec<u8> {
    store.wait_current().await.unwrap();
    let scan = Scan {
        prefix: b"V.".to_vec(),
        after: None,
        reverse: false,
        limit: 10_000,
    };
    let rows = store.scan(scan).await.unwrap();
    rows.iter().map(|(_, entry)| entry.value[1]).collect()
}

/// Replaces a node by one of that program, while clients use the others.
fn replace(node: &mut Node, number: usize, serving: &Serving, program: Command) -> Result<()> {
    serving.lock().unwrap().remove(&number);
    node.stop()?;
    let address = node.serve_as(program)?;
    serving.lock().unwrap().insert(number, address);
    Ok(())
}

#[actix::test]
async fn nodes_are_upgraded_one_at_a_time_and_back_before_the_last_and_nothing_is_lost() -> Result<()> {
    let cluster = Cluster::start(1);
    let root = tempfile::tempdir()?;
    let mut nodes = control_nodes(root.path(), &cluster, "")?;
    let _backend = volume_node(root.path(), &nodes)?;
    let serving = Serving::default();
    for (number, node) in nodes.iter_mut().enumerate() {
        let address = node.serve()?;
        serving.lock().unwrap().insert(number, address);
    }
    let looking = open(&cluster, "looking").await;
    let at = |number: usize| serving.lock().unwrap()[&number];
    let first = create(at(0), "first")?;
    wait("a volume", SOON, || is_available(at(1), &first))?;
    let load = Load::start(&serving);

    // One of three, and back; then two of three: what all of them write can be read by the older one.
    replace(&mut nodes[0], 0, &serving, later())?;
    let made = create(at(0), "of the later release")?;
    for number in 0..3 {
        wait("a volume of the later release", SOON, || {
            is_available(at(number), &made)
        })?;
    }
    std::thread::sleep(Duration::from_secs(2));
    replace(&mut nodes[0], 0, &serving, Command::new(PROGRAM))?;
    wait("the former release to be back", SOON, || {
        is_available(at(0), &made)
    })?;
    replace(&mut nodes[0], 0, &serving, later())?;
    replace(&mut nodes[1], 1, &serving, later())?;
    std::thread::sleep(Duration::from_secs(2));
    let versions = stored_versions(&looking).await;
    ensure!(versions.iter().all(|version| *version == 1), "{versions:?}");

    // The last one: from now on what is written is of the later release.
    replace(&mut nodes[2], 2, &serving, later())?;
    let limit = Instant::now() + SOON;
    while !stored_versions(&looking).await.contains(&2) {
        if load.has_ended() {
            bail!("a client has ended: {:?}", load.end());
        }
        ensure!(Instant::now() < limit, "nothing of the later release is written");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    std::thread::sleep(Duration::from_secs(1));
    let named = load.end()?;
    for (id, name) in &named {
        wait("a volume", SOON, || is_available(at(2), id))?;
        let shown = volume(at(2), id)?;
        ensure!(shown["name"] == **name, "{shown}, not {name}");
    }
    let volumes = at_rest(at(1))?;
    ensure!(
        volumes.len() == named.len() + 2,
        "{} volumes, {} were made",
        volumes.len(),
        named.len() + 2
    );

    // No node has met a record that it could not read.
    for node in &nodes {
        let log = std::fs::read_to_string(node.path("log"))?;
        ensure!(!log.contains("was it downgraded?"), "{log}");
    }

    // Too late to go back: the former release is refused, and says why.
    nodes[2].stop()?;
    let refused = nodes[2].serve_as(Command::new(PROGRAM)).map(drop);
    let why = format!("{:?}", refused.err().context("it joined")?);
    ensure!(
        why.contains("a volume of version 2, and this program reads versions up to 1"),
        "{why}"
    );
    println!("{} volumes were made and renamed under load", named.len());
    Ok(())
}
