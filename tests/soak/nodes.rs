//! The processes of one service: a control node, volume nodes, and the target daemons that these start. Each has addresses of
//! its own on the loopback, so that it comes back where it was, and that nothing else of this machine is met.

#![expect(clippy::disallowed_types, reason = "the program under test is what is run")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::child::PROGRAM;
use crate::client::Client;
use crate::daemon::{self, Daemon, Exports, Identity};
use crate::endpoints::Endpoints;
use crate::process::Node;

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

pub struct Nodes {
    folder: PathBuf,
    address: SocketAddr,
    endpoints: Arc<Endpoints>,
    control: Node,
    volumes: Vec<Node>,
    /// The daemon of each volume node that was killed last.
    killed: Vec<Option<Identity>>,
    real_target: bool,
}

impl Nodes {
    /// Starts all, and waits until they serve.
    pub fn start(folder: &Path) -> Result<Self> {
        let real_target = daemon::is_installed();
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
            endpoints: Arc::new(Endpoints::one(address)),
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

    /// Where clients find it.
    pub fn endpoints(&self) -> &Arc<Endpoints> {
        &self.endpoints
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
                self.node(part)?.kill()?;
                self.begin(part)?;
            }
        }
        Ok(true)
    }

    fn begin(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Target(_) => Ok(()),
            Part::Control | Part::Volume(_) => self.node(part)?.begin(Command::new(PROGRAM)),
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
        if let Some(status) = node.ended()? {
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

    /// Stops all in order, and looks whether they leave processes behind.
    pub fn stop(mut self) -> Result<()> {
        for part in self.parts().into_iter().rev() {
            if let Part::Target(_) = part {
                continue;
            }
            self.node(part)?.stop().with_context(|| format!("{part:?}"))?;
        }
        daemon::none_is_left(self.folder.to_str().context("a path")?)
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
