//! The program as a process, on a folder of its own or in a place that is entered by another program.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::child::{Child, PROGRAM};
use crate::client::Client;

/// Files, a target that leads nowhere, each user an administrator, and room for all.
const CONFIG: &str = r#"
[auth]
strategy = "noauth"

[quota]
volumes = -1
gigabytes = -1
snapshots = -1

[store]
min_free_space = "1MiB"

[operations]
resend_after = "500ms"

[backend.file]
driver = "file"
target = "fake"
max_over_subscription_ratio = "1000000.0"
"#;

/// Where the program runs: its files, and what brings it there.
pub struct Place {
    /// The configuration and the log, which no fault reaches.
    pub folder: PathBuf,
    /// `node.data_dir`, as the program sees it.
    pub data: PathBuf,
    /// What is put before the program.
    pub enter: Vec<OsString>,
    /// More of the configuration.
    pub config: &'static str,
}

impl Place {
    pub fn plain(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            data: folder.join("data"),
            enter: Vec::new(),
            config: "",
        }
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.join("pumice.toml")
    }

    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.folder.join("log"))?)
    }

    pub fn command(&self, program: &str) -> Command {
        match self.enter.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        }
    }

    /// One of the program's other commands, with the configuration.
    pub fn run(&self, words: &[&str]) -> Result<Output> {
        std::fs::write(self.config_file(), format!("{CONFIG}{}", self.config))?;
        Ok(self
            .command(PROGRAM)
            .args(words)
            .arg("--config")
            .arg(self.config_file())
            .env("PUMICE_NODE__DATA_DIR", &self.data)
            .output()?)
    }

    pub fn succeeds(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words)?;
        let said = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
        ensure!(output.status.success(), "{words:?}: {said}");
        Ok(said)
    }

    pub fn must_agree(&self) -> Result<()> {
        let said = self.succeeds(&["fsck"])?;
        ensure!(said.ends_with("all agrees\n"), "{said}");
        Ok(())
    }
}

pub struct Pumice {
    child: Child,
    pub address: SocketAddr,
}

impl Pumice {
    /// Starts it and waits until it serves.
    pub fn start(place: &Place) -> Result<Self> {
        std::fs::write(place.config_file(), format!("{CONFIG}{}", place.config))?;
        let program = place.command(PROGRAM);
        let log = place.folder.join("log");
        let (child, address) = Child::serving(program, &place.config_file(), &place.data, &log)?;
        Ok(Self { child, address })
    }

    /// That it does not start, and what it says last.
    pub fn must_refuse(place: &Place) -> Result<String> {
        let before = place.log().map_or(0, |log| log.len());
        match Self::start(place) {
            Ok(_) => bail!("it served"),
            Err(error) if error.to_string().starts_with("it ended with exit status: 1") => {
                Ok(place.log()?[before..].to_owned())
            }
            Err(error) => Err(error),
        }
    }

    pub fn healthcheck(&self) -> Result<(u16, String)> {
        let answer = Client::connect(self.address)?.send_raw("GET", "/healthcheck", "")?;
        Ok((answer.status, answer.text()))
    }

    /// How many bytes of it are in memory.
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// SIGKILL.
    pub fn kill(self) -> Result<()> {
        self.child.kill()
    }

    /// SIGTERM, without waiting for what comes of it.
    pub fn terminate(&self) -> Result<()> {
        self.child.terminate()
    }

    /// That it ends by itself in that time, and how.
    pub fn ends_within(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.child.ends_within(limit)?.context("it has not ended")
    }

    /// SIGTERM; it must end within 10 seconds, with 0.
    pub fn stop(self) -> Result<()> {
        self.child.stop()
    }
}
