//! The program as a process, and its state when it is not running.

#![expect(
    clippy::disallowed_types,
    reason = "the program under test is killed, not waited for"
)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pumice::store::Store;
use pumice::store::catalog::{Catalog, SnapshotQuery, VolumeQuery};

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
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("log"))?;
        let child = Command::new(env!("CARGO_BIN_EXE_pumice"))
            .arg("serve")
            .args(["--listen", &address.to_string()])
            .arg("--config")
            .arg(config)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
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
            if let Some(status) = pumice.child.try_wait()? {
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
            if self.child.try_wait()?.is_some() {
                return Ok(true);
            }
            if Instant::now() >= limit {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; it must end within 10 seconds, with 0.
    pub fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id())?;
        let pid = rustix::process::Pid::from_raw(pid).context("no pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "it ended with {status}");
                return Ok(());
            }
            ensure!(Instant::now() < limit, "it has not stopped 10 s after SIGTERM");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Pumice {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What lies in the catalog when nobody has it open.
#[derive(Debug, Default)]
pub struct Recorded {
    /// What the checker finds.
    pub findings: Vec<String>,
    /// The storage names of its volumes and snapshots.
    pub names: BTreeSet<String>,
    /// Those of them that must be on the storage: what is in error may be or not.
    pub on_storage: BTreeSet<String>,
}

impl Recorded {
    fn note(&mut self, name: String, status: &impl std::fmt::Display) {
        if !status.to_string().starts_with("error") {
            self.on_storage.insert(name.clone());
        }
        self.names.insert(name);
    }
}

/// Reads the catalog.
pub fn read_catalog(folder: &Path) -> Result<Recorded> {
    actix_rt::System::new().block_on(async {
        let store: Arc<dyn Store> = Arc::new(pumice::store::sled::SledStore::open(
            &folder.join("data/store"),
            &pumice::store::sled::SledOptions::default(),
        )?);
        let catalog = Catalog::open(store).await?;
        let mut recorded = Recorded::default();
        for finding in pumice::store::catalog::verify::verify(&catalog).await? {
            recorded.findings.push(finding.to_string());
        }
        let mut query = VolumeQuery {
            limit: 1000,
            ..VolumeQuery::default()
        };
        loop {
            let page = catalog.volumes(&query).await?;
            for volume in &page.records {
                recorded.note(format!("volume-{}", volume.id), &volume.status);
            }
            let Some(last) = page.records.last() else { break };
            query.marker = Some(last.id);
        }
        let mut query = SnapshotQuery {
            limit: 1000,
            ..SnapshotQuery::default()
        };
        loop {
            let page = catalog.snapshots(&query).await?;
            for snapshot in &page.records {
                recorded.note(format!("_snapshot-{}", snapshot.id), &snapshot.status);
            }
            let Some(last) = page.records.last() else { break };
            query.marker = Some(last.id);
        }
        Ok(recorded)
    })
}
