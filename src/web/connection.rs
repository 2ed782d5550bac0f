//! Connections: their number, and how long one may be idle.
//!
//! ```text
//!   a request is in work          no limit here: its handler bounds the time
//!   part of a head received       the rest within `client_timeout`
//!   an answer is being sent       some of it within `client_timeout`, on average at `bytes_per_second`
//!   idle                          a new request within `keep_alive`
//! ```
//!
//! The HTTP library has a timeout for the first head of a connection and for idle ones, but none for a later head, for the rest
//! of a body that was refused, and for answers that the client does not read: each of them would let a client hold a connection
//! without limit. So a connection has its own timeout, [`Watched`], below HTTP.
//!
//! Each connection is an open file, and the store, the backends and the other nodes need some, too. [`Connections`] counts
//! them, in total and per address: a connection beyond the limit is closed at once, before anything is read from it.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Limits of the number of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// From all addresses.
    pub total: usize,
    /// From one address; for IPv6 from one /64, the usual assignment of one customer.
    pub per_address: usize,
}

impl ConnectionLimits {
    /// The given limits, reduced to what a process that may open `open_files` files can hold. `per_address` 0 means
    /// half of `total`.
    pub fn within(total: usize, per_address: usize, open_files: u64) -> Self {
        let open_files = usize::try_from(open_files).unwrap_or(usize::MAX);
        let reserve = (open_files / 8).max(128);
        let total = total.min(open_files.saturating_sub(reserve)).max(1);
        let per_address = match per_address {
            0 => total.div_ceil(2),
            limit => limit.min(total),
        };
        Self { total, per_address }
    }
}

/// All connections of a server. Clones share the counters.
#[derive(Clone)]
pub struct Connections(Arc<Registry>);

struct Registry {
    limits: ConnectionLimits,
    /// Addresses of proxies, which carry the connections of many clients.
    is_proxy: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Whether a warning was logged since a connection was last accepted.
    is_reported: bool,
}

impl Connections {
    /// No connections yet. Those from proxies are counted in the total only.
    pub fn new(limits: ConnectionLimits, is_proxy: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(Registry {
            limits,
            is_proxy: Box::new(is_proxy),
            counts: Mutex::default(),
        }))
    }

    /// Counts one more from that address; `None` if the limit is reached. The last sixteenth of the total is reserved for addresses
    /// without a connection: a flood from a few addresses does not block the health checks of a load balancer.
    pub fn open(&self, address: IpAddr) -> Option<ConnectionPermit> {
        let Registry { limits, is_proxy, .. } = &*self.0;
        let address = source(address);
        let mut counts = self.counts();
        let own = counts.by_address.get(&address).copied().unwrap_or(0);
        let shared = limits.total - limits.total / 16;
        let has_room = counts.total < if own == 0 { limits.total } else { shared };
        if !has_room || (own >= limits.per_address && !is_proxy(address)) {
            if !std::mem::replace(&mut counts.is_reported, true) {
                tracing::warn!(%address, of_address = own, in_all = counts.total, "connections are refused: there are too many");
            }
            return None;
        }
        counts.total += 1;
        *counts.by_address.entry(address).or_default() += 1;
        Some(ConnectionPermit {
            registry: Arc::clone(&self.0),
            address,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock()
    }
}

/// The address or network by which connections are counted.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// A counted connection. Dropping it decrements the counters.
pub struct ConnectionPermit {
    registry: Arc<Registry>,
    address: IpAddr,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.registry.counts.lock();
        counts.total = counts.total.saturating_sub(1);
        if let Some(own) = counts.by_address.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                counts.by_address.remove(&self.address);
            }
        }
        if counts.total < self.registry.limits.total / 2 {
            counts.is_reported = false;
        }
    }
}

/// Idle timeouts of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// While part of a head is received or part of an answer sent.
    pub client_timeout: Duration,
    /// While nothing is received or sent.
    pub keep_alive: Duration,
    /// The slowest average rate at which a client may read an answer.
    pub bytes_per_second: u64,
}

/// Where the HTTP library has a timeout, too, it fires first, for it can still send an answer.
const GRACE: Duration = Duration::from_secs(1);

/// State shared between the requests of a connection and its timeout.
#[derive(Clone)]
pub struct Activity(Rc<Shared>);

struct Shared {
    in_work: Cell<usize>,
    idle_since: Cell<Instant>,
    /// When the first byte of an incomplete head was received.
    head_since: Cell<Option<Instant>>,
    /// Whether further input is discarded.
    is_closing: Cell<bool>,
}

impl Activity {
    fn new() -> Self {
        Self(Rc::new(Shared {
            in_work: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            head_since: Cell::new(None),
            is_closing: Cell::new(false),
        }))
    }

    /// A request is in work until the returned value is dropped.
    pub fn begin(&self) -> InWork {
        self.0.in_work.set(self.0.in_work.get() + 1);
        self.0.head_since.set(None);
        InWork(self.clone())
    }

    /// The handshake of TLS has ended: the first request may follow.
    pub fn handshaken(&self) {
        self.0.idle_since.set(Instant::now());
        self.0.head_since.set(None);
    }

    /// Closes the connection once the answer is sent, even if the client is still sending.
    pub fn close(&self) {
        self.0.is_closing.set(true);
    }
}

/// A connection over TLS.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted;

/// The local address of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ListeningOn(pub SocketAddr);

/// A request in work.
pub struct InWork(Activity);

impl Drop for InWork {
    fn drop(&mut self) {
        let shared = &self.0.0;
        shared.in_work.set(shared.in_work.get().saturating_sub(1));
        shared.idle_since.set(Instant::now());
        shared.head_since.set(None);
    }
}

/// A connection with a timeout: reads and writes fail with `TimedOut` when it was idle for too long.
pub struct Watched<T> {
    stream: T,
    patience: Patience,
    activity: Activity,
    /// Since when an answer waits to be read by the client, and the bytes read since.
    unsent: Option<(Instant, u64)>,
    clock: Option<Pin<Box<Sleep>>>,
    _permit: Option<ConnectionPermit>,
}

impl<T> Watched<T> {
    /// Watches a stream that has just been opened.
    pub fn new(stream: T, patience: Patience, permit: Option<ConnectionPermit>) -> Self {
        Self {
            stream,
            patience,
            activity: Activity::new(),
            unsent: None,
            clock: None,
            _permit: permit,
        }
    }

    /// The activity that the requests of the connection report to.
    pub fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// When the idle timeout expires; `None` while a request is in work.
    fn deadline(&self) -> Option<Instant> {
        let Patience {
            client_timeout,
            keep_alive,
            bytes_per_second,
        } = self.patience;
        let shared = &self.activity.0;
        if let Some((since, taken)) = self.unsent {
            let earned = Duration::from_millis(taken.saturating_mul(1000) / bytes_per_second.max(1));
            return Some(since + client_timeout + earned);
        }
        if shared.in_work.get() > 0 {
            return None;
        }
        let idle = shared.idle_since.get();
        Some(match shared.head_since.get() {
            _ if shared.is_closing.get() => idle + GRACE,
            Some(since) => since + client_timeout + GRACE,
            None => idle + keep_alive + GRACE,
        })
    }

    /// Fails if the deadline has passed, else wakes the task at the deadline.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(deadline) = self.deadline() else {
            self.clock = None;
            return Ok(());
        };
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if clock.deadline() != deadline {
            clock.as_mut().reset(deadline);
        }
        match clock.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                let shared = &this.activity.0;
                if shared.in_work.get() == 0 && shared.head_since.get().is_none() {
                    shared.head_since.set(Some(Instant::now()));
                }
                // A client that keeps sending discarded data is subject to the deadline, too.
                this.check(context)?;
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                this.check(context)?;
                Poll::Pending
            }
            done => done,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => {
                if written == bytes.len() {
                    this.unsent = None;
                    this.activity.0.idle_since.set(Instant::now());
                } else {
                    let (_, taken) = this.unsent.get_or_insert((Instant::now(), 0));
                    *taken += u64::try_from(written).unwrap_or(u64::MAX);
                }
                Poll::Ready(Ok(written))
            }
            Poll::Pending => {
                this.unsent.get_or_insert((Instant::now(), 0));
                this.check(context)?;
                Poll::Pending
            }
            failed => failed,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The library flushes after each answer: from now on there may be a deadline.
        this.check(context)?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn patience() -> Patience {
        Patience {
            client_timeout: Duration::from_millis(100),
            keep_alive: Duration::from_secs(3600),
            bytes_per_second: 1000,
        }
    }

    fn watched() -> (Watched<DuplexStream>, DuplexStream) {
        let (server, client) = duplex(64);
        (Watched::new(server, patience(), None), client)
    }

    #[test]
    fn as_many_connections_as_there_are_files_for_less_a_reserve() {
        let within = |total, per_address, files| {
            let limits = ConnectionLimits::within(total, per_address, files);
            (limits.total, limits.per_address)
        };
        assert_eq!(within(10_000, 0, 1024), (896, 448));
        assert_eq!(within(10_000, 0, 65_536), (10_000, 5000));
        assert_eq!(within(100, 7, 65_536), (100, 7));
        assert_eq!(within(100, 700, 20), (1, 1));
    }

    #[test]
    fn one_address_cannot_take_all_connections_and_the_last_are_for_new_addresses() {
        let limits = ConnectionLimits {
            total: 32,
            per_address: 20,
        };
        let proxy: IpAddr = "192.0.2.9".parse().unwrap();
        let connections = Connections::new(limits, move |address| address == proxy);
        let open = |address: &str| connections.open(address.parse().unwrap());
        let mut one: Vec<_> = (0..20).map(|_| open("192.0.2.1").unwrap()).collect();
        assert!(open("192.0.2.1").is_none());
        let other: Vec<_> = (0..10).map(|_| open("2001:db8::1").unwrap()).collect();
        assert!(
            open("2001:db8::2").is_none(),
            "one network, and the last are for others"
        );
        let last = (open("2001:db8:0:1::").unwrap(), open("192.0.2.2").unwrap());
        assert!(open("192.0.2.3").is_none(), "there are no more");
        drop(other);
        one.pop();
        assert!(open("192.0.2.1").is_some());
        let many: Vec<_> = (0..9).map(|_| open("192.0.2.9").unwrap()).collect();
        drop((one, last, many));
        assert!(connections.counts().by_address.is_empty() && connections.counts().total == 0);
    }

    #[actix_web::test]
    async fn half_a_head_is_ended_and_a_request_in_work_is_not() {
        let (mut server, mut client) = watched();
        client.write_all(b"GET / HT").await.unwrap();
        let mut heard = [0; 8];
        server.read_exact(&mut heard).await.unwrap();
        let in_work = server.activity().begin();
        let waits = tokio::time::timeout(Duration::from_millis(1500), server.read(&mut heard)).await;
        assert!(waits.is_err(), "its handler bounds the time");
        drop(in_work);
        client.write_all(b"GET").await.unwrap();
        server.read_exact(&mut heard[..3]).await.unwrap();
        let error = server.read(&mut heard).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[actix_web::test]
    async fn what_is_sent_after_a_refusal_does_not_keep_a_connection() {
        let (mut server, mut client) = watched();
        drop(server.activity().begin());
        server.activity().close();
        let sending = async {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let reading = async {
            let mut byte = [0];
            loop {
                if let Err(error) = server.read_exact(&mut byte).await {
                    return error.kind();
                }
            }
        };
        tokio::select! {
            biased;
            kind = reading => assert_eq!(kind, io::ErrorKind::TimedOut),
            () = sending => panic!("the connection was closed from elsewhere"),
        }
    }

    #[actix_web::test]
    async fn an_answer_that_is_not_read_times_out_and_one_that_is_read_does_not() {
        let (mut server, mut client) = watched();
        let error = server.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let (mut steady, mut reader) = watched();
        let reading = async {
            let mut chunk = [0; 50];
            while reader.read_exact(&mut chunk).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            biased;
            written = steady.write_all(&[0; 1000]) => written.unwrap(),
            () = reading => panic!("nothing more came"),
        }
        // A client that reads a byte now and then does not read the answer.
        let (mut server, mut trickle) = watched();
        let reading = async {
            while trickle.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        tokio::select! {
            biased;
            written = server.write_all(&[0; 100_000]) => assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut),
            () = reading => panic!("nothing more came"),
        }
        drop(client.read_u8().await);
    }
}
