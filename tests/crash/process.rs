//! The program as a process of its own, with all its roles.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::child::Child;
use crate::client::Client;

/// Files, a target that leads nowhere, everybody an administrator, and room for all.
const CONFIG: &str = r#"
[auth]
strategy = "noauth"

[quota]
volumes = -1
gigabytes = -1
snapshots = -1

[backend.file]
driver = "file"
target = "fake"
max_over_subscription_ratio = "1000000.0"
"#;

/// How many were started.
static STARTED: AtomicUsize = AtomicUsize::new(0);

pub struct Pumice {
    child: Child,
    pub address: SocketAddr,
}

impl Pumice {
    /// Starts it on the folder's data and waits until it serves.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, &[])
    }

    /// The same with these variables in its environment.
    pub fn start_with(folder: &Path, env: &[(&str, &OsStr)]) -> Result<Self> {
        let config = folder.join("pumice.toml");
        std::fs::write(&config, CONFIG)?;
        // On an address of its own: a port that is free now may be another's a moment later.
        let number = u32::try_from(STARTED.fetch_add(1, Ordering::Relaxed))? % (250 * 250);
        let bytes = [
            127,
            1 + std::process::id() % 250,
            1 + number / 250,
            1 + number % 250,
        ];
        let ip = bytes.map(|byte| byte.to_string()).join(".");
        let address = std::net::TcpListener::bind(format!("{ip}:0"))?.local_addr()?;
        let data_dir = folder.join("data");
        let data_dir = data_dir.to_str().context("a path")?;
        let words = ["--listen", &address.to_string(), "--data-dir", data_dir];
        let child = Child::serve(&config, &words, env.iter().copied(), &folder.join("log"))?;
        let mut pumice = Self { child, address };
        let limit = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(mut client) = Client::connect(address)
                && client
                    .send_raw("GET", "/healthcheck", "")
                    .is_ok_and(|answer| answer.status == 200)
            {
                return Ok(pumice);
            }
            if let Some(status) = pumice.child.ended()? {
                bail!(
                    "it ended with {status}: {}",
                    std::fs::read_to_string(folder.join("log"))?
                );
            }
            ensure!(Instant::now() < limit, "it does not serve after half a minute");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it ends, or was killed, in that time.
    pub fn dies_within(&mut self, limit: Duration) -> Result<bool> {
        let limit = Instant::now() + limit;
        loop {
            if self.child.ended()?.is_some() {
                return Ok(true);
            }
            if Instant::now() >= limit {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL.
    pub fn kill(self) -> Result<()> {
        self.child.kill()
    }

    /// SIGTERM; it must end within 10 seconds, with 0.
    pub fn stop(self) -> Result<()> {
        self.child.stop()
    }
}
