//! Accepts connections from other nodes.
//!
//! Handshakes run outside the accept loop, each with a time limit, and their number is limited. New connections never wait: at
//! the limit a new one replaces an unauthenticated one that has sent nothing (`waiting_room`). Until there is TLS, only loopback
//! addresses may be listened on: the transport carries commands that change storage, and CHAP secrets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admission::DialedBy;
use super::handshake::HandshakeError;
use super::header::{Announcement, Identity};
use super::net::TcpListener;
use super::options::TransportOptions;
use super::waiting_room::{Place, WaitingRoom};
use super::{Router, connection, handshake};
use crate::tasks;

/// A listening socket. Dropping it does not close it; [`ListenerHandle::close`] or the router's shutdown does.
#[derive(Debug)]
pub struct ListenerHandle {
    local_addr: SocketAddr,
    stop: CancellationToken,
}

impl ListenerHandle {
    /// The address, with the assigned port if none was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Accepts no further connections. Existing ones are kept.
    pub fn close(&self) {
        self.stop.cancel();
    }
}

/// Checks that the address is reachable from this machine only, or that this does not matter.
///
/// # Errors
/// `InvalidInput`, which names the configuration's `key`.
pub(super) fn check_private(addr: SocketAddr, options: &TransportOptions, key: &str) -> io::Result<()> {
    if addr.ip().is_loopback() || options.allow_plaintext {
        return Ok(());
    }
    let text = format!(
        "{key}: {addr} is not an address of this machine alone, and connections are not encrypted; use 127.0.0.1"
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

pub(super) async fn listen(
    router: &Router,
    addr: SocketAddr,
    options: TransportOptions,
) -> io::Result<ListenerHandle> {
    check_private(addr, &options, "transport.listen")?;
    let listener = TcpListener::bind(addr).await?;
    let local_addr = listener.local_addr()?;
    let stop = router.leaving().child_token();
    tracing::info!(%local_addr, node = router.node(), "listening for other nodes");
    tasks::spawn(accept_all(router.clone(), listener, options, stop.clone()));
    Ok(ListenerHandle { local_addr, stop })
}

async fn accept_all(
    router: Router,
    listener: TcpListener,
    options: TransportOptions,
    stop: CancellationToken,
) {
    let room = WaitingRoom::new(options.max_handshakes);
    let failures = Arc::new(FailureLog::default());
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                // Small frames must be sent at once. A socket that refuses the option works, too.
                let _ = stream.set_nodelay(true);
                let (router, options, failures) = (router.clone(), options.clone(), Arc::clone(&failures));
                let place = room.enter();
                tasks::spawn(async move {
                    welcome(&router, stream, remote.to_string(), options, place, &failures).await;
                });
            }
            Err(error) => {
                // For example, there are no file handles left: an immediate retry would only spin.
                failures.report(&"accept", &error);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(
    router: &Router,
    stream: S,
    remote: String,
    options: TransportOptions,
    place: Place,
    failures: &FailureLog,
) {
    let admit = |them: &Identity, announcement: &Announcement| {
        let admitted = router.admit(
            them.clone(),
            announcement.clone(),
            DialedBy::Them,
            remote.clone(),
            &options,
        )?;
        let (version, ours) = router.announcement();
        Ok((ours, (admitted, version)))
    };
    let meet = || place.introduced();
    let exchange = handshake::accept(stream, router.introduction(), &options, meet, admit);
    let accepted = tokio::select! {
        biased;
        () = place.cut.cancelled() => Err(HandshakeError::MadeRoom),
        accepted = exchange => accepted,
    };
    drop(place);
    match accepted {
        Ok((introduced, (mut admitted, version))) => {
            if let Some(queue) = admitted.queue.take() {
                connection::run(router, &admitted.peer, introduced.reader, queue, version).await;
            }
        }
        Err(error) => failures.report(&remote, &error),
    }
}

/// Logs why connections failed, at most [`MOST_REPORTS`] in [`REPORTS_WINDOW`], so that a remote host cannot
/// flood the log.
#[derive(Debug, Default)]
struct FailureLog {
    window: Mutex<Option<(Instant, u32)>>,
}

const MOST_REPORTS: u32 = 20;
const REPORTS_WINDOW: Duration = Duration::from_secs(10);

impl FailureLog {
    fn report(&self, remote: &dyn std::fmt::Display, reason: &dyn std::fmt::Display) {
        let now = Instant::now();
        let mut window = self.window.lock();
        let (since, count) = match *window {
            Some((since, count)) if now - since < REPORTS_WINDOW => (since, count),
            _ => (now, 0),
        };
        *window = Some((since, count.saturating_add(1)));
        drop(window);
        match count {
            0..MOST_REPORTS => {
                tracing::warn!(%remote, %reason, "a connection from another node failed");
            }
            MOST_REPORTS => tracing::warn!("many connections fail; not all of them are logged"),
            _ => {}
        }
    }
}
