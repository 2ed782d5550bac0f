//! One `pumice serve` with its configuration and its log, and what is known of it since its last start.

#![expect(clippy::disallowed_types, reason = "the program under test is what is run")]

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result};

use crate::child::Child;

/// What starts it, and the process if it runs.
pub struct Node {
    pub config: PathBuf,
    log: PathBuf,
    /// How long the log was when it was started.
    log_began: u64,
    child: Option<Child>,
}

impl Node {
    pub fn new(folder: &Path, name: &str, config: &str) -> Result<Self> {
        let file = folder.join(format!("{name}.toml"));
        std::fs::write(&file, config)?;
        Ok(Self {
            config: file,
            log: folder.join(format!("{name}.log")),
            log_began: 0,
            child: None,
        })
    }

    /// Starts it with a command that leads to it.
    pub fn begin(&mut self, program: Command) -> Result<()> {
        self.log_began = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        self.child = Some(Child::serve(program, &self.config, &[], &self.log)?);
        Ok(())
    }

    /// SIGKILL. It is not there any more then.
    pub fn kill(&mut self) -> Result<()> {
        self.child.take().context("it was started")?.kill()
    }

    /// SIGTERM; it must end in time and with 0.
    pub fn stop(&mut self) -> Result<()> {
        self.child.take().context("it was started")?.stop()
    }

    /// How it ended by itself, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => child.ended(),
            None => Ok(None),
        }
    }

    /// Its number, if it was started and not killed.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(|child| child.0.id())
    }

    /// Whether it has said this since it was started.
    pub fn has_said(&self, words: &[u8]) -> Result<bool> {
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

    /// The end of its log, for the reader of a failure.
    pub fn last_words(&self) -> Result<String> {
        let said = self.said()?;
        let last = said.len().saturating_sub(4000);
        Ok(String::from_utf8_lossy(&said[last..]).into_owned())
    }
}
