//! The processes of a cluster, each on a host of its own: control nodes, members of etcd, and volume nodes with the target daemons that
//! these start. Certificates are issued by `pumice ca`, clients log in with a password.

#![expect(
    clippy::disallowed_types,
    reason = "the programs under test are killed, not waited for"
)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};

use crate::child::PROGRAM;
use crate::client::Client;
use crate::daemon::{self, Daemon, Exports, Identity};
use crate::endpoints::Endpoints;
use crate::network::{Network, address};
use crate::process::Node;

pub const CONTROL_NODES: usize = 3;
pub const MEMBERS: usize = 3;
pub const VOLUME_NODES: usize = 4;

/// The host numbers of the first of each.
const CONTROL: u8 = 11;
const ETCD: u8 = 21;
const VOLUME: u8 = 31;

/// Where a process must be within this, however much else this machine does.
const START_LIMIT: Duration = Duration::from_secs(90);

/// How often it is looked whether something has come to be.
const LOOK: Duration = Duration::from_millis(10);

/// How long clients wait for an answer. Longer than a control node may stand still before it is fenced.
const PATIENCE: Duration = Duration::from_secs(12);

const USER: &str = "admin";
const PASSWORD: &str = "of the administrator";

/// The exit codes of a control node that a supervisor is to start again: its store failed, its place was taken.
const TO_BE_STARTED_AGAIN: [i32; 2] = [74, 75];

/// What gives a process another clock (Debian: `faketime`).
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// What volume nodes say when their backend obeys, and before that when its daemon serves.
const BACKEND_IS_UP: &[u8] = b"backend is up";

/// Whom a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Control(usize),
    Etcd(usize),
    Volume(usize),
    /// The target daemon of a volume node: the node starts it again itself.
    Target(usize),
}

impl Part {
    /// The kind of process, for counting.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Control(_) => "control node",
            Self::Etcd(_) => "etcd member",
            Self::Volume(_) => "volume node",
            Self::Target(_) => "target daemon",
        }
    }

    /// The number of its host.
    pub fn host(self) -> u8 {
        let (first, index) = match self {
            Self::Control(index) => (CONTROL, index),
            Self::Etcd(index) => (ETCD, index),
            Self::Volume(index) | Self::Target(index) => (VOLUME, index),
        };
        first + u8::try_from(index).unwrap_or(u8::MAX)
    }
}

/// All hosts, by what runs there first.
pub fn hosts() -> Vec<Part> {
    let control = (0..CONTROL_NODES).map(Part::Control);
    let members = (0..MEMBERS).map(Part::Etcd);
    let volumes = (0..VOLUME_NODES).map(Part::Volume);
    control.chain(members).chain(volumes).collect()
}

/// Dropped, all processes are killed.
pub struct Nodes {
    folder: PathBuf,
    pub network: Network,
    endpoints: Arc<Endpoints>,
    control: Vec<Node>,
    members: Vec<Option<Process>>,
    volumes: Vec<Node>,
    /// The daemon of each volume node that was killed last.
    killed: Vec<Option<Identity>>,
    real_target: bool,
    /// How often a control node ended by itself, to be started again.
    pub ended: BTreeMap<i32, usize>,
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for index in 0..MEMBERS {
            let _ = self.kill(Part::Etcd(index));
        }
    }
}

impl Nodes {
    /// Starts all, and waits until they serve. The calling thread is in their network then.
    pub fn start(folder: &Path) -> Result<Self> {
        let numbers: Vec<u8> = hosts().into_iter().map(Part::host).collect();
        authority(folder, &["init", "--cluster", "test"])?;
        for index in 0..CONTROL_NODES {
            certify(folder, &control_name(index), &["--role", "control"])?;
        }
        for index in 0..VOLUME_NODES {
            let words = ["--role", "volume", "--backend", "file"];
            certify(folder, &volume_name(index), &words)?;
        }
        let real_target = daemon::is_installed();
        let target = if real_target { "tgt" } else { "fake" };
        let control = |index| Node::new(folder, &control_name(index), &control_config(folder, index));
        let volume = |index| Node::new(folder, &volume_name(index), &volume_config(folder, index, target));
        let addresses = (0..CONTROL_NODES).map(api).collect();
        let mut nodes = Self {
            folder: folder.to_owned(),
            network: Network::enter(&numbers)?,
            endpoints: Arc::new(Endpoints::several(addresses, USER, PASSWORD, PATIENCE)),
            control: (0..CONTROL_NODES).map(control).collect::<Result<_>>()?,
            members: (0..MEMBERS).map(|_| None).collect(),
            volumes: (0..VOLUME_NODES).map(volume).collect::<Result<_>>()?,
            killed: vec![None; VOLUME_NODES],
            real_target,
            ended: BTreeMap::new(),
        };
        for part in hosts() {
            nodes.set_clock(part, 0)?;
            nodes.begin(part)?;
        }
        nodes.wait_until_all_are_up()?;
        Ok(nodes)
    }

    /// Where clients find it.
    pub fn endpoints(&self) -> &Arc<Endpoints> {
        &self.endpoints
    }

    /// The name of the target, for the readers of the output.
    pub fn target(&self) -> &'static str {
        if self.real_target { "tgt" } else { "fake" }
    }

    /// Every part.
    pub fn parts(&self) -> Vec<Part> {
        let targets = (0..VOLUME_NODES).map(Part::Target).filter(|_| self.real_target);
        hosts().into_iter().chain(targets).collect()
    }

    /// Starts a part that does not run.
    pub fn begin(&mut self, part: Part) -> Result<()> {
        let host = part.host();
        match part {
            Part::Target(_) => Ok(()),
            Part::Control(index) => {
                let command = self.with_clock(part, self.network.command(host, PROGRAM));
                self.control[index].begin(command)
            }
            Part::Volume(index) => {
                let command = self.with_clock(part, self.network.command(host, PROGRAM));
                self.volumes[index].begin(command)
            }
            Part::Etcd(index) => {
                self.members[index] = Some(self.member(index)?);
                Ok(())
            }
        }
    }

    /// Kills a part. False if it is not there to be killed: a daemon between two lives.
    pub fn kill(&mut self, part: Part) -> Result<bool> {
        match part {
            Part::Target(index) => {
                let Some(daemon) = self.daemon(index)? else {
                    return Ok(false);
                };
                rustix::process::pidfd_send_signal(&daemon.pidfd, Signal::KILL)?;
                self.killed[index] = Some(daemon.identity);
            }
            Part::Control(index) => self.control[index].kill()?,
            Part::Volume(index) => self.volumes[index].kill()?,
            Part::Etcd(index) => {
                let Some(mut process) = self.members[index].take() else {
                    return Ok(false);
                };
                process.kill()?;
                process.wait()?;
            }
        }
        Ok(true)
    }

    /// Stops it where it stands (SIGSTOP), or lets it go on (SIGCONT).
    pub fn signal(&self, part: Part, signal: Signal) -> Result<()> {
        let pid = match part {
            Part::Control(index) => self.control[index].pid(),
            Part::Volume(index) | Part::Target(index) => self.volumes[index].pid(),
            Part::Etcd(index) => self.members[index].as_ref().map(Process::id),
        };
        let pid = Pid::from_raw(i32::try_from(pid.context("it runs")?)?).context("a pid")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// The clock of a node shows this from now on: so many seconds more or fewer than that of the machine. It is read once a second.
    pub fn set_clock(&self, part: Part, seconds: i64) -> Result<()> {
        // As a whole, or it is read half written.
        let (next, file) = (self.clock(part).with_extension("next"), self.clock(part));
        std::fs::write(&next, format!("{seconds:+}s\n"))?;
        Ok(std::fs::rename(next, file)?)
    }

    fn clock(&self, part: Part) -> PathBuf {
        self.folder.join(format!("clock-{}", part.host()))
    }

    /// Whether clocks can be set.
    pub fn has_clocks(&self) -> bool {
        Path::new(FAKETIME).exists()
    }

    fn with_clock(&self, part: Part, mut command: Command) -> Command {
        if self.has_clocks() {
            command
                .env("LD_PRELOAD", FAKETIME)
                .env("FAKETIME_TIMESTAMP_FILE", self.clock(part))
                .env("FAKETIME_CACHE_DURATION", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
    }

    /// Starts again what a supervisor would: control nodes that ended by themselves with a code that asks for it. Others must not end.
    /// Whether there was one.
    pub fn supervise(&mut self) -> Result<bool> {
        let mut has_begun_one = false;
        for index in 0..CONTROL_NODES {
            let Some(status) = self.control[index].ended()? else {
                continue;
            };
            let code = status.code().unwrap_or_default();
            ensure!(
                TO_BE_STARTED_AGAIN.contains(&code),
                "control node {} ended by itself with {status}: {}",
                index + 1,
                self.control[index].last_words()?
            );
            *self.ended.entry(code).or_default() += 1;
            self.begin(Part::Control(index))?;
            has_begun_one = true;
        }
        for (index, node) in self.volumes.iter_mut().enumerate() {
            if let Some(status) = node.ended()? {
                bail!(
                    "volume node {} ended by itself with {status}: {}",
                    index + 1,
                    node.last_words()?
                );
            }
        }
        for (index, member) in self.members.iter_mut().enumerate() {
            let status = member.as_mut().map(Process::try_wait).transpose()?.flatten();
            if let Some(status) = status {
                bail!("etcd member {} ended by itself with {status}", index + 1);
            }
        }
        Ok(has_begun_one)
    }

    pub fn wait_until_all_are_up(&mut self) -> Result<()> {
        for part in self.parts() {
            self.wait_until_up(part)?;
        }
        Ok(())
    }

    /// Waits until every control node has made a change since: one that may make none any more has ended then.
    pub fn wait_until_all_have_committed(&mut self) -> Result<()> {
        for index in 0..CONTROL_NODES {
            let limit = Instant::now() + START_LIMIT;
            while !self.commits(index) {
                ensure!(
                    Instant::now() < limit,
                    "control node {} makes no changes after {START_LIMIT:?}: {}",
                    index + 1,
                    self.control[index].last_words()?
                );
                self.supervise()?;
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// Whether a control node can make a change: of what belongs to no client.
    fn commits(&self, index: usize) -> bool {
        let change = || -> Result<bool> {
            let mut client = self.endpoints.connect(index)?;
            let body = format!(
                r#"{{"volume_type": {{"name": "of the test {}"}}}}"#,
                uuid::Uuid::new_v4()
            );
            let made = client.send("POST", "/types", &body)?;
            let made = made.json()?;
            let id = made["volume_type"]["id"].as_str().context("no id")?;
            let deleted = client.send("DELETE", &format!("/types/{id}"), "")?;
            Ok(deleted.status == 202)
        };
        change().unwrap_or(false)
    }

    /// Waits until a part does its work again.
    pub fn wait_until_up(&mut self, part: Part) -> Result<()> {
        let limit = Instant::now() + START_LIMIT;
        while !self.is_up(part)? {
            if Instant::now() > limit {
                let words = match part {
                    Part::Control(index) => self.control[index].last_words()?,
                    Part::Volume(index) | Part::Target(index) => self.volumes[index].last_words()?,
                    Part::Etcd(_) => String::new(),
                };
                bail!("{part:?} is not up after {START_LIMIT:?}: {words}");
            }
            self.supervise()?;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn is_up(&self, part: Part) -> Result<bool> {
        match part {
            Part::Target(index) => {
                let (before, now) = (&self.killed[index], self.daemon(index)?);
                let is_new = now.is_some_and(|daemon| before.as_ref() != Some(&daemon.identity));
                Ok(is_new && self.exports(index).is_ok())
            }
            // Healthy, and not read-only for want of etcd.
            Part::Control(index) => Ok(self.health(index) == Some("OK".to_owned())),
            Part::Volume(index) => self.volumes[index].has_said(BACKEND_IS_UP),
            Part::Etcd(index) => Ok(self.member_is_healthy(index)),
        }
    }

    /// What `/healthcheck` of a control node says, if it says 200.
    fn health(&self, index: usize) -> Option<String> {
        let mut client = Client::connect(api(index)).ok()?;
        client.wait_at_most(Duration::from_secs(2)).ok()?;
        let answer = client.send_raw("GET", "/healthcheck", "").ok()?;
        (answer.status == 200).then(|| answer.text())
    }

    fn member_is_healthy(&self, index: usize) -> bool {
        let output = etcdctl(&[endpoint(index)], &["endpoint", "health"]);
        output.is_ok_and(|output| output.status.success())
    }

    /// The member that leads now.
    pub fn leader(&self) -> Option<usize> {
        let output = etcdctl(&all_endpoints(), &["endpoint", "status"]).ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let leads = |line: &&str| line.split(", ").nth(4) == Some("true");
        let line = text.lines().find(leads)?;
        (0..MEMBERS).find(|index| line.starts_with(&endpoint(*index)))
    }

    fn member(&self, index: usize) -> Result<Process> {
        let host = address(Part::Etcd(index).host());
        let name = |index: usize| format!("etcd-{}", index + 1);
        let peers = |index: usize| {
            format!(
                "{}=http://{}:2380",
                name(index),
                address(Part::Etcd(index).host())
            )
        };
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join(format!("{}.log", name(index))))?;
        let (client, peer) = (endpoint(index), format!("http://{host}:2380"));
        self.network
            .command(Part::Etcd(index).host(), "etcd")
            .args([
                "--name",
                &name(index),
                "--logger",
                "zap",
                "--log-outputs",
                "stderr",
            ])
            .args(["--log-level", "warn"])
            .arg("--data-dir")
            .arg(self.folder.join(name(index)))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args([
                "--initial-cluster",
                &(0..MEMBERS).map(peers).collect::<Vec<_>>().join(","),
            ])
            .args(["--initial-cluster-state", "new"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("etcd is installed: scripts/install-packages etcd-server etcd-client")
    }

    /// The daemon of a node, if it runs.
    fn daemon(&self, index: usize) -> Result<Option<Daemon>> {
        match self.volumes[index].pid() {
            Some(pid) => daemon::of_process(pid),
            None => Ok(None),
        }
    }

    /// What the target daemon of a node exports; nothing where the target is not real.
    pub fn exports(&self, index: usize) -> Result<Exports> {
        if !self.real_target {
            return Ok(Exports::new());
        }
        let socket = self.folder.join(volume_name(index)).join("tgt/file/socket");
        daemon::exports(&socket)
    }

    /// Whether targets can be looked into.
    pub fn shows_exports(&self) -> bool {
        self.real_target
    }

    /// The files of a node's backend, by name.
    pub fn files(&self, index: usize) -> Result<BTreeMap<String, PathBuf>> {
        files(&self.folder, index)
    }

    /// Stops all of Pumice in order, and looks whether they leave processes behind. The members of etcd go on.
    pub fn stop(&mut self) -> Result<()> {
        for (index, node) in self.volumes.iter_mut().enumerate() {
            node.stop().with_context(|| volume_name(index))?;
        }
        for (index, node) in self.control.iter_mut().enumerate() {
            node.stop().with_context(|| control_name(index))?;
        }
        daemon::none_is_left(self.folder.to_str().context("a path")?)
    }

    /// What `pumice fsck` says of the state, with the control nodes stopped.
    pub fn fsck(&self) -> Result<String> {
        let checked = self
            .network
            .command(Part::Control(0).host(), PROGRAM)
            .args(["fsck", "--config"])
            .arg(&self.control[0].config)
            .output()?;
        let said = String::from_utf8(checked.stdout)? + &String::from_utf8(checked.stderr)?;
        ensure!(
            checked.status.success(),
            "pumice fsck: {}\n{said}",
            checked.status
        );
        Ok(said)
    }
}

fn etcdctl(endpoints: &[String], words: &[&str]) -> Result<std::process::Output> {
    Ok(Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &endpoints.join(",")])
        .args(["--dial-timeout", "1s", "--command-timeout", "2s"])
        .args(words)
        .output()?)
}

fn authority(folder: &Path, words: &[&str]) -> Result<()> {
    let output = Command::new(PROGRAM)
        .arg("ca")
        .arg("--dir")
        .arg(folder.join("ca"))
        .args(words)
        .output()?;
    ensure!(
        output.status.success(),
        "pumice ca {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn certify(folder: &Path, name: &str, rest: &[&str]) -> Result<()> {
    let out = folder.join(name).join("tls");
    std::fs::create_dir_all(folder.join(name))?;
    let mut words = vec!["issue", "--host", name];
    words.extend(rest);
    words.extend(["--out", out.to_str().context("a path")?]);
    authority(folder, &words)
}

/// Where the API of a control node is.
fn api(index: usize) -> SocketAddr {
    SocketAddrV4::new(address(Part::Control(index).host()), 8776).into()
}

fn endpoint(index: usize) -> String {
    format!("http://{}:2379", address(Part::Etcd(index).host()))
}

fn all_endpoints() -> Vec<String> {
    (0..MEMBERS).map(endpoint).collect()
}

fn control_name(index: usize) -> String {
    format!("control-{}", index + 1)
}

/// The name of a volume node, and of its folder.
pub fn volume_name(index: usize) -> String {
    format!("volume-{}", index + 1)
}

/// The files of a volume node's backend, by name.
pub fn files(folder: &Path, index: usize) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder.join(volume_name(index)).join("volumes/file"))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok();
        files.insert(name.context("a file name that is no text")?, entry.path());
    }
    files.remove(".pumice.lock");
    Ok(files)
}

/// Quick to try again, so that a run is about what happens and not about pauses. No node counts as down for the scheduler: it would
/// refuse to grow a volume of it, after the 202, which is right and no loss.
fn common(folder: &Path, name: &str, role: &str) -> String {
    format!(
        r#"
[node]
host = "{name}"
roles = ["{role}"]
data_dir = "{data}"

[log]
filter = "{filter}"
format = "text"

[service]
report_interval = "1s"
down_time = "5m"

[operations]
resend_after = "2s"
retry_initial = "100ms"
retry_max = "2s"
"#,
        data = folder.join(name).display(),
        filter = std::env::var("PUMICE_CLUSTER_LOG").unwrap_or_else(|_| "info,actix_server=warn".to_owned()),
    )
}

/// `[transport]`, with what a host listens on and whom it joins.
fn transport(folder: &Path, name: &str, listen: Option<u8>, join: impl Iterator<Item = u8>) -> String {
    let tls = folder.join(name).join("tls");
    let join: Vec<String> = join.map(|host| format!("{}:8777", address(host))).collect();
    let mut text = format!(
        "[transport]\njoin = {join:?}\nping_interval = \"500ms\"\ncertificate = {:?}\nkey = {:?}\nca = {:?}\n",
        tls.join("node.pem"),
        tls.join("node.key"),
        tls.join("ca.pem"),
    );
    if let Some(listen) = listen {
        let _ = writeln!(text, "listen = \"{}:8777\"", address(listen));
    }
    text
}

fn control_config(folder: &Path, index: usize) -> String {
    let (name, host) = (control_name(index), Part::Control(index).host());
    let others = (0..CONTROL_NODES).map(|other| Part::Control(other).host());
    common(folder, &name, "control")
        + &transport(folder, &name, Some(host), others.filter(|other| *other != host))
        + &format!(
            r#"
[web]
listen = "{web}"

[auth]
users = [{{ name = "{USER}", password = "{PASSWORD}", project = "admin", roles = ["admin"] }}]

[store]
engine = "etcd"
etcd_endpoints = {endpoints:?}
etcd_timeout = "6s"

[quota]
volumes = -1
gigabytes = -1
snapshots = -1
"#,
            web = api(index),
            endpoints = all_endpoints(),
        )
}

fn volume_config(folder: &Path, index: usize, target: &str) -> String {
    let (name, host) = (volume_name(index), Part::Volume(index).host());
    let join = (0..CONTROL_NODES).map(|control| Part::Control(control).host());
    common(folder, &name, "volume")
        + &transport(folder, &name, None, join)
        + &format!(
            r#"
[backend.file]
driver = "file"
target = "{target}"
target_portal = "{}:3260"
max_over_subscription_ratio = "1000000.0"
"#,
            address(host)
        )
}
