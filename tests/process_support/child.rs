//! One `pumice serve` as a process: started with a log that outlives it, stopped as an init system stops it, or killed.

#![expect(
    clippy::disallowed_types,
    reason = "the program under test is killed, not waited for"
)]

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Dropped, it is killed.
pub struct Child(pub std::process::Child);

impl Child {
    /// Starts it; what it says is added to the log.
    pub fn serve<'a>(
        config: &Path,
        words: &[&str],
        env: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
        log: &Path,
    ) -> Result<Self> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new(env!("CARGO_BIN_EXE_pumice"))
            .arg("serve")
            .arg("--config")
            .arg(config)
            .args(words)
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self(child))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// SIGTERM; it must end within 10 seconds, with 0.
    pub fn stop(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.0.try_wait()? {
                ensure!(status.success(), "it ended with {status}");
                return Ok(());
            }
            ensure!(Instant::now() < limit, "it has not stopped 10 s after SIGTERM");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
