//! One `pumice serve` as a process: started with a log that outlives it, stopped as an init system stops it, or killed.

#![expect(
    clippy::disallowed_types,
    reason = "the program under test is killed, not waited for"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::client::Client;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_pumice");

/// How many were started that listen on an address of their own.
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// Dropped, it is killed.
pub struct Child(pub std::process::Child);

impl Child {
    /// Starts it with a command that leads to it; what it says is added to the log.
    pub fn serve(mut program: Command, config: &Path, words: &[&str], log: &Path) -> Result<Self> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = program
            .arg("serve")
            .arg("--config")
            .arg(config)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self(child))
    }

    /// The same with an API on an address of its own, and with this data folder; waits until it serves.
    pub fn serving(
        program: Command,
        config: &Path,
        data_dir: &Path,
        log: &Path,
    ) -> Result<(Self, SocketAddr)> {
        let address = own_address()?;
        let data_dir = data_dir.to_str().context("a path")?;
        let words = ["--listen", &address.to_string(), "--data-dir", data_dir];
        let mut child = Self::serve(program, config, &words, log)?;
        let limit = Instant::now() + Duration::from_secs(30);
        while !serves(address) {
            if let Some(status) = child.ended()? {
                bail!("it ended with {status}: {}", std::fs::read_to_string(log)?);
            }
            ensure!(
                Instant::now() < limit,
                "it does not serve after half a minute: {}",
                std::fs::read_to_string(log)?
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok((child, address))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// How it ended, if it does in that time.
    pub fn ends_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let limit = Instant::now() + limit;
        loop {
            let ended = self.ended()?;
            if ended.is_some() || Instant::now() >= limit {
                return Ok(ended);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// SIGTERM, without waiting for what comes of it.
    pub fn terminate(&self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.0);
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::TERM)?)
    }

    /// SIGTERM; it must end within 10 seconds, with 0.
    pub fn stop(mut self) -> Result<()> {
        self.terminate()?;
        let status = self
            .ends_within(Duration::from_secs(10))?
            .context("it has not stopped 10 s after SIGTERM")?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serves(address: SocketAddr) -> bool {
    Client::connect(address)
        .and_then(|mut client| client.send_raw("GET", "/healthcheck", ""))
        .is_ok_and(|answer| answer.status == 200)
}

/// Of an IP address of its own: a port that is free now may be another's a moment later.
pub fn own_address() -> Result<SocketAddr> {
    let number = u32::try_from(STARTED.fetch_add(1, Ordering::Relaxed))? % (250 * 250);
    let bytes = [
        127,
        1 + std::process::id() % 250,
        1 + number / 250,
        1 + number % 250,
    ];
    let ip = bytes.map(|byte| byte.to_string()).join(".");
    Ok(std::net::TcpListener::bind(format!("{ip}:0"))?.local_addr()?)
}
