//! The processes of one service: a control node, volume nodes, and the target daemons that these start. Each has addresses of
//! its own on the loopback, so that it comes back where it was, and that nothing else of this machine is met.

#![expect(
    clippy::disallowed_types,
    reason = "the program under test is what is run, and the daemon's tool to see what it has"
)]

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::child::{Child, PROGRAM};
use crate::client::Client;

/// How many volume nodes there are.
pub const VOLUME_NODES: usize = 2;

/// Where a process must be within this, however much else this machine does.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How often it is looked whether something has come to be.
const LOOK: Duration = Duration::from_millis(5);

/// What the nodes prove to each other.
const SECRET: &str = "what all nodes of a soak know";

/// How much one message tells of what a backend has: little, so that a start takes several.
const PAGE: u32 = 20;

/// What volume nodes say when their backend obeys, and before that when its daemon serves.
const BACKEND_IS_UP: &[u8] = b"backend is up";

/// Whom a kill is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Control,
    Volume(usize),
    /// The target daemon of a volume node: the node starts it again itself.
    Target(usize),
}

impl Part {
    /// The kind of process, for counting.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Volume(_) => "volume",
            Self::Target(_) => "target",
        }
    }
}

/// One `pumice serve`: what starts it, and the process if it runs.
struct Node {
    config: PathBuf,
    log: PathBuf,
    /// How long the log was when it was started.
    log_began: u64,
    child: Option<Child>,
}

/// A target daemon that one may kill without ever hitting another process that got its number.
struct Daemon {
    identity: Identity,
    pidfd: OwnedFd,
}

/// A process's number, and when it was started: numbers come again.
type Identity = (i32, String);

/// What a target daemon exports: the iSCSI name's last part, and the megabytes that it tells.
pub type Exports = BTreeMap<String, u64>;

pub struct Nodes {
    folder: PathBuf,
    pub address: SocketAddr,
    control: Node,
    volumes: Vec<Node>,
    /// The daemon of each volume node that was killed last.
    killed: Vec<Option<Identity>>,
    real_target: bool,
}

impl Nodes {
    /// Starts all, and waits until they serve.
    pub fn start(folder: &Path) -> Result<Self> {
        let real_target = has_programs(&["tgtd", "tgtadm", "setpriv"]);
        let ip = |last: usize| format!("127.{}.252.{last}", 1 + std::process::id() % 250);
        let free = |ip: String| -> Result<SocketAddr> {
            Ok(std::net::TcpListener::bind(format!("{ip}:0"))?.local_addr()?)
        };
        let (address, peers) = (free(ip(1))?, free(ip(2))?);
        let control = Node::new(folder, "control", &control_config(folder, address, peers))?;
        let mut volumes = Vec::new();
        for index in 0..VOLUME_NODES {
            let portal = free(ip(11 + index))?;
            let target = if real_target { "tgt" } else { "fake" };
            let config = volume_config(folder, index, peers, portal, target);
            volumes.push(Node::new(folder, &volume_name(index), &config)?);
        }
        let mut nodes = Self {
            folder: folder.to_owned(),
            address,
            control,
            volumes,
            killed: vec![None; VOLUME_NODES],
            real_target,
        };
        for part in nodes.parts() {
            nodes.begin(part)?;
        }
        nodes.wait_until_all_are_up()?;
        Ok(nodes)
    }

    /// Every part, in the order in which they are started.
    pub fn parts(&self) -> Vec<Part> {
        let volumes = (0..VOLUME_NODES).map(Part::Volume);
        let targets = (0..VOLUME_NODES).map(Part::Target).filter(|_| self.real_target);
        std::iter::once(Part::Control)
            .chain(volumes)
            .chain(targets)
            .collect()
    }

    /// The name of the target, for the readers of the output.
    pub fn target(&self) -> &'static str {
        if self.real_target { "tgt" } else { "fake" }
    }

    /// Kills a part, and starts it again if no supervisor does. False if it is not there to be killed: a daemon between two lives.
    pub fn kill(&mut self, part: Part) -> Result<bool> {
        match part {
            Part::Target(index) => {
                let Some(daemon) = self.daemon(index)? else {
                    return Ok(false);
                };
                rustix::process::pidfd_send_signal(&daemon.pidfd, Signal::KILL)?;
                self.killed[index] = Some(daemon.identity);
            }
            Part::Control | Part::Volume(_) => {
                let child = self.node(part)?.child.take();
                child.context("it was started")?.kill()?;
                self.begin(part)?;
            }
        }
        Ok(true)
    }

    fn begin(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Target(_) => Ok(()),
            Part::Control | Part::Volume(_) => self.node(part)?.begin(),
        }
    }

    fn node(&mut self, part: Part) -> Result<&mut Node> {
        match part {
            Part::Control => Ok(&mut self.control),
            Part::Volume(index) | Part::Target(index) => {
                self.volumes.get_mut(index).context("there is such a node")
            }
        }
    }

    /// Waits until a part does its work again.
    pub fn wait_until_up(&mut self, part: Part) -> Result<()> {
        let limit = Instant::now() + START_LIMIT;
        while !self.is_up(part)? {
            ensure!(
                Instant::now() < limit,
                "{part:?} is not up after {START_LIMIT:?}: {}",
                self.node(part)?.last_words()?
            );
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    pub fn wait_until_all_are_up(&mut self) -> Result<()> {
        for part in self.parts() {
            self.wait_until_up(part)?;
        }
        Ok(())
    }

    fn is_up(&mut self, part: Part) -> Result<bool> {
        if let Part::Target(index) = part {
            let (before, now) = (&self.killed[index], self.daemon(index)?);
            let is_new = now.is_some_and(|daemon| before.as_ref() != Some(&daemon.identity));
            return Ok(is_new && self.exports(index).is_ok());
        }
        let address = self.address;
        let node = self.node(part)?;
        if let Some(status) = node.child.as_mut().context("it was started")?.ended()? {
            bail!("{part:?} ended by itself with {status}: {}", node.last_words()?);
        }
        match part {
            Part::Control => {
                let health = Client::connect(address)
                    .and_then(|mut client| client.send_raw("GET", "/healthcheck", ""));
                Ok(health.is_ok_and(|answer| answer.status == 200))
            }
            _ => node.has_said(BACKEND_IS_UP),
        }
    }

    /// The daemon of a node: the process of that name that the node has started.
    fn daemon(&self, index: usize) -> Result<Option<Daemon>> {
        let Some(child) = &self.volumes[index].child else {
            return Ok(None);
        };
        let parent = child.0.id();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let Some(process) = Pid::from_raw(pid) else {
                continue;
            };
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            let Some(started) = started_by(&stat, parent) else {
                continue;
            };
            // Looked at again once it is in hand, for its number may have gone to another since.
            let Ok(pidfd) = rustix::process::pidfd_open(process, PidfdFlags::empty()) else {
                continue;
            };
            let again = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if started_by(&again, parent) == Some(started) {
                let identity = (pid, started.to_owned());
                return Ok(Some(Daemon { identity, pidfd }));
            }
        }
        Ok(None)
    }

    /// What the target daemon of a node exports; nothing where the target is not real.
    pub fn exports(&self, index: usize) -> Result<Exports> {
        if !self.real_target {
            return Ok(Exports::new());
        }
        let socket = self.folder.join(volume_name(index)).join("tgt/file/socket");
        let shown = Command::new("tgtadm")
            .args(["-C", "1", "--lld", "iscsi", "--mode", "target", "--op", "show"])
            .env("PATH", pumice::drivers::command::PATH)
            .env("TGT_IPC_SOCKET", socket)
            .output()?;
        ensure!(
            shown.status.success(),
            "tgtadm: {}",
            String::from_utf8_lossy(&shown.stderr)
        );
        Ok(read_exports(&String::from_utf8(shown.stdout)?))
    }

    /// Whether targets can be looked into.
    pub fn shows_exports(&self) -> bool {
        self.real_target
    }

    /// The files of a node's backend, by name.
    pub fn files(&self, index: usize) -> Result<BTreeMap<String, PathBuf>> {
        files(&self.folder, index)
    }

    /// Stops all in order, and looks whether they leave processes behind.
    pub fn stop(mut self) -> Result<()> {
        for part in self.parts().into_iter().rev() {
            if let Part::Target(_) = part {
                continue;
            }
            let child = self.node(part)?.child.take().context("it was started")?;
            child.stop().with_context(|| format!("{part:?}"))?;
        }
        let folder = self.folder.to_str().context("a path")?;
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&line).replace('\0', " ");
            ensure!(
                !words.contains("tgtd ") || !words.contains(folder),
                "a daemon is left: {words}"
            );
        }
        Ok(())
    }

    /// What `pumice fsck` says of the state; no process may have it open.
    pub fn fsck(folder: &Path) -> Result<String> {
        let checked = Command::new(env!("CARGO_BIN_EXE_pumice"))
            .arg("fsck")
            .arg("--config")
            .arg(folder.join("control.toml"))
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

impl Node {
    fn new(folder: &Path, name: &str, config: &str) -> Result<Self> {
        let file = folder.join(format!("{name}.toml"));
        std::fs::write(&file, config)?;
        Ok(Self {
            config: file,
            log: folder.join(format!("{name}.log")),
            log_began: 0,
            child: None,
        })
    }

    fn begin(&mut self) -> Result<()> {
        self.log_began = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        self.child = Some(Child::serve(Command::new(PROGRAM), &self.config, &[], &self.log)?);
        Ok(())
    }

    /// Whether it has said this since it was started.
    fn has_said(&self, words: &[u8]) -> Result<bool> {
        let said = self.said()?;
        Ok(said.windows(words.len()).any(|window| window == words))
    }

    fn said(&self) -> Result<Vec<u8>> {
        let mut said = Vec::new();
        let mut log = std::fs::File::open(&self.log)?;
        log.seek(SeekFrom::Start(self.log_began))?;
        log.read_to_end(&mut said)?;
        Ok(said)
    }

    fn last_words(&self) -> Result<String> {
        let said = self.said()?;
        let last = said.len().saturating_sub(4000);
        Ok(String::from_utf8_lossy(&said[last..]).into_owned())
    }
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

/// Quick to notice and to try again, so that a soak is about what happens and not about pauses.
fn common(folder: &Path, name: &str, role: &str) -> String {
    format!(
        r#"
[node]
host = "{name}"
roles = ["{role}"]
data_dir = "{}"

[log]
filter = "{}"
format = "text"

[service]
report_interval = "500ms"
down_time = "30s"

[operations]
resend_after = "1s"
retry_initial = "100ms"
retry_max = "1s"
"#,
        folder.join(name).display(),
        std::env::var("PUMICE_SOAK_LOG").unwrap_or_else(|_| "info,actix_server=warn".to_owned()),
    )
}

fn control_config(folder: &Path, web: SocketAddr, peers: SocketAddr) -> String {
    common(folder, "control", "control")
        + &format!(
            r#"
[web]
listen = "{web}"

[auth]
strategy = "noauth"

[quota]
volumes = -1
gigabytes = -1
snapshots = -1

[transport]
listen = "{peers}"
secret = "{SECRET}"
page_size = {PAGE}
"#
        )
}

fn volume_config(folder: &Path, index: usize, peers: SocketAddr, portal: SocketAddr, target: &str) -> String {
    common(folder, &volume_name(index), "volume")
        + &format!(
            r#"
[transport]
join = ["{peers}"]
secret = "{SECRET}"
page_size = {PAGE}
ping_interval = "500ms"

[backend.file]
driver = "file"
target = "{target}"
target_portal = "{portal}"
max_over_subscription_ratio = "1000000.0"
"#
        )
}

fn has_programs(names: &[&str]) -> bool {
    let has = |name: &&str| {
        std::env::split_paths(pumice::drivers::command::PATH).any(|folder| folder.join(name).is_file())
    };
    names.iter().all(has)
}

/// When it was started, if `/proc/…/stat` is that of a living target daemon with this parent.
fn started_by(stat: &str, parent: u32) -> Option<&str> {
    // The name is in brackets, and may have blanks and brackets itself.
    let (name, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let (state, its_parent, started) = (fields.first()?, fields.get(1)?, fields.get(19)?);
    let is_it = name.ends_with("(tgtd") && *state != "Z" && *its_parent == parent.to_string();
    is_it.then_some(*started)
}

/// Reads `target show`: LUN 1 is the volume, LUN 0 the controller.
fn read_exports(text: &str) -> Exports {
    let mut exports = Exports::new();
    let (mut name, mut lun) = (String::new(), "");
    for line in text.lines() {
        let line = line.trim();
        if let Some((_, iqn)) = line
            .strip_prefix("Target ")
            .and_then(|rest| rest.split_once(": "))
        {
            name = iqn.rsplit(':').next().unwrap_or_default().to_owned();
            exports.insert(name.clone(), 0);
        } else if let Some(number) = line.strip_prefix("LUN: ") {
            lun = number;
        } else if let Some(size) = line.strip_prefix("Size: ").filter(|_| lun == "1")
            && let Some(megabytes) = size.split(' ').next().and_then(|number| number.parse().ok())
        {
            exports.insert(name.clone(), megabytes);
        }
    }
    exports
}
