//! Several control nodes on one etcd, as processes, with a volume node that has joined them all: any of them is killed, or stands still.

#![expect(
    clippy::disallowed_types,
    reason = "the program under test is killed, not waited for"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::child::{Child, PROGRAM, own_address};
use super::client::Client;
use super::cluster::Cluster;
use super::service::{at_rest, create, on_etcd};

/// `EX_TEMPFAIL`, see `cli::serve`.
const SUPERSEDED: i32 = 75;
/// An operation of a control node that was killed is taken over in that time: the silence, and the commits.
const TAKEN_OVER: Duration = Duration::from_secs(10);

/// A process with its configuration.
pub struct Node {
    folder: PathBuf,
    pub transport: SocketAddr,
    pub running: Option<(Child, SocketAddr)>,
}

impl Node {
    pub fn new(root: &std::path::Path, name: &str, join: &[SocketAddr], rest: &str) -> Result<Self> {
        let node = Self {
            folder: root.join(name),
            transport: own_address()?,
            running: None,
        };
        std::fs::create_dir_all(&node.folder)?;
        let join: Vec<String> = join.iter().map(SocketAddr::to_string).collect();
        let tls = node.path("tls");
        let file = |name: &str| tls.join(name).display().to_string();
        let text = format!(
            "[node]\nhost = \"{name}\"\n{rest}\n[auth]\nstrategy = \"noauth\"\n[service]\nreport_interval = \"1s\"\n\
             [transport]\nlisten = \"{}\"\njoin = {join:?}\ncertificate = {:?}\nkey = {:?}\nca = {:?}\n\
             [quota]\nvolumes = -1\ngigabytes = -1\n",
            node.transport,
            file("node.pem"),
            file("node.key"),
            file("ca.pem"),
        );
        std::fs::write(node.folder.join("pumice.toml"), text)?;
        Ok(node)
    }

    /// Its certificate of an authority.
    pub fn certified(self, root: &std::path::Path, rest: &[&str]) -> Result<Self> {
        let (tls, name) = (
            self.path("tls"),
            self.folder.file_name().context("a name")?.to_owned(),
        );
        let mut words = vec!["issue", "--host", name.to_str().context("a name")?];
        words.extend(rest);
        words.extend(["--out", tls.to_str().context("a path")?]);
        authority(root, &words)?;
        Ok(self)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn serve(&mut self) -> Result<SocketAddr> {
        self.serve_as(Command::new(PROGRAM))
    }

    /// A node without an API, until the result is dropped.
    pub fn serve_volumes(&self) -> Result<Child> {
        let data = self.path("data");
        let words = ["--data-dir", data.to_str().context("a path")?];
        let config = self.path("pumice.toml");
        Child::serve(Command::new(PROGRAM), &config, &words, &self.path("log"))
    }

    /// As this program.
    pub fn serve_as(&mut self, program: Command) -> Result<SocketAddr> {
        let config = self.path("pumice.toml");
        let started = Child::serving(program, &config, &self.path("data"), &self.path("log"))?;
        let address = started.1;
        self.running = Some(started);
        Ok(address)
    }

    /// SIGTERM, and its end.
    pub fn stop(&mut self) -> Result<()> {
        match self.running.take() {
            Some((child, _)) => child.stop(),
            None => Ok(()),
        }
    }

    pub fn kill(&mut self) -> Result<()> {
        match self.running.take() {
            Some((child, _)) => child.kill(),
            None => Ok(()),
        }
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let (child, _) = self.running.as_ref().context("it does not run")?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.0.id())?).context("a pid")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }
}

pub fn authority(root: &std::path::Path, words: &[&str]) -> Result<()> {
    let output = Command::new(PROGRAM)
        .arg("ca")
        .arg("--dir")
        .arg(root.join("ca"))
        .args(words)
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&said)
    );
    Ok(())
}

pub fn wait(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) -> Result<Duration> {
    let begun = Instant::now();
    while !is_so() {
        ensure!(begun.elapsed() < limit, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(begun.elapsed())
}

pub fn volume(at: SocketAddr, id: &str) -> Result<Value> {
    Ok(Client::connect(at)?
        .send("GET", &format!("/volumes/{id}"), "")?
        .json()?["volume"]
        .take())
}

pub fn is_available(at: SocketAddr, id: &str) -> bool {
    volume(at, id).is_ok_and(|volume| volume["status"] == "available")
}

#[test]
fn three_control_nodes_serve_every_request_and_what_one_leaves_is_taken_over() -> Result<()> {
    let cluster = Cluster::start(3);
    let root = tempfile::tempdir()?;
    authority(root.path(), &["init", "--cluster", "test"])?;
    let control = format!("roles = [\"control\"]\n{}", on_etcd(&cluster));
    let mut nodes = Vec::new();
    let mut joined = Vec::new();
    for name in ["c1", "c2", "c3"] {
        let node = Node::new(root.path(), name, &joined, &control)?
            .certified(root.path(), &["--role", "control"])?;
        joined.push(node.transport);
        nodes.push(node);
    }
    let volumes = "roles = [\"volume\"]\n[backend.file]\ndriver = \"file\"\ntarget = \"fake\"\nmax_over_subscription_ratio = \"1000000.0\"";
    let backend = Node::new(root.path(), "v1", &joined, volumes)?
        .certified(root.path(), &["--role", "volume", "--backend", "file"])?;
    let _backend = backend.serve_volumes()?;
    let mut at = Vec::new();
    for node in &mut nodes {
        at.push(node.serve()?);
    }

    // Each one places volumes, and shows what another has made.
    let mut made = Vec::new();
    for (number, address) in at.iter().enumerate() {
        let id = create(*address, &format!("first {number}"))?;
        for other in &at {
            wait("a volume of another node", TAKEN_OVER, || {
                is_available(*other, &id)
            })?;
        }
        made.push(id);
    }

    // Any of them shows all.
    let shown = |at: SocketAddr| -> Result<(Option<i32>, Value)> {
        let url = format!("http://{at}");
        let output = Command::new(PROGRAM)
            .args(["cluster", "status", "--json", "--url", &url])
            .output()?;
        let shown = serde_json::from_slice(&output.stdout);
        Ok((
            output.status.code(),
            shown.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?,
        ))
    };
    for address in &at {
        wait("everything to be up", TAKEN_OVER, || {
            // The volume node is up once any of them is connected to it, and its version is what this one knows of it.
            shown(*address).is_ok_and(|(code, cluster)| {
                code == Some(0) && cluster["volume_nodes"][0]["version"].is_string()
            })
        })?;
        let (_, cluster) = shown(*address)?;
        let nodes = cluster["control_nodes"].as_array().context("no control nodes")?;
        ensure!(nodes.len() == 3, "{cluster:#}");
        for node in nodes {
            ensure!(
                node["state"] == "up" && node["behind"].is_u64() && node["address"].is_string(),
                "{cluster:#}"
            );
        }
        let volume = &cluster["volume_nodes"][0];
        ensure!(
            volume["host"] == "v1" && volume["version"] == env!("CARGO_PKG_VERSION"),
            "{cluster:#}"
        );
        let members = cluster["store"]["members"].as_array().context("no members")?;
        let leaders = members
            .iter()
            .filter(|member| member["is_leader"] == true)
            .count();
        ensure!(members.len() == 3 && leaders == 1, "{cluster:#}");
        ensure!(
            members
                .iter()
                .all(|member| member["name"].is_string() && member["size"].is_u64()),
            "{cluster:#}"
        );
    }

    // Killed with operations under way: all that it has answered is done by the others.
    let mut of_the_killed = Vec::new();
    for number in 0..20 {
        of_the_killed.push(create(at[0], &format!("killed {number}"))?);
    }
    nodes[0].kill()?;
    let killed = Instant::now();
    create(at[1], "served by another")?;
    let served_again = killed.elapsed();
    ensure!(served_again < Duration::from_secs(3), "{served_again:?}");
    for id in &of_the_killed {
        wait("a volume of the killed node", TAKEN_OVER, || {
            is_available(at[1], id)
        })?;
    }
    println!(
        "served again after {served_again:?}, all operations at rest after {:?}",
        killed.elapsed()
    );
    ensure!(at_rest(at[2])?.len() == 24);
    let (code, cluster) = shown(at[1])?;
    ensure!(code == Some(1), "{cluster:#}");
    let dead = cluster["control_nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|node| node["node"] == "c1/control");
    ensure!(dead.is_some_and(|node| node["state"] == "down"), "{cluster:#}");
    let mut services = Client::connect(at[1])?;
    let services = services
        .send("GET", "/os-services?binary=cinder-scheduler", "")?
        .json()?;
    let down = services["services"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|service| service["state"] == "down");
    let down: Vec<&Value> = down.map(|service| &service["host"]).collect();
    ensure!(down == ["c1"], "{services}");

    // It comes back at once, and serves.
    at[0] = nodes[0].serve()?;
    let id = create(at[0], "again")?;
    wait("a volume of the node that is back", TAKEN_OVER, || {
        is_available(at[2], &id)
    })?;

    // One that stood still finds that its place was taken, and ends; nothing that it does in between is done.
    nodes[1].signal(rustix::process::Signal::STOP)?;
    std::thread::sleep(Duration::from_secs(7));
    nodes[1].signal(rustix::process::Signal::CONT)?;
    let (child, _) = nodes[1].running.as_mut().context("it runs")?;
    let ended = child
        .ends_within(Duration::from_secs(20))?
        .context("it goes on")?;
    ensure!(ended.code() == Some(SUPERSEDED), "{ended}");
    let volumes = at_rest(at[0])?;
    ensure!(volumes.len() == 25, "{}", volumes.len());
    Ok(())
}
