//! As little of an HTTP client as these tests need: it does not try again, and tells a hang-up from an answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Projects. In hex, as a project in a path must be.
pub const PROJECT: &str = "c0ffee00c0ffee00c0ffee00c0ffee00";
pub const OTHER_PROJECT: &str = "decade00decade00decade00decade00";

pub struct Client {
    stream: TcpStream,
    project: String,
    token: String,
    /// `Idempotency-Key` of the next requests.
    key: Option<String>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<u32>,
    /// It may show an earlier state, for the servers of the store cannot be reached.
    pub is_stale: bool,
    /// `X-Subject-Token`, of a login.
    pub token: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| self.text())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// That this is a 503 as clients of Cinder know it, and says when to come again; its text.
    pub fn must_be_unavailable(&self) -> Result<String> {
        ensure!(self.status == 503, "{} {}", self.status, self.text());
        ensure!(self.retry_after.is_some(), "no Retry-After: {}", self.text());
        let fault = &self.json()?["serviceUnavailable"];
        ensure!(fault["code"] == 503, "{}", self.text());
        Ok(fault["message"].as_str().context("no message")?.to_owned())
    }
}

impl Client {
    pub fn connect(to: SocketAddr) -> Result<Self> {
        Self::connect_as(to, PROJECT)
    }

    pub fn connect_as(to: SocketAddr, project: &str) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        let token = format!("user:{project}");
        Ok(Self {
            stream,
            project: project.to_owned(),
            token,
            key: None,
        })
    }

    /// Waits so long for an answer from now on, in place of a minute.
    pub fn wait_at_most(&mut self, limit: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(limit))?;
        Ok(self.stream.set_write_timeout(Some(limit))?)
    }

    /// Sends this token from now on.
    pub fn use_token(&mut self, token: String) {
        self.token = token;
    }

    /// Sends this `Idempotency-Key` from now on.
    pub fn use_key(&mut self, key: Option<String>) {
        self.key = key;
    }

    /// A request below `/v3/{project}`.
    pub fn send(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        self.send_raw(method, &format!("/v3/{}{path}", self.project), body)
    }

    /// Asks for a volume of one GiB.
    pub fn create(&mut self, name: &str) -> Result<Answer> {
        self.send(
            "POST",
            "/volumes",
            &format!(r#"{{"volume": {{"size": 1, "name": "{name}"}}}}"#),
        )
    }

    pub fn send_raw(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let key = self.key.as_ref().map(|key| format!("Idempotency-Key: {key}\r\n"));
        write!(
            self.stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {}\r\nContent-Type: application/json\r\n\
             OpenStack-API-Version: volume 3.71\r\n{}Content-Length: {}\r\n\r\n{body}",
            self.token,
            key.unwrap_or_default(),
            body.len()
        )?;
        let mut got = Vec::new();
        let head_end = loop {
            if let Some(at) = got.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more(&mut got)?;
        };
        let as_sent = String::from_utf8_lossy(&got[..head_end]).into_owned();
        let head = as_sent.to_ascii_lowercase();
        let number = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|text| text.trim().parse::<u32>())
                .transpose()
        };
        let length = usize::try_from(number("content-length:")?.unwrap_or(0))?;
        while got.len() < head_end + length {
            self.more(&mut got)?;
        }
        Ok(Answer {
            status: head.get(9..12).context("no status")?.parse()?,
            retry_after: number("retry-after:")?,
            is_stale: head.lines().any(|line| line.starts_with("warning: 110")),
            token: as_sent.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_it = name.eq_ignore_ascii_case("x-subject-token");
                is_it.then(|| value.trim().to_owned())
            }),
            body: got[head_end..].to_vec(),
        })
    }

    fn more(&mut self, got: &mut Vec<u8>) -> Result<()> {
        let mut chunk = [0; 16 * 1024];
        let read = self.stream.read(&mut chunk)?;
        if read == 0 {
            bail!("hung up");
        }
        got.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}
