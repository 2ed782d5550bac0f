//! Maintains a connection to an address: dials, waits, dials again.
//!
//! Between attempts it waits a random time from zero to a bound that doubles with each failure (full jitter), so that a
//! restarted control node is not dialed by all its volume nodes at once. A connection that lasted for a while resets the
//! bound.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::admission::DialedBy;
use super::handshake::{self, HandshakeError, Introduced};
use super::header::{Identity, Refusal, Refuse};
use super::listener::check_private;
use super::net::TcpStream;
use super::options::TransportOptions;
use super::peer::Candidate;
use super::peers::{Link, LinkState};
use super::tls::NodeCertificate;
use super::{Router, connection};
use crate::backoff::Backoff;
use crate::model::{NodeIdentity, NodeRole, Timestamp};
use crate::rng;
use crate::tasks;

/// An address to which a connection is maintained. Dropping it has no effect; [`JoinedPeer::leave`] ends it.
#[derive(Debug)]
pub struct JoinedPeer {
    link: Arc<Link>,
    router: Router,
}

impl JoinedPeer {
    /// Stops connecting, and sends a goodbye if connected.
    pub fn leave(&self) {
        self.link.leave.cancel();
        let node = self.link.state.lock().node.clone();
        if let Some(peer) = node.and_then(|node| self.router.peer(&node))
            && peer.dialed_by == DialedBy::Us
        {
            peer.say_goodbye("the operator or the node asked to leave");
        }
    }
}

pub(super) fn join(router: &Router, address: String, options: TransportOptions) -> JoinedPeer {
    let link = Arc::new(Link {
        address,
        leave: router.leaving().child_token(),
        state: Mutex::new(LinkState {
            node: None,
            attempts: 0,
            since: Timestamp::now(),
            last_error: None,
        }),
    });
    router.add_link(&link);
    tasks::spawn(keep(router.clone(), Arc::clone(&link), options));
    JoinedPeer {
        link,
        router: router.clone(),
    }
}

async fn keep(router: Router, link: Arc<Link>, options: TransportOptions) {
    let mut backoff = Backoff::new(options.first_backoff, options.longest_backoff);
    while !link.leave.is_cancelled() {
        wait_while_connected(&router, &link).await;
        link.state.lock().attempts += 1;
        let began = Instant::now();
        let ended = tokio::select! {
        biased;
            ended = attempt(&router, &link, &options) => ended,
            () = stopped_before_connecting(&link) => return,
        };
        if let Err(error) = &ended {
            let refusal = error.refusal();
            if refusal == Some(Refusal::Duplicate) {
                tracing::debug!(address = link.address, "the other node's own connection is kept");
            } else {
                tracing::warn!(address = link.address, %error, "no connection to the other node");
            }
            link.state.lock().last_error = Some(error.to_string());
        }
        if ended.is_ok() && began.elapsed() >= options.healthy_after {
            backoff.reset();
        }
        let wait = rng::up_to(backoff.next_pause());
        tokio::select! {
        biased;
            () = tokio::time::sleep(wait) => {}
            () = link.leave.cancelled() => {}
        }
    }
}

/// The other node may have dialed this one: then there is nothing to do until that connection ends.
async fn wait_while_connected(router: &Router, link: &Link) {
    let node = link.state.lock().node.clone();
    if let Some(peer) = node.and_then(|node| router.peer(&node)) {
        tokio::select! {
        biased;
            () = peer.closing.cancelled() => {}
            () = link.leave.cancelled() => {}
        }
    }
}

/// Ends an attempt when `leave` is called before it is connected. Afterwards the goodbye ends the connection.
async fn stopped_before_connecting(link: &Link) {
    link.leave.cancelled().await;
    if link.state.lock().attempts == 0 {
        std::future::pending::<()>().await;
    }
}

/// Connects, and runs the connection until it ends.
async fn attempt(router: &Router, link: &Link, options: &TransportOptions) -> Result<(), HandshakeError> {
    let within = options.handshake_timeout;
    let connect = TcpStream::connect(link.address.as_str());
    let stream = match tokio::time::timeout(within, connect).await {
        Ok(stream) => stream?,
        Err(_elapsed) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    };
    let remote = stream.peer_addr()?;
    check_private(remote, options, "transport.join")?;
    // Small frames must be sent at once. A socket that refuses the option works, too.
    let _ = stream.set_nodelay(true);
    let (version, ours) = router.announcement();
    // The node is recorded even if it refuses: if its own connection is kept, that is the one to wait for.
    let meet = |them: &Identity| {
        link.state.lock().node = Some(them.node.clone());
        router.found(them);
    };
    let us = router.introduction();
    let ended = match &options.tls {
        None => {
            let met = handshake::dial(stream, us, &ours, options, None, meet).await?;
            run(router, link, met, None, remote, version, options).await?
        }
        Some(tls) => {
            let connected = tokio::time::timeout(within, tls.connect(stream, remote.ip())).await;
            let (stream, certificate) = connected.unwrap_or(Err(HandshakeError::Timeout(within)))?;
            let identity = &certificate.identity;
            if let Err(refuse) = tls.check_cluster(identity).and_then(|()| check_role(identity)) {
                return handshake::decline(stream, refuse, options).await;
            }
            // The listener may have found fault with this node's certificate: the alert comes instead of its Welcome.
            let met = handshake::dial(stream, us, &ours, options, Some(identity), meet)
                .await
                .map_err(|error| tls.explained(error))?;
            run(router, link, met, Some(certificate), remote, version, options).await?
        }
    };
    let mut state = link.state.lock();
    state.since = Timestamp::now();
    state.last_error = Some(ended);
    Ok(())
}

/// What is found at an address of `transport.join` must be a control node: commands are taken from it.
fn check_role(them: &NodeIdentity) -> Result<(), Refuse> {
    match them.has(NodeRole::Control) {
        true => Ok(()),
        false => Err(Refuse::new(
            Refusal::Certificate,
            format!(
                "node '{}' was joined, and is no control node by its certificate",
                them.node
            ),
        )),
    }
}

/// Runs the connection; returns why it ended.
async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    router: &Router,
    link: &Link,
    met: Introduced<S>,
    certificate: Option<NodeCertificate>,
    remote: SocketAddr,
    version: u64,
    options: &TransportOptions,
) -> Result<String, HandshakeError> {
    let candidate = Candidate {
        them: met.them,
        announcement: met.announcement,
        certificate,
        dialed_by: DialedBy::Us,
        remote: remote.to_string(),
    };
    let admitted = match router.admit(candidate, options) {
        Ok(admitted) => admitted,
        Err(refuse) => return handshake::take_leave(met.reader, refuse, options).await,
    };
    link.state.lock().attempts = 0;
    connection::run(router, &admitted.peer, met.reader, version).await;
    Ok(admitted.peer.reason())
}
