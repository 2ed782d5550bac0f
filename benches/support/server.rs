//! The program under test as a process of its own, on loopback, with data in a folder that goes away.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::http::{Client, request};

/// A running `pumice serve`; killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub token: String,
    pub project: String,
    /// The id of the administrator, and of one of its roles.
    pub user: String,
    pub role: String,
    password: String,
    /// From the start of the process to the first 200 of `/healthcheck`.
    pub ready_in: Duration,
}

pub fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Server {
    pub async fn start(data: &Path) -> Result<Self> {
        let mut server = Self::start_without_login(data).await?;
        server.log_in(data).await?;
        Ok(server)
    }

    /// A control node that did not make the users.
    pub async fn start_without_login(data: &Path) -> Result<Self> {
        let address = free_address()?;
        let log = std::fs::File::create(data.join("bench.log"))?;
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_pumice"))
            .args(["serve", "--config"])
            .arg(data.join("bench.toml"))
            .arg("--data-dir")
            .arg(data.join("data"))
            .args(["--listen", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start pumice")?;
        let probe = request("GET", "/healthcheck", "", "");
        let ready_in = loop {
            if let Ok(mut client) = Client::connect(address).await
                && client.send(&probe).await.is_ok_and(|answer| answer.status == 200)
            {
                break begun.elapsed();
            }
            if let Some(status) = child.try_wait()? {
                bail!(
                    "pumice ended with {status}: {}",
                    std::fs::read_to_string(data.join("bench.log"))?
                );
            }
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("pumice is not ready after a minute");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        Ok(Self {
            child,
            address,
            token: String::new(),
            project: String::new(),
            user: String::new(),
            role: String::new(),
            password: String::new(),
            ready_in,
        })
    }

    async fn log_in(&mut self, data: &Path) -> Result<()> {
        let clouds = std::fs::read_to_string(data.join("data/clouds.yaml"))?;
        let password = clouds
            .lines()
            .find_map(|line| line.trim().strip_prefix("password:"))
            .context("no password in clouds.yaml")?
            .trim()
            .trim_matches(['"', '\'']);
        self.password = password.to_owned();
        let (token, body) = self.authenticate("admin").await?;
        self.token = token;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned).context("not in the token");
        self.project = text(&body["token"]["project"]["id"])?;
        self.user = text(&body["token"]["user"]["id"])?;
        self.role = text(&body["token"]["roles"][0]["id"])?;
        Ok(())
    }

    /// A token of the administrator for another project.
    pub async fn token_for(&self, project: &str) -> Result<String> {
        Ok(self.authenticate(project).await?.0)
    }

    async fn authenticate(&self, project: &str) -> Result<(String, serde_json::Value)> {
        let body = serde_json::json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "admin", "domain": {"id": "default"}, "password": self.password}}},
            "scope": {"project": {"name": project, "domain": {"id": "default"}}}}});
        let mut client = Client::connect(self.address).await?;
        let answer = client
            .send(&request(
                "POST",
                "/identity/v3/auth/tokens",
                "",
                &body.to_string(),
            ))
            .await?;
        if answer.status != 201 {
            bail!(
                "login answered {}: {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            );
        }
        let token = answer
            .head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("x-subject-token")
                    .then(|| value.trim().to_owned())
            })
            .context("no token in the answer")?;
        Ok((token, serde_json::from_slice(&answer.body)?))
    }

    /// Resident memory in MB at rest: when it has not fallen for three seconds, or after fifteen.
    pub async fn resident_at_rest(&self) -> Result<f64> {
        let mut lowest = self.resident()?;
        let mut unchanged = 0;
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let now = self.resident()?;
            unchanged = if now < lowest - 0.25 { 0 } else { unchanged + 1 };
            lowest = lowest.min(now);
            if unchanged >= 12 {
                break;
            }
        }
        Ok(lowest)
    }

    /// Seconds of CPU that it has used.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(") ").context("no stat")?;
        let ticks = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(str::parse::<f64>)
            .sum::<Result<f64, _>>()?;
        Ok(ticks / 100.0)
    }

    /// Resident memory in MB (10^6 bytes) now.
    pub fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .context("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// Waits until no volume is `creating` any more.
    pub async fn drain(&self) -> Result<Duration> {
        self.drain_project(&self.project, &self.token).await
    }

    /// The same for another project.
    pub async fn drain_project(&self, project: &str, token: &str) -> Result<Duration> {
        let begun = Instant::now();
        let path = format!("/v3/{project}/volumes?status=creating&limit=1");
        let ask = request("GET", &path, token, "");
        let mut client = Client::connect(self.address).await?;
        loop {
            let answer = client.send(&ask).await?;
            let page: serde_json::Value = serde_json::from_slice(&answer.body)?;
            if page["volumes"].as_array().is_some_and(Vec::is_empty) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > Duration::from_secs(120) {
                bail!("volumes are still being created after two minutes");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
