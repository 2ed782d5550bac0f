//! Nodes over loopback TCP, and a wire between them that can be cut.

#![expect(clippy::disallowed_methods, reason = "no run of these is replayed")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pumice::transport::{Router, TransportOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::until;

/// Anywhere on this machine.
pub const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Options that make tests quick.
pub fn quick() -> TransportOptions {
    TransportOptions {
        ping_interval: Duration::from_millis(500),
        first_backoff: Duration::from_millis(5),
        longest_backoff: Duration::from_millis(50),
        trusts_every_peer: true,
        ..TransportOptions::default()
    }
}

/// Listens, and says where.
pub async fn listen(router: &Router, options: TransportOptions) -> SocketAddr {
    router
        .listen(ANYWHERE, options)
        .await
        .expect("loopback can be listened on")
        .local_addr()
}

/// Waits until `router` is connected to `node`.
pub async fn connected(router: &Router, node: &str) {
    until("connected", || is_connected(router, node)).await;
}

/// Whether `router` is connected to `node`.
pub fn is_connected(router: &Router, node: &str) -> bool {
    router
        .peers()
        .iter()
        .any(|peer| peer.state == "connected" && peer.node.as_deref() == Some(node))
}

/// A wire that can be cut: connections to it are passed on to `to`.
pub struct Wire {
    /// Where to connect.
    pub address: SocketAddr,
    /// How many connections were made through it.
    pub connections: Arc<AtomicUsize>,
    state: watch::Sender<WireState>,
}

#[derive(Clone, Copy, PartialEq)]
enum WireState {
    Whole,
    /// Bytes are swallowed.
    Silent,
    /// Connections are dropped as soon as they are there.
    Cut,
}

impl Wire {
    /// A wire to there.
    pub async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(ANYWHERE).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let (state, watching) = watch::channel(WireState::Whole);
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(near, to, watching.clone()));
            }
        });
        Self {
            address,
            connections,
            state,
        }
    }

    /// Ends all connections, and lets none live.
    pub fn cut(&self) {
        self.state.send_replace(WireState::Cut);
    }

    /// Lets nothing through, but keeps connections.
    pub fn silence(&self) {
        self.state.send_replace(WireState::Silent);
    }

    /// Makes it whole.
    pub fn mend(&self) {
        self.state.send_replace(WireState::Whole);
    }
}

async fn carry(near: TcpStream, to: SocketAddr, state: watch::Receiver<WireState>) {
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let mut cut = state.clone();
    tokio::select! {
        () = copy(near_in, far_out, state.clone()) => {}
        () = copy(far_in, near_out, state.clone()) => {}
        _ = cut.wait_for(|state| *state == WireState::Cut) => {}
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    state: watch::Receiver<WireState>,
) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = vec![0; 65536];
    while let Ok(count) = from.read(&mut buffer).await {
        let swallow = *state.borrow() == WireState::Silent;
        if count == 0 || (!swallow && to.write_all(&buffer[..count]).await.is_err()) {
            return;
        }
    }
}
