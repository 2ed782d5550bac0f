//! As little of an HTTP client as this test needs: one that fails when the server is killed, and does not try again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The one project of the test. In hex, as a project in a path must be.
pub const PROJECT: &str = "c0ffee00c0ffee00c0ffee00c0ffee00";

pub struct Client {
    stream: TcpStream,
}

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| String::from_utf8_lossy(&self.body).into_owned())
    }
}

impl Client {
    pub fn connect(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// A request below `/v3/{project}`.
    pub fn send(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        self.send_raw(method, &format!("/v3/{PROJECT}{path}"), body)
    }

    pub fn send_raw(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        write!(
            self.stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: crash:{PROJECT}\r\nContent-Type: application/json\r\n\
             OpenStack-API-Version: volume 3.71\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut got = Vec::new();
        let mut chunk = [0; 16 * 1024];
        let head_end = loop {
            if let Some(at) = got.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                bail!("hung up");
            }
            got.extend_from_slice(&chunk[..read]);
        };
        let head = String::from_utf8_lossy(&got[..head_end]).to_ascii_lowercase();
        let status = head.get(9..12).context("no status")?.parse()?;
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(Ok(0), |text| text.trim().parse())?;
        while got.len() < head_end + length {
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                bail!("hung up");
            }
            got.extend_from_slice(&chunk[..read]);
        }
        Ok(Answer {
            status,
            body: got[head_end..].to_vec(),
        })
    }
}
