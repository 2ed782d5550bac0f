//! One storage, two processes: the second is refused; and if it is not, for the first stood still and its locks were lost, the first
//! destroys nothing when it goes on.

#![expect(clippy::disallowed_types, reason = "the program under test is what is run")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};

use crate::child::{Child, PROGRAM};
use crate::client::Client;

const SECRET: &str = "what both nodes know";

/// How long what is waited for may take on a machine that has much else to do.
const LIMIT: Duration = Duration::from_secs(60);

struct Split {
    folder: tempfile::TempDir,
    peers: SocketAddr,
    web: SocketAddr,
    _control: Child,
}

impl Split {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let peers = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = folder.path().join("control.toml");
        let text = format!(
            r#"
[node]
host = "control"
roles = ["control"]
[auth]
strategy = "noauth"
[operations]
resend_after = "1s"
retry_initial = "100ms"
retry_max = "1s"
[transport]
listen = "{peers}"
secret = "{SECRET}"
ping_interval = "500ms"
"#
        );
        std::fs::write(&config, text)?;
        let (data, log) = (folder.path().join("control"), folder.path().join("control.log"));
        let (control, web) = Child::serving(Command::new(PROGRAM), &config, &data, &log)?;
        Ok(Self {
            folder,
            peers,
            web,
            _control: control,
        })
    }

    /// A volume node on the storage that all of them have, with the other settings of its backend.
    fn volume(&self, name: &str, data: &str, more: &str) -> Result<Child> {
        let (path, storage) = (self.folder.path(), self.storage());
        let config = path.join(format!("{name}.toml"));
        let text = format!(
            r#"
[node]
host = "volume"
roles = ["volume"]
data_dir = "{}"
[service]
report_interval = "500ms"
[transport]
join = ["{}"]
secret = "{SECRET}"
ping_interval = "500ms"
[backend.file]
driver = "file"
path = "{}"
target = "none"
{more}
"#,
            path.join(data).display(),
            self.peers,
            storage.display(),
        );
        std::fs::write(&config, text)?;
        Child::serve(Command::new(PROGRAM), &config, &[], &self.log(name))
    }

    fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn said(&self, name: &str, words: &str) -> bool {
        std::fs::read_to_string(self.log(name)).is_ok_and(|log| log.contains(words))
    }

    fn status(&self, volume: &str) -> Result<String> {
        let answer = Client::connect(self.web)?.send("GET", &format!("/volumes/{volume}"), "")?;
        let status = answer.json()?["volume"]["status"].as_str().map(str::to_owned);
        status.with_context(|| answer.text())
    }

    /// A volume, once the service takes it.
    fn make(&self, more: &str) -> Result<String> {
        let body = format!(r#"{{"volume": {{"size": 1{more}}}}}"#);
        let answer = Client::connect(self.web)?.send("POST", "/volumes", &body)?;
        let id = answer.json()?["volume"]["id"].as_str().map(str::to_owned);
        id.with_context(|| answer.text())
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let give_up = Instant::now() + LIMIT;
    while !is_so()? {
        ensure!(Instant::now() < give_up, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn has_draft(storage: &Path) -> Result<bool> {
    let mut entries = std::fs::read_dir(storage)?;
    Ok(
        entries
            .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(".new-"))),
    )
}

#[test]
fn a_paused_process_keeps_a_second_out_and_destroys_nothing_when_its_locks_were_lost() -> Result<()> {
    let split = Split::start()?;
    let slow = "volume_copy_bps_limit = \"1MiB\"";
    let mut first = split.volume("first", "data", slow)?;
    until("the backend is up", || Ok(split.said("first", "backend is up")))?;
    let source = split.make("")?;
    until("the source is made", || Ok(split.status(&source)? == "available"))?;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(split.storage().join(format!("volume-{source}")))?;
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![7; 4 << 20], 0)?;
    let clone = split.make(&format!(r#", "source_volid": "{source}""#))?;
    until("the clone is being copied", || has_draft(&split.storage()))?;
    let pid = Pid::from_child(&first.0);
    rustix::process::kill_process(pid, Signal::STOP)?;

    // As expected, no other process starts, by the same data directory or by the storage alone.
    for (name, data) in [("second", "data"), ("third", "other")] {
        let mut refused = split.volume(name, data, "")?;
        let status = refused.ends_within(LIMIT)?.context("it was not refused")?;
        ensure!(status.code() == Some(1), "{name} ended with {status}");
        let holder = format!("in use by another process (pid {} on ", first.0.id());
        ensure!(
            split.said(name, &holder),
            "{}",
            std::fs::read_to_string(split.log(name))?
        );
    }

    // The lock files are deleted, and another process is started.
    std::fs::remove_file(split.storage().join(".pumice.lock"))?;
    std::fs::remove_file(split.folder.path().join("data/lock"))?;
    let second = split.volume("successor", "data", "")?;
    until("the clone is made", || Ok(split.status(&clone)? == "available"))?;
    rustix::process::kill_process(pid, Signal::CONT)?;
    let status = first.ends_within(LIMIT)?.context("the first did not stop")?;
    ensure!(status.code() == Some(75), "the first ended with {status}");
    ensure!(split.status(&clone)? == "available");
    let copied = std::fs::read(split.storage().join(format!("volume-{source}")))?;
    let there = std::fs::read(split.storage().join(format!("volume-{clone}")))?;
    ensure!(copied == there, "the clone is not what was copied");
    second.stop()
}
