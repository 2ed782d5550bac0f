//! Options of connections between nodes.

use std::time::Duration;

use super::frame::MAX_FRAME;
use super::tls::Tls;
use crate::model::volume::Secret;

/// Limits and times of listeners and connections. The ends may differ; the smaller frame limit is used.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// The largest frame, in bytes.
    pub max_frame: usize,
    /// The time between two pings. A peer that was silent for three of them is disconnected.
    pub ping_interval: Duration,
    /// The limit of a whole handshake, and of the TCP connect before it.
    pub handshake_timeout: Duration,
    /// How long a cast waits for the confirmation that it was queued.
    pub accept_timeout: Duration,
    /// The most messages that may wait to be written to one peer.
    pub outbound_messages: usize,
    /// The most bytes that may wait to be written to one peer.
    pub outbound_bytes: usize,
    /// The most concurrent handshakes of a listener; a further one ends another, of the address that has most of them.
    pub max_handshakes: usize,
    /// The most peers of a node.
    pub max_peers: usize,
    /// The wait before the first attempt to reconnect is chosen at random from zero to this; the bound doubles
    /// with each failure.
    pub first_backoff: Duration,
    /// The largest bound.
    pub longest_backoff: Duration,
    /// A connection that lasted so long resets the bound.
    pub healthy_after: Duration,
    /// The shared secret. Both ends prove at the handshake that they know it; it is never sent.
    pub secret: Option<Secret>,
    /// The node's certificate. With it all connections are TLS, and the secret is not used.
    pub tls: Option<Tls>,
    /// Lets every peer serve and send everything, and believes its contexts. For tests and measurements whose nodes have no roles.
    pub trusts_every_peer: bool,
    /// Allows unencrypted connections over addresses other than loopback. For simulated networks.
    pub allow_plaintext: bool,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            max_frame: MAX_FRAME,
            ping_interval: Duration::from_secs(2),
            handshake_timeout: Duration::from_secs(5),
            accept_timeout: Duration::from_secs(5),
            outbound_messages: 4096,
            outbound_bytes: 16 * 1024 * 1024,
            max_handshakes: 256,
            max_peers: 4096,
            first_backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_secs(10),
            healthy_after: Duration::from_secs(60),
            secret: None,
            tls: None,
            trusts_every_peer: false,
            allow_plaintext: false,
        }
    }
}
