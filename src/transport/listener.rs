//! Accepts connections from other nodes.
//!
//! Handshakes run outside the accept loop, each with a time limit, and their number is limited. New connections never wait: at
//! the limit a new one replaces another one (`waiting_room`). Without TLS only loopback addresses may be listened on: the transport
//! carries commands that change storage, and CHAP secrets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::admission::DialedBy;
use super::handshake::HandshakeError;
use super::header::{Announcement, Identity};
use super::log_limit::LogLimit;
use super::net::{TcpListener, TcpStream};
use super::options::TransportOptions;
use super::peer::Candidate;
use super::tls::NodeCertificate;
use super::{Router, connection, handshake};
use crate::tasks;
use crate::waiting_room::{Place, Stage, WaitingRoom};

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
    if addr.ip().is_loopback() || options.tls.is_some() || options.allow_plaintext {
        return Ok(());
    }
    let text = format!(
        "{key}: {addr} is not an address of this machine alone, and connections are not encrypted; use 127.0.0.1, or give this \
         node a certificate (transport.certificate)"
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
    let failures = Arc::new(LogLimit::default());
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
                let place = room.enter(remote.ip());
                tasks::spawn(async move {
                    if let Err(error) = welcome(&router, stream, remote.to_string(), options, place).await {
                        report(&failures, &remote, &error);
                    }
                });
            }
            Err(error) => {
                // For example, there are no file handles left: an immediate retry would only spin.
                report(&failures, &"accept", &error);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn report(failures: &LogLimit, remote: &dyn std::fmt::Display, reason: &dyn std::fmt::Display) {
    failures.line("many connections fail", || {
        tracing::warn!(%remote, %reason, "a connection from another node failed");
    });
}

/// Makes the stream a connection, and runs it until it ends. An error means that it was refused or failed before.
async fn welcome(
    router: &Router,
    stream: TcpStream,
    remote: String,
    options: TransportOptions,
    place: Place,
) -> Result<(), HandshakeError> {
    match options.tls.clone() {
        None => introduce(router, stream, remote, options, place, None).await,
        Some(tls) => {
            let within = options.handshake_timeout;
            let secured = tls.accept(stream, || place.reached(Stage::Introduced));
            let secured = tokio::select! {
                biased;
                () = place.cut.cancelled() => Err(HandshakeError::MadeRoom),
                secured = tokio::time::timeout(within, secured) => {
                    secured.unwrap_or(Err(HandshakeError::Timeout(within)))
                }
            };
            let (stream, certificate) = secured?;
            place.reached(Stage::Authenticated);
            introduce(router, stream, remote, options, place, Some(certificate)).await
        }
    }
}

async fn introduce<S: AsyncRead + AsyncWrite + Unpin>(
    router: &Router,
    stream: S,
    remote: String,
    options: TransportOptions,
    place: Place,
    certificate: Option<NodeCertificate>,
) -> Result<(), HandshakeError> {
    let admit = |them: &Identity, announcement: &Announcement| {
        let candidate = Candidate {
            them: them.clone(),
            announcement: announcement.clone(),
            certificate: certificate.clone(),
            dialed_by: DialedBy::Them,
            remote: remote.clone(),
        };
        let admitted = router.admit(candidate, &options)?;
        let (version, ours) = router.announcement();
        Ok((ours, (admitted, version)))
    };
    let certified = certificate.as_ref().map(|certificate| &certificate.identity);
    let us = router.introduction();
    let exchange = async {
        if let (Some(tls), Some(identity)) = (&options.tls, certified)
            && let Err(refuse) = tls.check_cluster(identity)
        {
            return handshake::decline(stream, refuse, &options).await;
        }
        let meet = || place.reached(Stage::Introduced);
        handshake::accept(stream, us, &options, certified, meet, admit).await
    };
    let accepted = tokio::select! {
        biased;
        () = place.cut.cancelled() => Err(HandshakeError::MadeRoom),
        accepted = exchange => accepted,
    };
    drop(place);
    let (introduced, (admitted, version)) = accepted?;
    connection::run(router, &admitted.peer, introduced.reader, version).await;
    Ok(())
}
