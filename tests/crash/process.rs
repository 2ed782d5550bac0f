//! The program as a process of its own, with all its roles.

#![expect(
    clippy::disallowed_types,
    reason = "the program under test is killed, not waited for"
)]

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::child::{Child, PROGRAM};

/// Files, a target that leads nowhere, room for all, and notifications in the log.
const CONFIG: &str = r#"
[notifications]
sinks = ["log"]

[quota]
volumes = -1
gigabytes = -1
snapshots = -1

[backend.file]
driver = "file"
target = "fake"
max_over_subscription_ratio = "1000000.0"

[backend.other]
driver = "file"
target = "fake"
max_over_subscription_ratio = "1000000.0"
"#;

/// Each user is an administrator.
const NO_AUTHENTICATION: &str = "[auth]\nstrategy = \"noauth\"\n";

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
        Self::start_for(NO_AUTHENTICATION, folder, env)
    }

    /// The same with this section of the configuration, which says who may call.
    pub fn start_for(auth: &str, folder: &Path, env: &[(&str, &OsStr)]) -> Result<Self> {
        let config = folder.join("pumice.toml");
        std::fs::write(&config, format!("{auth}{CONFIG}"))?;
        let mut program = Command::new(PROGRAM);
        program.envs(env.iter().copied());
        let (child, address) = Child::serving(program, &config, &folder.join("data"), &folder.join("log"))?;
        Ok(Self { child, address })
    }

    /// Whether it ends, or was killed, in that time.
    pub fn dies_within(&mut self, limit: Duration) -> Result<bool> {
        Ok(self.child.ends_within(limit)?.is_some())
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
