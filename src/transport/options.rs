//! What a node may choose about its connections.

use std::time::Duration;

use super::frame::MAX_FRAME;
use crate::model::volume::Secret;

/// Limits and times of listeners and connections. Both ends may choose differently; the smaller frame holds.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// The largest frame, in bytes.
    pub max_frame: usize,
    /// Between two pings. A peer that was not heard of for three of them is given up.
    pub ping_interval: Duration,
    /// For a handshake as a whole, and for the TCP connection before it.
    pub handshake_timeout: Duration,
    /// How long a cast waits to hear that it was queued.
    pub accept_timeout: Duration,
    /// Most messages that may wait to be written to one peer.
    pub outbound_messages: usize,
    /// Most bytes that may wait to be written to one peer.
    pub outbound_bytes: usize,
    /// Most handshakes that a listener has going on at once; one more cuts the oldest of those that said nothing.
    pub max_handshakes: usize,
    /// Most peers that a node has.
    pub max_peers: usize,
    /// The wait before the first attempt to reconnect is drawn from zero to this; it doubles with each failure.
    pub first_backoff: Duration,
    /// And never is longer than this.
    pub longest_backoff: Duration,
    /// A connection that held so long makes the next wait a short one again.
    pub healthy_after: Duration,
    /// What both ends must know. Proven both ways at the handshake, never sent.
    pub secret: Option<Secret>,
    /// Speak over addresses that are not this machine's own although nothing is encrypted. For simulated networks.
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
            max_handshakes: 128,
            max_peers: 256,
            first_backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_secs(10),
            healthy_after: Duration::from_secs(60),
            secret: None,
            allow_plaintext: false,
        }
    }
}
