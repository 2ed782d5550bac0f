//! A load generator that costs next to nothing: prepared requests on kept-alive connections, answers read by length.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A kept-alive connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// Builds a request once, to be sent many times.
pub fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let token = if token.is_empty() {
        String::new()
    } else {
        format!("X-Auth-Token: {token}\r\n")
    };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         OpenStack-API-Version: volume 3.71\r\n{token}\r\n{body}"
    )
    .into_bytes()
}

impl Client {
    pub async fn connect(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(64 * 1024),
        })
    }

    pub async fn send(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server hung up");
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        let status = head.get(9..12).context("no status line")?.parse()?;
        let length: usize = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")
                    .map(str::trim)
                    .map(str::to_owned)
            })
            .map_or(Ok(0), |text| text.parse())?;
        self.buffer
            .reserve((head_end + length).saturating_sub(self.buffer.len()));
        while self.buffer.len() < head_end + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server hung up in the middle of an answer");
            }
        }
        Ok(Answer {
            status,
            head,
            body: self.buffer[head_end..head_end + length].to_vec(),
        })
    }
}

/// What a closed loop measured.
pub struct Load {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// `clients` connections, each sending its next request when the last was answered, `count` requests in all; every answer must
/// have the status `expect`.
pub async fn closed_loop(
    to: SocketAddr,
    clients: usize,
    count: usize,
    expect: u16,
    request: impl Fn(usize) -> Vec<u8>,
) -> Result<Load> {
    closed_loop_at(&[to], clients, count, expect, request).await
}

/// The same with clients that are spread over some servers.
pub async fn closed_loop_at(
    servers: &[SocketAddr],
    clients: usize,
    count: usize,
    expect: u16,
    request: impl Fn(usize) -> Vec<u8>,
) -> Result<Load> {
    let requests: Vec<Vec<u8>> = (0..count).map(&request).collect();
    let requests = std::rc::Rc::new(requests);
    let next = std::rc::Rc::new(std::cell::Cell::new(0));
    let started = Instant::now();
    let mut workers = Vec::new();
    for client in 0..clients {
        let (requests, next, to) = (requests.clone(), next.clone(), servers[client % servers.len()]);
        workers.push(tokio::task::spawn_local(async move {
            let mut client = Client::connect(to).await?;
            let mut times = Vec::new();
            loop {
                let index = next.replace(next.get() + 1);
                let Some(request) = requests.get(index) else {
                    return Ok::<_, anyhow::Error>(times);
                };
                let sent = Instant::now();
                let answer = client.send(request).await?;
                if answer.status != expect {
                    bail!(
                        "answered {}: {}",
                        answer.status,
                        String::from_utf8_lossy(&answer.body)
                    );
                }
                times.push(sent.elapsed());
            }
        }));
    }
    let mut times = Vec::with_capacity(count);
    for worker in workers {
        times.extend(worker.await??);
    }
    let wall = started.elapsed().as_secs_f64();
    times.sort_unstable();
    let rank = |q: usize| times.get(times.len() * q / 100).copied().unwrap_or_default();
    Ok(Load {
        per_second: times.len() as f64 / wall,
        p50: rank(50),
        p99: rank(99),
    })
}
