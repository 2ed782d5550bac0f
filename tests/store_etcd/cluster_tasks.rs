//! What exists once in a cluster, with three control nodes as processes on one etcd: the publisher of notifications, the export of the
//! store, and the limits of failed logins.

#![expect(
    clippy::disallowed_types,
    reason = "the program under test is killed, not waited for"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::child::Child;
use super::client::Client;
use super::cluster::Cluster;
use super::control_nodes::{Node, authority, is_available, wait};
use super::service::{create, on_etcd};

const NAMES: [&str; 3] = ["c1", "c2", "c3"];

/// How long what follows a killed node may take: the silence, and the commits.
pub const SOON: Duration = Duration::from_secs(30);

/// Three control nodes with these lines after those of their store, not started yet.
pub fn control_nodes(root: &std::path::Path, cluster: &Cluster, rest: &str) -> Result<Vec<Node>> {
    authority(root, &["init", "--cluster", "test"])?;
    let rest = format!("roles = [\"control\"]\n{}{rest}", on_etcd(cluster));
    let mut nodes: Vec<Node> = Vec::new();
    for name in NAMES {
        let joined: Vec<SocketAddr> = nodes.iter().map(|node| node.transport).collect();
        let node = Node::new(root, name, &joined, &rest)?.certified(root, &["--role", "control"])?;
        nodes.push(node);
    }
    Ok(nodes)
}

/// A volume node of them.
pub fn volume_node(root: &std::path::Path, nodes: &[Node]) -> Result<Child> {
    let joined: Vec<SocketAddr> = nodes.iter().map(|node| node.transport).collect();
    let rest = "roles = [\"volume\"]\n[backend.file]\ndriver = \"file\"\ntarget = \"fake\"\nmax_over_subscription_ratio = \"1000000.0\"";
    let node =
        Node::new(root, "v1", &joined, rest)?.certified(root, &["--role", "volume", "--backend", "file"])?;
    node.serve_volumes()
}

/// A webhook: the events that it accepted, in the order in which it did.
struct Receiver {
    address: SocketAddr,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let events = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&events);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let received = Arc::clone(&received);
                std::thread::spawn(move || accept(stream, &received));
            }
        });
        Ok(Self { address, events })
    }

    /// For each volume, the names that it was given, in the order of their first events.
    fn names(&self) -> BTreeMap<String, Vec<String>> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in self.events.lock().unwrap().iter() {
            let payload = &event["payload"];
            let text = |key: &str| payload[key].as_str().unwrap_or_default().to_owned();
            if event["event_type"] == "volume.update.end" {
                let of_volume = names.entry(text("volume_id")).or_default();
                let name = text("display_name");
                if !of_volume.contains(&name) {
                    of_volume.push(name);
                }
            }
        }
        names
    }
}

/// Answers the requests of one connection, slowly, so that some are waiting at any time.
fn accept(mut stream: TcpStream, received: &Mutex<Vec<Value>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(number) = line.strip_prefix("content-length:") {
                length = number.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        std::thread::sleep(Duration::from_millis(15));
        received.lock().unwrap().push(serde_json::from_slice(&body).ok()?);
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
            .ok()?;
    }
}

/// The node that publishes.
fn publisher(at: SocketAddr) -> Result<String> {
    let shown = Client::connect(at)?
        .send_raw("GET", "/inspect/notifications", "")?
        .json()?;
    let publisher = shown["sinks"][0]["publisher"].as_str();
    let publisher = publisher.with_context(|| shown.to_string())?;
    Ok(publisher.trim_end_matches("/control").to_owned())
}

#[test]
fn notifications_of_all_nodes_are_published_in_order_also_when_the_publisher_is_killed() -> Result<()> {
    let cluster = Cluster::start(1);
    let root = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let sinks = format!(
        "[notifications]\nsinks = [\"webhook\"]\nwebhook_url = \"http://{}/\"\n",
        receiver.address
    );
    let mut nodes = control_nodes(root.path(), &cluster, &sinks)?;
    let _backend = volume_node(root.path(), &nodes)?;
    let mut at = Vec::new();
    for node in &mut nodes {
        at.push(node.serve()?);
    }
    let mut volumes = Vec::new();
    for number in 0..6 {
        volumes.push(create(at[number % 3], &format!("volume {number}"))?);
    }
    for id in &volumes {
        wait("a volume", SOON, || is_available(at[0], id))?;
    }

    let mut killed = Vec::new();
    let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let rounds = 60;
    for round in 0..rounds {
        // Twice the node that publishes is killed, with notifications of all nodes in the queue; at last there is one.
        if [rounds / 3, 2 * rounds / 3].contains(&round) {
            let alive = (0..3)
                .find(|number| !killed.contains(number))
                .context("none is left")?;
            let number = || {
                let publisher = publisher(at[alive]).ok()?;
                let number = NAMES.iter().position(|name| *name == publisher);
                number.filter(|number| !killed.contains(number))
            };
            wait("another node to publish", SOON, || number().is_some())?;
            let number = number().context("no node publishes")?;
            nodes[number].kill()?;
            killed.push(number);
        }
        for (number, id) in volumes.iter().enumerate() {
            // Each change of a volume is made at another node than the one before.
            let mut turn = round + number;
            while killed.contains(&(turn % 3)) {
                turn += 1;
            }
            let name = format!("name {round:03}");
            let body = json!({ "volume": { "name": name } }).to_string();
            let answer = Client::connect(at[turn % 3])?.send("PUT", &format!("/volumes/{id}"), &body)?;
            ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
            given.entry(id.clone()).or_default().push(name);
        }
    }
    let begun = Instant::now();
    let all = volumes.len() * rounds;
    let count = |names: BTreeMap<String, Vec<String>>| names.values().map(Vec::len).sum::<usize>();
    let took = wait("all notifications", Duration::from_secs(60), || {
        count(receiver.names()) == all
    });
    let names = receiver.names();
    ensure!(took.is_ok(), "{} of {all} were published", count(names));
    ensure!(
        names == given,
        "not in the order in which they were given: {names:?}"
    );
    let events = receiver.events.lock().unwrap().len();
    println!(
        "{all} changes, {events} notifications with repetitions, the last {:?} after the last change; killed: {killed:?}",
        begun.elapsed()
    );
    Ok(())
}

/// The numbers of the exports of each node.
fn exports(nodes: &[Node]) -> Vec<Vec<u64>> {
    let of = |node: &Node| {
        let files = std::fs::read_dir(node.path("data").join("exports"))
            .into_iter()
            .flatten();
        let number = |name: &str| name.strip_prefix("store-n")?.split_once('-')?.0.parse().ok();
        let names = files
            .flatten()
            .map(|file| file.file_name().to_string_lossy().into_owned());
        let finished = names.filter(|name| name.ends_with(".export"));
        let mut numbers: Vec<u64> = finished.filter_map(|name| number(&name)).collect();
        numbers.sort_unstable();
        numbers
    };
    nodes.iter().map(of).collect()
}

#[test]
fn one_node_in_each_interval_exports_the_store_also_after_one_was_killed() -> Result<()> {
    const EVERY: Duration = Duration::from_secs(3);
    let cluster = Cluster::start(1);
    let root = tempfile::tempdir()?;
    let mut nodes = control_nodes(root.path(), &cluster, "export_interval = \"3s\"\n")?;
    for node in &mut nodes {
        node.serve()?;
    }
    let begun = Instant::now();
    let all = |nodes: &[Node]| {
        let mut numbers = exports(nodes).concat();
        numbers.sort_unstable();
        numbers
    };
    wait("four exports", SOON, || all(&nodes).len() >= 4)?;
    let took = begun.elapsed();
    // Each of them has its own number, and an interval of its own.
    ensure!(all(&nodes) == [1, 2, 3, 4], "{:?}", exports(&nodes));
    ensure!(took > 3 * EVERY, "four exports in {took:?}");
    ensure!(
        exports(&nodes)
            .iter()
            .filter(|numbers| !numbers.is_empty())
            .count()
            > 1,
        "always the same node: {:?}",
        exports(&nodes)
    );
    let last = exports(&nodes).iter().position(|numbers| numbers.contains(&4));
    nodes[last.context("a node")?].kill()?;
    wait("exports of the others", SOON, || all(&nodes).contains(&6))?;
    // If it was killed before it said that it had written the fourth, another has written that, too.
    let mut numbers = all(&nodes);
    numbers.dedup();
    ensure!(numbers == [1, 2, 3, 4, 5, 6], "{:?}", exports(&nodes));
    Ok(())
}

#[test]
fn an_attacker_has_as_many_guesses_at_three_nodes_as_at_one() -> Result<()> {
    let cluster = Cluster::start(1);
    let root = tempfile::tempdir()?;
    let mut nodes = control_nodes(root.path(), &cluster, "")?;
    let mut at = Vec::new();
    for node in &mut nodes {
        let config = node.path("pumice.toml");
        let text = std::fs::read_to_string(&config)?.replace(
            "strategy = \"noauth\"",
            "strategy = \"embedded\"\nusers = [{ name = \"ann\", password = \"ann's password\", project = \"red\", roles = [\"admin\"] }]",
        );
        std::fs::write(config, text)?;
        at.push(node.serve()?);
    }
    let login = |number: usize, password: &str| -> Result<u16> {
        let user = json!({ "name": "ann", "domain": { "id": "default" }, "password": password });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let body = json!({ "auth": { "identity": identity } }).to_string();
        Ok(Client::connect(at[number % 3])?
            .send_raw("POST", "/identity/v3/auth/tokens", &body)?
            .status)
    };
    // The nodes have to know each other first: what one is asked, the others are told.
    wait("the nodes to be connected", SOON, || {
        (0..3).all(|number| login(number, "ann's password").is_ok_and(|status| status == 201))
            && all_connected(&nodes)
    })?;
    let mut statuses = Vec::new();
    for guess in 0..9 {
        statuses.push(login(guess, "a guess")?);
        // The time that a message takes.
        std::thread::sleep(Duration::from_millis(100));
    }
    let refused = statuses.iter().filter(|status| **status == 429).count();
    // Five are free; one more may have become free since.
    ensure!((3..=4).contains(&refused), "{statuses:?}");
    ensure!(statuses[..5] == [401; 5], "{statuses:?}");
    Ok(())
}

/// Whether each node has been connected to both others.
fn all_connected(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| {
        let log = std::fs::read_to_string(node.path("log")).unwrap_or_default();
        log.matches("\"connected to another node\"").count() >= 2
    })
}
